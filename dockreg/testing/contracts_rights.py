"""
What every store of rights promises.

Subclass a contract and say how to make the store. Import this module, not the classes in it: trial would run an
imported contract as a test of its own.
"""

from collections.abc import Collection

from attrs import evolve
from zope.interface.verify import verifyObject

from dockreg.errors_rights import (
    GrantUnknown,
    GroupExists,
    GroupUnknown,
    MemberUnknown,
    NamespaceExists,
    NamespaceUnknown,
)
from dockreg.interfaces_rights import IRightsStore
from dockreg.model.access import EVERYTHING, Action
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.rights import ANYBODY, AUTHENTICATED, Grant, Group, Member, Namespace, Role, Standing, Subject
from dockreg.testing.contracts_auth import ContractCase

ANNA, BERTA = Subject.account("anna"), Subject.account("berta")
DEV, FOREIGN = Subject.group("dev"), Subject.group("ldap:ops")
APP, TOOL, TOP = RepositoryName("team/app"), RepositoryName("team/tool"), RepositoryName("busybox")
PULL, PUSH = frozenset({Action.PULL}), frozenset({Action.PULL, Action.PUSH})
_ODD_NAMES = ("", "Dev", "de", "dev ", "dev\x00", "\ud800", "group:dev")


def pattern(text: str) -> RepositoryPattern:
    """The pattern that is written so."""
    return RepositoryPattern.parse(text)


