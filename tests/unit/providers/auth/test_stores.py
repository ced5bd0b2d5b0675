"""The stores that authentication asks: what the tests use in memory keeps the promises of the one in SQL."""

from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.interfaces_people import IAccessTokenStore
from dockreg.model.accounts import SigningKey
from dockreg.testing import contracts_accounts, contracts_people
from dockreg.testing.accountstores import MemoryAccessTokenStore, MemoryAccountStore, MemoryKeyStore
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

    def test_rotation(self) -> None:
        """A key that was added comes first, and one that was retired is gone."""
        store = MemoryKeyStore()
        old, new = (SigningKey(name, b"x" * 32, 1.0) for name in ("old", "new"))
        self.now(store.get("a", lambda: old))
        store.rotate("a", new)
        self.assertEqual([new, old], list(self.now(store.get("a", lambda: old))))
        store.retire("a", "old")
        self.assertEqual([new], list(self.now(store.get("a", lambda: old))))


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
