"""
What the last page of a long list costs, compared to the first one.

A daemon on 127.0.0.1 gets a repository of 100,000 tags and 10,000 repositories. The first and the last page of each
list are asked for in turn, on one connection, and their medians are compared.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.contenders.base import Place, Situation
from benchmarks.contenders.dockreg import Dockreg
from benchmarks.filling import fill_database
from benchmarks.servers import Server
from dockreg.testing.ports import free_port

_PAGE = 100
_WARM_UP = 20
_ANSWER_SECONDS = 60.0
_LARGE = "benchmark/large"


def main() -> None:
    """Fill, start, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tags", type=int, default=100_000, help="in one repository (default: %(default)s)")
    parser.add_argument("--repositories", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=400, help="requests for each page (default: %(default)s)")
    options = parser.parse_args()
    if min(options.tags, options.repositories) < 2 * _PAGE or options.rounds < 1:
        parser.error(f"at least {2 * _PAGE} tags and repositories, and one round")
    with tempfile.TemporaryDirectory(prefix="dockreg-pages-") as name:
        folder = Path(name)
        tags = [f"v{number:07}" for number in range(options.tags)]
        repositories = sorted([_LARGE, *(f"benchmark/r{number:07}" for number in range(options.repositories - 1))])
        place = Place(folder, free_port(), Situation(), folder / "certificate.pem", folder / "key.pem")
        fill_database(place.data, {each: tags if each == _LARGE else ["latest"] for each in repositories})
        server = Server(Dockreg(), place)
        server.start()
        try:
            lists = {
                f"tags/list of {len(tags):,}": (f"/v2/{_LARGE}/tags/list", "tags", tags),
                f"_catalog of {len(repositories):,}": ("/v2/_catalog", "repositories", repositories),
            }
            rows = [(title, *measure(place.port, *each, options.rounds)) for title, each in lists.items()]
        finally:
            server.stop()
    report(rows)


def measure(port: int, path: str, member: str, entries: Sequence[str], rounds: int) -> tuple[float, float]:
    """The medians of the first and of the last page, in seconds."""
    first = f"{path}?n={_PAGE}"
    last = f"{first}&{urlencode({'last': entries[-_PAGE - 1]})}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        for where, expected in ((first, entries[:_PAGE]), (last, entries[-_PAGE:])):
            found = json.loads(_get(connection, where)[1])[member]
            if found != list(expected):
                raise SystemExit(f"{where} is not the page that it should be")
        seconds: dict[str, list[float]] = {first: [], last: []}
        for number in range(_WARM_UP + rounds):
            # Neither of them is always the one that comes after the other.
            for where in (first, last) if number % 2 else (last, first):
                took, _ = _get(connection, where)
                if number >= _WARM_UP:
                    seconds[where].append(took)
    finally:
        connection.close()
    return statistics.median(seconds[first]), statistics.median(seconds[last])


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[float, bytes]:
    began = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    took = time.perf_counter() - began
    if response.status != http.HTTPStatus.OK:
        raise SystemExit(f"{path}: {response.status} {content[:200]!r}")
    return took, content


def report(rows: Sequence[tuple[str, float, float]]) -> None:
    """A table in Markdown."""
    lines = [
        f"| list, {_PAGE} entries a page | first page | last page | last / first |",
        "|---|---:|---:|---:|",
        *(
            f"| `{title}` | {first * 1000:.2f} ms | {last * 1000:.2f} ms | {last / first:.2f} |"
            for title, first, last in rows
        ),
    ]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
