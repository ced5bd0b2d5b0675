"""The benchmark runs, with dockreg alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

# With few servers much is done: this one is filled, pushed to, listed, and speaks TLS.
WORKLOADS = ["tls:tags-last-page"]


class BenchmarkTests(SynchronousTestCase):
    """``python -m benchmarks`` as a program of its own, in its shortest form."""

    def test_measures(self) -> None:
        """It measures, writes both tables, and leaves nothing behind."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        work, output = folder / "work", folder / "output"
        work.mkdir()
        program = [sys.executable, "-m", "benchmarks", *WORKLOADS, f"--output={output}", f"--work={work}"]
        sizes = ["--short", "--rounds=1", "--seconds=0.1", "--scale=0.1", "--peer="]
        # It can not draw here, whether the library is installed or not.
        shadow = folder / "shadow"
        (shadow / "matplotlib").mkdir(parents=True)
        (shadow / "matplotlib" / "__init__.py").write_text("raise ImportError('not here')\n")
        path = os.pathsep.join([str(shadow), *filter(None, sys.path)])
        done = subprocess.run(
            [*program, *sizes],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("no plots: not here", done.stderr)
        self.assertEqual(done.stdout, (output / "results.md").read_text() + "\n")
        results = json.loads((output / "results.json").read_text())
        numbers = {each["name"]: each["summaries"]["dockreg"]["number"] for each in results["workloads"]}
        self.assertEqual(set(WORKLOADS), set(numbers))
        self.assertTrue(all(number > 0 for number in numbers.values()), numbers)
        self.assertEqual([], list(work.iterdir()))
