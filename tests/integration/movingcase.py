"""What tests of ``dockreg export`` and ``import`` begin with: a daemon with something in it, and the commands."""

from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict
from twisted.trial.unittest import TestCase

from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.export import export_to
from dockreg.cli.moving.exporting import Wanted
from dockreg.cli.moving.importing import Choice
from dockreg.cli.moving.imports import import_archive
from dockreg.cli.moving.names import parse_repository
from dockreg.cli.progress import Meter
from dockreg.config import Config, load_config
from dockreg.errors import RegistryError
from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST, SCHEMA2_MANIFEST
from tests.integration.v2case import Sample, V2Case, compact, described, digest_of, make_index, make_sample
from tests.processes import Daemon, PreparedDaemon

ARTIFACT = "application/vnd.example.sbom"


class Silence:
    """Nobody looks at the progress."""

    def say(self, line: str) -> None: ...

    def meter(self, label: str, size: int | None) -> Meter:
        return self

    def advance(self, size: int) -> None: ...

    def restart(self) -> None: ...


class MovingCase(V2Case, TestCase):
    """A daemon with something in it, and commands."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def another(self) -> Daemon:
        """A daemon with nothing in it, not started."""
        daemon = PreparedDaemon(self.folder / "other", config=self.CONFIG)
        self.addCleanup(daemon.stop)
        return daemon

    def config(self, daemon: Daemon | None = None) -> Config:
        """The configuration of a daemon, as commands read it."""
        daemon = daemon or self.daemon
        return load_config(str(daemon.folder / "dockreg.toml"), str(daemon.data))

    async def exported(
        self, to: Path, *wanted: str, form: str = "oci", host: str = "", daemon: Daemon | None = None
    ) -> dict[str, Any]:
        """``dockreg export``, in this process; of everything unless something is named."""
        from twisted.internet import reactor

        chosen = [Wanted.parse(each) for each in wanted] or None
        return asdict(await export_to(self.config(daemon), reactor, chosen, to, form, host, Silence()))

    async def imported(
        self, path: Path, *, into: str | None = None, only: Sequence[str] = (), daemon: Daemon | None = None
    ) -> dict[str, Any]:
        """``dockreg import``, in this process."""
        return await self.imported_into(self.config(daemon), path, into=into, only=only)

    async def imported_into(
        self, config: Config, path: Path, *, into: str | None = None, only: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The same with another configuration."""
        from twisted.internet import reactor

        choice = Choice(None if into is None else parse_repository(into), frozenset(only))
        return asdict(await import_archive(config, reactor, path, choice, Silence()))

    async def fails(self, work: Coroutine[Any, Any, object]) -> str:
        """The sentence of what has to fail."""
        try:
            await work
        except (CommandFailed, RegistryError) as error:
            return str(error)
        raise AssertionError("it did not fail")

    def push_index(self) -> tuple[bytes, Sample, Sample]:
        """An index of two platforms, tagged ``multi``."""
        one, two = make_sample(f"{self.name} amd64", OCI_MANIFEST), make_sample(f"{self.name} arm64", OCI_MANIFEST)
        for sample in (one, two):
            self.push(sample, sample.digest)
        entries = [
            described(OCI_MANIFEST, sample.manifest, platform={"os": "linux", "architecture": architecture})
            for sample, architecture in ((one, "amd64"), (two, "arm64"))
        ]
        index = make_index(*entries)
        self.assertEqual(201, self.put("multi", index, OCI_INDEX).status)
        return index, one, two

    def push_referrer(self, subject: bytes, media_type: str, seed: str = "sbom") -> bytes:
        """A manifest that refers to another one."""
        config, content = b"{}", seed.encode()
        for each in (config, content):
            self.push_blob(each)
        manifest = compact(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "artifactType": ARTIFACT,
                "config": described("application/vnd.oci.empty.v1+json", config),
                "layers": [described("text/plain", content)],
                "subject": described(media_type, subject),
            }
        )
        self.assertEqual(201, self.put(digest_of(manifest), manifest, OCI_MANIFEST).status)
        return manifest

    def pulled(self, daemon: Daemon, name: str, reference: str) -> bytes:
        """A manifest of any kind, by tag or digest."""
        accept = {"Accept": f"{OCI_INDEX}, {OCI_MANIFEST}, {SCHEMA2_MANIFEST}"}
        status, content, _ = daemon.request("GET", f"/v2/{name}/manifests/{reference}", headers=accept)
        self.assertEqual(200, status, content)
        return content

    def same_blobs(self, daemon: Daemon, name: str, sample: Sample) -> None:
        """The blobs of an image are there, byte for byte."""
        for content in (*sample.blobs, sample.config):
            found = daemon.request("GET", f"/v2/{name}/blobs/{digest_of(content)}")
            self.assertEqual((200, content), found[:2])
