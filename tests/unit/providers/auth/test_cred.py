"""Tests of :mod:`dockreg.providers.auth.cred`."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from attrs import define
from cryptography.x509 import Certificate
from twisted.cred.checkers import AllowAnonymousAccess, ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import ISSHPrivateKey, IUsernamePassword, UsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.error import Unauthorized as Refused
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from zope.interface import implementer

from dockreg.credentials import ClientCertificate
from dockreg.errors import AccountInactive, Busy, StoreUnavailable, Unauthorized
from dockreg.interfaces_access import IAuthenticator, IClientCertificate, IDirectory
from dockreg.model.access import ANONYMOUS, Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.people import Person
from dockreg.providers.auth.accounts import AccountsChecker
from dockreg.providers.auth.cred import CredAuthenticator
from dockreg.providers.auth.tokens import TokenSigner
from dockreg.testing import contracts_auth
from dockreg.testing.accountstores import MemoryAccountStore, MemoryKeyStore
from tests.unit.providers.auth.support import cheap_hasher, counted_bytes, counter, memory_of

APP = RepositoryName("demo/app")
PULL = frozenset({Action.PULL})


@implementer(ICredentialsChecker)
@define(eq=False)
class ForeignChecker:
    """A checker that somebody else wrote: ``answer`` is what it says, or raises, for everybody."""

    answer: Callable[[], Any]
    credentialInterfaces: Sequence[Any] = (IUsernamePassword,)
    asked: int = 0

    def requestAvatarId(self, credentials: Any) -> Any:
        self.asked += 1
        return self.answer()


@implementer(ICredentialsChecker, IDirectory)
@define(eq=False)
class Directory:
    """A checker that knows ``people``, and lets nobody in; None is one that does not answer."""

    people: dict[str, Person] | None
    credentialInterfaces: Sequence[Any] = (IUsernamePassword,)

    def requestAvatarId(self, credentials: Any) -> Any:
        raise UnauthorizedLogin

    async def find(self, name: str) -> Person | None:
        if self.people is None:
            raise StoreUnavailable("the directory does not answer")
        return self.people.get(name)


def raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


class CredAuthenticatorTests(contracts_auth.AuthenticatorContract):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.store = MemoryAccountStore()
        self.signer = TokenSigner(MemoryKeyStore(), self.clock, counter("id"), counted_bytes())
        for name, admin in (("anna", False), ("root", True)):
            stored = self.now(cheap_hasher().hash(b"secret"))
            self.now(self.store.create(name, stored, "", admin=admin, now=0.0))
        self.accounts = AccountsChecker(self.store, cheap_hasher(), memory_of(self.clock))

    def make_authenticator(self, *others: ICredentialsChecker) -> IAuthenticator:
        return CredAuthenticator([self.accounts, *others], self.store, self.signer)

    def login(self, name: bytes, password: bytes, *others: ICredentialsChecker) -> Principal:
        return self.now(self.make_authenticator(*others).login(UsernamePassword(name, password)))

    def login_fails(
        self, kind: type[Exception], name: bytes, password: bytes, *others: ICredentialsChecker
    ) -> Exception:
        return self.fails(kind, self.make_authenticator(*others).login(UsernamePassword(name, password)))

    # Passwords

    def test_account(self) -> None:
        """A stored account logs in under its name, an administrator as one, without a ceiling."""
        self.assertEqual(Principal("anna"), self.login(b"anna", b"secret"))
        self.assertEqual(Principal("root", admin=True), self.login(b"root", b"secret"))

    def test_wrong(self) -> None:
        """A wrong password and an unknown name are refused in the same words."""
        wrong = self.login_fails(Unauthorized, b"anna", b"wrong")
        unknown = self.login_fails(Unauthorized, b"nobody", b"secret")
        self.assertEqual(str(wrong), str(unknown))

    def test_inactive(self) -> None:
        """A disabled account is told so when the password is right, and only then."""
        self.now(self.store.change("anna", active=False))
        self.login_fails(AccountInactive, b"anna", b"secret")
        self.login_fails(Unauthorized, b"anna", b"wrong")

    def test_checkers_of_twisted(self) -> None:
        """A checker that comes with Twisted plugs in."""
        database = InMemoryUsernamePasswordDatabaseDontUse(bob=b"hunter2")
        self.assertEqual(Principal("bob"), self.login(b"bob", b"hunter2", database))
        self.login_fails(Unauthorized, b"bob", b"wrong", database)

    def test_in_order(self) -> None:
        """The checkers are asked one after the other until one says yes."""
        first, second = ForeignChecker(lambda: b"first"), ForeignChecker(lambda: b"second")
        self.assertEqual(Principal("first"), self.login(b"x", b"y", first, second))
        self.assertEqual((1, 0), (first.asked, second.asked))
        for refusal in (UnauthorizedLogin(), LoginDenied(), Refused()):
            self.assertEqual(Principal("second"), self.login(b"x", b"y", ForeignChecker(raising(refusal)), second))

    def test_avatar_ids(self) -> None:
        """An avatar id may be bytes or text, at once, later, or from a coroutine."""

        async def later() -> str:
            return "bob"

        for answer in (lambda: b"bob", lambda: "bob", lambda: succeed(b"bob"), later):
            self.assertEqual(Principal("bob"), self.login(b"x", b"y", ForeignChecker(answer)))
        self.assertEqual(Principal("jürgen"), self.login(b"x", b"y", ForeignChecker("jürgen".encode)))

    def test_anonymous_avatar(self) -> None:
        """A checker that lets somebody in as nobody makes them anonymous."""
        self.assertEqual(ANONYMOUS, self.login(b"x", b"y", ForeignChecker(lambda: ())))

    def test_unusable_avatar_ids(self) -> None:
        """An avatar id that can not be a name is refused."""
        for avatar in (b"", "", b"\xff", "a\nb", "a" * 129, "\x00", None, 7, object()):
            self.login_fails(Unauthorized, b"x", b"y", ForeignChecker(lambda avatar=avatar: avatar))  # type: ignore[misc]  # a default is no argument here

    def test_other_credentials(self) -> None:
        """A checker for other credentials is not asked."""
        keys = ForeignChecker(lambda: b"bob", credentialInterfaces=(ISSHPrivateKey,))
        self.login_fails(Unauthorized, b"x", b"y", keys, AllowAnonymousAccess())
        self.assertEqual(0, keys.asked)

    def test_broken_checker(self) -> None:
        """A checker that breaks is passed over and logged, without the password; alone it is no refusal."""
        for answer in (raising(OSError("no route")), lambda: fail(OSError("no route"))):
            broken = ForeignChecker(answer)
            self.assertEqual(Principal("bob"), self.login(b"x", b"pa55", broken, ForeignChecker(lambda: b"bob")))
            self.login_fails(StoreUnavailable, b"x", b"pa55", broken)
        logged = self.flushLoggedErrors(OSError)
        self.assertEqual(4, len(logged))
        self.assertFalse([failure for failure in logged if "pa55" in failure.getTraceback()])

    def test_our_errors(self) -> None:
        """What a checker of ours says beyond yes and no reaches the caller, and no other checker is asked."""
        other = ForeignChecker(lambda: b"bob")
        for error in (Busy("later", 2), AccountInactive("x")):
            self.login_fails(type(error), b"x", b"y", ForeignChecker(raising(error)), other)
        self.assertEqual(0, other.asked)

    def test_no_answer(self) -> None:
        """A checker whose source does not answer is passed over with a line in the log; alone it is no refusal."""
        silent = ForeignChecker(raising(StoreUnavailable("the directory does not answer")))
        with capturedLogs() as events:
            self.assertEqual(Principal("bob"), self.login(b"x", b"y", silent, ForeignChecker(lambda: b"bob")))
        (told,) = [formatEvent(event) for event in events]
        self.assertEqual("the checker ForeignChecker did not answer: the directory does not answer", told)
        error = self.login_fails(StoreUnavailable, b"x", b"y", silent)
        self.assertNotIn("directory", str(error))

    def test_groups(self) -> None:
        """A checker that knows the groups of a person passes them on with the name."""
        person = Person("bob", frozenset({"ldap:dev"}))
        principal = self.login(b"x", b"y", ForeignChecker(lambda: person))
        self.assertEqual(Principal("bob", groups=frozenset({"ldap:dev"})), principal)
        root = Person("root", frozenset({"ldap:dev"}))
        principal = self.login(b"x", b"y", ForeignChecker(lambda: root))
        self.assertEqual(Principal("root", admin=True, groups=frozenset({"ldap:dev"})), principal)

    def test_kinds_of_credentials(self) -> None:
        """A checker is asked for the credentials that it takes; a certificate that nobody takes is told so."""
        certificates = ForeignChecker(lambda: b"bob", credentialInterfaces=(IClientCertificate,))
        passwords = ForeignChecker(lambda: b"carla")
        authenticator = self.make_authenticator(passwords, certificates)
        certificate = ClientCertificate(cast("Certificate", object()))
        self.assertEqual(Principal("bob"), self.now(authenticator.login(certificate)))
        self.assertEqual(0, passwords.asked)
        error = self.fails(Unauthorized, self.make_authenticator(passwords).login(certificate))
        self.assertIn("certificate", str(error))

    def test_cancelled(self) -> None:
        """A client that goes away ends the question; no other checker is asked."""
        other = ForeignChecker(lambda: b"bob")
        authenticator = self.make_authenticator(ForeignChecker(Deferred), other)
        login = Deferred.fromCoroutine(authenticator.login(UsernamePassword(b"x", b"y")))
        self.assertNoResult(login)
        login.cancel()
        self.failureResultOf(login, CancelledError)
        self.assertEqual(0, other.asked)

    def test_one_space_of_names(self) -> None:
        """For a name from a further checker, a stored account of that name says whether it is active or administers."""
        root, anna = ForeignChecker(lambda: b"root"), ForeignChecker(lambda: b"anna")
        self.assertEqual(Principal("root", admin=True), self.login(b"x", b"y", root))
        self.now(self.store.change("anna", active=False))
        self.login_fails(AccountInactive, b"x", b"y", anna)

    # Tokens

    def issue(self, principal: Principal) -> str:
        return self.now(self.signer.issue(principal, APP, PULL))

    def test_token(self) -> None:
        """A token of an account is that account, with the ceiling that was signed."""
        redeemed = self.now(self.make_authenticator().redeem(self.issue(Principal("anna"))))
        self.assertEqual(Principal("anna", ceiling=Ceiling.of(APP, PULL)), redeemed)

    def test_token_of_nobody(self) -> None:
        """A token of nobody is nobody, also when somebody takes an account of a strange name."""
        redeemed = self.now(self.make_authenticator().redeem(self.issue(ANONYMOUS)))
        self.assertEqual(Principal(None, ceiling=Ceiling.of(APP, PULL)), redeemed)

    def test_token_of_an_administrator(self) -> None:
        """That the bearer administers is looked up at each request, not read from the token."""
        token = self.issue(Principal("root", admin=True))
        authenticator = self.make_authenticator()
        self.assertTrue(self.now(authenticator.redeem(token)).admin)
        self.now(self.store.change("root", admin=False))
        self.assertFalse(self.now(authenticator.redeem(token)).admin)

    def test_token_of_a_disabled_account(self) -> None:
        """The token of an account that was disabled is refused at the next request."""
        token = self.issue(Principal("anna"))
        authenticator = self.make_authenticator()
        self.now(authenticator.redeem(token))
        self.now(self.store.change("anna", active=False))
        self.fails(Unauthorized, authenticator.redeem(token))

    def test_token_of_a_changed_password(self) -> None:
        """A token that was had with a password ends with it; one that was had for something else does not."""
        with_password = self.issue(self.login(b"anna", b"secret"))
        otherwise = self.issue(Principal("anna"))
        authenticator = self.make_authenticator()
        self.assertEqual("anna", self.now(authenticator.redeem(with_password)).name)
        self.now(self.store.change("anna", password_hash=self.now(cheap_hasher().hash(b"secret"))))
        self.fails(Unauthorized, authenticator.redeem(with_password))
        self.assertEqual("anna", self.now(authenticator.redeem(otherwise)).name)
        self.assertEqual("anna", self.now(authenticator.redeem(self.issue(self.login(b"anna", b"secret")))).name)

    def test_token_of_a_deleted_account(self) -> None:
        """A token that was had with the password of an account is not good for whoever has the name then."""
        with_password = self.issue(self.login(b"anna", b"secret"))
        self.now(self.store.delete("anna", 1_400_000_000.0))
        others = Directory({"anna": Person("anna")})
        self.fails(Unauthorized, self.make_authenticator(others).redeem(with_password))
        stored = self.now(cheap_hasher().hash(b"other"))
        self.now(self.store.create("anna", stored, "", admin=False, now=1_400_000_001.0, again=True))
        self.fails(Unauthorized, self.make_authenticator().redeem(with_password))

    def test_token_of_a_foreign_name(self) -> None:
        """The token of a name that only a further checker may know passes."""
        other = ForeignChecker(lambda: b"bob")
        redeemed = self.now(self.make_authenticator(other).redeem(self.issue(Principal("bob"))))
        self.assertEqual("bob", redeemed.name)

    def test_token_of_nobody_any_more(self) -> None:
        """The token of a name that no checker has any more is refused at the next request."""
        token = self.issue(Principal("bob", groups=frozenset({"ldap:old"})))
        people = {"bob": Person("bob", frozenset({"ldap:dev"}))}
        authenticator = self.make_authenticator(Directory(people))
        redeemed = self.now(authenticator.redeem(token))
        self.assertEqual(("bob", frozenset({"ldap:dev"})), (redeemed.name, redeemed.groups))
        people.clear()
        self.fails(Unauthorized, authenticator.redeem(token))

    def test_token_of_a_name_in_two(self) -> None:
        """Of a name that two checkers have, the first in the order counts."""
        directory = Directory({"anna": Person("anna", frozenset({"ldap:dev"}))})
        token = self.issue(Principal("anna"))
        self.assertEqual(frozenset(), self.now(self.make_authenticator(directory).redeem(token)).groups)
        first = CredAuthenticator([directory, self.accounts], self.store, self.signer)
        self.assertEqual(frozenset({"ldap:dev"}), self.now(first.redeem(token)).groups)

    def test_token_without_answer(self) -> None:
        """While a directory does not answer, the bearers that it alone may know have to wait, and nobody else."""
        authenticator = CredAuthenticator([Directory(None), self.accounts], self.store, self.signer)
        self.assertEqual("anna", self.now(authenticator.redeem(self.issue(Principal("anna")))).name)
        self.fails(StoreUnavailable, authenticator.redeem(self.issue(Principal("bob"))))

    def test_challenge_values(self) -> None:
        """A client may present a password or a token, each told in a header line of its own."""
        self.assertEqual(('Basic realm="dockreg"', "Token"), self.make_authenticator().challenge(None).values)
