"""Tests of :mod:`dockreg.providers.auth.rules`: namespaces, groups, grants and the rules of the configuration."""

from dockreg.model.access import ANONYMOUS, Action, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import MAY_PUSH, Subject
from tests.unit.providers.auth.rulescase import (
    ANNA,
    BERTA,
    CREATE_ONLY,
    EVERYTHING,
    NOTHING,
    PULL,
    PUSH,
    ROBOT,
    ROOT,
    RulesCase,
)

CARL, DORA, OTTO = Principal("carl"), Principal("dora"), Principal("otto")
OPEN, SECRET, NEW = RepositoryName("team/open"), RepositoryName("team/secret"), RepositoryName("team/new")


class NamespaceTests(RulesCase):
    """anna owns the namespace team, berta writes in it, carl reads; otto made the repositories that are in it."""

    def setUp(self) -> None:
        super().setUp()
        self.namespace("team", anna="owner", berta="writer", carl="reader")
        self.create(OPEN, "otto")
        self.create(SECRET, "otto", private=True)

    def test_members(self) -> None:
        """Members have what their role allows, in what is private and in what they would create, too."""
        for setting in ("pull", "none"):
            for principal, expected in ((ANNA, EVERYTHING), (BERTA, MAY_PUSH), (CARL, PULL)):
                for name in (OPEN, SECRET, NEW):
                    self.assertEqual(expected, self.granted(self.rules(setting), principal, name), (principal, name))

    def test_others(self) -> None:
        """Others pull what is not private and create nothing, also who made a repository before or after."""
        for setting, everybody in (("push", PULL), ("pull", PULL), ("none", NOTHING)):
            rules = self.rules(setting)
            for principal in (DORA, OTTO, Principal("team"), ROBOT, ANONYMOUS):
                has_a_name = principal.name is not None and not principal.is_robot
                self.assertEqual(PULL if has_a_name else everybody, self.granted(rules, principal, OPEN), principal)
                self.assertEqual(NOTHING, self.granted(rules, principal, SECRET), principal)
                new = everybody if principal.name is None else NOTHING
                self.assertEqual(new, self.granted(rules, principal, NEW), principal)
            self.assertEqual(EVERYTHING, self.granted(rules, ROOT, NEW))

    def test_an_account_of_its_name(self) -> None:
        """Whoever registers the name of a namespace that belongs to its members has nothing of it."""
        self.account("team")
        self.assertEqual(NOTHING, self.granted(self.rules("none"), Principal("team"), SECRET))

    def test_groups(self) -> None:
        """A role of a group is its members', whether the group is stored here or told by who knows them."""
        self.group("dev", "dora", "anna+ci")
        self.namespace("ops", group__dev="writer", group__ldap__ops="reader")
        rules = self.rules("none")
        self.assertEqual(MAY_PUSH, self.granted(rules, DORA, "ops/x"))
        self.assertEqual(MAY_PUSH, self.granted(rules, ROBOT, "ops/x"))
        self.assertEqual(PULL, self.granted(rules, Principal("otto", groups=frozenset({"ldap:ops"})), "ops/x"))
        self.assertEqual(NOTHING, self.granted(rules, Principal("otto", groups=frozenset({"ldap:dev"})), "ops/x"))
        self.now(self.store.rights.remove_from_group("dev", "dora"))
        self.assertEqual(NOTHING, self.granted(rules, DORA, "ops/x"))

    def test_robots(self) -> None:
        """A robot is a member by itself, not by who it belongs to."""
        self.assertEqual(NOTHING, self.granted(self.rules("none"), Principal("anna+x"), OPEN))
        self.namespace("ops", **{"anna+x": "writer"})
        self.assertEqual(MAY_PUSH, self.granted(self.rules("none"), Principal("anna+x"), "ops/new"))
        self.assertEqual(NOTHING, self.granted(self.rules("none"), ANNA, "ops/new"))

    def test_top(self) -> None:
        """Names without a namespace are in library, whose record counts as any other."""
        self.namespace("library", anna="writer")
        self.assertEqual(MAY_PUSH, self.granted(self.rules("push"), ANNA, "busybox"))
        for principal, expected in ((BERTA, NOTHING), (ANONYMOUS, PULL)):
            self.assertEqual(expected, self.granted(self.rules("push"), principal, "busybox"))

    def test_new(self) -> None:
        """Who has no name is told that there is none where what is new is public, by the namespace or else by setting."""
        for private, setting, expected in (
            (None, False, PULL), (None, True, NOTHING), (True, False, NOTHING), (False, True, PULL),
        ):  # fmt: skip
            self.now(self.store.rights.set_new_private("team", private))
            rules = self.rules("pull", private=setting)
            self.assertEqual(expected, self.granted(rules, ANONYMOUS, NEW), (private, setting))
            self.assertEqual(NOTHING, self.granted(rules, DORA, NEW))

    def test_forgotten(self) -> None:
        """Without its record a namespace is as any other: what was made in it belongs to who made it."""
        self.now(self.store.rights.delete_namespace("team"))
        self.assertEqual(EVERYTHING, self.granted(self.rules("none"), OTTO, SECRET))
        self.assertEqual(EVERYTHING, self.granted(self.rules("none"), DORA, NEW))
        self.assertEqual(NOTHING, self.granted(self.rules("none"), ANNA, SECRET))


