"""
What every provider of authentication and authorization promises.

Subclass a contract and say how to make the provider. Import this module, not the classes in it: trial would run an
imported contract as a test of its own.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dockreg.errors import Unauthorized
from dockreg.interfaces_access import IAuthenticator, IAuthorizer, IPasswordHasher, ITokenIssuer
from dockreg.interfaces_v1 import IImageList
from dockreg.model.access import ANONYMOUS, Access, Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.v1 import ImageID

T = TypeVar("T")

EVERY_ACTION = frozenset(Action)
REPOSITORY = RepositoryName("demo/app")
OTHER_REPOSITORY = RepositoryName("demo/other")

#: Texts that no index ever gave to a client.
FOREIGN_TOKENS = (
    "",
    " ",
    ",",
    "Token",
    "Token Token",
    "nonsense",
    "signature=",
    'signature=,repository="demo/app",access=write',
    'signature=nonsense,repository="demo/app",access=write',
    "eyJhbGciOiJub25lIn0.e30.",
    "a.b.c",
    "é.é.é",
    "\x00",
    "signature=a\r\nX-Evil: 1",
    "signature=" + "a" * 100_000,
    "=" * 10_000,
    "a" * 10_000,
)


class ContractCase(SynchronousTestCase):
    """What the contracts here share."""

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which does not wait for anything that is not there yet."""
        result: T = self.successResultOf(Deferred.fromCoroutine(work))
        return result

    def fails(self, kind: type[Exception], work: Coroutine[Any, Any, Any]) -> Exception:
        """The error of ``work``, which is of ``kind``."""
        error: Exception = self.failureResultOf(Deferred.fromCoroutine(work), kind).value
        return error


class AuthenticatorContract(ContractCase):
    """What every IAuthenticator promises."""

    def make_authenticator(self) -> IAuthenticator:
        """One that knows nobody of the name ``stranger``."""
        raise NotImplementedError

    def test_interface(self) -> None:
        """The provider has all that IAuthenticator declares."""
        verifyObject(IAuthenticator, self.make_authenticator())

    def test_unknown_name(self) -> None:
        """A name that nobody has is refused, in a sentence."""
        error = self.fails(Unauthorized, self.make_authenticator().login(UsernamePassword(b"stranger", b"secret")))
        self.assertNotEqual("", str(error))

    def test_hostile_names(self) -> None:
        """Names and passwords that nobody could have are refused like others."""
        authenticator = self.make_authenticator()
        for name in (b"", b"\x00", b"\xff\xfe", b"a" * 10_000, b"stranger\n", b"' or 1=1 --"):
            self.fails(Unauthorized, authenticator.login(UsernamePassword(name, b"\x00\xff"), "192.0.2.1"))

    def test_foreign_tokens(self) -> None:
        """A text that is no token of ours is refused, whatever it looks like."""
        authenticator = self.make_authenticator()
        for token in FOREIGN_TOKENS:
            self.fails(Unauthorized, authenticator.redeem(token))

    def test_current(self) -> None:
        """Nobody is nobody still, and keeps the ceiling that a token set."""
        for principal in (ANONYMOUS, Principal(None, ceiling=Ceiling.of(REPOSITORY, EVERY_ACTION), renewable=True)):
            self.assertEqual(principal, self.now(self.make_authenticator().current(principal)))

    def test_challenge(self) -> None:
        """The challenge is one or more header values of ASCII, for anything that is wanted."""
        authenticator = self.make_authenticator()
        for wanted in (None, Access(None, frozenset({Action.PULL})), Access(REPOSITORY, EVERY_ACTION)):
            values = authenticator.challenge(wanted).values
            self.assertNotEqual((), values)
            for value in values:
                self.assertTrue(value.isascii() and value.isprintable() and value.strip(), value)


