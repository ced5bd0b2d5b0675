"""What one client pushes, every other one pulls."""

from tests.clients.case import CLIENTS, ClientCase


class MatrixTests(ClientCase):
    """One pusher, all pullers; each of these clients is the pusher once."""

    def check(self, pusher: str) -> None:
        reference = self.reference(f"matrix/{pusher}")
        self.client(pusher).push(self.archive, reference)
        self.pulled_by(CLIENTS, reference, self.sample.image)

    def test_docker(self) -> None:
        """What docker pushes, every client pulls, file by file the same."""
        self.check("docker")

    def test_containerd(self) -> None:
        """What containerd pushes, every client pulls, file by file the same."""
        self.check("ctr")

    def test_podman(self) -> None:
        """What podman pushes, every client pulls, file by file the same."""
        self.check("podman")

    def test_buildah(self) -> None:
        """What buildah pushes, every client pulls, file by file the same."""
        self.check("buildah")

    def test_skopeo(self) -> None:
        """What skopeo pushes, every client pulls, file by file the same."""
        self.check("skopeo")

    def test_crane(self) -> None:
        """What crane pushes, every client pulls, file by file the same."""
        self.check("crane")

    def test_regctl(self) -> None:
        """What regctl pushes, every client pulls, file by file the same."""
        self.check("regctl")

    def test_oras(self) -> None:
        """What oras pushes, every client pulls, file by file the same."""
        self.check("oras")
