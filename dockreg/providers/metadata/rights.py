"""Groups, namespaces and grants."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, Select, delete, insert, select, update
from zope.interface import implementer

from dockreg.errors_rights import (
    GrantUnknown,
    GroupExists,
    GroupUnknown,
    MemberUnknown,
    NamespaceExists,
    NamespaceUnknown,
)
from dockreg.interfaces_rights import IRightsStore
from dockreg.model.access import Action
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Grant, Group, Kind, Member, Namespace, Role, Standing, Subject
from dockreg.providers.metadata import standing
from dockreg.providers.metadata.rows import AnyRow, storable
from dockreg.providers.metadata.standing import actions_column, actions_of
from dockreg.providers.metadata.tables_access import (
    account_group_members,
    account_groups,
    grants,
    namespace_members,
    namespaces,
)
from dockreg.providers.metadata.transactions import Database


@implementer(IRightsStore)
class SQLRightsStore:
    """See :class:`~dockreg.interfaces_rights.IRightsStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_group(self, name: str, now: float) -> Group:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.write(_create_group, name, now)

    async def get_group(self, name: str) -> Group:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.read(_get_group, name)

    async def list_groups(self) -> Sequence[Group]:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.read(_groups, select(account_groups).order_by(account_groups.c.name))

    async def delete_group(self, name: str) -> None:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        await self._database.write(_delete_group, name)

    async def add_to_group(self, name: str, account: str) -> Group:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.write(_add_to_group, name, account)

    async def remove_from_group(self, name: str, account: str) -> Group:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.write(_remove_from_group, name, account)

    async def create_namespace(
        self, name: str, owners: Collection[Subject], private: bool | None, now: float
    ) -> Namespace:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.write(_create_namespace, name, owners, private=private, now=now)

    async def get_namespace(self, name: str) -> Namespace:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.read(_get_namespace, name)

    async def list_namespaces(self) -> Sequence[Namespace]:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.read(_namespaces, select(namespaces).order_by(namespaces.c.name))

    async def delete_namespace(self, name: str) -> None:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        await self._database.write(_delete_namespace, name)

    async def set_new_private(self, name: str, private: bool | None) -> Namespace:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.write(_set_new_private, name, private)

    async def set_member(self, name: str, member: Member) -> Namespace:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.write(_set_member, name, member)

    async def remove_member(self, name: str, subject: Subject) -> Namespace:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.write(_remove_member, name, subject)

    async def grant(
        self, subject: Subject, repositories: RepositoryPattern, actions: Collection[Action], now: float
    ) -> Grant:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.write(_grant, subject, repositories.canonical, actions, now)

    async def revoke(
        self, subject: Subject, repositories: RepositoryPattern, actions: Collection[Action]
    ) -> Grant | None:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.write(_revoke, subject, repositories.canonical, actions)

    async def list_grants(self, subject: Subject | None) -> Sequence[Grant]:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.read(_list_grants, subject)

    async def find(self, subjects: Collection[Subject], name: RepositoryName) -> Standing:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.find_lasting(standing.find, frozenset(subjects), name)

    async def find_each(self, subjects: Collection[Subject], names: Collection[RepositoryName]) -> Standing:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        if len(names) > 1:
            return await self._database.read(standing.find_each, subjects, names)
        # Not remembered: whether there was a name is not to be told by the time that this takes.
        return await self._database.look(standing.find, frozenset(subjects), next(iter(names), standing.NO_NAME))

    async def find_all(self, subjects: Collection[Subject]) -> Standing:
        """See :class:`~dockreg.interfaces_rights.IRightsStore`."""
        return await self._database.find_lasting(standing.find_all, frozenset(subjects))


# Groups


def _groups(connection: Connection, query: Select[tuple[str, float]]) -> Sequence[Group]:
    rows = connection.execute(query).all()
    if not rows:
        return []
    table = account_group_members
    # What another transaction adds between the two queries may come with the second one.
    members: defaultdict[str, list[str]] = defaultdict(list)
    listed = select(table).order_by(table.c.account)
    if len(rows) == 1:
        listed = listed.where(table.c.group_name == rows[0].name)
    for row in connection.execute(listed):
        members[row.group_name].append(row.account)
    return [Group(row.name, members[row.name], row.created_at) for row in rows]


def _get_group(connection: Connection, name: str) -> Group:
    found = _groups(connection, select(account_groups).where(account_groups.c.name == storable(name)))
    if not found:
        raise GroupUnknown(name)
    return found[0]


def _create_group(connection: Connection, name: str, now: float) -> Group:
    if _is_there(connection, select(account_groups.c.name).where(account_groups.c.name == name)):
        raise GroupExists(name)
    connection.execute(insert(account_groups), {"name": name, "created_at": now})
    return Group(name, [], now)


def _delete_group(connection: Connection, name: str) -> None:
    if connection.execute(delete(account_groups).where(account_groups.c.name == storable(name))).rowcount == 0:
        raise GroupUnknown(name)
    for table in (namespace_members, grants):
        connection.execute(delete(table).where(table.c.subject == str(Subject.group(name))))


def _add_to_group(connection: Connection, name: str, account: str) -> Group:
    table = account_group_members
    if account not in _get_group(connection, name).members:
        connection.execute(insert(table), {"group_name": name, "account": account})
    return _get_group(connection, name)


def _remove_from_group(connection: Connection, name: str, account: str) -> Group:
    table = account_group_members
    _get_group(connection, name)
    this = (table.c.group_name == name) & (table.c.account == storable(account))
    if connection.execute(delete(table).where(this)).rowcount == 0:
        raise MemberUnknown(f"group {name}", account)
    return _get_group(connection, name)


def _require_group(connection: Connection, subjects: Iterable[Subject]) -> None:
    """Groups with a colon are known elsewhere. The others must not go while something is made theirs."""
    for subject in subjects:
        if subject.kind is not Kind.GROUP or ":" in subject.name:
            continue
        query = select(account_groups.c.name).where(account_groups.c.name == storable(subject.name))
        if not _is_there(connection, query.with_for_update(read=True, key_share=True)):
            raise GroupUnknown(subject.name)


# Namespaces


def _namespaces(connection: Connection, query: Select[tuple[str, bool, float]]) -> Sequence[Namespace]:
    rows = connection.execute(query).all()
    if not rows:
        return []
    table = namespace_members
    members: defaultdict[str, list[Member]] = defaultdict(list)
    listed = select(table).order_by(table.c.subject)
    if len(rows) == 1:
        listed = listed.where(table.c.namespace == rows[0].name)
    for row in connection.execute(listed):
        members[row.namespace].append(Member(Subject.parse(row.subject), Role(row.role)))
    return [Namespace(row.name, row.private, members[row.name], row.created_at) for row in rows]


def _get_namespace(connection: Connection, name: str) -> Namespace:
    found = _namespaces(connection, select(namespaces).where(namespaces.c.name == storable(name)))
    if not found:
        raise NamespaceUnknown(name)
    return found[0]


def _create_namespace(
    connection: Connection, name: str, owners: Collection[Subject], *, private: bool | None, now: float
) -> Namespace:
    if _is_there(connection, select(namespaces.c.name).where(namespaces.c.name == name)):
        raise NamespaceExists(name)
    connection.execute(insert(namespaces), {"name": name, "private": private, "created_at": now})
    for owner in owners:
        _set_member(connection, name, Member(owner, Role.OWNER))
    return _get_namespace(connection, name)


def _delete_namespace(connection: Connection, name: str) -> None:
    if connection.execute(delete(namespaces).where(namespaces.c.name == storable(name))).rowcount == 0:
        raise NamespaceUnknown(name)


def _set_new_private(connection: Connection, name: str, private: bool | None) -> Namespace:
    connection.execute(update(namespaces).where(namespaces.c.name == storable(name)), {"private": private})
    return _get_namespace(connection, name)


def _set_member(connection: Connection, name: str, member: Member) -> Namespace:
    _get_namespace(connection, name)
    _require_group(connection, [member.subject])
    connection.execute(delete(namespace_members).where(_membership(name, member.subject)))
    values = {"namespace": name, "subject": str(member.subject), "role": member.role.value}
    connection.execute(insert(namespace_members), values)
    return _get_namespace(connection, name)


def _remove_member(connection: Connection, name: str, subject: Subject) -> Namespace:
    _get_namespace(connection, name)
    if connection.execute(delete(namespace_members).where(_membership(name, subject))).rowcount == 0:
        raise MemberUnknown(f"namespace {name}", str(subject))
    return _get_namespace(connection, name)


def _membership(name: str, subject: Subject) -> ColumnElement[bool]:
    return (namespace_members.c.namespace == name) & (namespace_members.c.subject == storable(str(subject)))


# Grants


def _granted(connection: Connection, subject: Subject, pattern: RepositoryPattern) -> AnyRow | None:
    return connection.execute(select(grants).where(_this(subject, pattern)).with_for_update()).one_or_none()


def _this(subject: Subject, pattern: RepositoryPattern) -> ColumnElement[bool]:
    return (grants.c.subject == storable(str(subject))) & (grants.c.pattern == pattern.value)


def _grant(
    connection: Connection, subject: Subject, pattern: RepositoryPattern, actions: Collection[Action], now: float
) -> Grant:
    _require_group(connection, [subject])
    row = _granted(connection, subject, pattern)
    if row is None:
        values = {
            "subject": str(subject),
            "pattern": pattern.value,
            "wild": not pattern.is_exact,
            "actions": actions_column(actions),
            "created_at": now,
        }
        connection.execute(insert(grants), values)
        return Grant(subject, pattern, frozenset(actions), now)
    together = actions_of(row.actions) | frozenset(actions)
    changed = {"actions": actions_column(together)}
    connection.execute(update(grants).where(_this(subject, pattern)), changed)
    return Grant(subject, pattern, together, row.created_at)


def _revoke(
    connection: Connection, subject: Subject, pattern: RepositoryPattern, actions: Collection[Action]
) -> Grant | None:
    row = _granted(connection, subject, pattern)
    had = frozenset[Action]() if row is None else actions_of(row.actions)
    if row is None or not had.intersection(actions):
        raise GrantUnknown(str(subject), pattern.value)
    left = had.difference(actions)
    if not left:
        connection.execute(delete(grants).where(_this(subject, pattern)))
        return None
    changed = {"actions": actions_column(left)}
    connection.execute(update(grants).where(_this(subject, pattern)), changed)
    return Grant(subject, pattern, left, row.created_at)


def _list_grants(connection: Connection, subject: Subject | None) -> Sequence[Grant]:
    query = select(grants).order_by(grants.c.subject, grants.c.pattern)
    if subject is not None:
        query = query.where(grants.c.subject == storable(str(subject)))
    return [
        Grant(Subject.parse(row.subject), RepositoryPattern(row.pattern), actions_of(row.actions), row.created_at)
        for row in connection.execute(query)
    ]


def _is_there(connection: Connection, query: Select[tuple[str]]) -> bool:
    return connection.execute(query).first() is not None
