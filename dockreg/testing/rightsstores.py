"""Groups, namespaces and grants in memory, for tests of what uses them."""

from collections.abc import Callable, Collection, Sequence

from attrs import define, evolve, field
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
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.rights import Grant, Group, Kind, Member, Namespace, Role, Standing, Subject

Finder = Callable[[RepositoryName], RepositoryRecord | None]
Since = Callable[[str], float | None]


def _never(_: str) -> float | None:
    return None


def _nothing(_: RepositoryName) -> RepositoryRecord | None:
    return None


@implementer(IRightsStore)
@define(eq=False)
class MemoryRightsStore:
    """
    Rights that are gone with the process.

    :param find_repository: what there is of a repository.
    :param since: since when there is an account of a name.
    """

    find_repository: Finder = _nothing
    since: Since = _never
    _groups: dict[str, Group] = field(factory=dict, init=False)
    _namespaces: dict[str, Namespace] = field(factory=dict, init=False)
    _grants: dict[tuple[str, str], Grant] = field(factory=dict, init=False)

    async def create_group(self, name: str, now: float) -> Group:
        """See :meth:`.IRightsStore.create_group`."""
        if name in self._groups:
            raise GroupExists(name)
        return self._groups.setdefault(name, Group(name, [], now))

    async def get_group(self, name: str) -> Group:
        """See :meth:`.IRightsStore.get_group`."""
        if name not in self._groups:
            raise GroupUnknown(name)
        return self._groups[name]

    async def list_groups(self) -> Sequence[Group]:
        """See :meth:`.IRightsStore.list_groups`."""
        return [self._groups[name] for name in sorted(self._groups)]

    async def delete_group(self, name: str) -> None:
        """See :meth:`.IRightsStore.delete_group`."""
        await self.get_group(name)
        del self._groups[name]
        gone = Subject.group(name)
        self._grants = {key: grant for key, grant in self._grants.items() if grant.subject != gone}
        for namespace in list(self._namespaces.values()):
            self._without(namespace, gone)

    async def add_to_group(self, name: str, account: str) -> Group:
        """See :meth:`.IRightsStore.add_to_group`."""
        members = (await self.get_group(name)).members
        return self._put_group(name, sorted({*members, account}))

    async def remove_from_group(self, name: str, account: str) -> Group:
        """See :meth:`.IRightsStore.remove_from_group`."""
        members = (await self.get_group(name)).members
        if account not in members:
            raise MemberUnknown(f"group {name}", account)
        return self._put_group(name, [each for each in members if each != account])

    def _put_group(self, name: str, members: Sequence[str]) -> Group:
        self._groups[name] = evolve(self._groups[name], members=members)
        return self._groups[name]

    async def _require(self, subject: Subject) -> None:
        if subject.kind is Kind.GROUP and ":" not in subject.name:
            await self.get_group(subject.name)

    async def create_namespace(
        self, name: str, owners: Collection[Subject], private: bool | None, now: float
    ) -> Namespace:
        """See :meth:`.IRightsStore.create_namespace`."""
        if name in self._namespaces:
            raise NamespaceExists(name)
        for owner in owners:
            await self._require(owner)
        self._namespaces[name] = Namespace(name, private, [], now)
        for owner in owners:
            await self.set_member(name, Member(owner, Role.OWNER))
        return self._namespaces[name]

    async def get_namespace(self, name: str) -> Namespace:
        """See :meth:`.IRightsStore.get_namespace`."""
        if name not in self._namespaces:
            raise NamespaceUnknown(name)
        return self._namespaces[name]

    async def list_namespaces(self) -> Sequence[Namespace]:
        """See :meth:`.IRightsStore.list_namespaces`."""
        return [self._namespaces[name] for name in sorted(self._namespaces)]

    async def delete_namespace(self, name: str) -> None:
        """See :meth:`.IRightsStore.delete_namespace`."""
        await self.get_namespace(name)
        del self._namespaces[name]

    async def set_new_private(self, name: str, private: bool | None) -> Namespace:
        """See :meth:`.IRightsStore.set_new_private`."""
        self._namespaces[name] = evolve(await self.get_namespace(name), private=private)
        return self._namespaces[name]

    async def set_member(self, name: str, member: Member) -> Namespace:
        """See :meth:`.IRightsStore.set_member`."""
        namespace = await self.get_namespace(name)
        await self._require(member.subject)
        namespace = self._without(namespace, member.subject)
        members = sorted([*namespace.members, member], key=lambda each: str(each.subject))
        self._namespaces[name] = evolve(namespace, members=members)
        return self._namespaces[name]

    async def remove_member(self, name: str, subject: Subject) -> Namespace:
        """See :meth:`.IRightsStore.remove_member`."""
        namespace = await self.get_namespace(name)
        if all(each.subject != subject for each in namespace.members):
            raise MemberUnknown(f"namespace {name}", str(subject))
        return self._without(namespace, subject)

    def _without(self, namespace: Namespace, subject: Subject) -> Namespace:
        members = [each for each in namespace.members if each.subject != subject]
        self._namespaces[namespace.name] = evolve(namespace, members=members)
        return self._namespaces[namespace.name]

    async def grant(
        self, subject: Subject, repositories: RepositoryPattern, actions: Collection[Action], now: float
    ) -> Grant:
        """See :meth:`.IRightsStore.grant`."""
        await self._require(subject)
        pattern = repositories.canonical
        key = (str(subject), pattern.value)
        had = self._grants.get(key, Grant(subject, pattern, frozenset(), now))
        self._grants[key] = evolve(had, actions=had.actions.union(actions))
        return self._grants[key]

    async def revoke(
        self, subject: Subject, repositories: RepositoryPattern, actions: Collection[Action]
    ) -> Grant | None:
        """See :meth:`.IRightsStore.revoke`."""
        key = (str(subject), repositories.canonical.value)
        had = self._grants.get(key)
        if had is None or not had.actions.intersection(actions):
            raise GrantUnknown(*key)
        left = evolve(had, actions=had.actions.difference(actions))
        if not left.actions:
            del self._grants[key]
            return None
        self._grants[key] = left
        return left

    async def list_grants(self, subject: Subject | None) -> Sequence[Grant]:
        """See :meth:`.IRightsStore.list_grants`."""
        every = [self._grants[key] for key in sorted(self._grants)]
        return [each for each in every if subject in (None, each.subject)]

    async def find(self, subjects: Collection[Subject], name: RepositoryName) -> Standing:
        """See :meth:`.IRightsStore.find`."""
        return await self.find_each(subjects, [name])

    async def find_each(self, subjects: Collection[Subject], names: Collection[RepositoryName]) -> Standing:
        """See :meth:`.IRightsStore.find_each`."""
        records = {name: self.find_repository(name) for name in names}
        every = await self.find_all(subjects)
        spaces = {name.namespace for name in names}
        since = {space: self.since(space) for space in spaces}
        return evolve(
            every,
            grants=tuple(each for each in every.grants if any(map(each.repositories.matches, names))),
            roles={space: roles for space, roles in every.roles.items() if space in spaces},
            namespaces={name: each.private for name, each in self._namespaces.items() if name in spaces},
            accounts={space: known for space, known in since.items() if known is not None},
            repositories={name: record for name, record in records.items() if record is not None},
        )

    async def find_all(self, subjects: Collection[Subject]) -> Standing:
        """See :meth:`.IRightsStore.find_all`."""
        accounts = {each.name for each in subjects if each.kind is Kind.ACCOUNT}
        groups = [Subject.group(each.name) for each in self._groups.values() if accounts.intersection(each.members)]
        mine = frozenset(subjects).union(groups)
        roles = {
            each.name: frozenset(member.role for member in each.members if member.subject in mine)
            for each in self._namespaces.values()
        }
        return Standing(
            mine,
            tuple(each for each in await self.list_grants(None) if each.subject in mine),
            {name: held for name, held in roles.items() if held},
        )
