"""Accounts and keys in memory, for tests of what uses them."""

from collections.abc import Callable, Sequence

from attrs import Factory, define, evolve
from zope.interface import implementer

from dockreg.errors import AccountExists, AccountUnknown
from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.model.accounts import Account, SigningKey


@implementer(IAccountStore)
@define(eq=False)
class MemoryAccountStore:
    """Accounts that are gone with the process."""

    _accounts: dict[str, Account] = Factory(dict)

    async def create(self, name: str, password_hash: str, email: str, admin: bool, now: float) -> Account:
        """See :meth:`.IAccountStore.create`."""
        if name in self._accounts:
            raise AccountExists(name)
        self._check_email(name, email)
        return self._put(Account(name, password_hash, email, active=True, admin=admin, created_at=now))

    async def get(self, name: str) -> Account:
        """See :meth:`.IAccountStore.get`."""
        try:
            return self._accounts[name]
        except KeyError:
            raise AccountUnknown(name) from None

    async def list_all(self) -> Sequence[Account]:
        """See :meth:`.IAccountStore.list_all`."""
        return [self._accounts[name] for name in sorted(self._accounts)]

    async def change(
        self,
        name: str,
        password_hash: str | None = None,
        email: str | None = None,
        active: bool | None = None,
        admin: bool | None = None,
    ) -> Account:
        """See :meth:`.IAccountStore.change`."""
        account = await self.get(name)
        self._check_email(name, email or "")
        return self._put(
            evolve(
                account,
                password_hash=account.password_hash if password_hash is None else password_hash,
                email=account.email if email is None else email,
                active=account.active if active is None else active,
                admin=account.admin if admin is None else admin,
            )
        )

    def _put(self, account: Account) -> Account:
        self._accounts[account.name] = account
        return account

    def _check_email(self, name: str, email: str) -> None:
        if email and any(other.email == email and other.name != name for other in self._accounts.values()):
            raise AccountExists(email)


@implementer(IKeyStore)
@define(eq=False)
class MemoryKeyStore:
    """Keys that are gone with the process; :meth:`rotate` adds one as an operator would."""

    _keys: dict[str, list[SigningKey]] = Factory(dict)

    async def get(
        self, purpose: str, make: Callable[[], SigningKey]
    ) -> Sequence[SigningKey]:  # the key that is made says when
        """See :meth:`.IKeyStore.get`."""
        if purpose not in self._keys:
            self._keys[purpose] = [make()]
        return list(self._keys[purpose])

    def rotate(self, purpose: str, key: SigningKey) -> None:
        """Put ``key`` before the others."""
        self._keys.setdefault(purpose, []).insert(0, key)

    def retire(self, purpose: str, key_id: str) -> None:
        """Forget one key."""
        self._keys[purpose] = [key for key in self._keys[purpose] if key.key_id != key_id]
