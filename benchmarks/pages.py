# ruff: noqa: INP001  # a program, not a module
"""
What the last page of a long list costs, compared to the first one.

A daemon on 127.0.0.1 gets a repository of 100,000 tags and 10,000 repositories. The first and the last page of each
list are asked for in turn, on one connection, and their medians are compared.
"""

import argparse
import asyncio
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time  # noqa: TID251  # it measures real time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from sqlalchemy import Connection, create_engine, insert

from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_INDEX
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables import manifests, repositories, tags

T = TypeVar("T")
_PAGE = 100
_WARM_UP = 20
_START_SECONDS = 60.0
_ANSWER_SECONDS = 60.0
_BATCH = 10_000
_MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
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
    with tempfile.TemporaryDirectory(prefix="dockreg-pages-") as folder:
        data = Path(folder) / "data"
        tag_names = [f"v{number:07}" for number in range(options.tags)]
        names = sorted([_LARGE, *(f"benchmark/r{number:07}" for number in range(options.repositories - 1))])
        fill(data, names, tag_names)
        with daemon(Path(folder), data) as port:
            lists = {
                f"tags/list of {len(tag_names):,}": (f"/v2/{_LARGE}/tags/list", "tags", tag_names),
                f"_catalog of {len(names):,}": ("/v2/_catalog", "repositories", names),
            }
            rows = [(title, *measure(port, *each, options.rounds)) for title, each in lists.items()]
    report(rows)


async def _here(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    return function(*args, **kwargs)


def _run(work: Awaitable[object]) -> None:
    async def finish() -> None:
        await work

    asyncio.run(finish())


def fill(data: Path, names: Sequence[str], tag_names: Sequence[str]) -> None:
    """Make the database that the daemon will find."""
    url = f"sqlite:///{data / 'metadata.sqlite3'}"
    store = SQLMetadataStore(url, _here)
    _run(store.open())
    _run(store.close())
    engine = create_engine(url)
    with engine.begin() as connection:
        _insert(
            connection, repositories, ({"key": key, "name": name, **_REPOSITORY} for key, name in enumerate(names, 1))
        )
        _insert(
            connection, manifests, ({"key": key, "repository_key": key, **_ROW} for key in range(1, len(names) + 1))
        )
        key = names.index(_LARGE) + 1
        _insert(
            connection, tags, ({"repository_key": key, "manifest_key": key, "name": tag, **_TAG} for tag in tag_names)
        )
    engine.dispose()


_REPOSITORY: Mapping[str, object] = {"owner": "", "private": False, "description": "", "created_at": 1.0}
_TAG: Mapping[str, object] = {"updated_at": 1.0, "arch": "amd64", "os": "linux"}
_ROW: Mapping[str, object] = {
    "digest": str(Digest.sha256(_MANIFEST)),
    "media_type": OCI_INDEX,
    "content": _MANIFEST,
    "size": len(_MANIFEST),
    "derived": False,
    "created_at": 1.0,
    "pushed_by": "",
}


def _insert(connection: Connection, table: Any, rows: Iterator[dict[str, object]]) -> None:
    batch: list[dict[str, object]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            connection.execute(insert(table), batch)
            batch.clear()
    if batch:
        connection.execute(insert(table), batch)


@contextmanager
def daemon(folder: Path, data: Path) -> Iterator[int]:
    """The ``twistd`` of this environment, on a free port; it is stopped in any case."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "daemon.log"
    command = [
        str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=", "dockreg",
        f"--data-dir={data}", f"--listen=tcp:{port}:interface=127.0.0.1",
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)  # noqa: S603
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the daemon did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        yield port
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(timeout=_ANSWER_SECONDS)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


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
