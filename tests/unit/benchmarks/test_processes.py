"""Tests of :mod:`benchmarks.processes`."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import processes


class ProcessesTests(SynchronousTestCase):
    """Read from files that look as the kernel's."""

    def setUp(self) -> None:
        self.proc = Path(self.mktemp())
        self.proc.mkdir()
        self.tick = os.sysconf("SC_CLK_TCK")

    def add(self, number: int, parent: int, name: str = "server", times: str = "0 0 0 0", peak: int = 0) -> None:
        """A process."""
        folder = self.proc / str(number)
        folder.mkdir()
        (folder / "stat").write_text(f"{number} ({name}) S {parent} 0 0 0 0 0 0 0 0 0 {times} 20 0 1 0\n")
        (folder / "status").write_text(f"Name:\t{name}\nVmHWM:\t{peak:>8} kB\nVmRSS:\t{peak // 2:>8} kB\n")

    def test_tree(self) -> None:
        """A process, its children and their children; no others."""
        for number, parent in ((10, 1), (11, 10), (12, 11), (13, 1)):
            self.add(number, parent)
        self.assertEqual([10, 11, 12], list(processes.tree(10, self.proc)))

    def test_names_with_parentheses(self) -> None:
        """A process can have any name."""
        self.add(10, 1)
        self.add(11, 10, name="a) S 7 (b")
        self.assertEqual([10, 11], list(processes.tree(10, self.proc)))

    def test_cpu_seconds(self) -> None:
        """Both kinds of time count, those of ended children too, of every process."""
        self.add(10, 1, times="1 2 3 4")
        self.add(11, 10, times="10 20 30 40")
        self.assertEqual(110 / self.tick, processes.cpu_seconds([10, 11], self.proc))

    def test_memory(self) -> None:
        """Bytes, of all processes together."""
        self.add(10, 1, peak=1000)
        self.add(11, 10, peak=500)
        self.assertEqual(1500 * 1024, processes.peak_bytes([10, 11], self.proc))
        self.assertEqual(750 * 1024, processes.resident_bytes([10, 11], self.proc))

    def test_a_process_that_is_gone(self) -> None:
        """It has nothing."""
        self.assertEqual(0.0, processes.cpu_seconds([99], self.proc))
        self.assertEqual(0, processes.peak_bytes([99], self.proc))

    def test_reset_peak(self) -> None:
        """The kernel is told to begin anew (proc_pid_clear_refs(5))."""
        self.add(10, 1)
        (self.proc / "10" / "clear_refs").write_text("")
        processes.reset_peak([10], self.proc)
        self.assertEqual("5", (self.proc / "10" / "clear_refs").read_text())

    def test_busy_seconds(self) -> None:
        """What processors did, without idling and waiting."""
        (self.proc / "stat").write_text("cpu  1 2 4 8 16 32 64 128 256 512\ncpu0 1 1 1 1\n")
        self.assertEqual((1 + 2 + 4 + 32 + 64 + 128) / self.tick, processes.busy_seconds(self.proc))

    def test_this_process(self) -> None:
        """The real files can be read."""
        self.assertIn(os.getpid(), processes.tree(os.getppid()))
        self.assertGreater(processes.cpu_seconds([os.getpid()]), 0)
        self.assertGreater(processes.peak_bytes([os.getpid()]), 0)
