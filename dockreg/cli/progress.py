"""What a person sees while layers move: bars on a terminal, lines elsewhere, nothing when asked for silence."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)


class Meter(Protocol):
    """Counts the bytes of one layer."""

    def advance(self, size: int) -> None:
        """``size`` more bytes have passed."""

    def restart(self) -> None:
        """They pass again from the first."""


class Reporter(Protocol):
    """Tells of a push or a pull."""

    def say(self, line: str) -> None:
        """Something happened."""

    def meter(self, label: str, size: int | None) -> Meter:
        """
        A layer begins to move.

        :param size: its length in bytes where it is known.
        """


class _Silent:
    """Says nothing."""

    def say(self, line: str) -> None:
        """Keep it."""

    def meter(self, label: str, size: int | None) -> Meter:
        """A meter that nobody reads."""
        return _Uncounted()


class _Uncounted:
    def advance(self, size: int) -> None: ...

    def restart(self) -> None: ...


class _Lines(_Silent):
    """One line for each thing that happened, on standard error."""

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201  # this is what a command is for


class _Bars:
    """A bar for each layer."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False)

    def meter(self, label: str, size: int | None) -> Meter:
        return _Bar(self._progress, self._progress.add_task(label, total=size))


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def restart(self) -> None:
        self._progress.reset(self._task)


@contextmanager
def reporting(quiet: bool) -> Iterator[Reporter]:
    """The reporter for standard error as it is: a terminal or not. Standard output is left to results."""
    console = Console(stderr=True)
    if quiet:
        yield _Silent()
    elif not console.is_terminal:
        yield _Lines()
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console) as progress:
            yield _Bars(progress)
