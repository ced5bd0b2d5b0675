"""Platforms: what an image runs on."""

from attrs import frozen

_SYSTEMS = {"macos": "darwin"}
# The names by which containerd's and docker's clients know the same machines (containerd, ``platforms/database.go``).
_MACHINES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
# What a machine is when its variant is not said.
_PLAIN_VARIANTS = {("amd64", "v1"): "", ("arm64", "v8"): "", ("arm64", "8"): "", ("arm", ""): "v7"}


@frozen
class Platform:
    """Operating system and machine (OCI Image specification, "Image Index", ``platform``); ``""`` is not said."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def matches(self, other: "Platform") -> bool:
        """Whether both name one operating system and one machine, in whichever spelling; versions are left aside."""
        return self.normalized == other.normalized

    @property
    def normalized(self) -> tuple[str, str, str]:
        """Operating system, architecture and variant in the spelling of Go."""
        system, machine = self.os.lower(), self.architecture.lower()
        architecture, implied = _MACHINES.get(machine, (machine, ""))
        variant = self.variant.lower() or implied
        if architecture == "arm" and variant.isdecimal():
            variant = f"v{variant}"
        return _SYSTEMS.get(system, system), architecture, _PLAIN_VARIANTS.get((architecture, variant), variant)


def parse_platform(value: object) -> Platform | None:
    """The platform in a JSON value. Members of a wrong type are not said; None when nothing is said."""
    if not isinstance(value, dict):
        return None
    names = ("os", "architecture", "variant", "os.version")
    told = [text if isinstance(text := value.get(name), str) else "" for name in names]
    return Platform(*told) if any(told[:2]) else None
