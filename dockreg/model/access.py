"""Who is asking, for what, and how they are asked to present themselves."""

from enum import Enum

from attrs import evolve, field, frozen

from dockreg.model.accounts import ROBOT_MARK
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern


class Action(Enum):
    """What can be done in a repository or to the registry."""

    PULL = "pull"
    PUSH = "push"
    OVERWRITE = "overwrite"
    DELETE = "delete"
    ADMIN = "admin"

    # Each is there once. That of Enum is a function of Python, and is called some ten times for each request.
    __hash__ = object.__hash__


class On(Enum):
    """What a right is about."""

    REPOSITORY = "repository"
    IMAGE = "image"
    ACCOUNT = "account"
    REGISTRY = "registry"
    CALLER = "caller"  # whoever it is: the credentials have to be good, and nothing else
    LOGIN = "login"  # the same with a password or without credentials, for who wants a token


@frozen
class Right:
    """What a route needs: ``action`` on the thing that its path names; :data:`PUBLIC` needs nothing."""

    action: Action
    on: On


class Public(Enum):
    """The explicit statement that a route needs no right."""

    PUBLIC = "public"


PUBLIC = Public.PUBLIC


NOTHING: frozenset[Action] = frozenset()
EVERYTHING: frozenset[Action] = frozenset(Action)


@frozen
class Scope:
    """A part of what a token reaches: ``actions`` in the repositories that match."""

    repositories: RepositoryPattern
    actions: frozenset[Action]


@frozen
class Reach:
    """How far one token reaches: in repositories, and on the registry as a whole."""

    scopes: tuple[Scope, ...]
    on_registry: frozenset[Action] = NOTHING

    def within(self, repository: RepositoryName | None) -> frozenset[Action]:
        """What the token allows at most in the repository, or (None) on the registry as a whole."""
        if repository is None:
            return self.on_registry
        matching = (each.actions for each in self.scopes if each.repositories.matches(repository))
        return NOTHING.union(*matching)


@frozen
class Ceiling:
    """
    The widest that a credential reaches, whatever its bearer may do without it.

    A token that was had for another token is below both: what all of :attr:`reaches` allow is allowed.
    """

    reaches: tuple[Reach, ...]

    @classmethod
    def of(cls, repository: RepositoryName, actions: frozenset[Action]) -> "Ceiling":
        """The ceiling of a token for one repository."""
        return cls((Reach((Scope(RepositoryPattern.exactly(repository), actions),)),))

    @property
    def repository(self) -> RepositoryName | None:
        """The one repository that the token was made for; None when it is not made for one."""
        scopes = self.reaches[0].scopes
        if len(scopes) != 1 or not scopes[0].repositories.is_exact or self.reaches[0].on_registry:
            return None
        return RepositoryName(scopes[0].repositories.value)

    def within(self, repository: RepositoryName | None) -> frozenset[Action]:
        """What is allowed at most in the repository, or (None) on the registry as a whole."""
        return EVERYTHING.intersection(*(each.within(repository) for each in self.reaches))

    @property
    def for_lists(self) -> "Ceiling":
        """
        The ceiling for what is in a list of the whole registry.

        Who may ask for such a list sees what he may pull, not what the token that he asks with was made for.
        """
        whole = Reach((Scope(RepositoryPattern("**"), frozenset({Action.PULL})),), self.reaches[0].on_registry)
        return Ceiling((whole, *self.reaches[1:]))

    def below(self, other: "Ceiling | None") -> "Ceiling":
        """The ceiling, lowered to ``other`` where that is lower."""
        return self if other is None else Ceiling((*self.reaches, *other.reaches))


@frozen
class Principal:
    """
    Who is asking. ``name`` is None for anonymous.

    ``ceiling`` is set when a token was presented. ``renewable`` says that it is one of the token service of v2, where a
    token with more scopes can be had for the asking. ``decided`` says that another token server has decided: what the
    ceiling has is granted. ``groups`` are those that the source of the credentials tells, such as a directory.
    ``token_id`` is the stored access token that was presented, here or when a token was had for it. ``password_mark`` is
    what :func:`.password_mark` said of the account when a token was had, or says now; None when no password of an account
    matters.
    """

    name: str | None
    admin: bool = False
    ceiling: Ceiling | None = None
    groups: frozenset[str] = frozenset()
    renewable: bool = False
    decided: bool = False
    token_id: str | None = None
    password_mark: str | None = field(default=None, eq=False, repr=False)

    @property
    def is_robot(self) -> bool:
        """Whether this is a program that somebody made an account for: it may do what was given to it, and no more."""
        return self.name is not None and ROBOT_MARK in self.name

    @property
    def is_anybody(self) -> bool:
        """Whether everybody may do what this one may: caches between us and the client may keep what is read."""
        return self.name is None and not self.decided

    def within(self, repository: RepositoryName | None) -> frozenset[Action]:
        """What the credential allows at most, as :meth:`Ceiling.within`; everything when it was no token."""
        return EVERYTHING if self.ceiling is None else self.ceiling.within(repository)

    @property
    def for_lists(self) -> "Principal":
        """The same person, as the entries of a list of the registry are judged; see :attr:`Ceiling.for_lists`."""
        if self.ceiling is None or not (self.renewable or self.decided):
            return self
        return evolve(self, ceiling=self.ceiling.for_lists)

    def asks_too_little(self, action: Action, repository: RepositoryName | None) -> bool:
        """Whether it is for want of a scope that could have been asked for that the token does not reach ``action``."""
        return self.renewable and self.ceiling is not None and action not in self.ceiling.reaches[0].within(repository)

    def __str__(self) -> str:
        return self.name if self.name is not None else "anonymous"


ANONYMOUS = Principal(None)


@frozen
class Caller:
    """
    Who is asking, and in the course of which repository's push or pull where the path does not name one.

    ``repository`` comes from a token, which is bound to it, or from the hint that the index role gave to a client
    that sends Basic credentials; None when there is neither.
    """

    principal: Principal
    repository: RepositoryName | None = None


@frozen
class Access:
    """Actions wanted on a repository; ``repository`` is None when the registry as a whole is meant."""

    repository: RepositoryName | None
    actions: frozenset[Action]


@frozen
class Challenge:
    """How a client should present itself: the values of ``WWW-Authenticate``, one header line each."""

    values: tuple[str, ...]
