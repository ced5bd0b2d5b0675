"""What dockreg exports is loaded by other programs, and what they save is imported."""

from pathlib import Path

from tests.clients.case import ClientCase
from tests.clients.copiers import Oras, Skopeo
from tests.clients.engines import Docker, Podman
from tests.clients.images import compare, from_archive, from_layout, from_layout_archive


class ExportedTests(ClientCase):
    """``dockreg export``, for each program that reads what it writes."""

    def setUp(self) -> None:
        super().setUp()
        self.daemon.told("import", str(self.archive), "--into", "team/app")
        self.saved, self.layout = self.place.path("saved.tar"), self.place.path("layout.tar")
        self.daemon.told("export", "team/app:1", "--format", "docker", "-o", str(self.saved))
        self.daemon.told("export", "team/app:1", "-o", str(self.layout))

    def test_docker(self) -> None:
        """docker load takes the archive, and the image has the id of its config."""
        docker = Docker.start(self.place)
        self.assertIn(b"team/app:1", docker("load", "--input", self.saved))
        path = self.place.path("again.tar")
        docker("save", "--output", path, "team/app:1")
        self.assertEqual([], compare(self.sample.image, from_archive(path)))

    def test_podman(self) -> None:
        """podman load takes both forms."""
        podman = Podman.start(self.place)
        for archive in (self.saved, self.layout):
            podman("rmi", "--all", "--force")
            self.assertIn(b"team/app:1", podman("load", "--quiet", "--input", archive))
            path = self.place.path(f"again-{archive.name}")
            podman("save", "--quiet", "--format=oci-archive", "--output", path, "team/app:1")
            self.assertEqual([], compare(self.sample.image, from_layout_archive(path)))

    def test_skopeo(self) -> None:
        """skopeo copies from the archive, from the layout in a tar by its tag, and from one in a folder."""
        skopeo = Skopeo.start(self.place)
        folder = self.place.path("folder")
        self.daemon.told("export", "team/app", "-o", str(folder))
        for number, source in enumerate((
            f"docker-archive:{self.saved}:team/app:1",
            f"oci-archive:{self.layout}:1",
            f"oci:{folder}:1",
        )):  # fmt: skip
            target = self.place.path(f"copied-{number}")
            skopeo.copy(source, f"oci:{target}:it")
            self.assertEqual([], compare(self.sample.image, from_layout(target)))

    def test_oras(self) -> None:
        """oras copies from the layout by its tag, in a tar and in a folder."""
        oras, skopeo = Oras.start(self.place), Skopeo.start(self.place)
        folder = self.place.path("folder")
        self.daemon.told("export", "team/app", "-o", str(folder))
        for number, source in enumerate((self.layout, folder)):
            reference = self.reference(f"copied/{number}")
            oras("cp", "--from-oci-layout", f"{source}:1", "--to-plain-http", reference)
            self.assertEqual([], compare(self.sample.image, skopeo.pull(reference)))


class ImportedTests(ClientCase):
    """``dockreg import`` of what other programs write."""

    def imported(self, path: Path, name: str) -> None:
        """The image is served as it was."""
        self.daemon.told("import", str(path), "--into", name)
        self.pulled_by(("skopeo",), self.reference(name), self.sample.image)

    def test_docker(self) -> None:
        """What docker save writes."""
        docker = Docker.start(self.place)
        docker("load", "--input", self.archive)
        path = self.place.path("docker.tar")
        docker("save", "--output", path, "sample:1")
        self.imported(path, "from/docker")

    def test_podman(self) -> None:
        """What podman save writes, in each of its forms."""
        podman = Podman.start(self.place)
        podman("load", "--quiet", "--input", self.archive)
        for form in ("docker-archive", "oci-archive", "oci-dir"):
            path = self.place.path(form)
            podman("save", "--quiet", f"--format={form}", "--output", path, "localhost/sample:1")
            self.imported(path, f"from/{form}")

    def test_skopeo(self) -> None:
        """What skopeo copy writes."""
        skopeo = Skopeo.start(self.place)
        for transport in ("docker-archive", "oci-archive", "oci"):
            path = self.place.path(transport)
            named = f"{path}:sample:1" if transport == "docker-archive" else f"{path}:1"
            skopeo.copy(f"docker-archive:{self.archive}", f"{transport}:{named}")
            self.imported(path, f"from/{transport}")
