"""Accounts and keys in memory, for tests of what uses them."""

from collections.abc import Callable, Mapping, Sequence

from attrs import Factory, define, evolve
from zope.interface import implementer

from dockreg.errors import AccountExists, AccountInvalid, AccountUnknown
from dockreg.errors_access import AccessTokenUnknown, InvitationInvalid, InvitationUnknown
from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.interfaces_people import IAccessTokenStore, IInvitationStore
from dockreg.model.accesstokens import AccessToken
from dockreg.model.accounts import NO_HASH, Account, SigningKey
from dockreg.model.invitations import Invitation


@implementer(IAccountStore)
@define(eq=False)
class MemoryAccountStore:
    """Accounts that are gone with the process."""

    _accounts: dict[str, Account] = Factory(dict)
    _deleted: set[str] = Factory(set)

    async def create(
        self, name: str, password_hash: str, email: str, admin: bool, now: float, again: bool = False
    ) -> Account:
        """See :meth:`.IAccountStore.create`."""
        renewed_at = now if again and name in self._deleted else None
        if renewed_at is not None:
            self._deleted.discard(name)
        if name in self._accounts or name in self._deleted:
            raise AccountExists(name)
        self._check_email(name, email)
        account = Account(name, password_hash, email, active=True, admin=admin, created_at=now, renewed_at=renewed_at)
        return self._put(account)

    async def create_robot(self, name: str, owner: str, now: float, most: int = 100) -> Account:
        """See :meth:`.IAccountStore.create_robot`."""
        await self.get(owner)
        if len(await self.list_robots(owner)) >= most:
            raise AccountInvalid("too many robots")
        if name in self._accounts:
            raise AccountExists(name)
        self._put(Account(name, NO_HASH, "", active=True, admin=False, created_at=now, owner=owner))
        return await self.get(name)

    async def delete(self, name: str, now: float, heir: str | None = None) -> None:
        """See :meth:`.IAccountStore.delete`; there are no repositories here."""
        await self.get(heir or name)
        if (await self.get(name)).owner is None:
            self._deleted.add(name)
        self._accounts = {each.name: each for each in self._accounts.values() if name not in (each.name, each.owner)}

    async def get(self, name: str) -> Account:
        """See :meth:`.IAccountStore.get`."""
        try:
            account = self._accounts[name]
        except KeyError:
            raise AccountUnknown(name, deleted=name in self._deleted) from None
        return evolve(account, owner_active=account.owner is None or self._accounts[account.owner].active)

    async def list_all(self) -> Sequence[Account]:
        """See :meth:`.IAccountStore.list_all`."""
        return [await self.get(name) for name in sorted(self._accounts)]

    async def list_robots(self, owner: str) -> Sequence[Account]:
        """See :meth:`.IAccountStore.list_robots`."""
        return [each for each in await self.list_all() if each.owner == owner]

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
    """Keys that are gone with the process."""

    _keys: dict[str, list[SigningKey]] = Factory(dict)

    async def get(
        self, purpose: str, make: Callable[[], SigningKey]
    ) -> Sequence[SigningKey]:  # the key that is made says when
        """See :meth:`.IKeyStore.get`."""
        if purpose not in self._keys:
            self._keys[purpose] = [make()]
        return list(self._keys[purpose])

    async def add(self, purpose: str, key: SigningKey) -> SigningKey:
        """See :meth:`.IKeyStore.add`."""
        keys = self._keys.setdefault(purpose, [])
        kept = evolve(key, created_at=max(each.created_at for each in (key, *keys)))
        keys.insert(0, kept)
        return kept

    async def remove(self, purpose: str, key_id: str) -> None:
        """See :meth:`.IKeyStore.remove`."""
        kept = [key for key in self._keys.pop(purpose, []) if key.key_id != key_id]
        if kept:
            self._keys[purpose] = kept

    async def list_all(self) -> Mapping[str, Sequence[SigningKey]]:
        """See :meth:`.IKeyStore.list_all`."""
        return {purpose: list(keys) for purpose, keys in self._keys.items()}


