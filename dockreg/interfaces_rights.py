"""
What is stored of who may do what: groups, namespaces and grants.

:mod:`dockreg.interfaces` says what holds for every method.
"""

from collections.abc import Collection, Sequence

from zope.interface import Interface

from dockreg.model.access import Action
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Grant, Group, Member, Namespace, Standing, Subject


class IRightsStore(Interface):
    """
    Groups, namespaces and grants, and what of them concerns somebody.

    Names of accounts, and of groups with a colon in them, are not looked up: they may be known elsewhere.
    """

    # Groups

    async def create_group(name: str, now: float) -> Group:
        """A group without members. :raises GroupExists: there is one of this name."""

    async def get_group(name: str) -> Group:
        """:raises GroupUnknown: there is none of this name."""

    async def list_groups() -> Sequence[Group]:
        """Every group, in the order of their names; so are their members."""

    async def delete_group(name: str) -> None:
        """
        Remove a group, its grants, and its memberships in namespaces.

        :raises GroupUnknown: there is none of this name.
        """

    async def add_to_group(name: str, account: str) -> Group:
        """The group, with the account in it. :raises GroupUnknown: there is none of this name."""

    async def remove_from_group(name: str, account: str) -> Group:
        """
        The group, without the account.

        :raises GroupUnknown: there is none of this name. :raises MemberUnknown: the account is not in it.
        """

    # Namespaces

    async def create_namespace(name: str, owners: Collection[Subject], private: bool | None, now: float) -> Namespace:
        """
        :param private: whether repositories that are made in it are private; None: as they are elsewhere.
        :raises NamespaceExists: there is a record of it.
        :raises GroupUnknown: an owner is a group that would be stored here, and is not.
        """

    async def get_namespace(name: str) -> Namespace:
        """:raises NamespaceUnknown: there is no record of it."""

    async def list_namespaces() -> Sequence[Namespace]:
        """Every namespace that there is a record of, in the order of their names; members by the text of their subject."""

    async def delete_namespace(name: str) -> None:
        """Forget a namespace and its members; its repositories stay. :raises NamespaceUnknown: there is no record of it."""

    async def set_new_private(name: str, private: bool | None) -> Namespace:
        """Say whether repositories that are made in it are private, as above. :raises NamespaceUnknown: there is no record of it."""

    async def set_member(name: str, member: Member) -> Namespace:
        """
        The namespace, with this member in this role and no other.

        :raises NamespaceUnknown: there is no record of it.
        :raises GroupUnknown: the member is a group that would be stored here, and is not.
        """

    async def remove_member(name: str, subject: Subject) -> Namespace:
        """
        The namespace, without this member.

        :raises NamespaceUnknown: there is no record of it. :raises MemberUnknown: there is no such member.
        """

    # Grants

    async def grant(
        subject: Subject, repositories: RepositoryPattern, actions: Collection[Action], now: float
    ) -> Grant:
        """
        Allow these actions beside those that are granted already; all of them are returned.

        :raises GroupUnknown: the subject is a group that would be stored here, and is not.
        """

    async def revoke(subject: Subject, repositories: RepositoryPattern, actions: Collection[Action]) -> Grant | None:
        """
        Take back what of these actions was granted in exactly these repositories; what is left is returned, if anything.

        :raises GrantUnknown: none of them was.
        """

    async def list_grants(subject: Subject | None) -> Sequence[Grant]:
        """The grants of somebody, or all, by the texts of subject and pattern. Those of a group are the group's only."""

    # Judging

    async def find(subjects: Collection[Subject], name: RepositoryName) -> Standing:
        """
        A repository, and the standing in it of somebody who is all of these subjects.

        The stored groups of the accounts among the subjects are added. All grants that match the name are there, others
        may be.
        """

    async def find_each(subjects: Collection[Subject], names: Collection[RepositoryName]) -> Standing:
        """
        The same for several repositories together.

        Which names these are, and whether there are any, hardly shows in the time that it takes: nothing is remembered.
        """

    async def find_all(subjects: Collection[Subject]) -> Standing:
        """All grants and roles of somebody, as above; nothing about repositories and namespaces beside."""
