"""Who has to log in can do so with every client, and then push and pull."""

from collections.abc import Sequence

from tests.clients.case import ClientCase
from tests.clients.copiers import Crane, Oras, Regctl, Skopeo
from tests.clients.engines import Buildah, Containerd, Docker, Podman
from tests.support import require_program

_SECRET = "a secret of alice"


class LoginTests(ClientCase):
    """A registry that only knows people with an account."""

    settings = '[auth]\nanonymous = "none"\n'

    def setUp(self) -> None:
        super().setUp()
        made = self.daemon.command("user", "create", "alice", "--password-stdin", text=f"{_SECRET}\n")
        self.assertEqual(0, made)
        self.target = self.reference("alice/private")

    def check(self, name: str, *login: str, tls: Sequence[str] = (), user: str = "--username=alice") -> None:
        """Without login nothing goes, with a wrong password there is no login, with the right one all goes."""
        client = self.client(name)
        self.assertRaises(AssertionError, client.push, self.archive, self.target)
        command = (*login, *tls, user, "--password-stdin", self.host)
        self.assertRaises(AssertionError, self.place.run, *command, text=b"wrong")
        self.place.run(*command, text=_SECRET.encode())
        client.push(self.archive, self.target)
        self.pulled_by((name,), self.target, self.sample.image)

    def test_docker(self) -> None:
        """docker login lets docker push and pull."""
        docker = self.client("docker")
        assert isinstance(docker, Docker)
        self.check("docker", *docker.program, "login")

    def test_podman(self) -> None:
        """podman login lets podman push and pull."""
        Podman.start(self.place)
        self.check("podman", "podman", "login", tls=["--tls-verify=false"])

    def test_buildah(self) -> None:
        """buildah login lets buildah push and pull."""
        Buildah.start(self.place)
        self.check("buildah", "buildah", "login", tls=["--tls-verify=false"])

    def test_skopeo(self) -> None:
        """skopeo login lets skopeo push and pull."""
        Skopeo.start(self.place)
        self.check("skopeo", "skopeo", "login", tls=["--tls-verify=false"])

    def test_oras(self) -> None:
        """oras login lets oras push and pull."""
        Oras.start(self.place)
        self.check("oras", "oras", "login", tls=["--plain-http"])

    def test_crane(self) -> None:
        """crane auth login, which asks nobody, lets crane push and pull."""
        crane = Crane.start(self.place)
        self.assertRaises(AssertionError, crane.push, self.archive, self.target)
        self.place.run("crane", "auth", "login", "-u=alice", "--password-stdin", self.host, text=_SECRET.encode())
        crane.push(self.archive, self.target)
        self.pulled_by(("crane",), self.target, self.sample.image)

    def test_regctl(self) -> None:
        """regctl registry login lets regctl push and pull."""
        regctl = self.client("regctl")
        assert isinstance(regctl, Regctl)
        self.assertRaises(AssertionError, regctl.push, self.archive, self.target)
        regctl("registry", "login", "--user=alice", f"--pass={_SECRET}", self.host)
        regctl.push(self.archive, self.target)
        self.pulled_by(("regctl",), self.target, self.sample.image)

    def test_containerd(self) -> None:
        """ctr --user lets containerd push and pull."""
        ctr = Containerd.start(self.place)
        self.assertRaises(AssertionError, ctr.push, self.archive, self.target)
        ctr("push", "--plain-http", f"--user=alice:{_SECRET}", self.target, "docker.io/library/sample:1")
        ctr.clear()
        ctr("pull", "--plain-http", f"--user=alice:{_SECRET}", "--snapshotter=native", self.target)

    def test_helm(self) -> None:
        """helm registry login lets helm push and pull."""
        require_program("helm")
        run = self.place.run
        run("helm", "create", "chart")
        run("helm", "package", "chart")
        push = ("helm", "push", "--plain-http", "chart-0.1.0.tgz", f"oci://{self.host}/alice")
        self.place.fail(*push)
        login = ("helm", "registry", "login", "--plain-http", "--username=alice", "--password-stdin", self.host)
        run(*login, text=_SECRET.encode())
        run(*push)
        run("helm", "pull", "--plain-http", f"oci://{self.host}/alice/chart", "--destination=run")
