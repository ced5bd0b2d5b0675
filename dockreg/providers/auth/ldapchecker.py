"""The ``twisted.cred`` checker for people of an LDAP directory."""

from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field
from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from dockreg.errors import StoreUnavailable
from dockreg.interfaces_access import IAwaitedChecker, IDirectory
from dockreg.model.people import Person
from dockreg.providers.auth.ldapwire import DirectoryTrouble
from dockreg.providers.auth.remembered import Remembered
from dockreg.providers.auth.turns import Turns
from dockreg.providers.auth.verified import Verified, presented

_MAX_NAME = 256
_MAX_REMEMBERED = 4096
_NO_ANSWER = "the directory does not answer"
#: A refusal comes at a whole multiple of this, so that its time does not tell what the directory had to do for it.
_REFUSAL_SECONDS = 0.5


class Directory(Protocol):
    """What is asked of a directory, in threads; :class:`.LDAPDirectory` says what each does."""

    def check_files(self) -> None:
        """Look at the files that are needed."""

    def authenticate(self, name: str, password: bytes) -> Person | None:
        """Whose name and password that is."""

    def find(self, name: str) -> Person | None:
        """Who has this very name."""


@implementer(IAwaitedChecker)
@define(eq=False)
class LDAPChecker:
    """
    Checks names and passwords by asking a directory.

    :param timeout_seconds: the time of one question; waiting for a turn may take as long again.
    """

    credentialInterfaces = (IUsernamePassword,)

    _directory: Directory
    _turns: Turns
    _verified: Verified[Person]
    _clock: IReactorTime
    _timeout_seconds: float
    _refusal_seconds: float = _REFUSAL_SECONDS

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[bytes | tuple[()]]:
        """
        The person, as ``twisted.cred`` asks for it.

        :raises UnauthorizedLogin: nobody has this name and password; neither the answer nor its time tell more.
        :raises Busy: too many people are being asked about already.
        :raises StoreUnavailable: the directory does not answer.
        """
        answer: Deferred[Any] = Deferred.fromCoroutine(self.avatar_id(credentials))
        return answer

    async def open(self) -> None:
        """Look at the files that are needed. :raises StoreUnavailable: one can not be used."""
        await self.ask("the directory can not be used", self._directory.check_files)

    async def avatar_id(self, credentials: ICredentials) -> Person:
        """See :class:`.IAwaitedChecker`."""
        name, password = presented(credentials)
        begin = self._clock.seconds()
        known = self._verified.recall(name, password)
        if known is not None:
            return known
        text = _usable(name)
        person = None
        if text and password:
            person = await self.ask(_NO_ANSWER, self._directory.authenticate, text, password)
        if person is None:
            spent = self._clock.seconds() - begin
            await deferLater(self._clock, self._refusal_seconds - spent % self._refusal_seconds)
            raise UnauthorizedLogin
        self._verified.keep(person, name, password)
        return person

    async def ask(self, trouble: str, question: Callable[..., Person | None], *args: object) -> Person | None:
        """The answer to a question that blocks. :raises StoreUnavailable: there is none, as ``trouble`` says."""
        asked = Deferred.fromCoroutine(self._turns.run(_answered, question, *args))
        try:
            answer = await asked.addTimeout(2 * self._timeout_seconds, self._clock)
        except TimedOut as error:
            raise StoreUnavailable(trouble) from error
        if isinstance(answer, DirectoryTrouble):
            raise StoreUnavailable(trouble) from answer
        return answer


@implementer(IDirectory)
@define(eq=False)
class SearchingLDAPChecker(LDAPChecker):
    """One whose directory can be searched for people without their passwords. Its answers are remembered, too."""

    _remember_seconds: float = field(default=60, kw_only=True)
    _found: Remembered[tuple[Person | None]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._found = Remembered(self._clock, self._remember_seconds, _MAX_REMEMBERED)

    async def find(self, name: str) -> Person | None:
        """See :meth:`.IDirectory.find`."""
        key = name.encode("utf-8", "surrogatepass")
        text = _usable(key)
        if not text:
            return None
        found = self._found.recall(key)
        if found is None:
            found = (await self.ask(_NO_ANSWER, self._directory.find, text),)
            self._found.keep(key, found)
        return found[0]


def _answered(question: Callable[..., Person | None], *args: object) -> Person | DirectoryTrouble | None:
    # Trouble is an answer: when nobody waits for it any more it is no failure of ours.
    try:
        return question(*args)
    except DirectoryTrouble as trouble:
        return trouble


def _usable(name: bytes) -> str | None:
    """The name as text, if somebody could have it."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and len(text) <= _MAX_NAME else None
