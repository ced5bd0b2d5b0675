"""Tests of :mod:`dockreg.providers.auth.throttled`."""

from typing import Any

from attrs import define
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from dockreg.attempts import AttemptLimits, Attempts
from dockreg.errors import AccountInactive, Busy, Unauthorized
from dockreg.errors_access import TooManyAttempts
from dockreg.interfaces_access import IAuthenticator
from dockreg.model.access import ANONYMOUS, Access, Challenge, Principal
from dockreg.providers.attempts import MemoryAttemptStore
from dockreg.providers.auth.throttled import ThrottledAuthenticator
from dockreg.testing import contracts_auth

HOME = "192.0.2.1"


@implementer(IAuthenticator)
@define(eq=False)
class Scripted:
    """An authenticator whose next answers are ``answers``, else a refusal; it knows how often it was asked."""

    answers: list[Any]
    asked: int = 0

    async def login(self, credentials: Any, address: str = "-") -> Principal:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else Unauthorized("no")
        if isinstance(answer, Deferred):
            await answer
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Principal)
        return answer

    async def redeem(self, token: str) -> Principal:
        raise Unauthorized(token[:10])

    async def current(self, principal: Principal, issued_at: float | None = None) -> Principal:
        return principal

    def challenge(self, wanted: Access | None) -> Challenge:
        return Challenge(("Basic",))


class ThrottledAuthenticatorTests(contracts_auth.AuthenticatorContract):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.answers: list[Any] = []
        self.checked = Scripted(self.answers)

    def make_authenticator(self) -> IAuthenticator:
        limits = AttemptLimits(per_client=2, per_account=100, per_address=100)
        return ThrottledAuthenticator(Attempts(limits, self.clock, MemoryAttemptStore()), self.checked)

    def test_refused_unseen(self) -> None:
        """After too many failures nothing is checked, not even what would be right."""
        authenticator = self.make_authenticator()
        for _ in range(2):
            self.fails(Unauthorized, authenticator.login(UsernamePassword(b"anna", b"x"), HOME))
        self.answers.append(Principal("anna"))
        refused = self.fails(TooManyAttempts, authenticator.login(UsernamePassword(b"anna", b"right"), HOME))
        self.assertEqual((2, 1), (self.checked.asked, getattr(refused, "retry_after", None)))
        self.clock.advance(1)
        self.assertEqual(Principal("anna"), self.now(authenticator.login(UsernamePassword(b"anna", b"right"), HOME)))

    def test_other_clients(self) -> None:
        """Who has to wait is the client that failed."""
        authenticator = self.make_authenticator()
        for _ in range(2):
            self.fails(Unauthorized, authenticator.login(UsernamePassword(b"anna", b"x"), HOME))
        self.answers.append(Principal("anna"))
        self.now(authenticator.login(UsernamePassword(b"anna", b"right"), "192.0.2.2"))

    def test_not_failures(self) -> None:
        """Trouble on our side and disabled accounts are no wrong passwords."""
        authenticator = self.make_authenticator()
        for problem in (Busy("later", 2), AccountInactive("anna"), Busy("later", 2), AccountInactive("anna")):
            self.answers.append(problem)
            self.fails(type(problem), authenticator.login(UsernamePassword(b"anna", b"x"), HOME))
        self.answers.append(ANONYMOUS)
        self.assertEqual(ANONYMOUS, self.now(authenticator.login(UsernamePassword(b"anna", b"x"), HOME)))

    def test_hanging_up(self) -> None:
        """Who goes away before the answer has made an attempt all the same."""
        authenticator = self.make_authenticator()
        for _ in range(2):
            self.answers.append(Deferred())
            login = Deferred.fromCoroutine(authenticator.login(UsernamePassword(b"anna", b"x"), HOME))
            login.cancel()
            self.failureResultOf(login, CancelledError)
        self.fails(TooManyAttempts, authenticator.login(UsernamePassword(b"anna", b"x"), HOME))

    def test_other_credentials(self) -> None:
        """What holds no password is not counted."""
        authenticator = self.make_authenticator()
        for _ in range(9):
            self.fails(Unauthorized, authenticator.login(Anonymous(), HOME))

    def test_odd_names(self) -> None:
        """A name in no encoding is counted as itself."""
        authenticator = self.make_authenticator()
        for _ in range(2):
            self.fails(Unauthorized, authenticator.login(UsernamePassword(b"\xff\x00", b"x"), HOME))
        self.fails(TooManyAttempts, authenticator.login(UsernamePassword(b"\xff\x00", b"x"), HOME))
        self.fails(Unauthorized, authenticator.login(UsernamePassword(b"\xfe\x00", b"x"), HOME))
