"""Clients that only move images: skopeo, crane, regctl and oras."""

from pathlib import Path

from attrs import frozen

from tests.clients.engines import containers_place
from tests.clients.images import Image, from_archive, from_layout, from_layout_archive
from tests.clients.workplace import Workplace
from tests.support import require_program


@frozen
class Skopeo:
    """skopeo."""

    place: Workplace

    @classmethod
    def start(cls, place: Workplace) -> "Skopeo":
        """Prepare settings."""
        require_program("skopeo")
        return cls(containers_place(place))

    def __call__(self, *arguments: str | Path) -> bytes:
        """Run ``skopeo``."""
        return self.place.run("skopeo", "--override-arch=amd64", *arguments)

    def copy(self, source: str, target: str, *options: str) -> None:
        """Copy an image between two places that are named with their transports."""
        self("copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", *options, source, target)

    def push(self, archive: Path, reference: str) -> None:
        """Copy from the archive."""
        self.copy(f"docker-archive:{archive}", f"docker://{reference}")

    def pull(self, reference: str) -> Image:
        """Copy to an image layout."""
        folder = self.place.path("skopeo")
        self.copy(f"docker://{reference}", f"oci:{folder}:it")
        return from_layout(folder)


@frozen
class Crane:
    """crane."""

    place: Workplace

    @classmethod
    def start(cls, place: Workplace) -> "Crane":
        """Nothing to prepare."""
        require_program("crane")
        return cls(place)

    def __call__(self, command: str, *arguments: str | Path) -> bytes:
        """Run ``crane``."""
        return self.place.run("crane", command, "--insecure", *arguments)

    def push(self, archive: Path, reference: str) -> None:
        """Push the archive."""
        self("push", archive, reference)

    def pull(self, reference: str) -> Image:
        """Pull to an archive."""
        path = self.place.path("crane.tar")
        self("pull", "--platform=linux/amd64", reference, path)
        return from_archive(path)


@frozen
class Regctl:
    """regctl."""

    place: Workplace

    @classmethod
    def start(cls, place: Workplace, host: str, *options: str) -> "Regctl":
        """Tell it that a registry speaks http; ``options`` are those of ``regctl registry set``."""
        require_program("regctl")
        regctl = cls(place.with_variables(REGCTL_CONFIG=str(place.path("regctl.json"))))
        regctl("registry", "set", "--tls=disabled", "--skip-check", *options, host)
        return regctl

    def __call__(self, *arguments: str | Path) -> bytes:
        """Run ``regctl``."""
        return self.place.run("regctl", *arguments)

    def push(self, archive: Path, reference: str) -> None:
        """Import the archive."""
        self("image", "import", reference, archive)

    def pull(self, reference: str) -> Image:
        """Export to an image layout in a tar."""
        path = self.place.path("regctl.tar")
        self("image", "export", "--platform=linux/amd64", reference, path)
        return from_layout_archive(path)


@frozen
class Oras:
    """oras. It reads no archives: images come from an image layout that skopeo made."""

    place: Workplace

    @classmethod
    def start(cls, place: Workplace) -> "Oras":
        """Nothing to prepare."""
        require_program("oras")
        return cls(place)

    def __call__(self, *arguments: str | Path, folder: Path | None = None) -> bytes:
        """Run ``oras``."""
        return self.place.run("oras", *arguments, folder=folder)

    def push(self, archive: Path, reference: str) -> None:
        """Copy from an image layout."""
        folder = self.place.path("layout")
        Skopeo.start(self.place).copy(f"docker-archive:{archive}", f"oci:{folder}:it")
        self("cp", "--from-oci-layout", f"{folder}:it", "--to-plain-http", reference)

    def pull(self, reference: str) -> Image:
        """Copy to an image layout."""
        folder = self.place.path("oras")
        self("cp", "--from-plain-http", reference, "--to-oci-layout", f"{folder}:it")
        return from_layout(folder)
