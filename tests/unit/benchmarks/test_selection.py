"""Tests of :mod:`benchmarks.selection`."""

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.selection import entries, selected
from benchmarks.stage import Scale


class SelectionTests(SynchronousTestCase):
    """Which workloads take part."""

    def test_names(self) -> None:
        """No two workloads have one name."""
        names = [entry.name for entry in entries()]
        self.assertEqual(len(names), len(set(names)))

    def test_usual(self) -> None:
        """Without patterns all plain ones of use take part, and some with TLS and with accounts."""
        names = {entry.name for entry in selected([])}
        self.assertLess({"base", "push-streamed", "tls:pull-6", "accounts:ci-storm"}, names)
        self.assertNotIn("pull-6", names)
        self.assertNotIn("tls:catalog", names)

    def test_patterns(self) -> None:
        """Patterns choose among all of them, in the usual order."""
        names = [entry.name for entry in selected(["tls:pull-?", "base"])]
        self.assertEqual(["base", "tls:pull-6", "tls:pull-8"], names)

    def test_wrong_pattern(self) -> None:
        """A pattern that means nothing is refused."""
        self.assertIn("push-9", str(self.assertRaises(ValueError, selected, ["base", "push-9"])))

    def test_titles(self) -> None:
        """A title tells the sizes that are really used, and the situation."""
        titles = {entry.name: entry.title(Scale(sizes=1 / 16, counts=0.1)) for entry in entries()}
        self.assertEqual("push 16 x 16 MiB at once", titles["push-parallel"])
        self.assertEqual("TLS: pull 64 MiB, 6 at once", titles["tls:pull-6"])
        self.assertEqual("accounts: push 100 x 4 KiB", titles["accounts:push-4k"])
