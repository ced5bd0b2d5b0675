"""Small file systems that can be filled."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase


def mount_small(case: SynchronousTestCase, folder: Path, mebibytes: int) -> None:
    """
    Put a file system of its own at ``folder``, until the test is over.

    A machine where that needs a right that is not there skips the test; continuous integration must have the right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={mebibytes}m,mode=700,uid={os.getuid()},gid={os.getgid()}"
    problem = _as_root(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)])
    if problem:
        sentence = f"a small file system can not be mounted here: {problem}"
        if os.environ.get("CI"):
            raise AssertionError(sentence)
        raise SkipTest(sentence)
    case.addCleanup(_as_root, ["umount", "--lazy", str(folder)])


def fill(folder: Path, leave: int = 0) -> Path:
    """A file that takes all the room of a file system but ``leave`` bytes; remove it to make room."""
    filler = folder / "filler"
    found = os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - leave))
    return filler


def _as_root(command: Sequence[str]) -> str:
    """Run a command as root; return what went wrong."""
    sudo = [] if os.getuid() == 0 else ["sudo", "--non-interactive"]
    if sudo and shutil.which("sudo") is None:
        return "this needs root"
    done = subprocess.run([*sudo, *command], capture_output=True, check=False)
    return done.stderr.decode(errors="replace").strip() if done.returncode else ""
