"""Descriptors: what a manifest says of content that is stored elsewhere."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from dockreg.errors import DigestInvalid, ManifestInvalid
from dockreg.model.digest import Digest

_MAX_SIZE = 2**63 - 1
# Wider than the grammar of RFC 6838, for there are types with parameters; they go into headers and databases.
_MEDIA_TYPE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)
_NAMES = frozenset({"mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"})


@frozen
class Descriptor:
    """Media type, digest and size (in bytes) of content (OCI Image specification, "Descriptors")."""

    media_type: str
    digest: Digest
    size: int


def parse_descriptor(value: object) -> Descriptor:
    """
    The descriptor in a JSON value; members that the specification does not require are not looked at.

    :raises ManifestInvalid: it is none.
    """
    if not isinstance(value, dict):
        raise ManifestInvalid("it is not a descriptor: an object with mediaType, digest and size")
    if not value.keys() <= _NAMES:
        require_spelling(value, _FOLDED)
    digest, size = value.get("digest"), value.get("size")
    # The type, for True is an int.
    if type(size) is not int or not 0 <= size <= _MAX_SIZE:
        raise ManifestInvalid("its size is not a number of bytes")
    if not isinstance(digest, str):
        raise ManifestInvalid("its digest is missing or not a string")
    media_type = parse_media_type(value.get("mediaType"), "mediaType")
    try:
        return Descriptor(media_type, Digest.parse(digest), size)
    except DigestInvalid as invalid:
        raise ManifestInvalid(str(invalid)) from None


def parse_media_type(value: object, member: str) -> str:
    """:raises ManifestInvalid: it is no media type, or has no place in a header."""
    if not isinstance(value, str) or not _MEDIA_TYPE.fullmatch(value):
        raise ManifestInvalid(f"its {member} is not a media type of 1 to 255 printable ASCII characters")
    return value


def folded(names: frozenset[str]) -> Mapping[str, str]:
    """Names by what readers that do not look at case make of them."""
    return {name.casefold(): name for name in names}


def require_spelling(members: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """
    Refuse members that differ from a known name only in case.

    Clients written in Go take ``Layers`` for ``layers`` (encoding/json, ``Unmarshal``: a case-insensitive match is
    accepted), so that they would see another manifest than we do.

    :param names: known names, :func:`folded`.
    :raises ManifestInvalid: there is such a member.
    """
    for member in members:
        name = names.get(member.casefold(), member)
        if name != member:
            raise ManifestInvalid(f"its member {member[:32]!r} has to be spelled {name!r}")


_FOLDED = folded(_NAMES)
