"""Ways in and ways out: an image pushed in a form of one age, and pulled by a client of another."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import frozen

from tests.clients.copiers import Crane, Oras, Regctl, Skopeo
from tests.clients.engines import Client
from tests.clients.images import Image, from_archive
from tests.clients.sample import Sample, other_image
from tests.clients.workplace import Workplace


@frozen
class V1Command:
    """``dockreg v1``, which speaks the v1 protocol as engines up to 1.5 do."""

    place: Workplace

    def __call__(self, *arguments: str | Path) -> bytes:
        """Run ``dockreg v1``."""
        return self.place.run(Path(sys.executable).with_name("dockreg"), "v1", *arguments)

    def push(self, archive: Path, reference: str) -> None:
        """Push the archive."""
        self("push", archive, f"http://{reference}")

    def pull(self, reference: str) -> Image:
        """Pull to an archive."""
        path = self.place.path("v1.tar")
        self("pull", f"http://{reference}", path)
        return from_archive(path)


@frozen
class Pusher:
    """Pushes one image in every form that has ever been."""

    place: Workplace
    sample: Sample
    archive: Path
    host: str
    client: Callable[[str], Client]

    def push(self, form: str, reference: str) -> None:
        """Push the image in a form; see :data:`FORMS`."""
        FORMS[form](self, reference)

    def v1(self, reference: str) -> None:
        """As engines up to 1.5 do."""
        V1Command(self.place).push(self.archive, reference)

    def schema1(self, reference: str) -> None:
        """A signed manifest, as engines from 1.6 to 1.9 do."""
        Skopeo.start(self.place).copy(f"docker-archive:{self.archive}", f"docker://{reference}", "--format=v2s1")

    def schema2(self, reference: str) -> None:
        """A manifest with a config, as docker does since 1.10."""
        self.client("docker").push(self.archive, reference)

    def oci(self, reference: str) -> None:
        """An OCI manifest with layers of gzip."""
        Skopeo.start(self.place).copy(f"docker-archive:{self.archive}", f"docker://{reference}", "--format=oci")

    def zstd(self, reference: str) -> None:
        """An OCI manifest with layers of zstd."""
        self.layout(self.sample, reference, "+zstd")

    def uncompressed(self, reference: str) -> None:
        """An OCI manifest whose layers are plain tars."""
        self.layout(self.sample, reference, "")

    def plain_schema2(self, reference: str) -> None:
        """A docker manifest whose layers are plain tars, as containerd does."""
        self.client("ctr").push(self.archive, reference)

    def oci_index(self, reference: str) -> None:
        """An OCI index for two platforms; this image is the second."""
        first, second = self._platforms(reference)
        Crane(self.place)("index", "append", "-m", first, "-m", second, "-t", reference)

    def docker_list(self, reference: str) -> None:
        """A docker manifest list for two platforms; this image is the second."""
        first, second = f"{reference}-arm64", f"{reference}-amd64"
        copy = Skopeo.start(self.place).copy
        for sample, target in ((other_image("arm64"), first), (self.sample, second)):
            archive = self.place.path("one.tar")
            sample.write_archive(archive, "one:1")
            copy(f"docker-archive:{archive}", f"docker://{target}", "--format=v2s2")
        regctl = Regctl.start(self.place, self.host)
        kind = "application/vnd.docker.distribution.manifest.list.v2+json"
        regctl("index", "create", "--media-type", kind, "--ref", first, "--ref", second, reference)

    def _platforms(self, reference: str) -> tuple[str, str]:
        first, second = f"{reference}-arm64", f"{reference}-amd64"
        self.layout(other_image("arm64"), first)
        self.layout(self.sample, second)
        return first, second

    def layout(self, sample: Sample, reference: str, packed: str = "+gzip") -> None:
        """Push an image from a layout of its own."""
        folder = self.place.path("layout")
        sample.write_layout(folder, "it", packed)
        Oras.start(self.place)("cp", "--from-oci-layout", f"{folder}:it", "--to-plain-http", reference)


#: The forms, by name.
FORMS: Mapping[str, Callable[[Pusher, str], None]] = {
    "v1": Pusher.v1,
    "schema1": Pusher.schema1,
    "schema2": Pusher.schema2,
    "schema2 of plain tars": Pusher.plain_schema2,
    "oci": Pusher.oci,
    "zstd": Pusher.zstd,
    "uncompressed": Pusher.uncompressed,
    "oci index": Pusher.oci_index,
    "docker list": Pusher.docker_list,
}
