"""Names of repositories, tags and upload sessions, parsed once at the edge."""

import re

from attrs import frozen

from dockreg.errors import NameInvalid, TagInvalid

_MAX_NAME = 255
_V1_COMPONENT = re.compile(r"[a-z0-9_.-]+", re.ASCII)
_OCI_NAME = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*",
    re.ASCII,
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_PORT = re.compile(rf"(?:\[[0-9a-fA-F:.]{{2,45}}\]|{_LABEL}(?:\.{_LABEL})*)\.?(?::([0-9]{{1,5}}))?", re.ASCII)

#: Last components that v1 paths use themselves, so that a v1 repository can not be called so.
V1_RESERVED = frozenset({"auth", "images", "json", "layer", "properties", "tags"})


@frozen(order=True)
class RepositoryName:
    """
    The canonical name of a repository: ``library/x`` is stored as ``x``.

    Make one with :meth:`parse_v1` or :meth:`parse_oci`, which check the grammar of their door.
    """

    value: str

    @classmethod
    def parse_v1(cls, text: str) -> "RepositoryName":
        """
        The repository that a v1 path names, with or without ``library/``.

        :raises NameInvalid: the name is outside the v1 grammar or would be ambiguous in a v1 path.
        """
        components = text.split("/")
        if len(text) > _MAX_NAME:
            raise NameInvalid(text[:_MAX_NAME], f"a repository name has at most {_MAX_NAME} characters")
        for component in components:
            if not _V1_COMPONENT.fullmatch(component) or component in (".", ".."):
                raise NameInvalid(text, "its components are made of a-z, 0-9, '_', '.' and '-'")
        if components[-1] in V1_RESERVED:
            raise NameInvalid(text, f"the last component of a v1 name can not be {components[-1]!r}")
        if len(components) > 2 and components[-2] == "tags":
            raise NameInvalid(text, "a v1 name can not have 'tags' before its last component")
        return cls(_without_library(text))

    @classmethod
    def parse_oci(cls, text: str) -> "RepositoryName":
        """
        The repository that a v2 path names (OCI Distribution, "Pulling manifests").

        :raises NameInvalid: the name is outside the grammar.
        """
        if len(text) > _MAX_NAME or not _OCI_NAME.fullmatch(text):
            raise NameInvalid(text[:_MAX_NAME], "it does not match the grammar of the OCI Distribution specification")
        return cls(_without_library(text))

    @property
    def v1(self) -> str:
        """The name as v1 prints it: with a namespace, ``library`` where there is none."""
        return self.value if "/" in self.value else f"library/{self.value}"

    @property
    def namespace(self) -> str:
        """The first component, ``library`` where there is none."""
        return self.v1.partition("/")[0]

    @property
    def in_oci(self) -> bool:
        """Whether the v2 door can show this name."""
        return _OCI_NAME.fullmatch(self.value) is not None

    def __str__(self) -> str:
        return self.value


def _without_library(text: str) -> str:
    namespace, slash, rest = text.partition("/")
    return rest if slash and namespace == "library" and "/" not in rest else text


@frozen(order=True)
class Tag:
    """A movable name in a repository, of the grammar that v1 engines since 1.3 and OCI share."""

    value: str

    @classmethod
    def parse(cls, text: str) -> "Tag":
        """:raises TagInvalid: ``text`` is outside the grammar."""
        if not _TAG.fullmatch(text):
            raise TagInvalid(text[:256])
        return cls(text)

    def __str__(self) -> str:
        return self.value


def is_host_port(text: str) -> bool:
    """Whether ``text`` is ``host`` or ``host:port``, and so safe to repeat in a header."""
    match = _HOST_PORT.fullmatch(text)
    if match is None or len(text) > _MAX_NAME:
        return False
    port = match.group(1)
    return port is None or 0 < int(port) < 65536
