"""Processes that share a folder of blobs and a database."""

import contextlib
import fcntl
import json
import select
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.commands import PipedFork
from tests.integration import contender


class SharedFolderTests(SynchronousTestCase):
    """Several real processes at once."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def start(self, what: str, number: int = 1) -> Sequence[PipedFork]:
        """Processes that are ready to begin."""
        processes = [PipedFork([contender.__name__, str(self.folder), what]) for _ in range(number)]
        for process in processes:
            self.addCleanup(self.end, process)
        self.assertEqual(["ready"] * number, [self.answer(process) for process in processes])
        return processes

    def end(self, process: PipedFork) -> None:
        process.kill()
        process.wait()
        # What it was told when it was gone can not be written any more.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()

    def answer(self, process: PipedFork) -> Any:
        return json.loads(process.stdout.readline())

    def tell(self, processes: Sequence[PipedFork], line: str = "go") -> None:
        for process in processes:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()

    def turn(self, processes: Sequence[PipedFork]) -> list[Any]:
        """What they answer when they go on at once."""
        self.tell(processes)
        return [self.answer(process) for process in processes]

    def kill(self, processes: Sequence[PipedFork]) -> None:
        self.tell(processes, "die")
        for process in processes:
            self.assertEqual(-9, process.wait(30))

    def files(self) -> list[str]:
        folder = self.folder / "blobs"
        files = (path for path in folder.rglob("*") if path.is_file())
        # Without the notes of series, which last as long as their processes.
        return sorted(path.name for path in files if path.parent != folder / "series")

    def test_open(self) -> None:
        """Four processes that open an empty folder at once agree on its schema and keys."""
        answers = self.turn(self.start("open", 4))
        self.assertEqual([1] * 4, [len(answer["keys"]) for answer in answers])
        self.assertEqual(1, len({answer["keys"][0] for answer in answers}))
        (later,) = self.turn(self.start("open"))
        self.assertEqual({"keys": answers[0]["keys"], "alembic": False}, later)
        self.assertEqual(0o700, (self.folder / "metadata").stat().st_mode & 0o777)

    def test_open_takes_turns(self) -> None:
        """A process that finds another one making the database waits for it."""
        folder = self.folder / "metadata"
        folder.mkdir()
        (opening,) = self.start("open")
        with (folder / "dockreg.sqlite.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.tell([opening])
            while not self.waits_for_lock(opening.pid):
                self.assertEqual([], select.select([opening.stdout], [], [], 0.01)[0])
            self.assertEqual([lock.name], [str(path) for path in folder.iterdir()])
        self.assertEqual(1, len(self.answer(opening)["keys"]))

    def waits_for_lock(self, process: int) -> bool:
        waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "-> FLOCK" in line]
        return any(str(process) in words for words in waiting)

    def test_same_bytes(self) -> None:
        """Processes that commit the same bytes at once agree on one object, and leave no other."""
        processes = self.start("push", 3)
        for _ in range(5):
            first, *others = self.turn(processes)
            self.assertEqual([first] * 2, others)
        self.assertEqual(sorted(first), sorted(name.partition(".")[2] for name in self.files()))

    def test_living(self) -> None:
        """Recovery does not touch what a living process is writing, has committed, or has yet to confirm."""
        holding = self.start("hold")
        self.turn(holding)
        self.assertEqual([0], self.turn(self.start("recover")))
        (generations,) = self.turn(holding)
        self.assertEqual(sorted(generations), sorted(name.partition(".")[2] for name in self.files()))

    def test_killed(self) -> None:
        """Of a killed process, recovery keeps what the metadata names, and drops the rest."""
        holding = self.start("hold")
        self.turn(holding)
        self.kill(holding)
        self.assertEqual(3, len(self.files()))
        recovering = self.start("recover", 2)
        self.assertEqual(2, sum(self.turn(recovering)))
        (kept,) = self.files()
        self.assertEqual([0], self.turn(self.start("recover")))
        self.assertEqual([kept], self.files())