class AccountNamespaceTests(RulesCase):
    """The namespace anna has an account of its name since second 3."""

    def setUp(self) -> None:
        super().setUp()
        self.account("anna", 3.0)
        self.create(RepositoryName("anna/open"), "otto")
        self.create(RepositoryName("anna/secret"), "anna", private=True)
        self.create(RepositoryName("anna/old"), "otto", private=True, now=2.0)

    def test_its_own(self) -> None:
        """The account may do everything in what was made since it is there, whoever made it."""
        for name in ("anna/open", "anna/secret", "anna/new"):
            self.assertEqual(EVERYTHING, self.granted(self.rules("none"), ANNA, name))

    def test_older(self) -> None:
        """What was there before belongs to who made it: a stranger who registers the name has nothing of it."""
        for strangers in (True, False):
            rules = self.rules("none", strangers=strangers)
            self.assertEqual(EVERYTHING, self.granted(rules, OTTO, "anna/old"))
            self.assertEqual(NOTHING, self.granted(rules, ANNA, "anna/old"))

    def test_others(self) -> None:
        """Others pull what is not private, and create nothing."""
        for setting in ("pull", "none"):
            for principal in (BERTA, OTTO):
                rules = self.rules(setting)
                self.assertEqual(PULL, self.granted(rules, principal, "anna/open"))
                self.assertEqual(NOTHING, self.granted(rules, principal, "anna/secret"))
                self.assertEqual(NOTHING, self.granted(rules, principal, "anna/new"))

    def test_everybody(self) -> None:
        """Where everybody may push, an account's name alone does not keep them from it."""
        self.assertEqual(EVERYTHING, self.granted(self.rules("push"), ANONYMOUS, "anna/new"))
        self.assertEqual(MAY_PUSH, self.granted(self.rules("push"), ANONYMOUS, "anna/open"))
        self.assertEqual(NOTHING, self.granted(self.rules("push"), ANONYMOUS, "anna/secret"))


class GrantTests(RulesCase):
    def setUp(self) -> None:
        super().setUp()
        self.account("team")
        for name in (OPEN, SECRET):
            self.create(name, "team", private=name == SECRET)

    def test_grants(self) -> None:
        """A grant allows its actions to its subject in the repositories that match, and nothing else."""
        self.grant("berta", "team/secret", Action.PULL)
        self.grant("berta", "team/n*", Action.PULL, Action.PUSH)
        rules = self.rules("none")
        self.assertEqual(PULL, self.granted(rules, BERTA, SECRET))
        self.assertEqual(PUSH, self.granted(rules, BERTA, NEW))
        self.assertEqual(PULL, self.granted(rules, BERTA, OPEN))
        self.assertEqual(NOTHING, self.granted(rules, BERTA, "team/xnew"))
        self.assertEqual(NOTHING, self.granted(rules, ANNA, SECRET))
        self.now(self.store.rights.revoke(Subject.parse("berta"), RepositoryPattern("team/n*"), EVERYTHING))
        self.assertEqual(NOTHING, self.granted(rules, BERTA, NEW))

    def test_together(self) -> None:
        """What several grants allow is allowed together."""
        self.group("dev", "berta")
        self.grant("berta", "team/secret", Action.PULL)
        self.grant("group:dev", "team/**", Action.PUSH)
        self.grant("group:ldap:ops", "**", Action.DELETE)
        self.grant("authenticated", "*/secret", Action.ADMIN)
        self.grant("anonymous", "team/secret", Action.OVERWRITE)
        member = Principal("berta", groups=frozenset({"ldap:ops"}))
        self.assertEqual(EVERYTHING, self.granted(self.rules("none"), member, SECRET))
        self.assertEqual(EVERYTHING - {Action.DELETE}, self.granted(self.rules("none"), BERTA, SECRET))

    def test_whom(self) -> None:
        """All who have a name are not everybody, and no robots; what everybody has, all have."""
        self.grant("authenticated", "team/secret", Action.PUSH)
        self.grant("anonymous", "team/secret", Action.PULL)
        rules = self.rules("none")
        self.assertEqual(PUSH, self.granted(rules, BERTA, SECRET))
        self.assertEqual(PULL, self.granted(rules, ROBOT, SECRET))
        self.assertEqual(PULL, self.granted(rules, ANONYMOUS, SECRET))

    def test_robot(self) -> None:
        """A robot has its own grants and those of its groups; those of its owner it has not, nor he its."""
        self.group("bots", "anna+ci")
        self.grant("anna+ci", "team/secret", Action.PULL)
        self.grant("group:bots", "team/secret", Action.PUSH)
        self.grant("anna", "team/secret", Action.DELETE)
        self.assertEqual(PUSH, self.granted(self.rules("none"), ROBOT, SECRET))
        self.assertEqual({Action.DELETE}, self.granted(self.rules("none"), ANNA, SECRET))

    def test_names_of_words(self) -> None:
        """An account called anonymous, or as a group, has nothing of what everybody or the group has."""
        self.group("dev")
        self.grant("authenticated", "team/secret", Action.PUSH)
        self.grant("group:dev", "team/secret", Action.DELETE)
        self.grant("account:anonymous", "team/secret", Action.ADMIN)
        rules = self.rules("none")
        self.assertEqual({Action.PUSH}, self.granted(rules, Principal("group:dev"), SECRET))
        self.assertEqual({Action.PUSH, Action.ADMIN}, self.granted(rules, Principal("anonymous"), SECRET))
        self.assertEqual(NOTHING, self.granted(rules, ANONYMOUS, SECRET))

    def test_library(self) -> None:
        """A name without a namespace is granted in both spellings, and ``library/*`` is all of them."""
        self.create(RepositoryName("busybox"), "otto", private=True)
        for who, where in (("anna", "busybox"), ("berta", "library/busybox"), ("carl", "library/*"), ("dora", "*")):
            self.grant(who, where, Action.PULL)
            self.assertEqual(PULL, self.granted(self.rules("none"), Principal(who), "busybox"), where)


