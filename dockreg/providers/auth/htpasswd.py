"""The ``twisted.cred`` checker for htpasswd files with bcrypt hashes."""

import os
import stat
from pathlib import Path

import bcrypt
from attrs import define, field
from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.errors import StoreUnavailable
from dockreg.interfaces_access import IAwaitedChecker, IDirectory
from dockreg.model.people import Person
from dockreg.providers.auth.htpasswdfile import MAX_BYTES, Htpasswd, HtpasswdInvalid, cost_of, parse_htpasswd
from dockreg.providers.auth.turns import Turns
from dockreg.providers.auth.verified import Verified, presented
from dockreg.shield import shielded

log = Logger()

#: How long what was read is good without a look at the file.
_LOOK_SECONDS = 1
#: bcrypt does not see what comes after.
_MAX_PASSWORD_BYTES = 72
#: A salt like any other, for hashes that nobody needs.
_SALT = b"dockreg/dockreg/dockre"

#: How many lines that are not used are told one by one.
_MAX_TOLD = 20

_Stamp = tuple[int, ...]


@define(eq=False)
class HtpasswdFile:
    """
    The entries of the file at ``path``, which is read again when it has changed.

    While it can not be read, or is none any more, the entries that were read last stay.
    """

    path: Path
    _in_thread: InThread
    _clock: IReactorTime
    _current: Htpasswd | None = field(init=False, default=None)
    _stamp: _Stamp | None = field(init=False, default=None)
    _problem: str = field(init=False, default="")
    _looked_at: float | None = field(init=False, default=None)
    _looking: DeferredLock = field(init=False, factory=DeferredLock)

    async def current(self) -> Htpasswd:
        """The entries, not older than a second. :raises StoreUnavailable: the file was never good."""
        if self._current is None or (self._is_due() and not self._looking.locked):
            await shielded(self._look())
        if self._current is None:
            raise StoreUnavailable(f"the password file {self.path} {self._problem}")
        return self._current

    def _is_due(self) -> bool:
        return self._looked_at is None or not 0 <= self._clock.seconds() - self._looked_at < _LOOK_SECONDS

    async def _look(self) -> None:
        await self._looking.acquire()
        try:
            if not self._is_due():
                return
            self._looked_at = self._clock.seconds()
            stamp, outcome = await self._in_thread(read_htpasswd, self.path, self._stamp)
            self._stamp = stamp
            if isinstance(outcome, Htpasswd):
                self._replace(outcome)
            elif outcome:
                self._keep(outcome)
        finally:
            self._looking.release()

    def _replace(self, new: Htpasswd) -> None:
        self._current, self._problem = new, ""
        log.info("read {entries} entries of {file}", entries=len(new.entries), file=str(self.path))
        for number, reason in new.refused[:_MAX_TOLD]:
            log.warn("line {line} of {file} is not used: {reason}", line=number, file=str(self.path), reason=reason)
        if len(new.refused) > _MAX_TOLD:
            more = len(new.refused) - _MAX_TOLD
            log.warn("so are {more} further lines of {file}", more=more, file=str(self.path))

    def _keep(self, problem: str) -> None:
        if problem != self._problem:
            what = "the entries that were read before stay" if self._current else "nobody of it can log in"
            log.warn("{file} {problem}; {what}", file=str(self.path), problem=problem, what=what)
        self._problem = problem


def read_htpasswd(path: Path, known: _Stamp | None = None) -> tuple[_Stamp | None, Htpasswd | str]:
    """
    The stamp of the file, and what it holds or why it can not be used; nothing when its stamp is ``known``.

    It blocks.
    """
    try:
        # The file that is looked at must be the one that is read, though another may take its name meanwhile; opening
        # what is no file must not wait for somebody at its other end.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None, "is no file"
            stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if stamp == known:
                return stamp, ""
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        return None, f"can not be read: {error.strerror or type(error).__name__}"
    try:
        return stamp, parse_htpasswd(content)
    except HtpasswdInvalid as error:
        return stamp, f"is no htpasswd file: {error}"


@implementer(IAwaitedChecker, IDirectory)
@define(eq=False)
class HtpasswdChecker:
    """
    Checks names and passwords against an htpasswd file.

    A wrong password and an unknown name take the time of the most expensive entry. A password of more than 72 bytes, or
    with a NUL in it, is refused: bcrypt would not see all of it.
    """

    credentialInterfaces = (IUsernamePassword,)

    _file: HtpasswdFile
    _turns: Turns
    _verified: Verified[bool]

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[bytes | tuple[()]]:
        """
        The name, as ``twisted.cred`` asks for it.

        :raises UnauthorizedLogin: there is no such entry, or the password is another.
        :raises Busy: too many passwords are being verified already.
        :raises StoreUnavailable: the file was never good.
        """
        return Deferred.fromCoroutine(self.avatar_id(credentials))

    async def find(self, name: str) -> Person | None:
        """See :meth:`.IDirectory.find`."""
        entries = (await self._file.current()).entries
        return Person(name) if name.encode("utf-8", "surrogatepass") in entries else None

    async def open(self) -> None:
        """Read the file for the first time. :raises StoreUnavailable: it can not be used."""
        await self._file.current()

    async def avatar_id(self, credentials: ICredentials) -> bytes | tuple[()]:
        """See :class:`.IAwaitedChecker`."""
        name, password = presented(credentials)
        file = await self._file.current()
        if len(password) > _MAX_PASSWORD_BYTES or b"\0" in password:
            raise UnauthorizedLogin
        stored = file.entries.get(name)
        if stored is not None and self._verified.recall(name, password, stored):
            return name
        if not await self._turns.run(_matches, stored, password, file.cost) or stored is None:
            raise UnauthorizedLogin
        self._verified.keep(True, name, password, stored)
        return name


def _matches(stored: bytes | None, password: bytes, cost: int) -> bool:
    """
    Whether ``stored`` was made from ``password``; None never was.

    A no costs 2 to the power of ``cost`` rounds: what the entry's own hash lacks of that is made up for.
    """
    if stored is None:
        bcrypt.hashpw(password, _salt(cost))
        return False
    if bcrypt.checkpw(password, stored):
        return True
    for more in range(cost_of(stored), cost):
        bcrypt.hashpw(password, _salt(more))
    return False


def _salt(cost: int) -> bytes:
    return b"$2b$%02d$%s" % (cost, _SALT)
