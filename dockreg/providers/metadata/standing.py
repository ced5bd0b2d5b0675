"""What is stored of somebody's rights in certain repositories, in one statement."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

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

_subjects = bindparam("subjects", expanding=True, type_=TEXT)
_accounts = bindparam("accounts", expanding=True, type_=TEXT)
_names = bindparam("names", expanding=True, type_=TEXT)
_namespaces = bindparam("namespaces", expanding=True, type_=TEXT)
_group_subject = literal_column("'group:'", TEXT) + account_group_members.c.group_name
_NOTHING = literal_column("''", TEXT)
_NEVER = cast(literal_column("0"), Double)


def _part(what: str, *columns: Any, at: Any = _NEVER) -> Select[Any]:
    """A part of the union, whose rows say what they are."""
    filled = [*columns, *([_NOTHING] * (3 - len(columns)))]
    labelled = [column.label(name) for column, name in zip(filled, "abc", strict=True)]
    return select(literal_column(f"'{what}'", TEXT).label("what"), *labelled, at.label("at"))


def _of_subjects(part: Select[Any], subject: ColumnElement[str]) -> Sequence[Select[Any]]:
    """The part for the subjects themselves, and for the stored groups that they are in."""
    members = account_group_members
    return (
        part.where(subject.in_(_subjects)),
        part.where(subject == _group_subject, members.c.account.in_(_accounts)),
    )


def _union(
    *parts: Select[Any], grants_where: Sequence[ColumnElement[bool]], in_namespaces: bool
) -> CompoundSelect[Any]:
    granted = _part("grant", grants.c.subject, grants.c.pattern, grants.c.actions, at=grants.c.created_at)
    roles = _part("role", namespace_members.c.namespace, namespace_members.c.role)
    if in_namespaces:
        roles = roles.where(namespace_members.c.namespace.in_(_namespaces))
    group = _part("group", account_group_members.c.group_name).where(account_group_members.c.account.in_(_accounts))
    mine = [each for where in grants_where for each in _of_subjects(granted.where(where), grants.c.subject)]
    return union_all(*parts, group, *_of_subjects(roles, namespace_members.c.subject), *mine)


_of_names = [grants.c.pattern.in_(_names), grants.c.wild]
_around = (
    _part("namespace", namespaces.c.name).where(namespaces.c.name.in_(_namespaces)),
    _part("account", accounts.c.name, at=accounts.c.created_at).where(accounts.c.name.in_(_namespaces)),
)
_repository = _part(
    "repository",
    repositories.c.owner,
    repositories.c.description,
    case((repositories.c.private, literal_column("'private'", TEXT)), else_=_NOTHING),
    at=repositories.c.created_at,
).where(repositories.c.name == bindparam("name"), repositories.c.deleted_at.is_(None))

_FIND = _union(_repository, *_around, grants_where=_of_names, in_namespaces=True)
_FIND_EACH = _union(*_around, grants_where=_of_names, in_namespaces=True)
_FIND_ALL = _union(grants_where=[grants.c.subject.is_not(None)], in_namespaces=False)


def find(
    connection: Connection, subjects: Collection[Subject], name: RepositoryName
) -> tuple[RepositoryRecord | None, Standing]:
    """See :meth:`.IRightsStore.find`."""
    values = {**_asking(subjects), **_asked([name]), "name": name.value}
    rows = connection.execute(_FIND, values).all()
    found = next((row for row in rows if row.what == "repository"), None)
    record = None
    if found is not None:
        record = RepositoryRecord(name, account_name(found.a), found.c == "private", found.b, found.at)
    return record, _standing(subjects, rows)


def find_each(connection: Connection, subjects: Collection[Subject], names: Collection[RepositoryName]) -> Standing:
    """See :meth:`.IRightsStore.find_each`."""
    return _standing(subjects, connection.execute(_FIND_EACH, {**_asking(subjects), **_asked(names)}))


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


def _asked(names: Collection[RepositoryName]) -> Mapping[str, Sequence[str]]:
    return {
        "names": [name.value for name in names],
        "namespaces": list({name.namespace: None for name in names}),
    }


def _standing(subjects: Collection[Subject], rows: Iterable[AnyRow]) -> Standing:
    mine, recorded, since = set(subjects), set[str](), dict[str, float]()
    granted: list[Grant] = []
    roles: dict[str, frozenset[Role]] = {}
    for row in rows:
        if row.what == "grant":
            granted.append(Grant(Subject.parse(row.a), RepositoryPattern(row.b), actions_of(row.c), row.at))
        elif row.what == "role":
            roles[row.a] = roles.get(row.a, frozenset()) | {Role(row.b)}
        elif row.what == "group":
            mine.add(Subject.group(row.a))
        elif row.what == "namespace":
            recorded.add(row.a)
        elif row.what == "account":
            since[row.a] = row.at
    return Standing(frozenset(mine), tuple(granted), roles, frozenset(recorded), since)
