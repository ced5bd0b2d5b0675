"""Tests of :mod:`dockreg.providing`."""

from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.config import read_config
from dockreg.providing import make_metadata_store
from tests.unit.others import OtherMetadata


class MetadataStoreTests(SynchronousTestCase):
    def test_private(self) -> None:
        """A metadata store of somebody else is told when new repositories are to be private, and nothing otherwise."""
        provider = f"metadata.provider = '{OtherMetadata.__module__}.OtherMetadata'\n"
        for setting, expected in (("public", {}), ("private", {"private": True})):
            config = read_config(f'{provider}auth.new_repositories = "{setting}"')
            made: Any = make_metadata_store(config, maybeDeferred, Clock())
            self.assertEqual(expected, made.options)
