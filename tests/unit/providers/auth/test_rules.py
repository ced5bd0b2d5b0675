"""Tests of :mod:`dockreg.providers.auth.rules`: the tables in its docstring, row by row."""

from gc import collect
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import ANONYMOUS, Access, Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.rights import MAY_PUSH, Standing
from dockreg.providers.auth import rules
from dockreg.providers.auth.judging import Policy
from dockreg.providers.auth.rules import ANONYMOUS_ACTIONS, Rules
from dockreg.testing import contracts_auth
from tests.unit.providers.auth.rulescase import (
    ABSENT,
    ALL,
    ANNA,
    BERTA,
    EVERYTHING,
    FREE,
    FREE_PRIVATE,
    NOTHING,
    ON_REGISTRY,
    PRIVATE,
    PUBLIC,
    PULL,
    ROBOT,
    ROOT,
    RulesCase,
)


class EmptyRulesTests(RulesCase, contracts_auth.AuthorizerContract):
    def make_authorizer(self) -> IAuthorizer:
        return self.rules("push")


class FilledRulesTests(RulesCase, contracts_auth.AuthorizerContract):
    def make_authorizer(self) -> IAuthorizer:
        self.create(contracts_auth.REPOSITORY, "anna", private=True)
        self.create(contracts_auth.OTHER_REPOSITORY, None)
        return self.rules("pull")


class _Stored:
    """What is stored, as a store tells it that remembers its answers."""

    def __init__(self, answer: Standing) -> None:
        self.answer = answer

    async def find(self, _subjects: object, _name: object) -> Standing:
        return self.answer


class KeptTests(SynchronousTestCase):
    """Judgements that are kept."""

    def ask(self, store: _Stored, name: str = "team/app", principal: Principal = ANONYMOUS) -> frozenset[Action]:
        wanted = Access(RepositoryName(name), frozenset({Action.PULL}))
        return self.successResultOf(Deferred.fromCoroutine(self.rules.granted(principal, wanted)))

    def test_same_standing(self) -> None:
        """They are taken again for the very same answer of the store, and the same principal; for no other."""
        name = RepositoryName("team/app")
        public, private = (
            Standing(frozenset(), repositories={name: RepositoryRecord(name, "berta", each, "", 1.0)})
            for each in (False, True)
        )
        store: Any = _Stored(public)
        self.rules = Rules(store, Policy(PULL))
        for answer, expected in (
            (public, PULL),
            (public, PULL),
            (private, NOTHING),
            (public, PULL),
            (private, NOTHING),
        ):
            store.answer = answer
            self.assertEqual((expected, expected), (self.ask(store), self.ask(store)))
        self.assertEqual(NOTHING, self.ask(store, principal=Principal("anna")))
        self.assertEqual(PULL, self.ask(store, principal=Principal("berta")))
        self.assertEqual(PULL, self.ask(store, principal=Principal("anna", admin=True)))
        self.assertEqual(NOTHING, self.ask(store, principal=Principal("anna", groups=frozenset({"x"}))))
        self.assertEqual(PULL, self.ask(store, "team/other"))

    def test_what_is_stored_goes(self) -> None:
        """They do not keep what was stored, which can be large: the store remembers it for as long as it likes."""
        store: Any = _Stored(Standing(frozenset()))
        self.rules = Rules(store, Policy(PULL))
        self.ask(store)
        before, store.answer = ref(store.answer), Standing(frozenset())
        collect()
        self.assertIsNone(before())

    def test_bounded(self) -> None:
        """How many are kept is bounded."""
        store: Any = _Stored(Standing(frozenset()))
        self.rules = Rules(store, Policy(PULL))
        self.patch(rules, "_MOST_KNOWN", 3)
        for number in range(10):
            self.ask(store, f"a/b{number}")
            self.assertLessEqual(len(self.rules._known), 3)


