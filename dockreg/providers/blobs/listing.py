"""The objects of a folder of blobs, some at a time."""

import os
from collections.abc import Iterator
from contextlib import suppress

from dockreg.model.blobs import StoredBlob
from dockreg.model.collection import Page
from dockreg.model.digest import Digest
from dockreg.providers.blobs.series import noted_series, series_of
from dockreg.providers.blobs.staging import Folders

_ALGORITHMS = {"sha256": 64, "sha512": 128}
_BY_LENGTH = {length: algorithm for algorithm, length in _ALGORITHMS.items()}
_PARTS_OF_NOTE = 3


def objects_behind(folders: Folders, after: str, limit: int) -> Page:
    """
    The objects in the next folders behind ``after``, ``limit`` or somewhat more, without those that may yet be recorded: of this
    process what is not confirmed, of others all of a series that is noted.

    A note is there before the objects. So it is looked for afterwards: an object that has none then is recorded, or nobody
    records it any more.
    """
    found: list[StoredBlob] = []
    reached: str | None = None
    for folder in _folders(folders):
        if folder <= after:
            continue
        if len(found) >= limit:
            break
        found += objects_in(folders, folder)
        reached = folder
    else:
        reached = None
    unconfirmed = folders.unconfirmed | _noted_before(folders)
    others = {name for _, _, name in noted_series(folders.notes)}.difference(folders.own_series)
    settled = (each for each in found if each.generation not in unconfirmed)
    return Page([each for each in settled if series_of(each.generation) not in others], reached)


def noted_before(name: str) -> StoredBlob | None:
    """
    What a file in ``staging`` says may not be recorded, None when it says nothing; the size is not known.

    Before there were series each commit made a note of its own there, ``<upload>.<digest>.<generation>``.
    """
    parts = name.split(".")
    if len(parts) != _PARTS_OF_NOTE or len(parts[1]) not in _BY_LENGTH:
        return None
    return StoredBlob(Digest(_BY_LENGTH[len(parts[1])], parts[1]), parts[2], 0)


def _noted_before(folders: Folders) -> set[str]:
    with suppress(FileNotFoundError):
        return {
            noted.generation for path in folders.staging.iterdir() if (noted := noted_before(path.name)) is not None
        }
    return set()


def _folders(folders: Folders) -> Iterator[str]:
    for algorithm in sorted(_ALGORITHMS):
        with suppress(FileNotFoundError):
            yield from sorted(f"{algorithm}/{path.name}" for path in (folders.root / algorithm).iterdir())


def objects_in(folders: Folders, folder: str) -> Iterator[StoredBlob]:
    """The objects that belong to one folder, ``<algorithm>/<name>``; none where there is no such folder."""
    algorithm, _, name = folder.partition("/")
    with suppress(FileNotFoundError):  # It was empty, and went.
        for entry in os.scandir(folders.root / folder):
            encoded, _, generation = entry.name.partition(".")
            if len(encoded) != _ALGORITHMS[algorithm] or not generation:
                continue
            if name == (series_of(generation) or encoded[:2]):
                with suppress(FileNotFoundError):  # It was collected in this very moment.
                    yield StoredBlob(Digest(algorithm, encoded), generation, _size_of(entry))


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        raise
    except OSError:
        # It is there. One file that the disk can not look at must not hide the others.
        return 0
