"""
What a client can use of all the forms that a manifest may have.

Engines 1.6 to 1.9 ask for a manifest without an Accept header and understand schema1 only; the same question from any
other client means that it takes what there is. Engines since 1.10 and all other clients list what they know (RFC 9110,
"Accept"), where a quality of 0 excludes a type. Other qualities are left aside: what is stored is served if it is known.
"""

import re
from collections.abc import Sequence

from attrs import frozen

from dockreg.model.mediatypes import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_ARTIFACT,
    OCI_MANIFEST,
    SCHEMA1_TYPES,
    SCHEMA2_MANIFEST,
)

#: More than any client lists; what comes after is not read.
MAX_CHARACTERS = 16_384
MAX_TYPES = 256

_WILDCARDS = ("application/*", "*/*")
_NEWER_TYPES = MANIFEST_TYPES | INDEX_TYPES | {OCI_ARTIFACT}
_SCHEMA1_ENGINE = re.compile(r"docker/1\.[6-9](?![0-9])", re.ASCII)
_EXCLUDED = re.compile(r"[ \t]*q[ \t]*=[ \t]*0(?:\.0*)?[ \t]*", re.ASCII | re.IGNORECASE)


@frozen
class Accepted:
    """
    The media types that a client takes.

    ``named`` are the types and ranges that it lists, ``excluded`` those that it lists with a quality of 0. ``anything``
    says that it lists none at all, or a range (``*/*`` or ``application/*``). ``only_schema1`` says that it is an engine
    of 1.6 to 1.9, or another client that knows schema1 and nothing newer.
    """

    named: frozenset[str]
    excluded: frozenset[str]
    anything: bool
    only_schema1: bool

    def accepts(self, media_type: str) -> bool:
        """Whether a manifest of this type can be served; the most specific entry of the list decides."""
        for each in (media_type.lower(), *_WILDCARDS):
            if each in self.excluded:
                return False
            if each in self.named:
                return True
        return not self.named and not self.excluded

    @property
    def no_index(self) -> bool:
        """Whether it lists images and neither an index nor a range."""
        return self._lists_some(MANIFEST_TYPES | SCHEMA1_TYPES) and not self._lists_some(INDEX_TYPES)

    @property
    def only_oci(self) -> bool:
        """Whether it lists OCI images and neither those of docker nor a range."""
        return self._lists_some({OCI_MANIFEST}) and SCHEMA2_MANIFEST not in self.named

    def _lists_some(self, types: frozenset[str] | set[str]) -> bool:
        return not self.anything and not self.named.isdisjoint(types)


def parse_accept(headers: Sequence[str], user_agent: str) -> Accepted:
    """
    What a client says of itself. Nothing in a header is an error: what is no media type is a type that we do not have.

    :param headers: the values of its Accept headers.
    """
    named: set[str] = set()
    excluded: set[str] = set()
    for entry in _entries(headers):
        media_type, *parameters = entry.split(";")
        text = media_type.strip().lower()
        if text:
            (excluded if any(map(_EXCLUDED.fullmatch, parameters)) else named).add(text)
    named -= excluded
    anything = not named.isdisjoint(_WILDCARDS) or not (named or excluded)
    only_schema1 = not named.isdisjoint(SCHEMA1_TYPES) and named <= SCHEMA1_TYPES | {"application/json"}
    if _SCHEMA1_ENGINE.match(user_agent):
        only_schema1 = named.isdisjoint(_NEWER_TYPES)
    return Accepted(frozenset(named), frozenset(excluded), anything, only_schema1)


def _entries(headers: Sequence[str]) -> Sequence[str]:
    entries: list[str] = []
    left = MAX_CHARACTERS
    for header in headers:
        entries += header[:left].split(",", MAX_TYPES)
        left -= len(header)
        if left <= 0 or len(entries) >= MAX_TYPES:
            break
    return entries[:MAX_TYPES]
