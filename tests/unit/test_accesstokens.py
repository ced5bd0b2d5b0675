"""Tests of :mod:`dockreg.accesstokens`."""

from typing import Any, cast

from attrs import define
from twisted.internet.task import Clock

from dockreg.accesstokens import MAX_SCOPES, MAX_TOKENS, NOTE_SECONDS, AccessTokens
from dockreg.errors import AccountInvalid, AccountUnknown, StorageFull, Unauthorized
from dockreg.errors_access import AccessTokenUnknown
from dockreg.interfaces_people import IAccessTokenStore
from dockreg.model.accesstokens import AccessToken, TokenText, parse_scope
from dockreg.testing.accountstores import MemoryAccessTokenStore, MemoryAccountStore
from dockreg.testing.contracts_auth import ContractCase
from tests.unit.providers.auth.support import counted_bytes

SCOPES = [parse_scope("team/**:pull,push")]


@define(eq=False)
class Noting:
    """A store that writes down when it is told of uses, and may fail then."""

    store: MemoryAccessTokenStore
    noted: list[float]
    problem: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def note_use(self, token_id: str, now: float) -> None:
        if self.problem is not None:
            raise self.problem
        self.noted.append(now)
        await self.store.note_use(token_id, now)


class AccessTokensTests(ContractCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.accounts = MemoryAccountStore()
        for name in ("anna", "berta"):
            self.now(self.accounts.create(name, "hash", "", admin=False, now=0.0))
        self.store = MemoryAccessTokenStore(self.accounts)
        self.tokens = AccessTokens(self.store, self.clock, counted_bytes())

    def create(self, account: str = "anna", lifetime: float | None = 100.0) -> tuple[AccessToken, bytes]:
        token, text = self.now(self.tokens.create(account, SCOPES, "for tests", lifetime))
        return token, text.encode()

    def test_create(self) -> None:
        """A token is for its account, with the scopes and the time that were asked for."""
        token, text = self.create()
        now = 1_400_000_000
        self.assertEqual(AccessToken(token.token_id, "anna", "for tests", tuple(SCOPES), now, now + 100), token)
        self.assertEqual(None, self.create(lifetime=None)[0].expires_at)
        self.assertEqual(token, self.now(self.tokens.presented(b"anna", text)))

    def test_only_a_hash_is_stored(self) -> None:
        """Nothing that is stored of a token is enough to log in."""
        token, text = self.create()
        stored, digest = self.now(self.store.get(token.token_id))
        self.assertEqual(32, len(digest))
        for leaked in (repr(stored), digest.hex(), repr(digest)):
            self.fails(Unauthorized, self.tokens.presented(b"anna", self.guess(token)))
            self.assertNotIn(text.decode()[19:], leaked)

    def test_create_refused(self) -> None:
        """A token for nobody, without an action, without a time, or too much of anything, is not made."""
        for account, scopes, description, lifetime, kind in (
            ("carla", SCOPES, "", 1.0, AccountUnknown),
            ("anna", [], "", 1.0, AccountInvalid),
            ("anna", SCOPES * (MAX_SCOPES + 1), "", 1.0, AccountInvalid),
            ("anna", SCOPES, "x" * 201, 1.0, AccountInvalid),
            ("anna", SCOPES, "a\nb", 1.0, AccountInvalid),
            ("anna", SCOPES, "", 0.0, AccountInvalid),
        ):
            self.fails(kind, self.tokens.create(account, scopes, description, lifetime))
        self.assertEqual([], self.now(self.tokens.list_all()))

    def test_most(self) -> None:
        """An account has a limited number of tokens; each that is revoked makes room."""
        made = [self.create()[0] for _ in range(MAX_TOKENS)]
        self.fails(AccountInvalid, self.tokens.create("anna", SCOPES, "", None))
        self.create("berta")
        self.now(self.tokens.revoke(made[7].token_id, "anna"))
        self.create()

    def test_other_passwords(self) -> None:
        """What has not the form of a token is for others to check."""
        _, text = self.create()
        for password in (
            b"",
            b"secret",
            b"dockreg_x",
            text[:-1],
            text + b"x",
            text.lower(),
            "pässword".encode(),
            b"\xff",
        ):
            self.assertIsNone(self.now(self.tokens.presented(b"anna", password)))

    def test_refused(self) -> None:
        """Unknown, revoked, expired and somebody else's: all of them are told the same."""
        token, text = self.create()
        _, revoked = self.create()
        self.now(self.tokens.revoke(TokenText.parse(revoked.decode()).token_id))  # type: ignore[union-attr]  # it is one
        other_secret = TokenText.make(lambda size: b"\x07" * size).text.encode()
        guessed = self.guess(token)
        refused = [(b"anna", other_secret), (b"anna", revoked), (b"berta", text), (b"", text), (b"anna", guessed)]
        told = {str(self.fails(Unauthorized, self.tokens.presented(*each))) for each in refused}
        self.clock.advance(100)
        told.add(str(self.fails(Unauthorized, self.tokens.presented(b"anna", text))))
        self.assertEqual(1, len(told))

    def guess(self, first: AccessToken) -> bytes:
        """A well-formed token with the id of the first that was made, and another secret."""
        parts = iter([(1).to_bytes(8, "big"), b"\x09" * 32])
        text = TokenText.make(lambda _size: next(parts))
        self.assertEqual(first.token_id, text.token_id)
        return text.text.encode()

    def test_current(self) -> None:
        """A token that was presented is asked about later, until it is revoked or over."""
        token, _ = self.create()
        other, _ = self.create(lifetime=None)
        self.assertEqual(token.token_id, self.now(self.tokens.current(token.token_id)).token_id)
        self.clock.advance(100)
        self.fails(Unauthorized, self.tokens.current(token.token_id))
        self.now(self.tokens.current(other.token_id))
        self.now(self.tokens.revoke(other.token_id))
        problem = self.fails(Unauthorized, self.tokens.current(other.token_id))
        assert isinstance(problem, Unauthorized)
        self.assertEqual("invalid_token", problem.fault)

    def test_revoke(self) -> None:
        """A token is revoked once, and by its owner or an operator."""
        token, text = self.create()
        self.fails(AccessTokenUnknown, self.tokens.revoke(token.token_id, "berta"))
        self.now(self.tokens.presented(b"anna", text))
        self.assertEqual(token.token_id, self.now(self.tokens.revoke(token.token_id, "anna")).token_id)
        self.fails(AccessTokenUnknown, self.tokens.revoke(token.token_id))
        self.fails(Unauthorized, self.tokens.presented(b"anna", text))

    def test_use(self) -> None:
        """The last use is noted, and in steps: not a write for every request."""
        noted: list[float] = []
        self.tokens = AccessTokens(cast("IAccessTokenStore", Noting(self.store, noted)), self.clock, counted_bytes())
        token, text = self.create(lifetime=None)
        for _ in range(3):
            self.now(self.tokens.presented(b"anna", text))
            self.now(self.tokens.current(token.token_id))
        self.assertEqual([1_400_000_000], noted)
        self.clock.advance(NOTE_SECONDS - 1)
        self.now(self.tokens.presented(b"anna", text))
        self.assertEqual(1, len(noted))
        self.clock.advance(1)
        self.now(self.tokens.current(token.token_id))
        self.assertEqual([1_400_000_000, 1_400_000_000 + NOTE_SECONDS], noted)
        self.assertEqual(noted[-1], self.now(self.store.get(token.token_id))[0].used_at)

    def test_use_of_others(self) -> None:
        """What another process noted lately is not noted again."""
        noted: list[float] = []
        _token, text = self.create()
        self.now(self.tokens.presented(b"anna", text))
        other = AccessTokens(cast("IAccessTokenStore", Noting(self.store, noted)), self.clock, counted_bytes())
        self.clock.advance(50)
        self.now(other.presented(b"anna", text))
        self.assertEqual([], noted)

    def test_full(self) -> None:
        """A disk that is full does not keep tokens from being used."""
        _, text = self.create()
        tokens = AccessTokens(
            cast("IAccessTokenStore", Noting(self.store, [], StorageFull())), self.clock, counted_bytes()
        )
        self.assertIsNotNone(self.now(tokens.presented(b"anna", text)))
