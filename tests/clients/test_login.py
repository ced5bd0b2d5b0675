"""Who has to log in can do so with every client, and then push and pull."""

import base64
import json
from collections.abc import Sequence

from tests.clients import logins
from tests.clients.case import CLIENTS, ClientCase
from tests.clients.copiers import Crane, Oras, Regctl, Skopeo
from tests.clients.engines import Containerd, Docker
from tests.support import require_program

_SECRET = "a secret of alice"


class LoginTests(logins.LoginCase):
    """A registry that only knows people with an account; clients send the password to its token service alone."""

    settings = '[auth]\nanonymous = "none"\n'
    #: Whether clients are sent to the token service.
    by_token = True

    def setUp(self) -> None:
        super().setUp()
        made = self.daemon.command("user", "create", "alice", "--password-stdin", text=f"{_SECRET}\n")
        self.assertEqual(0, made)
        self.target = self.reference("alice/private")
        self.addCleanup(self.check_way)

    def check_way(self) -> None:
        """Whatever the client did, it went the way that it was shown."""
        asked = any(each.path == "/v2/token" and each.status == 200 for each in self.requests())
        self.assertEqual(self.by_token, asked)

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
        """docker. Where there are tokens it keeps one of them, and no password."""
        super().test_docker()
        kept = json.loads((self.place.folder / ".docker" / "config.json").read_text())["auths"][self.host]
        name, _, password = base64.b64decode(kept["auth"]).decode().partition(":")
        self.assertEqual("alice", name)
        self.assertEqual((self.by_token, not self.by_token), ("identitytoken" in kept, password == _SECRET))

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

    def test_cosign(self) -> None:
        """cosign login lets cosign sign and verify."""
        require_program("cosign")
        cosign = self.place.with_variables(COSIGN_PASSWORD="secret").run
        login = ("cosign", "login", "--username=alice", "--password-stdin", self.host)
        cosign(*login, text=_SECRET.encode())
        crane = Crane.start(self.place)
        crane.push(self.archive, self.target)
        subject = f"{self.host}/alice/private@{crane('digest', self.target).decode().strip()}"
        cosign("cosign", "generate-key-pair")
        root = self.place.path("root.json")
        cosign("cosign", "trusted-root", "create", "--out", root)
        key = self.place.folder / "cosign"
        options = ("--allow-http-registry", subject)
        cosign("cosign", "sign", f"--key={key}.key", "--tlog-upload=false", "--yes", *options)
        services = ("--insecure-ignore-tlog", "--private-infrastructure", f"--trusted-root={root}")
        self.assertIn(b"docker-manifest-digest", cosign("cosign", "verify", f"--key={key}.pub", *services, *options))
        (self.place.folder / ".docker" / "config.json").unlink()
        self.place.fail("cosign", "verify", f"--key={key}.pub", *services, *options)


class PasswordLoginTests(LoginTests):
    """Clients send the password with each request."""

    settings = '[auth]\nanonymous = "none"\nchallenge = "basic"\n'
    by_token = False


class SharedLoginTests(ClientCase):
    """What one client keeps, and others read."""

    settings = LoginTests.settings

    def test_refresh_token(self) -> None:
        """The refresh token that docker keeps lets in others that read it there, until the password changes."""
        self.daemon.command("user", "create", "alice", "--password-stdin", text=f"{_SECRET}\n")
        target = self.reference("alice/private")
        docker, crane, skopeo = self.client("docker"), Crane.start(self.place), Skopeo.start(self.place)
        assert isinstance(docker, Docker)
        self.assertRaises(AssertionError, crane.push, self.archive, target)
        login = ("login", "--username=alice", "--password-stdin", self.host)
        self.place.run(*docker.program, *login, text=_SECRET.encode())
        crane.push(self.archive, target)
        self.pulled_by(("crane", "oras", "docker"), target, self.sample.image)
        kept = f"--authfile={self.place.folder}/.docker/config.json"
        skopeo("inspect", "--tls-verify=false", kept, f"docker://{target}")
        self.daemon.command("user", "password", "alice", "--password-stdin", text="another secret\n")
        self.assertRaises(AssertionError, crane.push, self.archive, target)
        self.assertRaises(AssertionError, docker.pull, target)


class PublicTests(ClientCase):
    """A registry that everybody may pull from, and people with an account push to."""

    settings = '[auth]\nanonymous = "pull"\nregistration = "closed"\n'

    def test_pull(self) -> None:
        """Every client pulls without a login, docker too, and pushes only with one."""
        self.daemon.command("user", "create", "alice", "--password-stdin", text=f"{_SECRET}\n")
        target = self.reference("alice/public")
        login = ("-u=alice", "--password-stdin", self.host)
        self.assertRaises(AssertionError, self.client("crane").push, self.archive, target)
        self.place.run("crane", "auth", "login", *login, text=_SECRET.encode())
        self.client("crane").push(self.archive, target)
        self.place.run("crane", "auth", "logout", self.host)
        self.pulled_by(CLIENTS, target, self.sample.image)
        for name in ("docker", "podman", "ctr", "oras"):
            self.assertRaises(AssertionError, self.client(name).push, self.archive, target)
