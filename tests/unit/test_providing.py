"""Tests of :mod:`dockreg.providing`."""

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.config import read_config
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providing import make_metadata_store, make_room
from tests.unit.others import OtherMetadata


class MetadataStoreTests(SynchronousTestCase):
    def test_private(self) -> None:
        """A metadata store of somebody else is told when new repositories are to be private, and nothing otherwise."""
        provider = f"metadata.provider = '{OtherMetadata.__module__}.OtherMetadata'\n"
        for setting, expected in (("public", {}), ("private", {"private": True})):
            config = read_config(f'{provider}auth.new_repositories = "{setting}"')
            made: Any = make_metadata_store(config, maybeDeferred, Clock())
            self.assertEqual(expected, made.options)


class RoomTests(SynchronousTestCase):
    def test_disk_of_the_database(self) -> None:
        """The disk of a database of SQLite is looked at, wherever that is; of one elsewhere nothing is known."""
        for database, expected in (
            ("", False),
            (f'metadata.url = "sqlite:///{self.mktemp()}/metadata.sqlite3"\n', False),
            ('metadata.url = "sqlite://"\n', True),
            ('metadata.url = "postgresql+psycopg:///registry"\n', True),
        ):
            config = read_config(f"{database}blobs.reserve_bytes = {2**62}\n")
            room = make_room(config, MemoryBlobStore(), maybeDeferred, Clock())
            self.successResultOf(Deferred.fromCoroutine(room.look()))
            self.assertEqual(expected, room.has_rows())
