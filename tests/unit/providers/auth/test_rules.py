"""Tests of :mod:`dockreg.providers.auth.rules`: the table in its docstring, row by row."""

from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import ANONYMOUS, Access, Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.providers.auth.rules import ANONYMOUS_ACTIONS, MAY_PUSH, Rules
from dockreg.testing import contracts_auth
from tests.unit.providers.auth.support import open_store

NOTHING: frozenset[Action] = frozenset()
EVERYTHING = frozenset(Action)
PULL = frozenset({Action.PULL})
OWNED = MAY_PUSH | {Action.ADMIN}

ANNA, BERTA, ROOT = Principal("anna"), Principal("berta"), Principal("root", admin=True)

#: Made below: anna owns demo/*, nobody owns free/*.
PUBLIC, PRIVATE = RepositoryName("demo/public"), RepositoryName("demo/private")
FREE, FREE_PRIVATE = RepositoryName("free/public"), RepositoryName("free/private")
ABSENT = RepositoryName("demo/absent")
ALL = (PUBLIC, PRIVATE, FREE, FREE_PRIVATE, ABSENT)


class RulesCase(contracts_auth.ContractCase):
    """Rules over a store with repositories of each kind."""

    def setUp(self) -> None:
        self.store = open_store(self)

    def fill(self) -> None:
        for name, owner in ((PUBLIC, "anna"), (PRIVATE, "anna"), (FREE, None), (FREE_PRIVATE, None)):
            self.create(name, owner, private=name in (PRIVATE, FREE_PRIVATE))

    def create(self, name: RepositoryName, owner: str | None, *, private: bool = False) -> None:
        self.now(self.store.repositories.create(name, owner, 0.0))
        self.now(self.store.repositories.set_private(name, private))

    def rules(self, anonymous: str, authenticated: frozenset[Action] = MAY_PUSH) -> IAuthorizer:
        return Rules(self.store.repositories, ANONYMOUS_ACTIONS[anonymous], authenticated)

    def granted(self, rules: IAuthorizer, principal: Principal, name: RepositoryName | None) -> frozenset[Action]:
        return self.now(rules.granted(principal, Access(name, EVERYTHING)))

    def assert_table(self, rules: IAuthorizer, principal: Principal, *expected: frozenset[Action]) -> None:
        """What is granted in :data:`ALL`, in that order."""
        self.assertEqual(
            dict(zip(ALL, expected, strict=True)), {name: self.granted(rules, principal, name) for name in ALL}
        )


class EmptyRulesTests(RulesCase, contracts_auth.AuthorizerContract):
    def make_authorizer(self) -> IAuthorizer:
        return self.rules("push")


class FilledRulesTests(RulesCase, contracts_auth.AuthorizerContract):
    def make_authorizer(self) -> IAuthorizer:
        self.create(contracts_auth.REPOSITORY, "anna", private=True)
        self.create(contracts_auth.OTHER_REPOSITORY, None)
        return self.rules("pull")


