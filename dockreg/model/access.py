"""Who is asking, for what, and how they are asked to present themselves."""

from enum import Enum

from attrs import frozen

from dockreg.model.names import RepositoryName


class Action(Enum):
    """What can be done in a repository or to the registry."""

    PULL = "pull"
    PUSH = "push"
    OVERWRITE = "overwrite"
    DELETE = "delete"
    ADMIN = "admin"


class On(Enum):
    """What a right is about."""

    REPOSITORY = "repository"
    IMAGE = "image"
    ACCOUNT = "account"
    REGISTRY = "registry"


@frozen
class Right:
    """What a route needs: ``action`` on the thing that its path names; :data:`PUBLIC` needs nothing."""

    action: Action
    on: On


class Public(Enum):
    """The explicit statement that a route needs no right."""

    PUBLIC = "public"


PUBLIC = Public.PUBLIC


@frozen
class Ceiling:
    """The widest scope of a token: whatever its bearer may do elsewhere, it reaches no further."""

    repository: RepositoryName
    actions: frozenset[Action]


@frozen
class Principal:
    """Who is asking. ``name`` is None for anonymous; ``ceiling`` is set when a token was presented."""

    name: str | None
    admin: bool = False
    ceiling: Ceiling | None = None

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
