"""Real clients, logged in as different people, over TLS with a certificate that was made on the spot."""

from collections.abc import Callable
from pathlib import Path

from dockreg.testing.ports import free_port
from tests.clients.case import ClientCase
from tests.clients.copiers import Crane, Oras, Skopeo
from tests.clients.engines import Buildah, Docker, Podman
from tests.clients.images import Image, compare, from_archive, from_layout
from tests.clients.workplace import CommandFailed, Workplace
from tests.integration.daemon import write_certificate

#: Who owns the repository, who may read it, and who has an account and nothing else.
OWNER, READER, STRANGER = "alice", "berta", "carol"

#: Pushes the archive, or pulls and tells what came where that can be seen, at the place of a person.
Push = Callable[[Workplace, str], object]
Pull = Callable[[Workplace, str], Image | None]


class PeopleTests(ClientCase):
    """Everybody may do with a client what the rules say, and nothing else; clients check the certificate."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        write_certificate(folder)
        self.certificate = folder / "server.pem"
        port = free_port()
        self.settings = (
            '[auth]\nanonymous = "pull"\nnew_repositories = "private"\nregistration = "closed"\n'
            f'[tls]\nlisten = ["tcp:{port}:interface=127.0.0.1"]\ncertificate = "{self.certificate}"\n'
        )
        super().setUp()
        self.host = f"127.0.0.1:{port}"
        for name in (OWNER, READER, STRANGER):
            made = self.daemon.command("user", "create", name, "--password-stdin", text=f"{self.secret(name)}\n")
            self.assertEqual(0, made)
        self.assertEqual(0, self.daemon.command("namespace", "create", "team", "--owner", OWNER))
        self.assertEqual(0, self.daemon.command("namespace", "member", "team", READER, "reader"))

    def secret(self, name: str) -> str:
        """The password of a person."""
        return f"the secret of {name}"

    def place_of(self, place: Workplace, name: str) -> Workplace:
        """Where a person works: with logins of her own, and the certificate as the only authority."""
        folder = self.place.folder / name
        folder.mkdir(exist_ok=True)
        return place.with_variables(
            DOCKER_CONFIG=str(folder),
            REGISTRY_AUTH_FILE=str(folder / "auth.json"),
            SSL_CERT_FILE=str(self.certificate),
        )

    def check(self, place: Workplace, login: tuple[str, ...], push: Push, pull: Pull) -> None:
        """The owner pushes, the reader pulls as long as she is one, and others do neither."""
        people = {name: self.place_of(place, name) for name in (OWNER, READER, STRANGER, "nobody")}
        for name in (OWNER, READER, STRANGER):
            command = (*login, f"--username={name}", "--password-stdin", self.host)
            people[name].run(*command, text=self.secret(name).encode())
        app = self.reference("team/app")
        for name in (STRANGER, READER, "nobody"):
            self.assertRaises(CommandFailed, push, people[name], app)
        push(people[OWNER], app)
        for name in (OWNER, READER):
            found = pull(people[name], app)
            self.assertEqual([], [] if found is None else compare(self.sample.image, found), name)
        for name in (STRANGER, "nobody"):
            self.assertRaises(CommandFailed, pull, people[name], app)
        self.assertRaises(CommandFailed, push, people[READER], self.reference("team/app", "2"))
        self.assertEqual(0, self.daemon.command("namespace", "remove", "team", READER))
        self.assertRaises(CommandFailed, pull, people[READER], app)
        pull(people[OWNER], app)

    def test_skopeo(self) -> None:
        """skopeo."""

        def push(place: Workplace, reference: str) -> None:
            place.run("skopeo", "copy", "--quiet", f"docker-archive:{self.archive}", f"docker://{reference}")

        def pull(place: Workplace, reference: str) -> Image:
            folder = place.path("skopeo")
            place.run("skopeo", "copy", "--quiet", f"docker://{reference}", f"oci:{folder}:it")
            return from_layout(folder)

        self.check(Skopeo.start(self.place).place, ("skopeo", "login"), push, pull)

    def test_crane(self) -> None:
        """crane."""

        def push(place: Workplace, reference: str) -> None:
            place.run("crane", "push", self.archive, reference)

        def pull(place: Workplace, reference: str) -> Image:
            path = place.path("crane.tar")
            place.run("crane", "pull", reference, path)
            return from_archive(path)

        self.check(Crane.start(self.place).place, ("crane", "auth", "login"), push, pull)

    def test_oras(self) -> None:
        """oras."""
        layout = self.place.path("layout")
        Skopeo.start(self.place).copy(f"docker-archive:{self.archive}", f"oci:{layout}:it")

        def push(place: Workplace, reference: str) -> None:
            place.run("oras", "cp", "--from-oci-layout", f"{layout}:it", reference)

        def pull(place: Workplace, reference: str) -> Image:
            folder = place.path("oras")
            place.run("oras", "cp", reference, "--to-oci-layout", f"{folder}:it")
            return from_layout(folder)

        self.check(Oras.start(self.place).place, ("oras", "login"), push, pull)

    def test_docker(self) -> None:
        """docker, whose engine takes any certificate of this machine."""
        docker = Docker.start(self.place)
        loaded = (
            docker("load", "--input", self.archive).decode().rpartition("Loaded image")[2].partition(": ")[2].strip()
        )

        def push(place: Workplace, reference: str) -> None:
            place.run(*docker.program, "tag", loaded, reference)
            place.run(*docker.program, "push", reference)

        def pull(place: Workplace, reference: str) -> None:
            place.run(*docker.program, "pull", reference)

        self.check(docker.place, (*docker.program, "login"), push, pull)

    def test_podman(self) -> None:
        """podman."""
        podman = Podman.start(self.place)
        program = ("podman", "--cgroup-manager=cgroupfs")
        loaded = podman("load", "--quiet", "--input", self.archive).decode().rpartition("Loaded image: ")[2].strip()

        def push(place: Workplace, reference: str) -> None:
            place.run(*program, "push", loaded, f"docker://{reference}")

        def pull(place: Workplace, reference: str) -> None:
            place.run(*program, "pull", reference)

        self.check(podman.place, (*program, "login"), push, pull)

    def test_buildah(self) -> None:
        """buildah."""
        buildah = Buildah.start(self.place)
        image = buildah("pull", "--quiet", f"docker-archive:{self.archive}").decode().strip()

        def push(place: Workplace, reference: str) -> None:
            place.run("buildah", "push", image, f"docker://{reference}")

        def pull(place: Workplace, reference: str) -> None:
            place.run("buildah", "pull", "--quiet", "--policy=always", reference)

        self.check(buildah.place, ("buildah", "login"), push, pull)
