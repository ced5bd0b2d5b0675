"""
Rights: what the ``dockreg group``, ``namespace`` and ``grant`` commands may make of what is stored.

What is stored is judged by :mod:`dockreg.providers.auth.rules` at each request, so that a change counts at once.
"""

from collections.abc import Collection, Sequence

from attrs import define
from twisted.internet.interfaces import IReactorTime

from dockreg.errors_rights import RightsInvalid
from dockreg.interfaces_rights import IRightsStore
from dockreg.model.access import EVERYTHING, Action
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Grant, Group, Kind, Member, Namespace, Role, Subject, parse_group, parse_namespace

_MEMBERS = (Kind.ACCOUNT, Kind.GROUP)


@define(eq=False)
class Rights:
    """
    Makes and changes groups, namespaces and grants. Who may do so is decided by the caller.

    Names of accounts are not looked up: a checker of others may know them. Every method that changes something returns
    what it has become.
    """

    _store: IRightsStore
    _clock: IReactorTime

    # Groups

    async def create_group(self, name: str) -> Group:
        """:raises RightsInvalid: no group can be called so. :raises GroupExists: one is."""
        return await self._store.create_group(parse_group(name), self._clock.seconds())

    async def get_group(self, name: str) -> Group:
        """:raises GroupUnknown: there is none."""
        return await self._store.get_group(name)

    async def list_groups(self) -> Sequence[Group]:
        """Every group, in the order of their names."""
        return await self._store.list_groups()

    async def delete_group(self, name: str) -> None:
        """A group, with all that was granted to it. :raises GroupUnknown: there is none."""
        await self._store.delete_group(name)

    async def add_to_group(self, name: str, account: str) -> Group:
        """:raises GroupUnknown: there is none. :raises RightsInvalid: nobody can have this name."""
        return await self._store.add_to_group(name, _account(account))

    async def remove_from_group(self, name: str, account: str) -> Group:
        """:raises GroupUnknown: there is none. :raises MemberUnknown: the account is not in it."""
        return await self._store.remove_from_group(name, account)

    # Namespaces

    async def create_namespace(
        self, name: str, owners: Collection[Subject], *, private: bool | None = None
    ) -> Namespace:
        """
        Give a namespace to its owners: from now on only its members make repositories in it.

        :param private: whether these are private; None: as repositories are elsewhere when they are made.
        :raises RightsInvalid: no name can begin so, or an owner is neither an account nor a group.
        :raises NamespaceExists: it belongs to somebody already. :raises GroupUnknown: an owner is a group that is not there.
        """
        for owner in owners:
            _require_member(owner)
        return await self._store.create_namespace(parse_namespace(name), owners, private, self._clock.seconds())

    async def get_namespace(self, name: str) -> Namespace:
        """:raises NamespaceUnknown: nothing is stored about it."""
        return await self._store.get_namespace(name)

    async def list_namespaces(self) -> Sequence[Namespace]:
        """Every namespace of which something is stored, in the order of their names."""
        return await self._store.list_namespaces()

    async def delete_namespace(self, name: str) -> None:
        """Forget whose a namespace is; its repositories stay as they are. :raises NamespaceUnknown: it is not known."""
        await self._store.delete_namespace(name)

    async def set_new_private(self, name: str, *, private: bool | None) -> Namespace:
        """Say what new repositories in it are, as above; those that are there stay. :raises NamespaceUnknown: it is not known."""
        return await self._store.set_new_private(name, private)

    async def set_member(self, name: str, subject: Subject, role: Role) -> Namespace:
        """
        Put an account or a group into a namespace, or give it another role there.

        :raises RightsInvalid: the subject is neither. :raises NamespaceUnknown: nothing is stored about the namespace.
        :raises GroupUnknown: it is a group that is not there.
        """
        _require_member(subject)
        return await self._store.set_member(name, Member(subject, role))

    async def remove_member(self, name: str, subject: Subject) -> Namespace:
        """
        Take somebody out of a namespace. One without owners is in the hands of administrators.

        :raises NamespaceUnknown: nothing is stored about it. :raises MemberUnknown: there is no such member.
        """
        return await self._store.remove_member(name, subject)

    # Grants

    async def grant(self, subject: Subject, repositories: RepositoryPattern, actions: Collection[Action]) -> Grant:
        """
        Allow some actions, beside those that are granted already.

        :raises RightsInvalid: there are no actions. :raises GroupUnknown: the subject is a group that is not there.
        """
        if not actions:
            raise RightsInvalid(f"name what is granted: some of {', '.join(each.value for each in Action)}")
        return await self._store.grant(subject, repositories, actions, self._clock.seconds())

    async def revoke(
        self, subject: Subject, repositories: RepositoryPattern, actions: Collection[Action] = EVERYTHING
    ) -> Grant | None:
        """
        Take back what was granted in exactly these repositories; what is left, if anything.

        :raises GrantUnknown: none of that was granted.
        """
        return await self._store.revoke(subject, repositories, actions)

    async def list_grants(self, subject: Subject | None = None) -> Sequence[Grant]:
        """What was granted to somebody, or to all; not what that somebody's groups have."""
        return await self._store.list_grants(subject)


def _account(name: str) -> str:
    return Subject.parse(f"{Kind.ACCOUNT.value}:{name}").name


def _require_member(subject: Subject) -> None:
    if subject.kind not in _MEMBERS:
        raise RightsInvalid(
            f"{subject} can be granted something, and is no member of anything: name accounts and groups"
        )
