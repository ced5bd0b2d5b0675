"""A data folder, looked at from outside: with SQLite and the file system alone."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from dockreg.providers.blobs.staging import STAGING


def objects(data: Path) -> Iterator[Path]:
    """The files of all stored objects."""
    for algorithm in ("sha256", "sha512"):
        for folder, _, names in os.walk(data / "blobs" / algorithm):
            yield from (Path(folder, name) for name in names)


def staged(data: Path) -> set[str]:
    """The names of what is unfinished."""
    folder = data / "blobs" / STAGING
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def rows(data: Path, query: str) -> list[tuple[object, ...]]:
    """What a query finds in the database."""
    with closing(sqlite3.connect(data / "metadata.sqlite3", timeout=30)) as database:
        return database.execute(query).fetchall()


def problems(data: Path, *, resting: bool = True) -> list[str]:
    """
    What is wrong with a data folder; of a daemon that runs, when it does nothing else.

    :param resting: nothing may be left over either: no object that is not recorded, nothing unfinished without a session.
    """
    found = [str(row[0]) for row in rows(data, "pragma integrity_check") if row[0] != "ok"]
    found += [f"a reference to nothing: {row}" for row in rows(data, "pragma foreign_key_check")]
    stored = {path.name: path for path in objects(data)}
    recorded = {
        f"{str(digest).partition(':')[2]}.{generation}": size
        for digest, generation, size in rows(
            data, "select digest, generation, size from blobs where generation is not null"
        )
    }
    for name, size in recorded.items():
        path = stored.get(name)
        if path is None:
            found.append(f"{name} is recorded and not stored")
        elif path.stat().st_size != size:
            found.append(f"{name} has {path.stat().st_size} bytes instead of {size}")
        elif _digest(path) != name.partition(".")[0]:
            found.append(f"{name} has other bytes")
    if resting:
        found += [f"{name} is stored and not recorded" for name in set(stored) - set(recorded)]
        sessions = {str(row[0]) for row in rows(data, "select upload_id from uploads")}
        found += [f"{name} is left in the staging" for name in staged(data) - sessions]
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha512" if "sha512" in path.parts else "sha256").hexdigest()
