"""
What dockreg asks of a checker of ``twisted.cred`` for names and passwords, and of one that can be asked about people.

Subclass a contract and say how to make the provider. Import this module, not the classes in it: trial would run an
imported contract as a test of its own.
"""

from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface.verify import verifyObject

from dockreg.interfaces_access import IAwaitedChecker, IDirectory
from dockreg.model.people import Person
from dockreg.testing.contracts_auth import ContractCase

#: Names that nobody has, some of which would be something else to a careless checker.
STRANGE_NAMES = (
    b"nobody", b"", b" ", b"\x00", b"anna\x00", b"anna\n", b"\xff\xfe", b"*", b"a*", b"anna)(uid=*", b"*)(&", b"\\2a",
    b"anna,ou=people", b"' or 1=1 --", b"anna:x", b"#", b"a" * 10_000,
)  # fmt: skip


class PasswordCheckerContract(ContractCase):
    """What a checker of names and passwords promises. It knows ``anna`` with ``secret``, and ``berta`` with ``other``."""

    def make_checker(self) -> ICredentialsChecker:
        """One that answers at once."""
        raise NotImplementedError

    def wait(self) -> None:
        """Let the time pass that a checker takes for itself; none, unless a subclass says otherwise."""

    def answer(self, name: Any, password: Any) -> object:
        """The avatar id, or the exception class that refused."""
        credentials = UsernamePassword(name, password)
        answered = maybeDeferred(self.make_checker().requestAvatarId, credentials)
        self.wait()
        outcome: object = self.successResultOf(answered.addErrback(lambda failure: failure.trap(UnauthorizedLogin)))
        return outcome

    def name_of(self, avatar: object) -> str:
        """The name that an avatar id gives."""
        if isinstance(avatar, bytes):
            return avatar.decode("utf-8")
        return avatar.name if isinstance(avatar, Person) else str(avatar)

    def test_checker_interface(self) -> None:
        """The provider has all that ICredentialsChecker declares, and takes names and passwords."""
        checker = self.make_checker()
        verifyObject(ICredentialsChecker, checker)
        self.assertIn(IUsernamePassword, list(checker.credentialInterfaces))

    def test_right(self) -> None:
        """The avatar id of the right password has the name, whether the credentials are bytes or text."""
        for password, name in ((b"secret", "anna"), (b"other", "berta")):
            self.assertEqual(name, self.name_of(self.answer(name.encode(), password)))
            self.assertEqual(name, self.name_of(self.answer(name, password.decode())))

    def test_awaited(self) -> None:
        """One that can be awaited says the same then."""
        for name, password in ((b"anna", b"secret"), (b"anna", b"other"), (b"nobody", b"secret")):
            checker = self.make_checker()
            if not IAwaitedChecker.providedBy(checker):
                return
            verifyObject(IAwaitedChecker, checker)
            awaited = Deferred.fromCoroutine(checker.avatar_id(UsernamePassword(name, password)))
            self.wait()
            said: object = self.successResultOf(awaited.addErrback(lambda failure: failure.trap(UnauthorizedLogin)))
            self.assertEqual(self.answer(name, password), said)

    def test_wrong(self) -> None:
        """A wrong password is refused, and so are none, somebody else's, and more or less than the right one."""
        for password in (b"", b"other", b"secre", b"secret ", b"secret\x00", b"Secret", b"\xff", b"secret" * 2000):
            self.assertIs(UnauthorizedLogin, self.answer(b"anna", password), password)

    def test_unknown(self) -> None:
        """A name that nobody has is refused, whatever it looks like, with any password and with none."""
        for name in STRANGE_NAMES:
            for password in (b"secret", b""):
                self.assertIs(UnauthorizedLogin, self.answer(name, password), name)


class DirectoryContract(ContractCase):
    """What every IDirectory promises. It knows ``anna``."""

    def make_directory(self) -> IDirectory:
        """One that answers at once."""
        raise NotImplementedError

    def test_directory_interface(self) -> None:
        """The provider has all that IDirectory declares."""
        verifyObject(IDirectory, self.make_directory())

    def test_found(self) -> None:
        """Who is there is found under the very name."""
        found = self.now(self.make_directory().find("anna"))
        assert found is not None
        self.assertEqual("anna", found.name)

    def test_not_found(self) -> None:
        """A name that nobody has is found by nobody, whatever it looks like."""
        directory = self.make_directory()
        for name in STRANGE_NAMES:
            text = name.decode("utf-8", "surrogateescape")
            self.assertIsNone(self.now(directory.find(text)), text)