class ConfiguredRuleTests(RulesCase):
    def setUp(self) -> None:
        super().setUp()
        self.account("team")
        for name in (OPEN, SECRET):
            self.create(name, "team", private=name == SECRET)

    def test_allow(self) -> None:
        """A rule allows its actions to those it names in the repositories that match one of its patterns."""
        self.group("dev", "berta")
        rules = self.rules(
            "none",
            {"who": ["anna", "group:dev", "group:ldap:ops"], "repositories": ["x", "team/s*"], "allow": ["pull"]},
            {"who": ["anonymous"], "repositories": ["sandbox/**"], "allow": ["pull", "push"]},
            {"who": ["authenticated"], "repositories": ["team/secret"], "allow": ["delete"]},
        )
        read_and_delete = {Action.PULL, Action.DELETE}
        outsider = Principal("otto", groups=frozenset({"ldap:ops"}))
        for principal in (ANNA, BERTA, outsider):
            self.assertEqual(read_and_delete, self.granted(rules, principal, SECRET), principal)
        self.assertEqual({Action.DELETE}, self.granted(rules, CARL, SECRET))
        self.assertEqual(NOTHING, self.granted(rules, ROBOT, SECRET))
        for principal in (ROBOT, ANONYMOUS):
            self.assertEqual(PUSH, self.granted(rules, principal, "sandbox/new"))
            self.assertEqual(NOTHING, self.granted(rules, principal, "sandbox"))

    def test_deny(self) -> None:
        """What is denied is denied whatever allows it: ownership, a role, a grant or a rule; administrators may."""
        self.namespace("ops", anna="owner")
        self.create(RepositoryName("ops/app"), None)
        self.create(RepositoryName("free/app"), "anna")
        self.grant("anna", "**", *Action)
        rules = self.rules(
            "push",
            {
                "who": ["authenticated", "anonymous"],
                "repositories": ["**"],
                "allow": ["overwrite"],
                "deny": ["overwrite"],
            },
        )
        for name in ("ops/app", "ops/new", "free/app", "free/new", "anna/new"):
            self.assertEqual(EVERYTHING - {Action.OVERWRITE}, self.granted(rules, ANNA, name), name)
        self.assertEqual(CREATE_ONLY, self.granted(rules, ANONYMOUS, "free/app"))
        self.assertEqual(CREATE_ONLY | {Action.ADMIN}, self.granted(rules, ROBOT, "free/new"))
        self.assertEqual(EVERYTHING, self.granted(rules, ROOT, "free/app"))

    def test_deny_to_some(self) -> None:
        """What is denied to who has no name is denied to no others, and what is denied to a name to no others either."""
        rules = self.rules(
            "pull",
            {"who": ["anonymous"], "repositories": ["team/**"], "deny": ["pull"]},
            {"who": ["berta"], "repositories": ["team/open"], "deny": ["pull"]},
        )
        self.assertEqual(NOTHING, self.granted(rules, ANONYMOUS, OPEN))
        self.assertEqual(PULL, self.granted(rules, CARL, OPEN))
        self.assertEqual(PULL, self.granted(rules, ROBOT, OPEN))
        self.assertEqual(NOTHING, self.granted(rules, BERTA, OPEN))

    def test_deny_elsewhere(self) -> None:
        """A rule denies nothing in repositories that its patterns do not match."""
        rules = self.rules("pull", {"who": ["anonymous"], "repositories": ["team/s*"], "deny": ["pull"]})
        self.assertEqual(PULL, self.granted(rules, ANONYMOUS, OPEN))
