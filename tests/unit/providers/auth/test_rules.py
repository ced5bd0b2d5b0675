"""Tests of :mod:`dockreg.providers.auth.rules`: the tables in its docstring, row by row."""

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import ANONYMOUS, Access, Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.rights import MAY_PUSH, Grant, Standing, Subject
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
    """What is stored, as a store tells it that says for how long it is the same."""

    def __init__(self, answer: Standing, version: object | None = None) -> None:
        self.answer, self.current = answer, version
        self.asked = 0
        #: What happens before it answers.
        self.before = list[Any]()

    def version(self) -> object | None:
        return self.current

    async def find(self, _subjects: object, _name: object) -> Standing:
        self.asked += 1
        while self.before:
            await self.before.pop()
        return self.answer


class KeptTests(SynchronousTestCase):
    """Judgements that are kept."""

    name = RepositoryName("team/app")

    def use(self, answer: Standing, version: object | None) -> _Stored:
        store: Any = _Stored(answer, version)
        self.rules = Rules(store, Policy(PULL), store.version)
        return store  # type: ignore[no-any-return]  # Any is for what it does not have

    def begin(self, name: str = "team/app", principal: Principal = ANONYMOUS) -> Deferred[frozenset[Action]]:
        wanted = Access(RepositoryName(name), frozenset({Action.PULL}))
        return Deferred.fromCoroutine(self.rules.granted(principal, wanted))

    def ask(self, name: str = "team/app", principal: Principal = ANONYMOUS) -> frozenset[Action]:
        return self.successResultOf(self.begin(name, principal))

    def standing(self, *, private: bool, owner: str = "berta") -> Standing:
        record = RepositoryRecord(self.name, owner, private, "", 1.0)
        return Standing(frozenset(), repositories={self.name: record})

    def test_same_version(self) -> None:
        """They are taken again for as long as nothing has changed, for the same principal and repository alone."""
        public, private, versions = self.standing(private=False), self.standing(private=True), [object(), object()]
        store = self.use(public, versions[0])
        for version, answer, expected in (
            (versions[0], public, PULL),
            (versions[1], private, NOTHING),
            (versions[0], public, PULL),
            (versions[1], private, NOTHING),
        ):
            store.current, store.answer, store.asked = version, answer, 0
            self.assertEqual((expected, expected, 1), (self.ask(), self.ask(), store.asked))
        self.assertEqual(NOTHING, self.ask(principal=Principal("anna")))
        self.assertEqual(PULL, self.ask(principal=Principal("berta")))
        self.assertEqual(PULL, self.ask(principal=Principal("anna", admin=True)))
        self.assertEqual(PULL, self.ask("team/other"))

    def test_unknown_version(self) -> None:
        """Where nobody can tell whether something has changed, each question is asked."""
        store = self.use(self.standing(private=False), None)
        self.assertEqual(PULL, self.ask())
        store.answer = self.standing(private=True)
        self.assertEqual(NOTHING, self.ask())
        store.current = object()
        self.ask()
        store.current, store.answer = None, self.standing(private=False)
        self.assertEqual(PULL, self.ask())

    def test_groups(self) -> None:
        """Whoever is in other groups now, as the source of his credentials tells, is judged anew."""
        grant = Grant(Subject.group("ldap:x"), RepositoryPattern.parse("team/*"), PULL, 1.0)
        store = self.use(Standing(frozenset(), grants=(grant,)), object())
        for number, groups in enumerate((frozenset[str](), frozenset({"ldap:x"}), frozenset({"ldap:y"}))):
            who = Principal("anna", groups=groups)
            self.assertEqual(self.ask(principal=who), self.ask(principal=who))
            self.assertEqual(number + 1, store.asked)

    def test_ceiling(self) -> None:
        """What a token reaches is no part of them."""
        self.use(self.standing(private=True), object())
        berta = Principal("berta")
        below = evolve(berta, ceiling=Ceiling.of(RepositoryName("team/other"), PULL))
        for _ in range(2):
            self.assertEqual((PULL, NOTHING), (self.ask(principal=berta), self.ask(principal=below)))

    def test_changed_meanwhile(self) -> None:
        """What was looked up while something changed is not taken for what is true now."""
        store = self.use(self.standing(private=True), object())
        gate: Deferred[None] = Deferred()
        store.before.append(gate)
        asked = self.begin()
        first, store.current = store.current, object()
        self.assertEqual(NOTHING, self.ask())
        store.answer = self.standing(private=False)
        gate.callback(None)
        self.assertEqual(PULL, self.successResultOf(asked))
        # It is kept for the version that was before, which never comes again.
        self.assertIs(first, self.rules._known_of)
        self.assertEqual(PULL, self.ask())
        self.assertIs(store.current, self.rules._known_of)

    def test_bounded(self) -> None:
        """How many are kept is bounded, and so are the groups in them."""
        self.use(Standing(frozenset()), object())
        self.patch(rules, "_MOST_KNOWN", 8)
        for number in range(20):
            self.ask(f"a/b{number}")
            self.assertLessEqual(len(self.rules._known), 8)
        self.use(Standing(frozenset()), object())
        for number in range(20):
            self.ask(f"a/b{number}", Principal("anna", groups=frozenset({"x", "y", "z"})))
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
