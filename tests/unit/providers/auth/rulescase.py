"""Rules over a store with repositories of each kind."""

from collections.abc import Sequence

from dockreg.configvalues import parse_rule
from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import Access, Action, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import MAY_PUSH, Member, Role, Subject
from dockreg.providers.auth.judging import Policy
from dockreg.providers.auth.rules import ANONYMOUS_ACTIONS, Rules
from dockreg.testing import contracts_auth
from tests.unit.providers.auth.support import open_store

NOTHING: frozenset[Action] = frozenset()
EVERYTHING = frozenset(Action)
PULL = frozenset({Action.PULL})
PUSH = frozenset({Action.PULL, Action.PUSH})
ON_REGISTRY = PUSH
CREATE_ONLY = MAY_PUSH - {Action.OVERWRITE}

ANNA, BERTA, ROOT = Principal("anna"), Principal("berta"), Principal("root", admin=True)
ROBOT = Principal("anna+ci")

#: Made by :meth:`RulesCase.fill`: anna owns demo/*, nobody owns free/*.
PUBLIC, PRIVATE = RepositoryName("demo/public"), RepositoryName("demo/private")
FREE, FREE_PRIVATE = RepositoryName("free/public"), RepositoryName("free/private")
ABSENT = RepositoryName("demo/absent")
ALL = (PUBLIC, PRIVATE, FREE, FREE_PRIVATE, ABSENT)


class RulesCase(contracts_auth.ContractCase):
    """With a store in a file."""

    def setUp(self) -> None:
        self.store = open_store(self)

    def fill(self) -> None:
        for name, owner in ((PUBLIC, "anna"), (PRIVATE, "anna"), (FREE, None), (FREE_PRIVATE, None)):
            self.create(name, owner, private=name in (PRIVATE, FREE_PRIVATE))

    def create(self, name: RepositoryName, owner: str | None, *, private: bool = False, now: float = 5.0) -> None:
        self.now(self.store.repositories.create(name, owner, now))
        self.now(self.store.repositories.set_private(name, private))

    def account(self, name: str, now: float = 1.0) -> None:
        self.now(self.store.accounts.create(name, "x", "", admin=False, now=now))

    def group(self, name: str, *accounts: str) -> None:
        self.now(self.store.rights.create_group(name, 1.0))
        for account in accounts:
            self.now(self.store.rights.add_to_group(name, account))

    def namespace(self, name: str, **members: str) -> None:
        """A record of a namespace, and its members: their texts, with ``__`` for a colon, and roles."""
        self.now(self.store.rights.create_namespace(name, [], None, 1.0))
        for text, role in members.items():
            member = Member(Subject.parse(text.replace("__", ":")), Role(role))
            self.now(self.store.rights.set_member(name, member))

    def grant(self, who: str, where: str, *actions: Action) -> None:
        pattern = RepositoryPattern.parse(where)
        self.now(self.store.rights.grant(Subject.parse(who), pattern, actions, 1.0))

    def rules(
        self, anonymous: str, *tables: dict[str, Sequence[str]], strangers: bool = False, private: bool = False
    ) -> IAuthorizer:
        rules = tuple(map(parse_rule, tables))
        policy = Policy(ANONYMOUS_ACTIONS[anonymous], strangers=strangers, private=private, rules=rules)
        return Rules(self.store.rights, policy, self.store.lasting_version)

    def granted(self, rules: IAuthorizer, principal: Principal, name: RepositoryName | str | None) -> frozenset[Action]:
        """What is granted in a repository; as one of several it has the same, if it is there."""
        repository = RepositoryName(name) if isinstance(name, str) else name
        granted = self.now(rules.granted(principal, Access(repository, EVERYTHING)))
        found = {} if repository is None else self.now(self.store.rights.find((), repository)).repositories
        for record in found.values():
            for action in Action:
                each = self.now(rules.granted_each(principal, action, [ABSENT, record.name, PUBLIC]))
                self.assertEqual(action in granted, record.name in each, (principal, record.name, action))
                listed = self.now(rules.granted_among(principal, action, [record]))
                self.assertEqual([record] if action in granted else [], list(listed), (principal, record, action))
        return granted

    def assert_table(self, rules: IAuthorizer, principal: Principal, *expected: frozenset[Action]) -> None:
        """What is granted in :data:`ALL`, in that order."""
        self.assertEqual(
            dict(zip(ALL, expected, strict=True)), {name: self.granted(rules, principal, name) for name in ALL}
        )
