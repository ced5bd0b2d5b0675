"""What is stored of somebody's rights in certain repositories, in one statement."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Double,
    Select,
    bindparam,
    case,
    cast,
    literal_column,
    select,
    union_all,
)

from dockreg.model.access import Action
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.rights import Grant, Kind, Role, Standing, Subject
from dockreg.providers.metadata.rows import AnyRow, account_name, storable
from dockreg.providers.metadata.tables import TEXT, accounts, repositories
from dockreg.providers.metadata.tables_access import account_group_members, grants, namespace_members, namespaces

#: SQLite takes 900 parameters in one statement and more; a name is there up to seven times, with its namespace.
_BATCH = 120
#: How many subjects somebody is whose source of credentials tells no groups: account, authenticated, anonymous.
_FEW = 3

#: One that nothing has.
NO_NAME = RepositoryName("")

_Test = Callable[[ColumnElement[str]], ColumnElement[bool]]


@frozen
class _Asked:
    """How a statement is told about whom and about what it is asked."""

    subject: _Test
    account: _Test
    name: _Test
    namespace: _Test


def _among(parameter: str) -> _Test:
    return lambda column: column.in_(bindparam(parameter, expanding=True, type_=TEXT))


def _is(*parameters: str) -> _Test:
    return lambda column: column.in_([bindparam(each, type_=TEXT) for each in parameters])


_MANY = _Asked(_among("subjects"), _among("accounts"), _among("names"), _among("namespaces"))
# What is asked at each request: its text is the same each time, which spares the making of it.
_ONE = _Asked(_is(*(f"subject_{number}" for number in range(_FEW))), _is("account"), _is("name"), _is("namespace"))


def _word(text: str) -> ColumnElement[str]:
    """A constant of the statement itself."""
    return literal_column(f"'{text}'", TEXT)


_group_subject = _word("group:") + account_group_members.c.group_name
_NOTHING = _word("")
_NEVER = cast(literal_column("0"), Double)


def _part(what: ColumnElement[str], *columns: Any, at: Any = _NEVER) -> Select[Any]:
    """A part of the union, whose rows say what they are."""
    filled = [*columns, *([_NOTHING] * (3 - len(columns)))]
    labelled = [column.label(name) for column, name in zip(filled, "abc", strict=True)]
    return select(what.label("what"), *labelled, at.label("at"))


_GROUP = _part(_word("group"), account_group_members.c.group_name)
_ROLE = _part(_word("role"), namespace_members.c.namespace, namespace_members.c.role)
_GRANT = _part(_word("grant"), grants.c.subject, grants.c.pattern, grants.c.actions, at=grants.c.created_at)
_NAMESPACE = _part(
    _word("namespace"),
    namespaces.c.name,
    case((namespaces.c.private, _word("private")), (~namespaces.c.private, _word("public")), else_=_NOTHING),
)
# Who was given the name of an account that was deleted was given what that had.
_since = case((accounts.c.renewed_at.is_not(None), _NEVER), else_=accounts.c.created_at)
_ACCOUNT = _part(_word("account"), accounts.c.name, at=_since)
_REPOSITORY = _part(
    case((repositories.c.private, _word("private")), else_=_word("public")),
    repositories.c.name,
    repositories.c.owner,
    repositories.c.description,
    at=repositories.c.created_at,
).where(repositories.c.deleted_at.is_(None))


def _of(asked: _Asked, part: Select[Any], subject: ColumnElement[str]) -> Sequence[Select[Any]]:
    """A part for the subjects themselves, and for the stored groups that they are in."""
    members = account_group_members
    return (
        part.where(asked.subject(subject)),
        part.where(subject == _group_subject, asked.account(members.c.account)),
    )


def _find(asked: _Asked) -> CompoundSelect[Any]:
    role = _ROLE.where(asked.namespace(namespace_members.c.namespace))
    return union_all(
        _REPOSITORY.where(asked.name(repositories.c.name)),
        _NAMESPACE.where(asked.namespace(namespaces.c.name)),
        _ACCOUNT.where(asked.namespace(accounts.c.name)),
        _GROUP.where(asked.account(account_group_members.c.account)),
        *_of(asked, role, namespace_members.c.subject),
        *_of(asked, _GRANT.where(asked.name(grants.c.pattern)), grants.c.subject),
        *_of(asked, _GRANT.where(grants.c.wild), grants.c.subject),
    )


_FIND_ONE, _FIND_MANY = _find(_ONE), _find(_MANY)
_FIND_ALL = union_all(
    _GROUP.where(_MANY.account(account_group_members.c.account)),
    *_of(_MANY, _ROLE, namespace_members.c.subject),
    *_of(_MANY, _GRANT, grants.c.subject),
)


def find(connection: Connection, subjects: Collection[Subject], name: RepositoryName) -> Standing:
    """See :meth:`.IRightsStore.find`."""
    few = _few(_asking(subjects))
    if few is None:
        return find_each(connection, subjects, [name])
    asked = {"name": name.value, "namespace": name.namespace}
    return _standing(subjects, connection.execute(_FIND_ONE, {**few, **asked}))


def find_each(connection: Connection, subjects: Collection[Subject], names: Collection[RepositoryName]) -> Standing:
    """See :meth:`.IRightsStore.find_each`; when there are no names, one is asked for that nothing has."""
    wanted, asking = list(names) or [NO_NAME], _asking(subjects)
    rows: list[AnyRow] = []
    for first in range(0, len(wanted), _BATCH):
        rows += connection.execute(_FIND_MANY, {**asking, **_asked(wanted[first : first + _BATCH])})
    return _standing(subjects, rows)


def find_all(connection: Connection, subjects: Collection[Subject]) -> Standing:
    """See :meth:`.IRightsStore.find_all`."""
    return _standing(subjects, connection.execute(_FIND_ALL, _asking(subjects)))


def actions_of(column: str) -> frozenset[Action]:
    """The actions in a row of a grant."""
    return frozenset(map(Action, column.split()))


def actions_column(actions: Collection[Action]) -> str:
    """The opposite of :func:`actions_of`."""
    return " ".join(each.value for each in Action if each in actions)


def _asking(subjects: Collection[Subject]) -> Mapping[str, Sequence[str]]:
    # Who has a name that can not be stored has no rights that are.
    known = [each for each in subjects if each.name == storable(each.name)]
    return {
        "subjects": [str(each) for each in known],
        "accounts": [each.name for each in known if each.kind is Kind.ACCOUNT],
    }


def _few(asking: Mapping[str, Sequence[str]]) -> Mapping[str, str] | None:
    """The same as single values, which are empty where there is none; None when there are more than that."""
    subjects, accounts = asking["subjects"], asking["accounts"]
    if len(subjects) > _FEW or len(accounts) > 1:
        return None
    filled = [*subjects, *([""] * (_FEW - len(subjects)))]
    values = {f"subject_{number}": text for number, text in enumerate(filled)}
    return {**values, "account": accounts[0] if accounts else ""}


def _asked(names: Collection[RepositoryName]) -> Mapping[str, Sequence[str]]:
    return {
        "names": [name.value for name in names],
        "namespaces": list({name.namespace: None for name in names}),
    }


def _standing(subjects: Collection[Subject], rows: Iterable[AnyRow]) -> Standing:
    mine, since = set(subjects), dict[str, float]()
    recorded: dict[str, bool | None] = {}
    granted: dict[Grant, None] = {}
    records: dict[RepositoryName, RepositoryRecord] = {}
    roles: dict[str, frozenset[Role]] = {}
    for row in rows:
        if row.what in ("private", "public"):
            name = RepositoryName(row.a)
            records[name] = RepositoryRecord(name, account_name(row.b), row.what == "private", row.c, row.at)
        elif row.what == "grant":
            grant = Grant(Subject.parse(row.a), RepositoryPattern(row.b), actions_of(row.c), row.at)
            granted[grant] = None
        elif row.what == "role":
            roles[row.a] = roles.get(row.a, frozenset()) | {Role(row.b)}
        elif row.what == "group":
            mine.add(Subject.group(row.a))
        elif row.what == "namespace":
            recorded[row.a] = row.b == "private" if row.b else None
        elif row.what == "account":
            since[row.a] = row.at
    return Standing(frozenset(mine), tuple(granted), roles, recorded, since, records)
