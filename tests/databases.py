"""Databases of SQLite as the first start of a registry makes them, made once for all tests of a process."""

import os
import tempfile
from functools import cache
from pathlib import Path

from dockreg.providers.metadata.schema import prepare
from dockreg.providers.metadata.transactions import make_engine


def write_database(path: Path | str) -> str:
    """
    Write an empty one, which a store then finds up to date.

    :return: the path.
    """
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_empty())
    return str(path)


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "metadata.sqlite3")
        engine = make_engine(f"sqlite:///{path}", is_sqlite=True)
        prepare(engine)
        engine.dispose()
        return path.read_bytes()
