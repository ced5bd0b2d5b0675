"""What is pushed through one protocol is pulled through every other one."""

from tests.clients.case import CLIENTS, ClientCase
from tests.clients.copiers import Crane
from tests.clients.crossing import Pusher, V1Command
from tests.clients.engines import Puller, require_root
from tests.clients.narrow import engine_1_9, engine_1_12, oci_only
from tests.support import require_program

_NARROW = {"docker 1.9": engine_1_9, "docker 1.12": engine_1_12, "OCI alone": oci_only}
_PULLERS = ("v1", *_NARROW, *CLIENTS)
_PROGRAMS = ("dockerd", "docker", "containerd", "podman", "buildah", "skopeo", "crane", "regctl", "oras")


class ProtocolTests(ClientCase):
    """One form of push, all kinds of pull."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        for program in _PROGRAMS:
            require_program(program)

    def puller(self, name: str) -> Puller:
        if name == "v1":
            return V1Command(self.place)
        return _NARROW[name](self.host) if name in _NARROW else super().puller(name)

    def push(self, form: str, reference: str) -> None:
        Pusher(self.place, self.sample, self.archive, self.host, self.client).push(form, reference)

    def check(self, form: str, *, without: tuple[str, ...] = ()) -> None:
        reference = self.reference("crossing")
        self.push(form, reference)
        pullers = tuple(name for name in _PULLERS if name not in without)
        self.pulled_by(pullers, reference, self.sample.image)

    def test_v1(self) -> None:
        """An image of an engine up to 1.5 is the same to every client."""
        self.check("v1")

    def test_schema1(self) -> None:
        """An image of an engine from 1.6 to 1.9 is the same to every client."""
        self.check("schema1")

    def test_schema2(self) -> None:
        """An image that docker pushed is the same to every client."""
        self.check("schema2")

    def test_schema2_of_plain_tars(self) -> None:
        """An image that containerd pushed, with layers that are not compressed, is the same to every client."""
        self.check("schema2 of plain tars")

    def test_oci(self) -> None:
        """An OCI image is the same to every client."""
        self.check("oci")

    def test_zstd(self) -> None:
        """An image with layers of zstd is the same to every client; docker is left out, for 20.10 does not read them."""
        self.check("zstd", without=("docker",))

    def test_uncompressed(self) -> None:
        """An OCI image with layers that are not compressed is the same to every client."""
        self.check("uncompressed")

    def test_oci_index(self) -> None:
        """Of an OCI index every client gets the image for its platform, and one that knows no index that for amd64."""
        self.check("oci index")

    def test_docker_list(self) -> None:
        """Of a docker manifest list every client gets the image for its platform, as of an index."""
        self.check("docker list")

    def test_round_trip(self) -> None:
        """What went from v2 to v1 and was pushed back through v1 is still the same to every client."""
        first, second, path = self.reference("there"), self.reference("back"), self.place.path("pulled.tar")
        self.push("schema2", first)
        v1 = V1Command(self.place)
        v1("pull", f"http://{first}", path)
        v1("push", path, f"http://{second}")
        self.pulled_by(_PULLERS, second, self.sample.image)

    def test_same_digest(self) -> None:
        """The same v1 image has the same digest in every repository."""
        for name in ("one", "two"):
            self.push("v1", self.reference(name))
        crane = Crane.start(self.place)
        self.assertEqual(crane("digest", self.reference("one")), crane("digest", self.reference("two")))
