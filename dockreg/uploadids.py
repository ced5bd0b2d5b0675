"""
Ids of upload sessions that prove themselves.

To begin a session changes nothing: its id says until when it lasts, and carries a code that only this registry can have
made, over that, the repository, who began it and the algorithm. So every process knows such a session by its id, and it gets
a row when it has received bytes that are to be kept, or never. That it has ended is a row as well, until it would have ended
by itself (:meth:`.IUploadStore.end`).
"""

import hmac
from binascii import b2a_base64
from collections.abc import Callable
from functools import lru_cache
from math import ceil

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dockreg.callables import IdentifierFactory
from dockreg.interfaces_access import IKeyStore
from dockreg.model.accounts import SigningKey
from dockreg.model.blobs import NOTHING_RECEIVED
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadSession, first_proven, proven_end

#: What the key store calls the key.
PURPOSE = "upload-session"
_SECRET_BYTES = 32
_LETTERS = {"sha256": "2", "sha512": "5"}
_ALGORITHMS = {letter: algorithm for algorithm, letter in _LETTERS.items()}
_LETTER_AT = 8
_RANDOM_BYTES = 12
_CODE_BYTES = 15
#: In characters: 120 bits.
_CODE_LENGTH = 20
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
#: Many begin within one second.
_first = lru_cache(maxsize=8)(first_proven)


@define(eq=False)
class UploadIDs:
    """
    Makes ids of sessions, and knows them again.

    :param new_id: names the key.
    :param random_bytes: as many random bytes as it is asked for (``os.urandom`` in production).
    """

    _keys: IKeyStore
    _clock: IReactorTime
    _new_id: IdentifierFactory
    _random_bytes: Callable[[int], bytes]
    # One for all processes and restarts, which is never replaced.
    _secret: bytes | None = field(default=None, init=False)

    async def make(self, name: RepositoryName, principal: str | None, algorithm: str, ends_at: float) -> str:
        """
        The id of a new session, which nobody can guess.

        :param algorithm: sha256 or sha512. :param ends_at: until when it lasts while it has no row.
        """
        return self._make_id(await self._key(), name, principal, algorithm, ends_at)

    def make_at_once(self, name: RepositoryName, principal: str | None, algorithm: str, ends_at: float) -> str | None:
        """The same; None when the key has to be asked for."""
        return None if self._secret is None else self._make_id(self._secret, name, principal, algorithm, ends_at)

    def _make_id(
        self, secret: bytes, name: RepositoryName, principal: str | None, algorithm: str, ends_at: float
    ) -> str:
        head = _first(ceil(ends_at)) + _LETTERS[algorithm] + _letters(self._random_bytes(_RANDOM_BYTES))
        return head + _code(secret, head, name, principal)

    async def session(
        self, name: RepositoryName, principal: str | None, upload_id: str, lasting: float
    ) -> UploadSession | None:
        """
        What a session is that has received nothing; None when its id proves nothing to this caller.

        :param lasting: how many seconds a session lasts.
        """
        end = proven_end(upload_id)
        if end is None:
            return None
        head, code = upload_id[:-_CODE_LENGTH], upload_id[-_CODE_LENGTH:]
        if not hmac.compare_digest(code, _code(await self._key(), head, name, principal)):
            return None
        algorithm = _ALGORITHMS[upload_id[_LETTER_AT]]
        return UploadSession(upload_id, name, principal, algorithm, NOTHING_RECEIVED, end - lasting)

    async def _key(self) -> bytes:
        if self._secret is None:
            self._secret = (await self._keys.get(PURPOSE, self._make_key))[0].secret
        return self._secret

    def _make_key(self) -> SigningKey:
        return SigningKey(self._new_id(), self._random_bytes(_SECRET_BYTES), self._clock.seconds())


def _code(secret: bytes, head: str, name: RepositoryName, principal: str | None) -> str:
    # ``head`` has one length always: no two sessions have the same text.
    owner = "" if principal is None else f"={principal}"
    text = f"{head}{len(name.value)}/{name.value}{owner}"
    return _letters(hmac.digest(secret, text.encode(), "sha256")[:_CODE_BYTES])


def _letters(data: bytes) -> str:
    """What ``urlsafe_b64encode`` makes, in half of the calls; a multiple of three bytes needs no more."""
    return b2a_base64(data, newline=False).translate(_URL_SAFE).decode()
