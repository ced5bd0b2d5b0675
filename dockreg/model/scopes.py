"""
What a client asks a token for, in docker's words (distribution, "Token Scope Documentation").

A scope is ``repository:NAME:ACTION,ACTION`` or ``registry:catalog:*``; several are separated by blanks. What a scope says
beyond the words that are known here means nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from dockreg.errors import NameInvalid
from dockreg.model.access import EVERYTHING, NOTHING, Access, Action, Reach, Scope
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern

#: How many scopes one token has at most, and how long they are together: a token has to fit into a header.
MAX_SCOPES = 32
MAX_SCOPE_CHARACTERS = 3072

#: The words for actions in a repository, in the order in which clients write them.
_WORDS: Mapping[str, frozenset[Action]] = MappingProxyType(
    {
        "pull": frozenset({Action.PULL}),
        "push": frozenset({Action.PUSH, Action.OVERWRITE}),
        "delete": frozenset({Action.DELETE}),
    }
)
_EVERYTHING = "*"
_CATALOG = "registry:catalog:"
_CATALOG_ACTIONS = frozenset({Action.PULL})
# The class of a resource, such as "repository(plugin)", does not matter here.
_REPOSITORY = re.compile(r"repository(?:\([a-z0-9]+\))?:(.+):([^:]*)", re.ASCII)


def parse_scopes(texts: Iterable[str]) -> tuple[Access, ...]:
    """
    What is asked for, each repository once, in the order in which they are first named.

    What is no scope, or of an unknown kind or action, is left out, and so is what goes beyond :data:`MAX_SCOPES` and
    :data:`MAX_SCOPE_CHARACTERS`: clients name what they need first.
    """
    found: dict[RepositoryName | None, frozenset[Action]] = {}
    left = MAX_SCOPE_CHARACTERS
    for text in islice((scope for given in texts for scope in given.split(" ") if scope), 8 * MAX_SCOPES):
        access = parse_scope(text)
        if access is None or (len(found) == MAX_SCOPES and access.repository not in found):
            continue
        left -= len(text)
        if left < 0:
            break
        found[access.repository] = found.get(access.repository, NOTHING) | access.actions
    return tuple(Access(repository, actions) for repository, actions in found.items())


def parse_scope(text: str) -> Access | None:
    """What one scope asks for; None when it is none, or of an unknown kind or action."""
    if text == f"{_CATALOG}{_EVERYTHING}":
        return Access(None, _CATALOG_ACTIONS)
    match = _REPOSITORY.fullmatch(text)
    if match is None:
        return None
    words = match[2].split(",")
    actions = EVERYTHING if _EVERYTHING in words else NOTHING.union(*(_WORDS.get(word, NOTHING) for word in words))
    if not actions:
        return None
    try:
        return Access(RepositoryName.parse_oci(match[1]), actions)
    except NameInvalid:
        return None


def words_of(access: Access) -> list[str]:
    """The words for the actions: ``push`` where something can be pushed, ``*`` where everything is allowed."""
    if not access.actions:
        return []
    if access.repository is None or access.actions == EVERYTHING:
        return [_EVERYTHING]
    return [word for word, actions in _WORDS.items() if actions & access.actions]


def scope_of(accesses: Iterable[Access]) -> str:
    """The text that asks for these; what has no words is left out."""
    scopes = ((each, ",".join(words_of(each))) for each in accesses)
    return " ".join(
        f"{_CATALOG}{words}" if each.repository is None else f"repository:{each.repository}:{words}"
        for each, words in scopes
        if words
    )


def claims_of(accesses: Iterable[Access]) -> list[dict[str, object]]:
    """The same as docker's claim ``access`` has it."""
    return [
        {"type": "registry", "name": "catalog", "actions": words_of(each)}
        if each.repository is None
        else {"type": "repository", "name": each.repository.value, "actions": words_of(each)}
        for each in accesses
    ]


def reach_of(accesses: Sequence[Access]) -> Reach:
    """How far a token reaches that was asked for with these."""
    scopes = [
        Scope(RepositoryPattern.exactly(each.repository), each.actions)
        for each in accesses
        if each.repository is not None
    ]
    on_registry = NOTHING.union(*(each.actions for each in accesses if each.repository is None))
    return Reach(tuple(scopes), on_registry)
