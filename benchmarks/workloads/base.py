"""What a workload is."""

from collections.abc import Callable
from typing import Any

from attrs import Factory, frozen

from benchmarks.contenders.base import Ability
from benchmarks.samples import Measure, Sample
from benchmarks.stage import Scale, Stage

PUSH = frozenset({Ability.PUSH})


def _nothing(_stage: Stage) -> None:
    return None


@frozen
class Workload:
    """
    Something that is measured.

    ``run`` measures once, with what ``prepare`` made. A ``fresh`` one begins each time with a new server and nothing
    stored. ``filled`` is the number of tags that the repository :data:`FILLED` has before the server starts.
    """

    name: str
    title: Callable[[Scale], str]
    measure: Measure
    run: Callable[[Stage, Any], Sample]
    prepare: Callable[[Stage], Any] = _nothing
    needs: frozenset[Ability] = Factory(frozenset)
    fresh: bool = False
    filled: int = 0


FILLED = "bench/many"


def filled_tags(count: int) -> list[str]:
    """The tags of the filled repository, in their order."""
    return [f"v{number:07}" for number in range(count)]


def size_text(size: int) -> str:
    """A size in whole KiB, MiB or GiB."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size // 1024} KiB"
