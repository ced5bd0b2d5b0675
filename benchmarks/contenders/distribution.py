"""The registry of CNCF distribution, version 3, and Debian's docker-registry, which is version 2.8 of the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.contenders.base import ACCOUNT, PASSWORD, Ability, Command, Contender, Place, first_line
from benchmarks.content import MANIFEST

_COST = 5  # of bcrypt, as htpasswd(1) has it


def htpasswd(name: str, password: str) -> str:
    """A line as ``htpasswd -B`` makes it."""
    import bcrypt  # noqa: PLC0415  # of benchmarks/requirements.txt; needed for accounts only

    return f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST)).decode()}\n"


class Distribution(Contender):
    """Version 3, with the settings of ``cmd/registry/config-example.yml``."""

    name = "distribution"
    programs = ("registry",)
    abilities = frozenset(Ability)

    def absence(self) -> str | None:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        missing = super().absence()
        return missing or (None if " v3." in self.version() else f"{self.program} is not version 3: {self.version()}")

    def version(self) -> str:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        return first_line(self.program, "--version").rpartition("github.com/")[2]

    def configuration(self, place: Place) -> Mapping[str, Any]:
        """What JSON says, for YAML takes it too."""
        settings: dict[str, Any] = {
            "version": 0.1,
            "log": {"fields": {"service": "registry"}},
            "storage": {
                "cache": {"blobdescriptor": "inmemory"},
                "filesystem": {"rootdirectory": str(place.data)},
                **self.further_storage(),
            },
            "http": {
                "addr": f"127.0.0.1:{place.port}",
                "headers": {"X-Content-Type-Options": ["nosniff"]},
            },
            "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
        }
        if place.situation.tls:
            settings["http"]["tls"] = {"certificate": str(place.certificate), "key": str(place.key)}
        if place.situation.accounts:
            settings["auth"] = {"htpasswd": {"realm": "benchmark", "path": str(place.folder / "htpasswd")}}
        return settings

    def further_storage(self) -> Mapping[str, Any]:
        """Settings of this version."""
        return {"tag": {"concurrencylimit": 8}}

    def prepare(self, place: Place) -> Command:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        file = place.folder / "config.yml"
        file.write_text(json.dumps(self.configuration(place), indent=1))
        place.data.mkdir(exist_ok=True)
        if place.situation.accounts:
            (place.folder / "htpasswd").write_text(htpasswd(ACCOUNT, PASSWORD))
        # As its image has it; otherwise it would look for a collector of traces.
        return Command([self.program, "serve", str(file)], {"OTEL_TRACES_EXPORTER": "none"})

    def fill(self, place: Place, repository: str, tags: Sequence[str]) -> None:
        """Links as the registry makes them (``registry/storage/paths.go``), all to one manifest."""
        content = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}).encode()
        encoded = hashlib.sha256(content).hexdigest()
        root = place.data / "docker" / "registry" / "v2"
        blob = root / "blobs" / "sha256" / encoded[:2] / encoded
        blob.mkdir(parents=True)
        (blob / "data").write_bytes(content)
        folder = root / "repositories" / repository
        (folder / "_layers").mkdir(parents=True)
        link = f"sha256:{encoded}"
        revision = folder / "_manifests" / "revisions" / "sha256" / encoded
        revision.mkdir(parents=True)
        (revision / "link").write_text(link)
        named = folder / "_manifests" / "tags"
        named.mkdir()
        for tag in tags:
            current = named / tag / "current"
            current.mkdir(parents=True)
            (current / "link").write_text(link)


class DockerRegistry(Distribution):
    """Debian's package, with the settings that it brings."""

    name = "docker-registry"
    programs = ("docker-registry",)
    abilities = frozenset(Ability) - {Ability.PAGES}

    def absence(self) -> str | None:
        """See :class:`~benchmarks.contenders.base.Contender`."""
        return Contender.absence(self)

    def further_storage(self) -> Mapping[str, Any]:
        """See :class:`Distribution`."""
        return {"delete": {"enabled": True}}
