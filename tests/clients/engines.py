"""Clients that keep images: docker, containerd, podman and buildah. Each has a store of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from unittest import SkipTest

from attrs import frozen

from tests.clients.images import Image, from_archive, from_layout_archive
from tests.clients.sample import compact
from tests.clients.trees import Tree, folder_tree
from tests.clients.workplace import Workplace
from tests.support import require_program


class Puller(Protocol):
    """What gets images from a registry. A reference has no scheme, and has a tag or a digest."""

    def pull(self, reference: str) -> Image:
        """Pull an image that is not here yet."""


class Client(Puller, Protocol):
    """What also brings images to a registry."""

    def push(self, archive: Path, reference: str) -> None:
        """Push the one image of an archive of ``docker save``."""


def require_root() -> None:
    """Skip the test for those who may not start engines; continuous integration may."""
    if os.geteuid() == 0:
        return
    sentence = "needs root, for an engine of its own"
    if os.environ.get("CI"):
        raise AssertionError(sentence)
    raise SkipTest(sentence)


@frozen
class Docker:
    """An engine of its own, without network and containers."""

    place: Workplace
    program: tuple[str, ...]

    @classmethod
    def start(cls, place: Workplace) -> "Docker":
        """Start the engine; it ends with the place."""
        require_root()
        folder = place.folder / "d"
        program = (require_program("docker"), "-H", f"unix://{folder}.sock")
        options = [f"--data-root={folder}/data", f"--exec-root={folder}/run", f"--pidfile={folder}.pid"]
        options += ["--storage-driver=vfs", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        place.start(lambda: place.answers(*program, "version"), require_program("dockerd"), *options, "-H", program[2])
        return cls(place, program)

    def __call__(self, *arguments: str | Path) -> bytes:
        """Run ``docker``."""
        return self.place.run(*self.program, *arguments)

    def push(self, archive: Path, reference: str) -> None:
        """Load, tag, push."""
        loaded = self("load", "--input", archive).decode().rpartition("Loaded image")[2].partition(": ")[2].strip()
        self("tag", loaded, reference)
        self("push", reference)

    def pull(self, reference: str) -> Image:
        """Pull into an empty store, and save."""
        self.clear()
        self("pull", reference)
        path = self.place.path("docker.tar")
        self("save", "--output", path, reference)
        return from_archive(path)

    def clear(self) -> None:
        """Remove all images."""
        images = set(self("image", "ls", "--all", "--quiet").decode().split())
        if images:
            self("image", "rm", "--force", *sorted(images))


@frozen
class Containerd:
    """A containerd of its own, driven by ``ctr``."""

    place: Workplace
    program: tuple[str, ...]

    @classmethod
    def start(cls, place: Workplace) -> "Containerd":
        """Start containerd; it ends with the place."""
        require_root()
        folder = place.folder / "c"
        program = (require_program("ctr"), "--address", f"{folder}.sock", "images")
        config = place.folder / "containerd.toml"
        config.write_text(
            f'version = 2\nroot = "{folder}/data"\nstate = "{folder}/run"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{folder}.sock"\n'
            f'[plugins."io.containerd.internal.v1.opt"]\npath = "{folder}/opt"\n'
        )
        place.start(lambda: place.answers(*program, "ls"), require_program("containerd"), "--config", config)
        return cls(place, program)

    def __call__(self, *arguments: str | Path) -> bytes:
        """Run ``ctr images``."""
        return self.place.run(*self.program, *arguments)

    def push(self, archive: Path, reference: str) -> None:
        """Import and push; the layers go as they are in the archive, uncompressed."""
        self.clear()
        self("import", "--no-unpack", archive)
        [name] = self("ls", "--quiet").decode().split()
        self("push", "--plain-http", reference, name)

    def pull(self, reference: str) -> Image:
        """Pull, which unpacks, and export."""
        self.clear()
        self("pull", "--plain-http", "--snapshotter", "native", reference)
        path = self.place.path("ctr.tar")
        self("export", "--platform", "linux/amd64", path, reference)
        return from_layout_archive(path)

    def clear(self) -> None:
        """Remove all images."""
        if names := self("ls", "--quiet").decode().split():
            self("rm", "--sync", *names)


def containers_place(place: Workplace) -> Workplace:
    """Settings for podman, buildah and skopeo: no signatures are asked for, and nothing but the place is used."""
    folder = place.folder / "containers"
    settings = place.folder / ".config" / "containers"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "policy.json").write_bytes(compact({"default": [{"type": "insecureAcceptAnything"}]}))
    (settings / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/data"\nrunroot = "{folder}/run"\n'
    )
    (settings / "registries.conf").write_text("unqualified-search-registries = []\n")
    return place.with_variables(
        CONTAINERS_REGISTRIES_CONF=str(settings / "registries.conf"),
        CONTAINERS_STORAGE_CONF=str(settings / "storage.conf"),
    )


@frozen
class Podman:
    """podman, without containers."""

    place: Workplace

    @classmethod
    def start(cls, place: Workplace) -> "Podman":
        """Prepare a store."""
        require_root()
        require_program("podman")
        return cls(containers_place(place))

    def __call__(self, *arguments: str | Path) -> bytes:
        """Run ``podman``."""
        return self.place.run("podman", "--cgroup-manager=cgroupfs", *arguments)

    def push(self, archive: Path, reference: str) -> None:
        """Load, tag, push."""
        loaded = self("load", "--quiet", "--input", archive).decode().rpartition("Loaded image: ")[2].strip()
        self("tag", loaded, reference)
        self("push", "--tls-verify=false", reference)

    def pull(self, reference: str) -> Image:
        """Pull into an empty store, and save."""
        self("rmi", "--all", "--force")
        self("pull", "--tls-verify=false", reference)
        path = self.place.path("podman.tar")
        # The format of docker has no zstd.
        self("save", "--quiet", "--format=oci-archive", "--output", path, reference)
        return from_layout_archive(path)


@frozen
class Buildah:
    """buildah, which also shows an image as a folder."""

    place: Workplace

    @classmethod
    def start(cls, place: Workplace) -> "Buildah":
        """Prepare a store."""
        require_root()
        require_program("buildah")
        return cls(containers_place(place))

    def __call__(self, *arguments: str | Path) -> bytes:
        """Run ``buildah``."""
        return self.place.run("buildah", *arguments)

    def push(self, archive: Path, reference: str) -> None:
        """Read the archive, and push."""
        image = self("pull", "--quiet", f"docker-archive:{archive}").decode().strip()
        self("push", "--tls-verify=false", image, f"docker://{reference}")

    def pull(self, reference: str) -> Image:
        """Pull into an empty store, and read the image from the store's own files."""
        self("rmi", "--all", "--force")
        image = self("pull", "--quiet", "--tls-verify=false", reference).decode().strip()
        path = self.place.path("buildah.tar")
        self("push", "--quiet", image, f"oci-archive:{path}:it")
        return from_layout_archive(path)

    @contextmanager
    def mounted(self, reference: str) -> Iterator[Tree]:
        """The root file system of an image, as a container would see it."""
        container = self("from", "--tls-verify=false", "--pull-always", reference).decode().split()[-1]
        try:
            yield folder_tree(Path(self("mount", container).decode().strip()))
        finally:
            self("rm", container)