class RepositoryTests(RulesCase):
    def setUp(self) -> None:
        super().setUp()
        self.fill()

    def test_anonymous(self) -> None:
        """Everybody may do what the setting says; private is closed to them, unless nobody owns it and all may push."""
        self.assert_table(self.rules("push"), ANONYMOUS, MAY_PUSH, NOTHING, OWNED, OWNED, OWNED)
        self.assert_table(self.rules("pull"), ANONYMOUS, PULL, NOTHING, PULL, NOTHING, PULL)
        self.assert_table(self.rules("none"), ANONYMOUS, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)

    def test_owner(self) -> None:
        """Who owns a repository administers it, private or not; elsewhere the owner is like others with a name."""
        self.assert_table(self.rules("push"), ANNA, OWNED, OWNED, OWNED, OWNED, OWNED)
        for setting in ("pull", "none"):
            self.assert_table(self.rules(setting), ANNA, OWNED, OWNED, MAY_PUSH, NOTHING, OWNED)

    def test_other_names(self) -> None:
        """Who has a name may push what is not private, and what they would create would be theirs."""
        self.assert_table(self.rules("push"), BERTA, MAY_PUSH, NOTHING, OWNED, OWNED, OWNED)
        for setting in ("pull", "none"):
            self.assert_table(self.rules(setting), BERTA, MAY_PUSH, NOTHING, MAY_PUSH, NOTHING, OWNED)

    def test_administrator(self) -> None:
        """An administrator may do everything everywhere."""
        for setting in ANONYMOUS_ACTIONS:
            self.assert_table(self.rules(setting), ROOT, *[EVERYTHING] * 5)

    def test_namespace(self) -> None:
        """A namespace belongs to the account of its name, whoever owns the repositories in it."""
        for principal in (Principal("demo"), Principal("free")):
            expected = [OWNED if name.namespace == principal.name else None for name in ALL]
            for name, actions in zip(ALL, expected, strict=True):
                if actions is not None:
                    self.assertEqual(actions, self.granted(self.rules("none"), principal, name), (principal, name))
        self.assertEqual(NOTHING, self.granted(self.rules("none"), Principal("dem"), PRIVATE))

    def test_library(self) -> None:
        """An account called library owns no names without a namespace."""
        name = RepositoryName("secret")
        self.create(name, "anna", private=True)
        self.assertEqual(NOTHING, self.granted(self.rules("none"), Principal("library"), name))
        self.create(RepositoryName("library/a/b"), "anna", private=True)
        self.assertEqual(NOTHING, self.granted(self.rules("none"), Principal("library"), RepositoryName("library/a/b")))

    def test_fewer_for_names(self) -> None:
        """Where names may only pull they own nothing that they could create, and lose nothing that everybody has."""
        rules = self.rules("none", PULL)
        self.assert_table(rules, BERTA, PULL, NOTHING, PULL, NOTHING, PULL)
        rules = self.rules("push", NOTHING)
        self.assert_table(rules, BERTA, MAY_PUSH, NOTHING, OWNED, OWNED, OWNED)

    def test_changes_count_at_once(self) -> None:
        """A repository that turns private, or back, is judged so by the next request."""
        rules = self.rules("pull")
        self.now(self.store.repositories.set_private(PUBLIC, True))
        self.assertEqual(NOTHING, self.granted(rules, BERTA, PUBLIC))
        self.now(self.store.repositories.set_private(PUBLIC, False))
        self.assertEqual(MAY_PUSH, self.granted(rules, BERTA, PUBLIC))

    def test_deleted(self) -> None:
        """A repository that was deleted is judged as one that was never there."""
        self.now(self.store.repositories.delete(PRIVATE, 1.0))
        self.assertEqual(OWNED, self.granted(self.rules("none"), BERTA, PRIVATE))


class RegistryTests(RulesCase):
    def test_registry(self) -> None:
        """On the registry as a whole one may pull and push who may at all; administrators administrate it."""
        both = frozenset({Action.PULL, Action.PUSH})
        for setting, anonymous in (("push", both), ("pull", PULL), ("none", NOTHING)):
            rules = self.rules(setting)
            self.assertEqual(anonymous, self.granted(rules, ANONYMOUS, None))
            self.assertEqual(both, self.granted(rules, ANNA, None))
            self.assertEqual(EVERYTHING, self.granted(rules, ROOT, None))
        self.assertEqual(NOTHING, self.granted(self.rules("none", NOTHING), ANNA, None))
        self.assertEqual(both, self.granted(self.rules("push", NOTHING), ANNA, None))


class CeilingTests(RulesCase):
    def setUp(self) -> None:
        super().setUp()
        self.fill()

    def bearer(self, name: str | None, repository: RepositoryName, *actions: Action, admin: bool = False) -> Principal:
        return Principal(name, admin=admin, ceiling=Ceiling.of(repository, frozenset(actions)))

    def test_in_its_repository(self) -> None:
        """A token gives its actions as far as its bearer still has them."""
        rules = self.rules("pull")
        read, write = (Action.PULL,), (Action.PULL, Action.PUSH, Action.OVERWRITE)
        self.assertEqual(frozenset(read), self.granted(rules, self.bearer("anna", PRIVATE, *read), PRIVATE))
        self.assertEqual(frozenset(write), self.granted(rules, self.bearer("anna", PRIVATE, *write), PRIVATE))
        self.assertEqual(NOTHING, self.granted(rules, self.bearer("berta", PRIVATE, *write), PRIVATE))
        self.assertEqual(PULL, self.granted(rules, self.bearer(None, PUBLIC, *write), PUBLIC))
        self.assertEqual(
            frozenset(write), self.granted(rules, self.bearer("root", PRIVATE, *write, admin=True), PRIVATE)
        )

    def test_reading_only(self) -> None:
        """A token for reading does not push, even where everybody may."""
        self.assertEqual(PULL, self.granted(self.rules("push"), self.bearer(None, FREE, Action.PULL), FREE))

    def test_elsewhere(self) -> None:
        """In another repository, and on the registry as a whole, a token gives nothing, even where all is open."""
        for setting in ANONYMOUS_ACTIONS:
            rules = self.rules(setting)
            for bearer in (self.bearer("anna", FREE, *Action), self.bearer("root", FREE, *Action, admin=True)):
                for name in (PUBLIC, PRIVATE, FREE_PRIVATE, ABSENT, None):
                    self.assertEqual(NOTHING, self.granted(rules, bearer, name))
