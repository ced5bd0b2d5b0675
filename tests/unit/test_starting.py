import gc
import linecache

from twisted.trial.unittest import SynchronousTestCase

from dockreg.starting import loading, settle


class StartingTests(SynchronousTestCase):
    """What is done about garbage while a process starts."""

    def test_loading(self) -> None:
        """Garbage is looked for less often, and afterwards as often as before, whatever happened."""
        before = gc.get_threshold()
        with self.assertRaises(ValueError), loading():
            self.assertLess(before[0], gc.get_threshold()[0])
            raise ValueError
        self.assertEqual(before, gc.get_threshold())

    def test_settle(self) -> None:
        """What there is is not looked at again, and sources that nobody asked for are gone; garbage is not kept."""
        self.addCleanup(gc.unfreeze)
        before = gc.get_freeze_count()
        linecache.cache["<attrs generated methods x>"] = (1, None, ["x"], "<attrs generated methods x>")
        settle()
        self.assertLess(before, gc.get_freeze_count())
        self.assertEqual({}, linecache.cache)