@implementer(IAccessTokenStore)
@define(eq=False)
class MemoryAccessTokenStore:
    """Access tokens of the accounts of a :class:`MemoryAccountStore`, gone with the process."""

    _accounts: IAccountStore
    _tokens: dict[str, tuple[AccessToken, bytes, Account]] = Factory(dict)

    async def add(self, token: AccessToken, digest: bytes, most: int) -> None:
        """See :meth:`.IAccessTokenStore.add`."""
        account = await self._accounts.get(token.account)
        own = await self.list_all(token.account)
        for each in own:
            if each.expires_at is not None and each.expires_at <= token.created_at - 30 * 86400:
                del self._tokens[each.token_id]
        if sum(not each.is_over(token.created_at) for each in own) >= most:
            raise AccountInvalid("too many access tokens")
        self._tokens[token.token_id] = (token, digest, account)

    async def get(self, token_id: str) -> tuple[AccessToken, bytes]:
        """See :meth:`.IAccessTokenStore.get`."""
        try:
            token, digest, account = self._tokens[token_id]
            present = await self._accounts.get(token.account)
        except (KeyError, AccountUnknown):
            raise AccessTokenUnknown(token_id) from None
        if present.created_at != account.created_at:
            raise AccessTokenUnknown(token_id)
        return token, digest

    async def list_all(self, account: str | None) -> Sequence[AccessToken]:
        """See :meth:`.IAccessTokenStore.list_all`."""
        found = []
        for token_id in self._tokens:
            try:
                token, _ = await self.get(token_id)
            except AccessTokenUnknown:
                continue
            if account in (None, token.account):
                found.append(token)
        return sorted(found, key=lambda each: (each.account, each.created_at, each.token_id))

    async def revoke(self, token_id: str, account: str | None) -> AccessToken:
        """See :meth:`.IAccessTokenStore.revoke`."""
        token, _ = await self.get(token_id)
        if account not in (None, token.account):
            raise AccessTokenUnknown(token_id)
        del self._tokens[token_id]
        return token

    async def note_use(self, token_id: str, now: float) -> None:
        """See :meth:`.IAccessTokenStore.note_use`."""
        if token_id in self._tokens:
            token, digest, account = self._tokens[token_id]
            self._tokens[token_id] = (evolve(token, used_at=now), digest, account)


@implementer(IInvitationStore)
@define(eq=False)
class MemoryInvitationStore:
    """Invitations to a :class:`MemoryAccountStore`, gone with the process."""

    _accounts: IAccountStore
    _invitations: dict[bytes, Invitation] = Factory(dict)

    async def add(self, invitation: Invitation, digest: bytes) -> None:
        """See :meth:`.IInvitationStore.add`."""
        long_ago = invitation.created_at - 30 * 86400
        self._invitations = {
            known: each
            for known, each in self._invitations.items()
            if each.used_by is not None or each.expires_at > long_ago
        }
        self._invitations[digest] = invitation

    async def get(self, digest: bytes) -> Invitation:
        """See :meth:`.IInvitationStore.get`."""
        try:
            return self._invitations[digest]
        except KeyError:
            raise InvitationInvalid from None

    async def list_all(self) -> Sequence[Invitation]:
        """See :meth:`.IInvitationStore.list_all`."""
        return sorted(self._invitations.values(), key=lambda each: (each.created_at, each.invitation_id))

    async def revoke(self, invitation_id: str) -> Invitation:
        """See :meth:`.IInvitationStore.revoke`."""
        for digest, each in self._invitations.items():
            if each.invitation_id == invitation_id:
                return self._invitations.pop(digest)
        raise InvitationUnknown(invitation_id)

    async def redeem(self, digest: bytes, name: str, password_hash: str, email: str, now: float) -> Account:
        """See :meth:`.IInvitationStore.redeem`."""
        invitation = await self.get(digest)
        if not invitation.is_good(now):
            raise InvitationInvalid
        account = await self._accounts.create(name, password_hash, email, admin=False, now=now)
        self._invitations[digest] = evolve(invitation, used_by=name)
        return account
