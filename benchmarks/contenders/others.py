"""Further registries, for those who have them installed."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.contenders.base import ACCOUNT, PASSWORD, Ability, Command, Contender, Place, first_line
from benchmarks.contenders.distribution import htpasswd


class Zot(Contender):
    """zot, with the settings of its minimal example."""

    name = "zot"
    programs = ("zot", "zot-linux-amd64", "zot-linux-amd64-minimal")
    abilities = frozenset({Ability.PUSH, Ability.LISTS, Ability.PAGES, Ability.TLS, Ability.ACCOUNTS})

    def version(self) -> str:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        return f"zot {first_line(self.program, '--version')}"

    def configuration(self, place: Place) -> Mapping[str, Any]:
        """The configuration file."""
        http: dict[str, Any] = {"address": "127.0.0.1", "port": str(place.port)}
        if place.situation.tls:
            http["tls"] = {"cert": str(place.certificate), "key": str(place.key)}
        if place.situation.accounts:
            http["auth"] = {"htpasswd": {"path": str(place.folder / "htpasswd")}}
        return {
            "distSpecVersion": "1.1.0",
            "storage": {"rootDirectory": str(place.data)},
            "http": http,
            "log": {"level": "info"},
        }

    def prepare(self, place: Place) -> Command:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        file = place.folder / "config.json"
        file.write_text(json.dumps(self.configuration(place), indent=1))
        if place.situation.accounts:
            (place.folder / "htpasswd").write_text(htpasswd(ACCOUNT, PASSWORD))
        return Command([self.program, "serve", str(file)])


class Olareg(Contender):
    """olareg, with its folder as storage."""

    name = "olareg"
    programs = ("olareg",)
    abilities = frozenset({Ability.PUSH, Ability.LISTS, Ability.PAGES})

    def version(self) -> str:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        return f"olareg {first_line(self.program, 'version')}"

    def prepare(self, place: Place) -> Command:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        place.data.mkdir(exist_ok=True)
        return Command(
            [
                self.program, "serve", "--addr", "127.0.0.1", "--port", str(place.port),
                "--store-type", "dir", "--dir", str(place.data),
            ]
        )  # fmt: skip
