"""A data folder, looked at from outside: with SQLite and the file system alone."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from sqlalchemy import create_engine, text

from dockreg.model.blobs import IN_METADATA
from dockreg.providers.blobs.staging import SERIES, STAGING

#: The tables of what comes with a push, and goes with it.
_OF_PUSHES = (
    "blobs", "repository_blobs", "manifests", "manifest_blobs", "tags", "v1_images", "repository_v1_images", "v1_staged_images", "uploads",
    "collected_objects",
)  # fmt: skip


def objects(data: Path) -> Iterator[Path]:
    """The files of all stored objects."""
    for algorithm in ("sha256", "sha512"):
        for folder, _, names in os.walk(data / "blobs" / algorithm):
            yield from (Path(folder, name) for name in names)


def staged(data: Path) -> set[str]:
    """The names of what is unfinished."""
    folder = data / "blobs" / STAGING
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def rows(data: Path, query: str, database: str = "") -> Sequence[Sequence[object]]:
    """What a query finds in the database; ``database`` is its URL if it is not in the data folder."""
    engine = create_engine(
        database or f"sqlite:///{data / 'metadata.sqlite3'}", connect_args={} if database else {"timeout": 30}
    )
    try:
        with engine.connect() as connection:
            return connection.execute(text(query)).all()
    finally:
        engine.dispose()


def problems(data: Path, database: str = "") -> list[str]:
    """
    What is wrong with a data folder, of a daemon that does nothing.

    Nothing may be left over either: no object that is not recorded, nothing unfinished without a session.
    """
    found = []
    if not database:
        found += [str(row[0]) for row in rows(data, "pragma integrity_check") if row[0] != "ok"]
        found += [f"a reference to nothing: {row}" for row in rows(data, "pragma foreign_key_check")]
    stored = {path.name: path for path in objects(data)}
    recorded: dict[str, int] = {}
    query = "select digest, generation, size, content from blobs where generation is not null"
    for row in rows(data, query, database):
        digest, generation, size, content = cast("tuple[str, str, int, bytes | None]", tuple(row))
        if generation.startswith(IN_METADATA):
            found += _problems_of_content(digest, size, content)
        else:
            recorded[f"{digest.partition(':')[2]}.{generation}"] = size
            found += [f"{digest} is kept twice"] if content is not None else []
    for name, size in recorded.items():
        path = stored.get(name)
        try:
            if path is None:
                found.append(f"{name} is recorded and not stored")
            elif path.stat().st_size != size:
                found.append(f"{name} has other than {size} bytes")
            elif _digest(path) != name.partition(".")[0]:
                found.append(f"{name} has other bytes")
        except FileNotFoundError:
            found.append(f"{name} went while it was looked at: look again")
    found += [f"{name} is stored and not recorded" for name in set(stored) - set(recorded)]
    sessions = {str(row[0]) for row in rows(data, "select upload_id from uploads", database)}
    found += [f"{name} is left in the staging" for name in staged(data) - sessions]
    found += [f"{path} is empty" for path in _empty_folders(data)]
    return found


def _problems_of_content(digest: str, size: int, content: bytes | None) -> list[str]:
    """What is wrong with a blob that is kept in its row."""
    if content is None:
        return [f"{digest} is recorded and not kept"]
    algorithm, _, encoded = digest.partition(":")
    sound = len(content) == size and hashlib.new(algorithm, content).hexdigest() == encoded
    return [] if sound else [f"{digest} has other bytes in its row"]


def leftovers(data: Path, database: str = "") -> list[str]:
    """What is left where nothing should be: rows of anything that was pushed, and files."""
    found = [f"{path.name} is stored" for path in objects(data)]
    found += [f"{name} is left in the staging" for name in staged(data)]
    for table in _OF_PUSHES:
        ((count,),) = rows(data, f"select count(*) from {table}", database)
        if count:
            found.append(f"{count} rows in {table}")
    return found


def _empty_folders(data: Path) -> Iterator[Path]:
    """Those of series that have come to their end, without an object."""
    for algorithm in ("sha256", "sha512"):
        for folder, folders, names in os.walk(data / "blobs" / algorithm):
            path = Path(folder)
            note = data / "blobs" / SERIES / f"{algorithm}.{path.name}"
            if path.name != algorithm and not folders and not names and not note.exists():
                yield path


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha512" if "sha512" in path.parts else "sha256").hexdigest()
