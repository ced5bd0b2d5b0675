"""
A daemon that is started again and again, without importing everything each time.

A process imports what a daemon needs, and starts each daemon as a fork of itself, with the arguments of ``twistd``. It is
this file, as a program: one line of JSON is an order, and another one its answer.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from twisted.internet import pollreactor

from tests.commands import NEEDED
from tests.processes import Daemon, Process


class ForkedDaemon(Daemon):
    """One that starts fast. :meth:`end` belongs in a cleanup."""

    _source: "_Source | None" = None

    def end(self) -> None:
        """Kill it, and the process that starts it."""
        self.kill()
        source, self._source = self._source, None
        if source is not None:
            source.end()

    def _spawn(self, command: Sequence[str]) -> Process:
        if self._source is None:
            self._source = _Source(self.environ)
        log = str(self.folder / "daemon.log")
        return _Forked(self._source, self._source.ask(start=list(command), folder=str(self.folder), log=log))


class _Source:
    """The process that the daemons come from."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environ},
        )

    def ask(self, **order: object) -> Any:
        """Give an order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        """It ends when it can not read any more."""
        assert self._process.stdout is not None
        self._process.communicate()


class _Forked:
    """A daemon, which is a child of another process than this."""

    def __init__(self, source: _Source, pid: int) -> None:
        self._source = source
        self._status: int | None = None
        self.pid = pid

    def poll(self) -> int | None:
        """See :class:`tests.processes.Process`."""
        if self._status is None:
            self._status = self._source.ask(look=self.pid)
        return self._status

    def wait(self, timeout: float) -> int:
        """See :class:`tests.processes.Process`; it waits as long as that takes."""
        if self._status is None:
            status = self._source.ask(wait=self.pid)
            assert isinstance(status, int)
            self._status = status
        return self._status


def _serve() -> None:
    # Klein imports the reactor. This one keeps nothing in the kernel that a fork would share, as an epoll would be.
    pollreactor.install()
    for name in NEEDED:
        import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            answer: int | None = os.fork()
            if not answer:
                _become(order)
        else:
            pid, status = os.waitpid(order.get("wait", order.get("look")), 0 if "wait" in order else os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _become(order: dict[str, Any]) -> NoReturn:
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.close(log)
    os.close(nothing)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # what was read ahead is not the daemon's
    os.chdir(order["folder"])
    sys.argv[:] = order["start"]
    status = 1
    try:
        import_module("twisted.scripts.twistd").run()
        status = 0
    except BaseException:  # noqa: BLE001  # nobody else would tell
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
