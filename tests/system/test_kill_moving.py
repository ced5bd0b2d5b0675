"""``kill -9`` in the middle of a backup, a restore and an import: what was whole stays, and the same command goes on."""

import json
import os
import signal
import time  # noqa: TID251  # processes are killed at moments of real time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.testing.oldtree import OldTree
from dockreg.testing.samples import bytes_of, make_image, make_tar
from tests.commands import Fork
from tests.processes import PreparedDaemon

KILLS = 6
_IMAGES = 24
_LAYER_BYTES = 2_000_000
_WAIT_SECONDS = 60.0


def _count(folder: Path) -> int:
    """How many files and folders are in it, while others are made and removed."""
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


class KillMovingTests(SynchronousTestCase):
    """Commands that write for long."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.daemon = PreparedDaemon(self.folder / "one")
        self.backups = self.folder / "backups"
        self.tree = OldTree(self.folder / "tree")
        repository = self.tree.repository("crash", "app")
        self.tags = {}
        for number in range(_IMAGES):
            image = make_image(f"image {number}", None, make_tar({"data": bytes_of(str(number), _LAYER_BYTES)}))
            self.tree.image(image)
            self.tree.tag(repository, f"t{number}", image.id)
            self.tags[f"t{number}"] = image.id

    def killed(self, daemon: PreparedDaemon, seconds: float, *arguments: str) -> bool:
        """Run a command, and kill it so long after it began to write; whether it was killed rather than done."""
        command = ["dockreg", *arguments, f"--data-dir={daemon.data}", "--quiet"]
        watched = daemon.data if arguments[0] != "backup" else self.backups
        before = _count(watched)
        with Path(os.devnull).open("r+b") as nothing, Fork(command, [nothing.fileno()] * 3) as process:
            deadline = time.monotonic() + _WAIT_SECONDS
            while process.poll() is None and time.monotonic() < deadline:
                if _count(watched) > before + 3:
                    break
                time.sleep(0.01)
            time.sleep(seconds)
            process.kill()
            return process.wait(_WAIT_SECONDS) == -signal.SIGKILL

    def run_to_end(self, daemon: PreparedDaemon, *arguments: str) -> None:
        self.assertEqual(0, daemon.command(*arguments))

    def test_import(self) -> None:
        """An import that was killed leaves no tag to what is not whole, and is gone on with."""
        self.daemon.start()
        self.addCleanup(self.daemon.kill)
        killed = 0
        for number in range(KILLS):
            killed += self.killed(self.daemon, number * 0.1, "import", "v1-tree", str(self.tree.path))
            status, content, _ = self.daemon.request("GET", "/v1/repositories/crash/app/tags")
            for tag, image_id in (json.loads(content) if status == 200 else {}).items():
                self.assertEqual(self.tags[tag], image_id)
                self.assertEqual(200, self.daemon.request("GET", f"/v1/images/{image_id}/layer")[0])
        self.assertLess(0, killed)
        self.run_to_end(self.daemon, "import", "v1-tree", str(self.tree.path))
        self.assertEqual(self.tags, json.loads(self.daemon.request("GET", "/v1/repositories/crash/app/tags")[1]))

    def test_backup_and_restore(self) -> None:
        """The earlier backup is whole whenever the next one is killed, and a restore that was killed is gone on with."""
        self.run_to_end(self.daemon, "import", "v1-tree", str(self.tree.path), "--only", "no/such")
        self.run_to_end(self.daemon, "backup", str(self.backups))
        self.run_to_end(self.daemon, "import", "v1-tree", str(self.tree.path))
        killed = 0
        for number in range(KILLS):
            killed += self.killed(self.daemon, number * 0.1, "backup", str(self.backups))
            self.run_to_end(self.daemon, "restore", str(self.backups), "--verify")
        self.assertLess(0, killed)
        self.run_to_end(self.daemon, "backup", str(self.backups), "--keep", "1")
        target = PreparedDaemon(self.folder / "two")
        self.addCleanup(target.kill)
        killed = sum(self.killed(target, number * 0.1, "restore", str(self.backups)) for number in range(KILLS))
        self.assertLess(0, killed)
        # The last one may have come to its end before it was killed.
        target.command("restore", str(self.backups))
        target.start()
        self.assertEqual(self.tags, json.loads(target.request("GET", "/v1/repositories/crash/app/tags")[1]))
        for image_id in self.tags.values():
            self.assertEqual(200, target.request("GET", f"/v1/images/{image_id}/layer")[0])
        leftovers = [each.name for each in (self.backups / "snapshots").iterdir() if each.name.endswith(".partial")]
        self.assertEqual([], leftovers)