class RepositoryTests(RulesCase):
    def setUp(self) -> None:
        super().setUp()
        self.fill()

    def test_anonymous(self) -> None:
        """
        Everybody may do what the setting says; private is closed to them, unless nobody owns it and all may push.

        Who may not create what is not there is judged as if it were public, where it would be when it is new.
        """
        self.assert_table(self.rules("push"), ANONYMOUS, MAY_PUSH, NOTHING, EVERYTHING, EVERYTHING, EVERYTHING)
        self.assert_table(self.rules("pull"), ANONYMOUS, PULL, NOTHING, PULL, NOTHING, PULL)
        self.assert_table(self.rules("pull", private=True), ANONYMOUS, PULL, NOTHING, PULL, NOTHING, NOTHING)
        self.assert_table(self.rules("none"), ANONYMOUS, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)

    def test_owner(self) -> None:
        """Who owns a repository administers it, private or not; elsewhere the owner is like others with a name."""
        self.assert_table(self.rules("push"), ANNA, *[EVERYTHING] * 5)
        for setting in ("pull", "none"):
            self.assert_table(self.rules(setting), ANNA, EVERYTHING, EVERYTHING, MAY_PUSH, NOTHING, EVERYTHING)

    def test_other_names(self) -> None:
        """Who has a name may push what is not private, and what they would create would be theirs."""
        self.assert_table(self.rules("push"), BERTA, MAY_PUSH, NOTHING, EVERYTHING, EVERYTHING, EVERYTHING)
        for setting in ("pull", "none"):
            self.assert_table(self.rules(setting), BERTA, MAY_PUSH, NOTHING, MAY_PUSH, NOTHING, EVERYTHING)

    def test_strangers(self) -> None:
        """Where everybody can have a name it changes nothing that somebody else owns."""
        for setting in ("pull", "none"):
            rules = self.rules(setting, strangers=True)
            self.assert_table(rules, BERTA, PULL, NOTHING, MAY_PUSH, NOTHING, EVERYTHING)
            self.assert_table(rules, ANNA, EVERYTHING, EVERYTHING, MAY_PUSH, NOTHING, EVERYTHING)

    def test_administrator(self) -> None:
        """An administrator may do everything everywhere."""
        for setting in ANONYMOUS_ACTIONS:
            self.assert_table(self.rules(setting), ROOT, *[EVERYTHING] * 5)

    def test_robot(self) -> None:
        """A robot has what everybody has, and nothing of the account that it belongs to."""
        self.assert_table(self.rules("push"), ROBOT, MAY_PUSH, NOTHING, EVERYTHING, EVERYTHING, EVERYTHING)
        self.assert_table(self.rules("pull"), ROBOT, PULL, NOTHING, PULL, NOTHING, NOTHING)
        self.assert_table(self.rules("none"), ROBOT, *[NOTHING] * 5)

    def test_namespace_known_elsewhere(self) -> None:
        """A namespace belongs to the one of its name, also when he has no account here."""
        for principal in (Principal("demo"), Principal("free")):
            for name in ALL:
                if name.namespace == principal.name:
                    self.assertEqual(EVERYTHING, self.granted(self.rules("none"), principal, name), (principal, name))
        self.assertEqual(NOTHING, self.granted(self.rules("none"), Principal("dem"), PRIVATE))

    def test_library(self) -> None:
        """An account called library owns no names without a namespace, and keeps nobody from making them."""
        self.account("library")
        name = RepositoryName("secret")
        self.create(name, "anna", private=True)
        self.assertEqual(NOTHING, self.granted(self.rules("none"), Principal("library"), name))
        self.create(RepositoryName("library/a/b"), "anna", private=True)
        self.assertEqual(NOTHING, self.granted(self.rules("none"), Principal("library"), RepositoryName("library/a/b")))
        self.assertEqual(EVERYTHING, self.granted(self.rules("none"), BERTA, "new"))

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
        self.assertEqual(EVERYTHING, self.granted(self.rules("none"), BERTA, PRIVATE))

    def test_absent_like_private(self) -> None:
        """To a name that may not create a repository it looks the same, whether it is private or not there."""
        self.account("demo")
        for setting in ("pull", "none"):
            for strangers in (True, False):
                for private in (True, False):
                    rules = self.rules(setting, strangers=strangers, private=private)
                    for principal in (BERTA, ROBOT):
                        for name in (PRIVATE, ABSENT):
                            self.assertEqual(NOTHING, self.granted(rules, principal, name), (principal, name))
                    absent = self.granted(rules, ANONYMOUS, ABSENT)
                    self.assertEqual(PULL if setting == "pull" and not private else NOTHING, absent)
                    self.assertEqual(NOTHING, self.granted(rules, ANONYMOUS, PRIVATE))


class RegistryTests(RulesCase):
    def test_registry(self) -> None:
        """On the registry as a whole one may pull and push who may at all; administrators administrate it."""
        for setting, anonymous in (("push", ON_REGISTRY), ("pull", PULL), ("none", NOTHING)):
            rules = self.rules(setting)
            self.assertEqual(anonymous, self.granted(rules, ANONYMOUS, None))
            self.assertEqual(ON_REGISTRY, self.granted(rules, ANNA, None))
            self.assertEqual(EVERYTHING, self.granted(rules, ROOT, None))
            self.assertEqual(anonymous, self.granted(rules, ROBOT, None))

    def test_somewhere(self) -> None:
        """Who may pull somewhere may search, and a robot that may push somewhere may push; others are asked for a name."""
        self.grant("anonymous", "sandbox/**", Action.PULL, Action.PUSH)
        for setting in ("pull", "none"):
            self.assertEqual(PULL, self.granted(self.rules(setting), ANONYMOUS, None))
            self.assertEqual(ON_REGISTRY, self.granted(self.rules(setting), ROBOT, None))

    def test_robots(self) -> None:
        """What a robot may do somewhere by a grant, a group, a rule or a role it may do on the registry."""
        self.group("dev", "anna+ci", "anna+cd")
        self.grant("anna+ci", "team/app", Action.PUSH)
        self.grant("group:dev", "team/app", Action.PULL, Action.ADMIN)
        self.namespace("team", **{"anna+team": "writer"})
        rules = self.rules("none", {"who": ["anna+rule"], "repositories": ["x"], "allow": ["pull"]})
        for name, expected in (
            ("ci", ON_REGISTRY),
            ("cd", PULL),
            ("team", ON_REGISTRY),
            ("rule", PULL),
            ("x", NOTHING),
        ):
            self.assertEqual(expected, self.granted(rules, Principal(f"anna+{name}"), None), name)


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
