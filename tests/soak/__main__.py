"""
Many clients push, pull, mount, tag and delete at once, for as long as you like::

    python -m tests.soak --seconds 10800 --clients 48 --workers 2

It ends with status 1, and tells why, when a push fails, when something can not be read that was acknowledged, or when
something is left at the end. ``--seed`` chooses what the clients do; their order beside each other is up to the system.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from tests.integration.postgresql import Server
from tests.soak.running import Plan, Soak


def main() -> None:
    """Run as told by the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long (default: 120)")
    parser.add_argument("--clients", type=int, default=24, help="how many at once (default: 24)")
    parser.add_argument("--seed", type=int, default=0, help="of what they do")
    parser.add_argument("--workers", type=int, default=1, help="processes of the daemon")
    parser.add_argument(
        "--database", default="", help="a URL; or 'postgresql', for a server of its own (default: SQLite)"
    )
    parser.add_argument("--kills", type=int, default=0, help="how many times to kill -9 the daemon meanwhile")
    parser.add_argument("--worker-kills", type=int, default=0, help="how many times to kill -9 one of its workers")
    parser.add_argument("--folder", type=Path, help="an empty folder for its data, which is left there")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="dockreg-soak-"))
    server = None
    if given.database == "postgresql":
        server = Server()
        server.start()
        given.database = server.url()
    plan = Plan(
        folder.absolute(),
        given.seconds,
        given.clients,
        given.seed,
        given.workers,
        given.database,
        given.kills,
        given.worker_kills,
    )
    held: list[bool] = []
    try:
        task.react(lambda _: Deferred.fromCoroutine(_run(plan, held)), _reactor=reactor)
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        if server is not None:
            server.stop()
    if held and given.folder is None:
        shutil.rmtree(folder)
    sys.exit(0 if held else 1)


async def _run(plan: Plan, held: list[bool]) -> None:
    if await Soak(plan, reactor).run():
        held.append(True)
    else:
        sys.stdout.write(f"the data and the logs are in {plan.folder}\n")


if __name__ == "__main__":
    main()
