"""The stores that authentication asks: what the tests use in memory keeps the promises of the one in SQL."""

from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.interfaces_people import IAccessTokenStore, IAttemptStore, IInvitationStore
from dockreg.interfaces_rights import IRightsStore
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import RepositoryRecord
from dockreg.providers.attempts import MemoryAttemptStore, SharedAttempts
from dockreg.testing import contracts_accounts, contracts_attempts, contracts_people, contracts_rights
from dockreg.testing.accountstores import (
    MemoryAccessTokenStore,
    MemoryAccountStore,
    MemoryInvitationStore,
    MemoryKeyStore,
)
from dockreg.testing.rightsstores import MemoryRightsStore
from tests.unit.providers.auth.support import open_store


class MemoryAccountStoreTests(contracts_accounts.AccountStoreContract):
    def make_account_store(self) -> IAccountStore:
        return MemoryAccountStore()


class SQLAccountStoreTests(contracts_accounts.AccountStoreContract):
    def make_account_store(self) -> IAccountStore:
        return open_store(self).accounts


class MemoryKeyStoreTests(contracts_accounts.KeyStoreContract):
    def make_key_store(self) -> IKeyStore:
        return MemoryKeyStore()


class SQLKeyStoreTests(contracts_accounts.KeyStoreContract):
    def make_key_store(self) -> IKeyStore:
        return open_store(self).keys


class MemoryAccessTokenStoreTests(contracts_people.AccessTokenStoreContract):
    def make_stores(self) -> tuple[IAccessTokenStore, IAccountStore]:
        accounts = MemoryAccountStore()
        return MemoryAccessTokenStore(accounts), accounts


class SQLAccessTokenStoreTests(contracts_people.AccessTokenStoreContract):
    def make_stores(self) -> tuple[IAccessTokenStore, IAccountStore]:
        store = open_store(self)
        return store.access_tokens, store.accounts


class MemoryRightsStoreTests(contracts_rights.RightsStoreContract):
    def make_rights_store(self) -> IRightsStore:
        self.repositories: dict[RepositoryName, RepositoryRecord] = {}
        self.accounts: dict[str, float] = {}
        return MemoryRightsStore(self.repositories.get, self.accounts.get)

    def make_account(self, name: str, now: float) -> None:
        self.accounts[name] = now

    def make_repository(self, name: RepositoryName, owner: str | None, now: float, *, private: bool = False) -> None:
        self.repositories[name] = RepositoryRecord(name, owner, private, "", now)


class SQLRightsStoreTests(contracts_rights.RightsStoreContract):
    def test_deleted_account(self) -> None:
        """The namespace of an account that was deleted is its, and of who is given the name again, with what is in it."""
        self.make_account("team", 5.0)
        self.now(self.metadata.accounts.delete("team", 6.0))
        self.assertEqual({"team": 5.0}, dict(self.standing((), contracts_rights.APP).accounts))
        self.now(self.metadata.accounts.create("team", "x", "", admin=False, now=7.0, again=True))
        self.assertEqual({"team": 0.0}, dict(self.standing((), contracts_rights.APP).accounts))

    def make_rights_store(self) -> IRightsStore:
        self.metadata = open_store(self)
        return self.metadata.rights

    def make_account(self, name: str, now: float) -> None:
        self.now(self.metadata.accounts.create(name, "x", "", admin=False, now=now))

    def make_repository(self, name: RepositoryName, owner: str | None, now: float, *, private: bool = False) -> None:
        self.now(self.metadata.repositories.create(name, owner, now))
        self.now(self.metadata.repositories.set_private(name, private))


class MemoryInvitationStoreTests(contracts_people.InvitationStoreContract):
    def make_stores(self) -> tuple[IInvitationStore, IAccountStore]:
        accounts = MemoryAccountStore()
        return MemoryInvitationStore(accounts), accounts


class SQLInvitationStoreTests(contracts_people.InvitationStoreContract):
    def make_stores(self) -> tuple[IInvitationStore, IAccountStore]:
        store = open_store(self)
        return store.invitations, store.accounts


class MemoryAttemptStoreTests(contracts_attempts.AttemptStoreContract):
    def make_attempt_store(self) -> IAttemptStore:
        return MemoryAttemptStore()


class SQLAttemptStoreTests(contracts_attempts.AttemptStoreContract):
    def make_attempt_store(self) -> IAttemptStore:
        return open_store(self).attempts


class SharedAttemptsTests(contracts_attempts.AttemptStoreContract):
    def make_attempt_store(self) -> IAttemptStore:
        return SharedAttempts(MemoryAttemptStore())