class RightsStoreContract(ContractCase):
    """What every IRightsStore promises."""

    def make_rights_store(self) -> IRightsStore:
        """One without anything, in a registry without repositories."""
        raise NotImplementedError

    def make_account(self, name: str, now: float) -> None:
        """Make an account that the store sees."""
        raise NotImplementedError

    def make_repository(self, name: RepositoryName, owner: str | None, now: float, *, private: bool = False) -> None:
        """Make a repository that the store sees."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make a store."""
        self.store = self.make_rights_store()

    def test_interface(self) -> None:
        """The provider has all that IRightsStore declares."""
        verifyObject(IRightsStore, self.store)

    # Groups

    def test_group(self) -> None:
        """A group has the accounts that were put into it and not taken out, in the order of their names."""
        made = self.now(self.store.create_group("dev", 1.5))
        self.assertEqual(Group("dev", [], 1.5), made)
        for account in ("berta", "anna", "berta", "o'hara+ci"):
            self.now(self.store.add_to_group("dev", account))
        self.assertEqual(["anna", "berta", "o'hara+ci"], list(self.now(self.store.get_group("dev")).members))
        self.assertEqual(["anna", "o'hara+ci"], list(self.now(self.store.remove_from_group("dev", "berta")).members))
        self.assertEqual(["anna", "o'hara+ci"], list(self.now(self.store.get_group("dev")).members))

    def test_groups(self) -> None:
        """Groups are listed in the order of their names, each with its own members."""
        for name in ("ops", "dev"):
            self.now(self.store.create_group(name, 1.0))
        self.now(self.store.add_to_group("ops", "anna"))
        expected = [Group("dev", [], 1.0), Group("ops", ["anna"], 1.0)]
        self.assertEqual(expected, list(self.now(self.store.list_groups())))

    def test_group_taken(self) -> None:
        """The name of a group is taken once; the group stays what it was."""
        self.now(self.store.create_group("dev", 1.0))
        self.now(self.store.add_to_group("dev", "anna"))
        self.fails(GroupExists, self.store.create_group("dev", 2.0))
        self.assertEqual(Group("dev", ["anna"], 1.0), self.now(self.store.get_group("dev")))

    def test_group_unknown(self) -> None:
        """What is not there, to the letter, is unknown, whatever is asked of it and whatever else is there."""
        self.now(self.store.create_group("others", 1.0))
        self.now(self.store.add_to_group("others", "berta"))
        for name in ("dev", *_ODD_NAMES):
            self.fails(GroupUnknown, self.store.get_group(name))
            self.fails(GroupUnknown, self.store.delete_group(name))
            self.fails(GroupUnknown, self.store.add_to_group(name, "anna"))
            self.fails(GroupUnknown, self.store.remove_from_group(name, "anna"))
        self.now(self.store.create_group("dev", 1.0))
        for account in ("anna", "", "an\x00na", "\ud800"):
            self.fails(MemberUnknown, self.store.remove_from_group("dev", account))

    def test_group_deleted(self) -> None:
        """With a group goes what it had; one of the same name that is made later has nothing of it."""
        self.now(self.store.create_group("dev", 1.0))
        self.now(self.store.add_to_group("dev", "anna"))
        self.now(self.store.create_namespace("team", [DEV, BERTA], False, 1.0))
        for subject in (DEV, BERTA):
            self.now(self.store.grant(subject, pattern("**"), PULL, 1.0))
        self.now(self.store.delete_group("dev"))
        self.now(self.store.create_group("dev", 2.0))
        self.assertEqual([], list(self.now(self.store.get_group("dev")).members))
        self.assertEqual([BERTA], [each.subject for each in self.now(self.store.get_namespace("team")).members])
        self.assertEqual([BERTA], [each.subject for each in self.now(self.store.list_grants(None))])

    def test_group_needed(self) -> None:
        """What is to be a group's needs the group, unless it is known elsewhere; nothing is stored otherwise."""
        self.fails(GroupUnknown, self.store.grant(DEV, pattern("**"), PULL, 1.0))
        self.fails(GroupUnknown, self.store.create_namespace("team", [ANNA, DEV], False, 1.0))
        self.fails(NamespaceUnknown, self.store.get_namespace("team"))
        self.now(self.store.create_namespace("team", [FOREIGN], False, 1.0))
        self.fails(GroupUnknown, self.store.set_member("team", Member(DEV, Role.READER)))
        self.now(self.store.set_member("team", Member(FOREIGN, Role.READER)))
        self.now(self.store.grant(FOREIGN, pattern("**"), PULL, 1.0))

    # Namespaces

    def test_namespace(self) -> None:
        """A namespace has owners, and says whether what is new in it is private."""
        made = self.now(self.store.create_namespace("team", [BERTA, ANNA], True, 1.5))
        owners = [Member(ANNA, Role.OWNER), Member(BERTA, Role.OWNER)]
        self.assertEqual(Namespace("team", True, owners, 1.5), made)
        self.assertEqual(made, self.now(self.store.get_namespace("team")))
        for private in (False, None, True):
            self.assertIs(private, self.now(self.store.set_new_private("team", private)).private)
            self.assertIs(private, self.now(self.store.get_namespace("team")).private)
            self.assertEqual({"team": private}, dict(self.standing((), APP).namespaces))

    def test_members(self) -> None:
        """A member has one role, the last that was given."""
        self.now(self.store.create_group("dev", 1.0))
        self.now(self.store.create_namespace("team", [ANNA], False, 1.0))
        self.now(self.store.set_member("team", Member(DEV, Role.WRITER)))
        changed = self.now(self.store.set_member("team", Member(ANNA, Role.READER)))
        self.assertEqual([Member(ANNA, Role.READER), Member(DEV, Role.WRITER)], list(changed.members))
        changed = self.now(self.store.remove_member("team", ANNA))
        self.assertEqual([Member(DEV, Role.WRITER)], list(changed.members))
        self.assertEqual(changed, self.now(self.store.get_namespace("team")))

    def test_namespaces(self) -> None:
        """Namespaces are listed in the order of their names, each with its own members, and forgotten one by one."""
        self.now(self.store.create_namespace("ops", [], False, 1.0))
        self.now(self.store.create_namespace("dev", [ANNA], False, 1.0))
        listed = self.now(self.store.list_namespaces())
        self.assertEqual(
            [("dev", [Member(ANNA, Role.OWNER)]), ("ops", [])], [(x.name, list(x.members)) for x in listed]
        )
        self.now(self.store.delete_namespace("dev"))
        self.assertEqual(["ops"], [each.name for each in self.now(self.store.list_namespaces())])
        self.assertEqual([], list(self.now(self.store.create_namespace("dev", [], False, 2.0)).members))

    def test_namespace_taken(self) -> None:
        """There is one record of a namespace."""
        made = self.now(self.store.create_namespace("team", [ANNA], False, 1.0))
        self.fails(NamespaceExists, self.store.create_namespace("team", [BERTA], True, 2.0))
        self.assertEqual(made, self.now(self.store.get_namespace("team")))

    def test_namespace_unknown(self) -> None:
        """What is not there, to the letter, is unknown, whatever is asked of it and whatever else is there."""
        self.now(self.store.create_namespace("others", [BERTA], False, 1.0))
        for name in ("team", *_ODD_NAMES):
            self.fails(NamespaceUnknown, self.store.get_namespace(name))
            self.fails(NamespaceUnknown, self.store.delete_namespace(name))
            self.fails(NamespaceUnknown, self.store.set_new_private(name, True))
            self.fails(NamespaceUnknown, self.store.set_member(name, Member(ANNA, Role.OWNER)))
            self.fails(NamespaceUnknown, self.store.remove_member(name, ANNA))
        self.now(self.store.create_namespace("team", [ANNA], False, 1.0))
        for subject in (BERTA, DEV, Subject.account("an\x00na")):
            self.fails(MemberUnknown, self.store.remove_member("team", subject))

    # Grants

    def test_grant(self) -> None:
        """What is granted adds to what was granted to the same in the same repositories."""
        self.assertEqual(Grant(ANNA, pattern("team/*"), PULL, 1.0), self.grant(ANNA, "team/*", PULL))
        together = self.now(self.store.grant(ANNA, pattern("team/*"), {Action.ADMIN}, 2.0))
        self.assertEqual(PULL | {Action.ADMIN}, together.actions)
        self.assertEqual([together], list(self.now(self.store.list_grants(None))))

    def test_revoke(self) -> None:
        """What is taken back is no longer granted; the rest is, and everything else."""
        self.grant(ANNA, "team/*", EVERYTHING)
        self.grant(BERTA, "team/*", PULL)
        left = self.now(self.store.revoke(ANNA, pattern("team/*"), {Action.ADMIN, Action.PUSH}))
        assert left is not None
        self.assertEqual(EVERYTHING - {Action.ADMIN, Action.PUSH}, left.actions)
        self.assertEqual([left], list(self.now(self.store.list_grants(ANNA))))
        self.assertIsNone(self.now(self.store.revoke(ANNA, pattern("team/*"), EVERYTHING)))
        self.assertEqual([BERTA], [each.subject for each in self.now(self.store.list_grants(None))])

    def test_revoke_nothing(self) -> None:
        """What was not granted can not be taken back, and nothing is changed."""
        self.grant(ANNA, "team/*", PULL)
        for subject, where, actions in (
            (BERTA, "team/*", PULL),
            (ANNA, "team/**", PULL),
            (ANNA, "team/*", {Action.PUSH}),
            (ANNA, "team/*", ()),
            (Subject.account("an\x00na"), "team/*", PULL),
        ):
            self.fails(GrantUnknown, self.store.revoke(subject, pattern(where), actions))
        self.assertEqual([PULL], [each.actions for each in self.now(self.store.list_grants(None))])

    def test_list_grants(self) -> None:
        """Grants are listed by the texts of subject and pattern, of all or of one."""
        for subject in (BERTA, ANYBODY, AUTHENTICATED, ANNA):
            for where in ("team/**", "team/*", "team/app"):
                self.grant(subject, where, PULL)
        listed = [(str(each.subject), str(each.repositories)) for each in self.now(self.store.list_grants(None))]
        self.assertEqual(sorted(listed), listed)
        self.assertEqual(12, len(set(listed)))
        of_berta = self.now(self.store.list_grants(BERTA))
        self.assertEqual(["team/*", "team/**", "team/app"], [str(each.repositories) for each in of_berta])
        self.assertEqual([], list(self.now(self.store.list_grants(Subject.account("\x00")))))

    def test_library(self) -> None:
        """A name without a namespace is one name, however it is written."""
        self.grant(ANNA, "library/busybox", PULL)
        self.grant(ANNA, "busybox", PUSH)
        self.assertEqual([Grant(ANNA, pattern("busybox"), PUSH, 1.0)], list(self.now(self.store.list_grants(None))))
        self.assertIsNone(self.now(self.store.revoke(ANNA, pattern("library/busybox"), EVERYTHING)))

    def test_account_of_a_group_s_name(self) -> None:
        """An account is not a group of its name, nor everybody when it is called so."""
        self.now(self.store.create_group("dev", 1.0))
        self.grant(DEV, "a/*", PULL)
        self.grant(AUTHENTICATED, "b/*", PULL)
        for name in ("dev", "group:dev", "authenticated"):
            found = self.standing({Subject.account(name)}, APP, RepositoryName("a/x"), RepositoryName("b/x"))
            self.assertEqual([], list(found.grants), name)

    # Judging

    def grant(self, subject: Subject, where: str, actions: Collection[Action]) -> Grant:
        """A grant at second 1."""
        return self.now(self.store.grant(subject, pattern(where), actions, 1.0))

    def standing(self, subjects: Collection[Subject], *names: RepositoryName) -> Standing:
        """In some repositories; in one alone it is the same as in one of several."""
        found = self.now(self.store.find_each(subjects, names))
        if len(names) == 1:
            alone = self.now(self.store.find(subjects, names[0]))
            self.assertEqual(frozenset(found.grants), frozenset(alone.grants))
            self.assertEqual(evolve(found, grants=()), evolve(alone, grants=()))
        return found

    def patterns(self, found: Standing) -> set[tuple[str, str]]:
        """What is granted, to whom and where."""
        return {(str(each.subject), str(each.repositories)) for each in found.grants}

    def test_nothing_found(self) -> None:
        """Where nothing is stored somebody is only what is said."""
        subjects = {ANNA, AUTHENTICATED, FOREIGN}
        self.assertEqual(Standing(frozenset(subjects)), self.standing(subjects, APP, TOOL))
        self.assertEqual(Standing(frozenset(subjects)), self.now(self.store.find_all(subjects)))
        self.assertEqual(Standing(frozenset()), self.standing((), APP))
        self.assertEqual(Standing(frozenset()), self.standing(()))

    def test_find_repositories(self) -> None:
        """The repositories are found with the rest, by their names."""
        self.make_repository(APP, "anna", 3.5, private=True)
        self.make_repository(TOP, None, 4.5)
        expected = [RepositoryRecord(APP, "anna", True, "", 3.5), RepositoryRecord(TOP, None, False, "", 4.5)]
        found = self.standing({ANYBODY}, APP, TOOL, TOP)
        self.assertEqual({each.name: each for each in expected}, dict(found.repositories))
        self.assertEqual([APP], list(self.standing({ANYBODY}, APP).repositories))

    def test_find_grants(self) -> None:
        """Somebody has the grants of each subject that he is, and of the stored groups that he is in, which match."""
        self.now(self.store.create_group("dev", 1.0))
        self.now(self.store.add_to_group("dev", "anna"))
        for subject in (ANNA, BERTA, DEV, FOREIGN, AUTHENTICATED, ANYBODY):
            for where in ("team/app", "team/tool", "team/*"):
                self.grant(subject, where, PULL)
        found = self.standing({ANNA, ANYBODY}, APP)
        self.assertEqual(frozenset({ANNA, ANYBODY, DEV}), found.subjects)
        here = {(who, where) for who in ("anna", "anonymous", "group:dev") for where in ("team/app", "team/*")}
        self.assertEqual(here, self.patterns(found))
        self.assertEqual(PULL, found.grants[0].actions)
        found = self.standing({FOREIGN, AUTHENTICATED}, TOOL)
        here = {(who, where) for who in ("group:ldap:ops", "authenticated") for where in ("team/tool", "team/*")}
        self.assertEqual(here, self.patterns(found))
        everything = self.now(self.store.find_all({ANNA}))
        self.assertEqual(6, len(everything.grants))

    def test_find_for_several(self) -> None:
        """Of several repositories the grants that match one are found, and those of others with a name of their own not."""
        for where in ("team/app", "other/app", "busybox", "team/**"):
            self.grant(ANNA, where, PULL)
        found = self.standing({ANNA}, APP, TOOL, TOP)
        self.assertEqual({("anna", "team/app"), ("anna", "busybox"), ("anna", "team/**")}, self.patterns(found))

    def test_find_for_many(self) -> None:
        """However many repositories are asked for, each thing is found once."""
        names = [RepositoryName(f"team/{number:03}") for number in range(300)]
        self.make_repository(names[299], None, 1.0)
        self.now(self.store.create_namespace("team", [ANNA], False, 1.0))
        self.grant(ANNA, "team/*", PULL)
        self.grant(ANNA, "team/150", PULL)
        found = self.standing({ANNA}, *names)
        self.assertEqual(2, len(found.grants))
        self.assertEqual({("anna", "team/*"), ("anna", "team/150")}, self.patterns(found))
        self.assertEqual([names[299]], list(found.repositories))
        self.assertEqual({"team": frozenset({Role.OWNER})}, dict(found.roles))

    def test_find_roles(self) -> None:
        """The roles in a namespace are those of the member itself, and of the groups that it is in."""
        self.now(self.store.create_group("dev", 1.0))
        self.now(self.store.add_to_group("dev", "anna"))
        self.now(self.store.create_namespace("team", [DEV, FOREIGN], False, 1.0))
        self.now(self.store.set_member("team", Member(ANNA, Role.READER)))
        self.now(self.store.create_namespace("other", [ANNA], False, 1.0))
        both = frozenset({Role.READER, Role.OWNER})
        self.assertEqual({"team": both}, dict(self.standing({ANNA}, APP).roles))
        self.assertEqual({"team": frozenset({Role.OWNER})}, dict(self.standing({BERTA, FOREIGN}, APP).roles))
        self.assertEqual({}, dict(self.standing({BERTA}, APP).roles))
        owner = frozenset({Role.OWNER})
        self.assertEqual({"team": both, "other": owner}, dict(self.now(self.store.find_all({ANNA})).roles))

    def test_find_namespaces(self) -> None:
        """Of each repository's namespace it is told whether there is a record, and an account of the name."""
        self.now(self.store.create_namespace("team", [], False, 1.0))
        self.make_account("busy", 7.5)
        self.make_account("team", 8.5)
        found = self.standing({ANYBODY}, APP, RepositoryName("busy/box"), RepositoryName("free/x"), TOP)
        self.assertEqual({"team": False}, dict(found.namespaces))
        self.assertEqual({"team": 8.5, "busy": 7.5}, dict(found.accounts))
        self.now(self.store.create_namespace("library", [], None, 1.0))
        self.assertEqual({"library": None}, dict(self.standing({ANYBODY}, TOP).namespaces))

    def test_odd_names(self) -> None:
        """Whoever has a name that can not be stored has no rights that are."""
        self.grant(ANYBODY, "**", PULL)
        for name in ("an\x00na", "\ud800"):
            subjects = {Subject.account(name), Subject.group(f"ldap:{name}"), ANYBODY}
            self.assertEqual({("anonymous", "**")}, self.patterns(self.standing(subjects, APP)))
