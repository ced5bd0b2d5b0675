"""The least that a registry of Python can do: how fast a push could be."""

import sys
from pathlib import Path

from benchmarks.contenders.base import Ability, Command, Contender, Place


class Bare(Contender):
    """:mod:`benchmarks.bare`, by the Python of this environment."""

    name = "bare"
    abilities = frozenset({Ability.PUSH, Ability.TLS})

    def __init__(self, program: str | None = None) -> None:
        super().__init__(program or sys.executable)

    def version(self) -> str:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        return f"a loop of Python {sys.version.split()[0]}, with as much flushed"

    def prepare(self, place: Place) -> Command:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        arguments = [str(place.port), str(place.data)]
        if place.situation.tls:
            arguments += ["--tls", str(place.certificate), str(place.key)]
        top = str(Path(__file__).resolve().parents[2])
        return Command([self.program, "-m", "benchmarks.bare", *arguments], {"PYTHONPATH": top})
