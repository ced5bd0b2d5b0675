"""A database of dockreg with many repositories and tags, made in seconds: rows as pushes would leave them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, create_engine, insert

from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_INDEX
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables import manifests, repositories, tags

T = TypeVar("T")

_BATCH = 10_000
_REPOSITORY: Mapping[str, object] = {"owner": "", "private": False, "description": "", "created_at": 1.0}
_TAG: Mapping[str, object] = {"updated_at": 1.0, "arch": "amd64", "os": "linux"}


def fill_database(data: Path, contents: Mapping[str, Sequence[str]]) -> None:
    """
    Make the database that a daemon will find in ``data``.

    :param contents: repositories, and the tags of each. Every tag has a manifest of its own, an empty image index.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = f"sqlite:///{data / 'metadata.sqlite3'}"
    asyncio.run(_make_tables(SQLMetadataStore(url, _here)))
    engine = create_engine(url)
    keys = {name: key for key, name in enumerate(contents, 1)}
    named = [(keys[name], tag) for name, tags_of_it in contents.items() for tag in tags_of_it]
    with engine.begin() as connection:
        _insert(connection, repositories, ({"key": key, "name": name, **_REPOSITORY} for name, key in keys.items()))
        _insert(connection, manifests, (_manifest(key, *each) for key, each in enumerate(named, 1)))
        _insert(
            connection,
            tags,
            (
                {"repository_key": repository, "manifest_key": key, "name": tag, **_TAG}
                for key, (repository, tag) in enumerate(named, 1)
            ),
        )
    engine.dispose()


def _manifest(key: int, repository: int, tag: str) -> Mapping[str, object]:
    annotations = {"org.opencontainers.image.version": tag}
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": annotations}
    content = json.dumps(document).encode()
    return {
        "key": key,
        "repository_key": repository,
        "digest": str(Digest.sha256(content)),
        "media_type": OCI_INDEX,
        "content": content,
        "size": len(content),
        "annotations": json.dumps(annotations),
        "derived": False,
        "created_at": 1.0,
        "pushed_by": "",
    }


async def _make_tables(store: SQLMetadataStore) -> None:
    await store.open()
    await store.close()


def _here(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
    async def run() -> T:
        return function(*args, **kwargs)

    return run()


def _insert(connection: Connection, table: Table, rows: Iterable[Mapping[str, object]]) -> None:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        connection.execute(insert(table), batch)
