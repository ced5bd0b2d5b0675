"""Groups, namespaces and grants: what is stored of who may do what."""

import re
from collections.abc import Mapping, Sequence
from enum import Enum

from attrs import field, frozen

from dockreg.errors import NameInvalid
from dockreg.errors_rights import RightsInvalid
from dockreg.model.access import EVERYTHING, NOTHING, Action
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.repositories import RepositoryRecord

#: All that makes up a push and its undoing, short of administration.
MAY_PUSH: frozenset[Action] = frozenset({Action.PULL, Action.PUSH, Action.OVERWRITE, Action.DELETE})

_MAX_NAME = 256
_GROUP = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)


class Kind(Enum):
    """Of what kind a :class:`Subject` is."""

    ACCOUNT = "account"
    GROUP = "group"
    AUTHENTICATED = "authenticated"
    ANONYMOUS = "anonymous"


@frozen
class Subject:
    """
    Whom a rule, a grant or a membership is about: an account, a group, all who have a name, or everybody.

    ``group:dev`` is a group that is stored here, ``group:ldap:dev`` one that the source of somebody's credentials tells.
    """

    kind: Kind
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> "Subject":
        """
        The subject that a person writes: ``anna``, ``group:dev``, ``authenticated`` or ``anonymous``.

        ``account:anonymous`` is an account that bears one of these words for its name.

        :raises RightsInvalid: it is none of these.
        """
        if text in _WORDS:
            return cls(Kind(text))
        prefix, colon, name = text.partition(":")
        if colon and prefix in (Kind.ACCOUNT.value, Kind.GROUP.value):
            subject = cls(Kind(prefix), name)
        else:
            subject = cls(Kind.ACCOUNT, text)
        if not _is_name(subject.name):
            raise RightsInvalid(
                f"{text[:_MAX_NAME]!r} is nobody: write the name of an account, 'group:' and a name, 'authenticated'"
                " or 'anonymous'"
            )
        return subject

    @classmethod
    def account(cls, name: str) -> "Subject":
        """The account of a name."""
        return cls(Kind.ACCOUNT, name)

    @classmethod
    def group(cls, name: str) -> "Subject":
        """The group of a name."""
        return cls(Kind.GROUP, name)

    def __str__(self) -> str:
        word: str = self.kind.value
        if not self.name:
            return word
        if self.kind is Kind.GROUP or self.name in _WORDS or self.name.startswith(_PREFIXES):
            return f"{word}:{self.name}"
        return self.name


_WORDS = (Kind.AUTHENTICATED.value, Kind.ANONYMOUS.value)
_PREFIXES = (f"{Kind.ACCOUNT.value}:", f"{Kind.GROUP.value}:")

#: All who have a name, but for robots.
AUTHENTICATED = Subject(Kind.AUTHENTICATED)
#: Everybody: what is allowed to who does not say who they are is allowed to all.
ANYBODY = Subject(Kind.ANONYMOUS)


class Role(Enum):
    """What a member of a namespace is."""

    OWNER = "owner"
    WRITER = "writer"
    READER = "reader"

    @property
    def actions(self) -> frozenset[Action]:
        """What it allows in every repository of the namespace."""
        return _ROLE_ACTIONS[self]


_ROLE_ACTIONS: Mapping[Role, frozenset[Action]] = {
    Role.OWNER: EVERYTHING,
    Role.WRITER: MAY_PUSH,
    Role.READER: frozenset({Action.PULL}),
}


@frozen
class Group:
    """A stored group, and the names of the accounts in it."""

    name: str
    members: Sequence[str]
    created_at: float


@frozen
class Member:
    """An account or a group that is in a namespace."""

    subject: Subject
    role: Role


@frozen
class Namespace:
    """
    What is stored of the repositories whose names begin with ``name``: whose they are.

    ``private`` says whether new ones are private, None that they are as the configuration has it.
    """

    name: str
    private: bool | None
    members: Sequence[Member]
    created_at: float


@frozen
class Grant:
    """What somebody may do in some repositories, whoever owns these."""

    subject: Subject
    repositories: RepositoryPattern
    actions: frozenset[Action]
    created_at: float


@frozen
class Standing:
    """
    What is stored at one moment about somebody, as far as it concerns certain repositories.

    :param subjects: what this somebody is, stored groups too.
    :param repositories: those that are there.
    :param roles: by namespace.
    :param namespaces: those of the repositories' that there is a record of, and whether new repositories are private there.
    :param accounts: those of the namespaces that are names of accounts, deleted ones too, and since when. One that was
        given its name again has what was there before: since ever.
    """

    subjects: frozenset[Subject]
    grants: tuple[Grant, ...] = ()
    roles: Mapping[str, frozenset[Role]] = field(factory=dict)
    namespaces: Mapping[str, bool | None] = field(factory=dict)
    accounts: Mapping[str, float] = field(factory=dict)
    repositories: Mapping[RepositoryName, RepositoryRecord] = field(factory=dict)


@frozen
class Rule:
    """What the configuration allows or denies to some in some repositories; what is denied to who is allowed it wins."""

    who: frozenset[Subject]
    repositories: tuple[RepositoryPattern, ...]
    allow: frozenset[Action] = NOTHING
    deny: frozenset[Action] = NOTHING

    def covers(self, name: RepositoryName) -> bool:
        """Whether the rule is about the repository."""
        return any(pattern.matches(name) for pattern in self.repositories)


def parse_group(text: str) -> str:
    """The name of a group that is stored here. :raises RightsInvalid: it is outside the grammar."""
    if not _GROUP.fullmatch(text):
        raise RightsInvalid(
            "the name of a group has 1 to 64 of a-z, 0-9, '_', '.' and '-', and begins with a letter or a digit"
        )
    return text


def parse_namespace(text: str) -> str:
    """The name of a namespace. :raises RightsInvalid: no name of a repository can begin with it."""
    if not is_namespace(text):
        raise RightsInvalid("the name of a namespace is what stands before the first '/' in names of repositories")
    return text


def is_namespace(text: str) -> bool:
    """Whether names of repositories can begin with ``text``."""
    try:
        return RepositoryName.parse_v1(f"{text}/x").namespace == text
    except NameInvalid:
        return False


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _MAX_NAME and text.isprintable() and text == text.strip()
