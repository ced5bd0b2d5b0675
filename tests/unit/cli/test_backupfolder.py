"""Files in the folder of backups that can not be read; the rest is in ``tests/integration/test_backup*.py``."""

import errno
import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving import backupfolder
from dockreg.cli.moving.backupfolder import BackupFolder, Kept
from dockreg.model.digest import Digest

CONTENT = b"content"
KEPT = Kept(Digest.sha256(CONTENT), len(CONTENT))


class HoldsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = BackupFolder(Path(self.mktemp()))
        path = self.folder.blob(KEPT.digest)
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)

    def fail_with(self, number: int) -> None:
        """Let reading fail like this."""

        def failing(*_args: Any) -> Digest:
            raise OSError(number, os.strerror(number))

        self.patch(backupfolder, "digest_of", failing)

    def test_unreadable(self) -> None:
        """What the disk can not read is as good as not there."""
        self.assertTrue(self.folder.holds(KEPT, read=True))
        self.fail_with(errno.EIO)
        self.assertFalse(self.folder.holds(KEPT, read=True))

    def test_forbidden(self) -> None:
        """What may not be read is told in a sentence, and is not taken for damaged."""
        self.fail_with(errno.EACCES)
        problem = self.assertRaises(CommandFailed, self.folder.holds, KEPT, read=True)
        self.assertIn("can not be read: Permission denied", str(problem))
