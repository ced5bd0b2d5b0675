"""How blobs get in and out: in chunks, by mounting, twice, in part."""

from dockreg.testing.samples import bytes_of
from tests.clients.case import ClientCase
from tests.clients.copiers import Crane, Oras, Regctl, Skopeo
from tests.clients.engines import Docker, Podman
from tests.clients.sample import Sample, digest_of, layer_tar

#: The layers of the sample have more than this together; config and manifests have far less.
_LAYER_BYTES = 100_000


class ChunkTests(ClientCase):
    """Blobs that come in pieces."""

    def check(self, *options: str) -> list[int]:
        """Push with settings of regctl; return the sizes of the pieces that came."""
        regctl = Regctl.start(self.place, self.host, *options)
        regctl.push(self.archive, self.reference("chunks"))
        sizes = [request.received for request in self.requests() if request.method == "PATCH"]
        self.pulled_by(("docker", "skopeo", "crane", "regctl"), self.reference("chunks"), self.sample.image)
        return sizes

    def test_small_chunks(self) -> None:
        """A layer that regctl sends in many small chunks is whole."""
        sizes = self.check("--blob-chunk=10000", "--blob-max=10")
        self.assertGreater(len(sizes), 30)
        self.assertLessEqual(max(sizes), 10000)

    def test_odd_chunks(self) -> None:
        """Chunks need no round size."""
        self.assertGreater(len(self.check("--blob-chunk=33333", "--blob-max=1")), 10)

    def test_single(self) -> None:
        """Three layers and a config come in one piece each if regctl is told so."""
        self.assertEqual(4, len(self.check("--blob-max=-1")))

    def test_blobs(self) -> None:
        """regctl and oras store and fetch single blobs, an empty one too."""
        regctl, oras = Regctl.start(self.place, self.host), Oras.start(self.place)
        repository = f"{self.host}/blobs"
        for content in (b"", b"content\n", b"x" * 200_000):
            digest = digest_of(content)
            path = self.place.path("blob")
            path.write_bytes(content)
            oras("blob", "push", "--plain-http", f"{repository}@{digest}", path)
            self.assertEqual(content, regctl("blob", "get", repository, digest))
            fetched = oras("blob", "fetch", "--plain-http", "--output=-", f"{repository}@{digest}")
            self.assertEqual(content, fetched)


class LargeTests(ClientCase):
    """Layers that no buffer holds."""

    def check(self, *pushers: str) -> None:
        sample = Sample([layer_tar([("large", bytes_of("large", 25_000_000), 0o644)])])
        archive = self.place.path("large.tar")
        sample.write_archive(archive, "large:1")
        for name in pushers:
            reference = self.reference(f"large/{name}")
            self.client(name).push(archive, reference)
            self.pulled_by(pushers, reference, sample.image)

    def test_engines(self) -> None:
        """docker, containerd and podman push and pull a layer of some tens of megabytes."""
        self.check("docker", "ctr", "podman")

    def test_copiers(self) -> None:
        """skopeo, crane, regctl and oras push and pull a layer of some tens of megabytes."""
        self.check("skopeo", "crane", "regctl", "oras")


class MountTests(ClientCase):
    """A blob that the registry has is not sent again."""

    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = self.reference("mount/first"), self.reference("mount/second")

    def check_mounted(self) -> None:
        """All layers of the second repository were mounted."""
        requests = self.requests()
        mounted = [each for each in requests if each.status == 201 and each.path == "/v2/mount/second/blobs/uploads/"]
        self.assertGreaterEqual(len(mounted), 3, requests)
        sent = sum(each.received for each in requests if "mount/second" in each.path)
        self.assertLess(sent, _LAYER_BYTES)
        self.pulled_by(("skopeo", "docker"), self.second, self.sample.image)

    def test_crane(self) -> None:
        """crane copy mounts the blobs."""
        crane = Crane.start(self.place)
        crane.push(self.archive, self.first)
        self.requests()
        crane("copy", self.first, self.second)
        self.check_mounted()

    def test_skopeo(self) -> None:
        """skopeo copy mounts the blobs."""
        skopeo = Skopeo.start(self.place)
        skopeo.push(self.archive, self.first)
        self.requests()
        skopeo.copy(f"docker://{self.first}", f"docker://{self.second}")
        self.check_mounted()

    def test_regctl(self) -> None:
        """regctl image copy mounts the blobs."""
        regctl = Regctl.start(self.place, self.host)
        regctl.push(self.archive, self.first)
        self.requests()
        regctl("image", "copy", self.first, self.second)
        self.check_mounted()

    def test_oras(self) -> None:
        """oras cp mounts the blobs."""
        oras = Oras.start(self.place)
        oras.push(self.archive, self.first)
        self.requests()
        oras("cp", "--from-plain-http", "--to-plain-http", self.first, self.second)
        self.check_mounted()

    def test_docker(self) -> None:
        """docker push of an image under a second name mounts the layers."""
        docker = self.client("docker")
        assert isinstance(docker, Docker)
        docker.push(self.archive, self.first)
        self.requests()
        docker("tag", self.first, self.second)
        docker("push", self.second)
        self.check_mounted()

    def test_podman(self) -> None:
        """podman push of an image under a second name mounts the layers."""
        podman = Podman.start(self.place)
        podman.push(self.archive, self.first)
        self.requests()
        podman("push", "--tls-verify=false", self.first, f"docker://{self.second}")
        self.check_mounted()

    def test_pushed_twice(self) -> None:
        """A second push to the same repository sends no layer: whoever asks what is there learns it."""
        for name in ("docker", "ctr", "podman", "skopeo", "crane", "oras"):
            reference = self.reference(f"twice/{name}")
            self.client(name).push(self.archive, reference)
            self.requests()
            self.client(name).push(self.archive, reference)
            self.assertLess(sum(each.received for each in self.requests()), _LAYER_BYTES, name)
