"""Tests for dockreg.model.expansion."""

import bz2
import gzip

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import LayerTooLarge
from dockreg.model.compression import CompressionInvalid
from dockreg.model.expansion import Expansion
from dockreg.model.filelist import LayerFileLister
from dockreg.model.layers import LayerInspector

MIB = 1024**2


class ExpansionTests(SynchronousTestCase):
    """Tests for Expansion."""

    def test_slack(self) -> None:
        """A layer may unpack to 256 MiB, however small it is."""
        expansion = Expansion(10**12)
        expansion.unpack(256 * MIB)
        with self.assertRaises(LayerTooLarge):
            expansion.unpack(1)

    def test_ratio(self) -> None:
        """Beyond that it may unpack to what gzip can reach, and not to more."""
        expansion = Expansion(10**12)
        expansion.receive(MIB)
        expansion.unpack(256 * MIB + 1032 * MIB)
        with self.assertRaises(LayerTooLarge):
            expansion.unpack(100 * MIB)

    def test_limit(self) -> None:
        """The limit holds for any ratio."""
        expansion = Expansion(10)
        expansion.receive(10)
        expansion.unpack(10)
        with self.assertRaises(LayerTooLarge):
            expansion.unpack(1)

    def test_stop(self) -> None:
        """Once stopped, the next piece ends the unpacking."""
        expansion = Expansion(10)
        expansion.stop()
        with self.assertRaises(CompressionInvalid):
            expansion.unpack(1)

    def test_bombs(self) -> None:
        """A few bytes that unpack to much more than gzip can reach end the inspection and the list early."""
        bomb = bz2.compress(bytes(40 * MIB)) * 10
        for reader in (LayerInspector(), LayerFileLister()):
            with self.assertRaises(LayerTooLarge):
                reader.update(bomb)

    def test_zeros(self) -> None:
        """The most that gzip can reach is no bomb."""
        inspector = LayerInspector()
        inspector.update(gzip.compress(bytes(300 * MIB)))
        self.assertEqual(300 * MIB, inspector.finish().uncompressed_size)

    def test_stopped_inspection(self) -> None:
        """An inspection that was stopped knows nothing of the layer."""
        inspector = LayerInspector()
        inspector.stop()
        inspector.update(gzip.compress(bytes(MIB)))
        self.assertIsNone(inspector.finish().diff_id)