class AuthorizerContract(ContractCase):
    """What every IAuthorizer promises."""

    def make_authorizer(self) -> IAuthorizer:
        """One that knows no repository."""
        raise NotImplementedError

    def principals(self) -> list[Principal]:
        """Some of each kind."""
        ceilings = [None, Ceiling.of(REPOSITORY, frozenset({Action.PULL})), Ceiling.of(OTHER_REPOSITORY, EVERY_ACTION)]
        return [
            Principal(name, admin=admin, ceiling=ceiling)
            for name, admin in ((None, False), ("anna", False), ("root", True))
            for ceiling in ceilings
        ]

    def test_interface(self) -> None:
        """The provider has all that IAuthorizer declares."""
        verifyObject(IAuthorizer, self.make_authorizer())

    def test_never_more_than_wanted(self) -> None:
        """What is granted is a part of what is wanted, for everybody and everywhere, one action at a time or all."""
        authorizer = self.make_authorizer()
        for principal in self.principals():
            for repository in (None, REPOSITORY, OTHER_REPOSITORY):
                everything = self.now(authorizer.granted(principal, Access(repository, EVERY_ACTION)))
                self.assertEqual(frozenset(), self.now(authorizer.granted(principal, Access(repository, frozenset()))))
                for action in Action:
                    only = frozenset({action})
                    granted = self.now(authorizer.granted(principal, Access(repository, only)))
                    self.assertEqual(everything & only, granted, (principal, repository, action))

    def test_each(self) -> None:
        """Of several repositories those come back, in their order, in which one by one the action is granted, too."""
        authorizer = self.make_authorizer()
        names = [OTHER_REPOSITORY, REPOSITORY, RepositoryName("absent")]
        for principal in self.principals():
            for action in Action:
                each = list(self.now(authorizer.granted_each(principal, action, names)))
                self.assertEqual([name for name in names if name in each], each)
                records = [RepositoryRecord(name, None, False, "", 1.0) for name in each]
                self.assertEqual(records, list(self.now(authorizer.granted_among(principal, action, records))))
                for name in each:
                    granted = self.now(authorizer.granted(principal, Access(name, frozenset({action}))))
                    self.assertEqual({action}, granted, (principal, name))
                self.assertEqual([], list(self.now(authorizer.granted_each(principal, action, []))))

    def test_ceiling(self) -> None:
        """In its repository a token reaches no further than its actions, whoever bears it."""
        authorizer = self.make_authorizer()
        for name, admin in ((None, False), ("anna", False), ("root", True)):
            for action in Action:
                principal = Principal(name, admin=admin, ceiling=Ceiling.of(REPOSITORY, frozenset({action})))
                granted = self.now(authorizer.granted(principal, Access(REPOSITORY, EVERY_ACTION)))
                self.assertLessEqual(granted, {action})

    def test_token_elsewhere(self) -> None:
        """Outside its repository a token gives nothing, even to an administrator."""
        authorizer = self.make_authorizer()
        bearer = Principal("root", admin=True, ceiling=Ceiling.of(REPOSITORY, EVERY_ACTION))
        for elsewhere in (OTHER_REPOSITORY, None):
            self.assertEqual(frozenset(), self.now(authorizer.granted(bearer, Access(elsewhere, EVERY_ACTION))))

    def test_anonymous_never_administrates(self) -> None:
        """Nobody administrates the registry as a whole without a name."""
        granted = self.now(self.make_authorizer().granted(ANONYMOUS, Access(None, EVERY_ACTION)))
        self.assertNotIn(Action.ADMIN, granted)


class TokenIssuerContract(ContractCase):
    """What every ITokenIssuer promises."""

    def make_token_issuer(self) -> ITokenIssuer:
        """One that can issue for anybody."""
        raise NotImplementedError

    def test_interface(self) -> None:
        """The provider has all that ITokenIssuer declares."""
        verifyObject(ITokenIssuer, self.make_token_issuer())

    def test_form(self) -> None:
        """A token is one line of ASCII without blanks below 4 KB, however long the names are."""
        issuer = self.make_token_issuer()
        for name in (None, "anna", "\N{PILE OF POO}" * 128):
            for repository in (REPOSITORY, RepositoryName("x"), RepositoryName("a/" + "b" * 253)):
                token = self.now(issuer.issue(Principal(name), repository, EVERY_ACTION))
                self.assertTrue(token.isascii() and token.isprintable() and " " not in token, token)
                self.assertLess(len(token), 4096)

    def test_never_twice(self) -> None:
        """Two tokens for the same are two tokens."""
        issuer = self.make_token_issuer()
        tokens = {self.now(issuer.issue(ANONYMOUS, REPOSITORY, EVERY_ACTION)) for _ in range(3)}
        self.assertEqual(3, len(tokens))


class ImageListContract(ContractCase):
    """What every IImageList promises."""

    def make_image_list(self) -> IImageList:
        """One whose lists are empty."""
        raise NotImplementedError

    def test_interface(self) -> None:
        """The provider has all that IImageList declares."""
        verifyObject(IImageList, self.make_image_list())

    def test_unknown_image(self) -> None:
        """An image that nobody announced is not allowed, for anybody."""
        images = self.make_image_list()
        for principal in (ANONYMOUS, Principal("anna"), Principal(None, ceiling=Ceiling.of(REPOSITORY, EVERY_ACTION))):
            self.assertFalse(self.now(images.allows(principal, REPOSITORY, ImageID("a" * 64))))


class PasswordHasherContract(ContractCase):
    """What every IPasswordHasher promises."""

    def make_password_hasher(self) -> IPasswordHasher:
        """One that works at once."""
        raise NotImplementedError

    def test_interface(self) -> None:
        """The provider has all that IPasswordHasher declares."""
        verifyObject(IPasswordHasher, self.make_password_hasher())

    def test_verify(self) -> None:
        """A hash is verified by the password that it was made from, and by no other."""
        hasher = self.make_password_hasher()
        for password in (b"secret", b"", b"\x00", b"\xff" * 1024, "pässwörd".encode()):
            stored = self.now(hasher.hash(password))
            self.assertTrue(self.now(hasher.verify(stored, password)))
            for wrong in (password + b"x", password[:-1] or b"y", b"x" + password):
                self.assertFalse(self.now(hasher.verify(stored, wrong)), (password, wrong))

    def test_salt(self) -> None:
        """Hashing one password twice gives two hashes, none of which shows it."""
        hasher = self.make_password_hasher()
        hashes = {self.now(hasher.hash(b"secret")) for _ in range(2)}
        self.assertEqual(2, len(hashes))
        self.assertFalse(any("secret" in stored for stored in hashes))

    def test_no_hash(self) -> None:
        """What is no hash is never verified."""
        hasher = self.make_password_hasher()
        for stored in ("", "!", "secret", "$2b$12$abc"):
            self.assertFalse(self.now(hasher.verify(stored, b"secret")))

    def test_nobody(self) -> None:
        """For a name that is unknown there is nothing to say."""
        self.assertIsNone(self.now(self.make_password_hasher().verify_nobody(b"secret")))
