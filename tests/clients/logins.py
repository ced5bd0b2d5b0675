"""Logins that podman, buildah and skopeo have in common with docker."""

from collections.abc import Sequence

from tests.clients.case import ClientCase
from tests.clients.copiers import Skopeo
from tests.clients.engines import Buildah, Docker, Podman


class LoginCase(ClientCase):
    """Has :meth:`check` done with each client."""

    def check(self, name: str, *login: str, tls: Sequence[str] = ()) -> None:
        """
        Log in and see what goes.

        :param login: the command that logs in, without options, and ``tls`` what allows it plain http.
        """
        raise NotImplementedError

    def test_docker(self) -> None:
        """docker."""
        docker = self.client("docker")
        assert isinstance(docker, Docker)
        self.check("docker", *docker.program, "login")

    def test_podman(self) -> None:
        """podman."""
        Podman.start(self.place)
        self.check("podman", "podman", "login", tls=["--tls-verify=false"])

    def test_buildah(self) -> None:
        """buildah."""
        Buildah.start(self.place)
        self.check("buildah", "buildah", "login", tls=["--tls-verify=false"])

    def test_skopeo(self) -> None:
        """skopeo."""
        Skopeo.start(self.place)
        self.check("skopeo", "skopeo", "login", tls=["--tls-verify=false"])
