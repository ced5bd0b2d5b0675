"""Images for several platforms."""

import json
from typing import Any

from tests.clients.case import ClientCase
from tests.clients.copiers import Crane, Regctl, Skopeo
from tests.clients.crossing import Pusher
from tests.clients.engines import Buildah, Containerd, Docker, Podman
from tests.clients.images import Image, compare, from_archive, from_layout, from_layout_archive
from tests.clients.sample import DOCKER_LIST, OCI_INDEX, Sample, other_image


class IndexTests(ClientCase):
    """An index of two platforms is made, copied and used."""

    def setUp(self) -> None:
        super().setUp()
        self.crane, self.skopeo = Crane.start(self.place), Skopeo.start(self.place)
        self.index = self.reference("index")
        self.other: Sample = other_image("arm64")

    def push(self, form: str) -> Any:
        Pusher(self.place, self.sample, self.archive, self.host, self.client).push(form, self.index)
        return json.loads(self.crane("manifest", self.index))

    def same(self, expected: Image, actual: Image) -> None:
        self.assertEqual([], compare(expected, actual))

    def test_crane(self) -> None:
        """crane index append makes an OCI index, of which each platform is pulled."""
        manifest = self.push("oci index")
        self.assertEqual((OCI_INDEX, 2), (manifest["mediaType"], len(manifest["manifests"])))
        self.check_platforms()

    def test_regctl(self) -> None:
        """regctl index create makes a docker manifest list, of which each platform is pulled."""
        manifest = self.push("docker list")
        self.assertEqual((DOCKER_LIST, 2), (manifest["mediaType"], len(manifest["manifests"])))
        self.check_platforms()

    def check_platforms(self) -> None:
        path, folder = self.place.path("arm64.tar"), self.place.path("arm64")
        self.crane("pull", "--platform=linux/arm64", self.index, path)
        self.same(self.other.image, from_archive(path))
        self.place.run(
            "skopeo",
            "--override-arch=arm64",
            "copy",
            "--src-tls-verify=false",
            f"docker://{self.index}",
            f"oci:{folder}:it",
        )
        self.same(self.other.image, from_layout(folder, "arm64"))
        self.same(self.other.image, self.docker_pull())
        self.same(self.other.image, self.podman_pull())
        self.same(self.other.image, self.containerd_pull())

    def docker_pull(self) -> Image:
        docker, path = Docker.start(self.place), self.place.path("docker.tar")
        docker("pull", "--platform=linux/arm64", self.index)
        docker("save", "--output", path, self.index)
        return from_archive(path)

    def podman_pull(self) -> Image:
        podman, path = Podman.start(self.place), self.place.path("podman.tar")
        podman("pull", "--tls-verify=false", "--arch=arm64", self.index)
        podman("save", "--quiet", "--output", path, self.index)
        return from_archive(path)

    def containerd_pull(self) -> Image:
        ctr, path = Containerd.start(self.place), self.place.path("ctr.tar")
        ctr("pull", "--plain-http", "--snapshotter=native", "--platform=linux/arm64", self.index)
        ctr("export", "--platform=linux/arm64", path, self.index)
        return from_layout_archive(path, "arm64")

    def test_copied_whole(self) -> None:
        """crane copy and regctl image copy take all platforms of an index along, with the same digest."""
        self.push("oci index")
        regctl = Regctl.start(self.place, self.host)
        copies = [self.reference(f"whole/{name}") for name in ("crane", "regctl")]
        self.crane("copy", self.index, copies[0])
        regctl("image", "copy", self.index, copies[1])
        for reference in copies:
            self.check_copied(reference)

    def test_copied_whole_by_skopeo(self) -> None:
        """skopeo copy --all takes all platforms of a list along, with the same digest."""
        self.push("docker list")
        copy = self.reference("whole/skopeo")
        self.skopeo.copy(f"docker://{self.index}", f"docker://{copy}", "--all", "--preserve-digests")
        self.check_copied(copy)

    def check_copied(self, reference: str) -> None:
        self.assertEqual(self.crane("digest", self.index), self.crane("digest", reference), reference)
        for architecture, sample in (("arm64", self.other), ("amd64", self.sample)):
            self.same(sample.image, self.crane_pull(reference, architecture))

    def test_buildah(self) -> None:
        """buildah manifest push --all sends a list and its images, by digest and then by tag."""
        buildah = Buildah.start(self.place)
        buildah("manifest", "create", "localhost/list")
        for number, sample in enumerate((self.sample, self.other)):
            archive = self.place.path("one.tar")
            sample.write_archive(archive, f"one:{number}")
            buildah("manifest", "add", "localhost/list", f"docker-archive:{archive}")
        buildah("manifest", "push", "--all", "--tls-verify=false", "localhost/list", f"docker://{self.index}")
        self.check_platforms()

    def test_docker(self) -> None:
        """docker manifest push sends a list of images that it finds in the registry."""
        self.push("docker list")
        docker, mine = Docker.start(self.place), self.reference("index", "mine")
        docker("manifest", "create", "--insecure", mine, f"{self.index}-arm64", f"{self.index}-amd64")
        docker("manifest", "push", "--insecure", mine)
        self.same(self.sample.image, self.crane_pull(mine, "amd64"))
        self.same(self.other.image, self.crane_pull(mine, "arm64"))

    def crane_pull(self, reference: str, architecture: str) -> Image:
        path = self.place.path("crane.tar")
        self.crane("pull", f"--platform=linux/{architecture}", reference, path)
        return from_archive(path)

    def test_nested(self) -> None:
        """An index may hold an index."""
        self.push("oci index")
        nested = self.reference("index", "nested")
        self.crane("index", "append", "--flatten=false", "-m", self.index, "-t", nested)
        manifest = json.loads(self.crane("manifest", nested))
        self.assertEqual([OCI_INDEX], [each["mediaType"] for each in manifest["manifests"]])
        copy = self.reference("copy")
        self.crane("copy", nested, copy)
        self.assertEqual(self.crane("digest", nested), self.crane("digest", copy))
