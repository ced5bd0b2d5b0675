"""Each form that a client can push is stored as that form, and copied from repository to repository as it is."""

import json
from typing import Any

from tests.clients.case import ClientCase
from tests.clients.copiers import Crane, Oras, Regctl, Skopeo
from tests.clients.crossing import Pusher
from tests.clients.engines import Buildah, Podman, require_root
from tests.clients.images import from_layout
from tests.clients.sample import DOCKER_MANIFEST, OCI_MANIFEST

_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


class FormatTests(ClientCase):
    """Media types and digests are those of the client."""

    def setUp(self) -> None:
        super().setUp()
        self.skopeo = Skopeo.start(self.place)
        self.target = self.reference("formats")

    def push(self, *options: str) -> Any:
        """Push with skopeo; return the manifest that is stored."""
        self.skopeo.copy(f"docker-archive:{self.archive}", f"docker://{self.target}", *options)
        return self.stored(self.target)

    def stored(self, reference: str) -> Any:
        return json.loads(self.skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{reference}"))

    def kinds(self, manifest: Any) -> tuple[str, set[str]]:
        return manifest["mediaType"], {layer["mediaType"] for layer in manifest["layers"]}

    def test_schema2(self) -> None:
        """skopeo --format v2s2 stores a docker manifest with layers of gzip."""
        self.assertEqual((DOCKER_MANIFEST, {_DOCKER_LAYER}), self.kinds(self.push("--format=v2s2")))

    def test_oci(self) -> None:
        """skopeo --format oci stores an OCI manifest with layers of gzip."""
        self.assertEqual((OCI_MANIFEST, {f"{_OCI_LAYER}+gzip"}), self.kinds(self.push("--format=oci")))

    def test_zstd(self) -> None:
        """skopeo --dest-compress-format zstd stores layers of zstd, which podman unpacks."""
        manifest = self.push("--format=oci", "--dest-compress-format=zstd")
        self.assertEqual((OCI_MANIFEST, {f"{_OCI_LAYER}+zstd"}), self.kinds(manifest))
        self.pulled_by(("skopeo", "podman"), self.target, self.sample.image)

    def test_podman_zstd(self) -> None:
        """podman push --compression-format zstd stores layers of zstd."""
        podman = Podman.start(self.place)
        podman("load", "--quiet", "--input", self.archive)
        podman(
            "push", "--tls-verify=false", "--format=oci", "--compression-format=zstd", "localhost/sample:1", self.target
        )
        self.assertEqual((OCI_MANIFEST, {f"{_OCI_LAYER}+zstd"}), self.kinds(self.stored(self.target)))
        self.pulled_by(("skopeo", "ctr"), self.target, self.sample.image)

    def test_uncompressed(self) -> None:
        """Layers that are plain tars are stored as such."""
        Pusher(self.place, self.sample, self.archive, self.host, self.client).push("uncompressed", self.target)
        manifest = self.stored(self.target)
        self.assertEqual({_OCI_LAYER}, {layer["mediaType"] for layer in manifest["layers"]})
        self.assertEqual([len(layer) for layer in self.sample.layers], [layer["size"] for layer in manifest["layers"]])

    def test_schema1(self) -> None:
        """skopeo --format v2s1 is accepted, and docker, podman and skopeo get the image."""
        self.skopeo.copy(f"docker-archive:{self.archive}", f"docker://{self.target}", "--format=v2s1")
        self.pulled_by(("docker", "podman", "skopeo"), self.target, self.sample.image)

    def test_copies(self) -> None:
        """A copy has the digest of what was copied, whoever copies."""
        self.push("--format=oci")
        crane, oras = Crane.start(self.place), Oras.start(self.place)
        regctl = Regctl.start(self.place, self.host)
        copies = [self.reference(f"copies/{name}") for name in ("crane", "oras", "regctl", "skopeo")]
        crane("copy", self.target, copies[0])
        oras("cp", "--from-plain-http", "--to-plain-http", self.target, copies[1])
        regctl("image", "copy", self.target, copies[2])
        self.skopeo.copy(f"docker://{self.target}", f"docker://{copies[3]}", "--preserve-digests")
        digests = {reference: crane("digest", reference) for reference in (self.target, *copies)}
        self.assertEqual(1, len(set(digests.values())), digests)

    def test_by_digest(self) -> None:
        """What has a digest is pulled by it, when its tag points elsewhere too."""
        crane = Crane.start(self.place)
        self.push("--format=oci")
        digest = crane("digest", self.target).decode().strip()
        crane("mutate", "--label=other=yes", "--tag", self.target, self.target)
        self.assertNotEqual(digest, crane("digest", self.target).decode().strip())
        self.pulled_by(("skopeo", "crane", "regctl", "oras"), f"{self.host}/formats@{digest}", self.sample.image)

    def test_directory(self) -> None:
        """What skopeo keeps in a layout and pushes back has not changed."""
        self.push("--format=oci")
        folder = self.place.path("kept")
        self.skopeo.copy(f"docker://{self.target}", f"oci:{folder}:it")
        self.skopeo.copy(f"oci:{folder}:it", f"docker://{self.reference('again')}")
        self.assertEqual(self.stored(self.target), self.stored(self.reference("again")))
        self.assertEqual(self.sample.image, from_layout(folder))


class BuildTests(ClientCase):
    """Images that are made here and now, not read from an archive."""

    def test_buildah(self) -> None:
        """What buildah builds from scratch and pushes is what it mounts, and what others pull."""
        require_root()
        buildah = Buildah.start(self.place)
        built = self.reference("built")
        source = self.place.path("hello")
        source.write_bytes(b"hello\n" * 1000)
        source.chmod(0o640)
        container = buildah("from", "scratch").decode().strip()
        buildah("copy", "--chown=7:8", container, source, "/srv/hello")
        buildah("config", "--env=A=b c", "--cmd=/srv/hello", "--label=one=two", "--workingdir=/srv", container)
        buildah("commit", "--quiet", "--format=docker", container, "localhost/built")
        buildah("push", "--tls-verify=false", "localhost/built", f"docker://{built}")
        image = Crane.start(self.place).pull(built)
        self.assertEqual(["A=b c"], [value for value in image.settings["Env"] if value.startswith("A=")])
        hello = image.tree["srv/hello"]
        self.assertEqual((0o640, (7, 8), 6000), (hello.mode, hello.owner, hello.size))
        self.pulled_by(("docker", "podman", "ctr", "skopeo", "regctl"), built, image)
        with buildah.mounted(built) as tree:
            self.assertEqual(image.tree, tree)

    def test_mounted(self) -> None:
        """A root file system that buildah unpacks is the one that the layers describe."""
        Crane.start(self.place).push(self.archive, self.reference("mounted"))
        with Buildah.start(self.place).mounted(self.reference("mounted")) as tree:
            self.assertEqual(self.sample.image.tree, tree)
