"""
The text of a v1 token: ``signature=…,repository="ns/name",access=write``, as engines 0.6 to 1.12 repeat it.

Engines never look into it. They join the values of several ``X-Docker-Token`` lines with commas, and repeat a scheme
that stood in the value, so the text comes back in more forms than it was issued in.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

from dockreg.model.access import Action

#: More than several joined tokens need.
MAX_TEXT = 16384

# docker-registry 0.9 read "word, colon or equals sign, optional blank or quote, anything but quote and comma". Words are
# matched from their beginning only, without backtracking, so that the time stays linear in the length.
_MEMBER = re.compile(r'(?<![A-Za-z0-9_])([A-Za-z0-9_]++)[:=] ?"?([^",]*+)', re.ASCII)
_SCHEME = re.compile(r"\A(?:token[ \t]++)++", re.ASCII | re.IGNORECASE)

#: What the words for access stand for. Pushing looks images up, and an index shows its list to who may delete.
ACCESS: Mapping[str, frozenset[Action]] = MappingProxyType(
    {
        "read": frozenset({Action.PULL}),
        "write": frozenset({Action.PULL, Action.PUSH, Action.OVERWRITE}),
        "delete": frozenset({Action.PULL, Action.DELETE}),
    }
)


@frozen
class TokenText:
    """The members of a token, each None when it is not there. Of a repeated member the last one counts."""

    signature: str | None
    repository: str | None
    access: str | None

    @classmethod
    def parse(cls, text: str) -> "TokenText":
        """
        What the text says, in any of its spellings; nothing in it is believed yet.

        A text without members is a bare signature, or several of them joined by commas.
        """
        if len(text) > MAX_TEXT:
            return cls(None, None, None)
        members = {match[1]: match[2].strip() for match in _MEMBER.finditer(text)}
        signature = members.get("signature")
        if not members:
            signature = _SCHEME.sub("", text.rpartition(",")[2].strip()).strip('"') or None
        return cls(signature, members.get("repository"), members.get("access"))


def access_word(actions: frozenset[Action]) -> str:
    """The word for the widest of ``actions``; a push counts more than a deletion, for it is what engines do."""
    if actions & {Action.PUSH, Action.OVERWRITE}:
        return "write"
    return "delete" if Action.DELETE in actions else "read"
