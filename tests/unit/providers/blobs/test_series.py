"""Series of objects, by themselves; :mod:`tests.unit.providers.blobs.test_durability` has them in a store."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.blobs import series


class SeriesTests(SynchronousTestCase):
    """The folder of a series."""

    def test_together(self) -> None:
        """Names that were made before a flush began need no other one; those made since do."""
        flushes: list[int] = []
        folder = Path(self.mktemp())
        folder.mkdir()
        one = series.Series("one", folder, folder / "note", -1)

        def flush(_folder: Path) -> None:
            flushes.append(one._made)
            if len(flushes) == 1:
                # Somebody else has made a name meanwhile, and waits.
                one._made += 1

        self.patch(series, "flush_folder", flush)
        one._made = 2  # two others, who have made names and come to the flush after this one
        one.flush_names()
        self.assertEqual((3, 4, [3]), (one._flushed, one._made, flushes))
        one.flush_names()
        self.assertEqual((5, [3, 5]), (one._flushed, flushes))
