"""Tests of :mod:`dockreg.rights`."""

from twisted.internet.task import Clock

from dockreg.errors_rights import GrantUnknown, GroupUnknown, NamespaceUnknown, RightsInvalid
from dockreg.model.access import Action
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import ANYBODY, AUTHENTICATED, Group, Member, Role, Subject
from dockreg.rights import Rights
from dockreg.testing.contracts_auth import ContractCase
from dockreg.testing.rightsstores import MemoryRightsStore

ANNA, DEV = Subject.account("anna"), Subject.group("dev")
TEAM = RepositoryPattern("team/**")
PULL = frozenset({Action.PULL})


class RightsTests(ContractCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.rights = Rights(MemoryRightsStore(), self.clock)

    def test_groups(self) -> None:
        """A group is made now, gets members, and is deleted."""
        self.assertEqual(Group("dev", [], 1_400_000_000), self.now(self.rights.create_group("dev")))
        self.now(self.rights.add_to_group("dev", "anna+ci"))
        self.assertEqual(["anna+ci"], list(self.now(self.rights.get_group("dev")).members))
        self.now(self.rights.remove_from_group("dev", "anna+ci"))
        self.assertEqual([Group("dev", [], 1_400_000_000)], list(self.now(self.rights.list_groups())))
        self.now(self.rights.delete_group("dev"))
        self.fails(GroupUnknown, self.rights.get_group("dev"))

    def test_group_names(self) -> None:
        """What can not be the name of a group, or of an account, is refused before anything is stored."""
        for name in ("", "Dev", "ldap:dev"):
            self.fails(RightsInvalid, self.rights.create_group(name))
        self.assertEqual([], list(self.now(self.rights.list_groups())))
        self.now(self.rights.create_group("dev"))
        for name in ("", " anna", "an\nna"):
            self.fails(RightsInvalid, self.rights.add_to_group("dev", name))
        self.assertEqual([], list(self.now(self.rights.get_group("dev")).members))

    def test_namespaces(self) -> None:
        """A namespace gets owners and members, says what is new in it, and is forgotten."""
        self.now(self.rights.create_group("dev"))
        made = self.now(self.rights.create_namespace("team", [ANNA]))
        self.assertEqual(
            (None, [Member(ANNA, Role.OWNER)], 1_400_000_000), (made.private, list(made.members), made.created_at)
        )
        self.assertTrue(self.now(self.rights.set_new_private("team", private=True)).private)
        self.now(self.rights.set_member("team", DEV, Role.READER))
        self.now(self.rights.remove_member("team", ANNA))
        self.assertEqual([Member(DEV, Role.READER)], list(self.now(self.rights.get_namespace("team")).members))
        self.assertEqual(["team"], [each.name for each in self.now(self.rights.list_namespaces())])
        self.now(self.rights.delete_namespace("team"))
        self.fails(NamespaceUnknown, self.rights.get_namespace("team"))

    def test_namespace_members(self) -> None:
        """Members are accounts and groups; a name that no repository can begin with is refused."""
        for many in (ANYBODY, AUTHENTICATED):
            self.fails(RightsInvalid, self.rights.create_namespace("team", [many]))
        self.fails(RightsInvalid, self.rights.create_namespace("a/b", [ANNA]))
        self.assertEqual([], list(self.now(self.rights.list_namespaces())))
        self.now(self.rights.create_namespace("team", [ANNA]))
        for many in (ANYBODY, AUTHENTICATED):
            self.fails(RightsInvalid, self.rights.set_member("team", many, Role.READER))

    def test_grants(self) -> None:
        """What is granted is listed, and taken back, all of it unless some actions are named."""
        made = self.now(self.rights.grant(ANYBODY, TEAM, PULL))
        self.assertEqual(1_400_000_000, made.created_at)
        self.now(self.rights.grant(ANNA, TEAM, PULL | {Action.PUSH}))
        self.assertEqual([made], list(self.now(self.rights.list_grants(ANYBODY))))
        self.assertEqual(2, len(self.now(self.rights.list_grants())))
        left = self.now(self.rights.revoke(ANNA, TEAM, {Action.PUSH}))
        self.assertEqual(PULL, left and left.actions)
        self.assertIsNone(self.now(self.rights.revoke(ANNA, TEAM)))
        self.fails(GrantUnknown, self.rights.revoke(ANNA, TEAM))
        self.assertEqual([made], list(self.now(self.rights.list_grants())))

    def test_grant_nothing(self) -> None:
        """A grant of no action is refused, and so is one to a group that is not there."""
        self.fails(RightsInvalid, self.rights.grant(ANNA, TEAM, ()))
        self.fails(GroupUnknown, self.rights.grant(DEV, TEAM, PULL))
        self.assertEqual([], list(self.now(self.rights.list_grants())))
