import gc
import linecache
import os
import platform
import subprocess
import sys

from twisted.trial.unittest import SkipTest, SynchronousTestCase

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

    def test_arenas(self) -> None:
        """Threads share a place for their memory where the C library can be told, and never against the operator."""
        program = (
            "import ctypes, sys, threading\n"
            "from dockreg.starting import share_arena\n"
            "told = share_arena()\n"
            "kept = []\n"
            "barrier = threading.Barrier(4)\n"
            "def work():\n"
            "    kept.append(b'x' * 100_000)\n"
            "    barrier.wait()\n"
            "threads = [threading.Thread(target=work) for _ in range(4)]\n"
            "[each.start() for each in threads]\n"
            "[each.join() for each in threads]\n"
            "print(told, flush=True)\n"
            "ctypes.CDLL(None).malloc_stats()\n"
        )
        if platform.libc_ver()[0] != "glibc":
            raise SkipTest("the C library has no arenas")
        for wish, told in (({}, "True"), ({"MALLOC_ARENA_MAX": "8"}, "False")):
            environ = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **wish}
            done = subprocess.run(
                [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environ
            )
            self.assertEqual(told, done.stdout.strip())
            # It lists each place.
            self.assertEqual(told == "True", done.stderr.count("Arena ") == 1, done.stderr)

    def test_settle(self) -> None:
        """What there is is not looked at again, and sources that nobody asked for are gone; garbage is not kept."""
        self.addCleanup(gc.unfreeze)
        before = gc.get_freeze_count()
        linecache.cache["<attrs generated methods x>"] = (1, None, ["x"], "<attrs generated methods x>")
        settle()
        self.assertLess(before, gc.get_freeze_count())
        self.assertEqual({}, linecache.cache)
