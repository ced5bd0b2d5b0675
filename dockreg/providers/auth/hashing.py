"""
Password hashes: argon2id, off the reactor thread, few at a time.

One hash costs 64 MiB and some tens of milliseconds of several cores, by design. Without a bound, a handful of clients
with wrong passwords would stop a registry; with a queue without a bound, they would only do so later.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from attrs import Factory, define, field, validators
from twisted.internet.defer import Deferred
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.errors import Busy
from dockreg.interfaces_access import IPasswordHasher
from dockreg.shield import shielded

T = TypeVar("T")

#: RFC 9106 section 4, second recommended option: 3 passes, 64 MiB, 4 lanes, 16 bytes of salt, 32 bytes of hash.
RFC_9106_LOW_MEMORY = argon2.profiles.RFC_9106_LOW_MEMORY

_RETRY_SECONDS = 2


@implementer(IPasswordHasher)
@define(eq=False)
class PasswordHasher:
    """
    Hashes ``at_once`` passwords at a time; up to ``queue`` more wait for their turn, in order.

    A client that goes away gives up its place in the queue. The hash that is being computed for it runs to its end,
    and counts until then.
    """

    _in_thread: InThread
    _at_once: int = field(default=2, validator=validators.ge(1))
    _queue: int = field(default=32, validator=validators.ge(0))
    _cost: argon2.Parameters = RFC_9106_LOW_MEMORY
    _argon2: argon2.PasswordHasher = field(init=False)
    _running: int = field(init=False, default=0)
    _waiting: deque["Deferred[None]"] = field(init=False, default=Factory(deque))

    def __attrs_post_init__(self) -> None:
        self._argon2 = argon2.PasswordHasher.from_parameters(self._cost)

    async def hash(self, password: bytes) -> str:
        """See :meth:`.IPasswordHasher.hash`."""
        return await self._run(self._argon2.hash, password)

    async def verify(self, stored: str, password: bytes) -> bool:
        """See :meth:`.IPasswordHasher.verify`."""
        return await self._run(self._matches, stored, password)

    async def verify_nobody(self, password: bytes) -> None:
        """See :meth:`.IPasswordHasher.verify_nobody`; making a hash is the same work as verifying one."""
        await self._run(self._argon2.hash, password)

    def _matches(self, stored: str, password: bytes) -> bool:
        try:
            return self._argon2.verify(stored, password)
        except VerifyMismatchError:
            return False
        except InvalidHashError:
            self._argon2.hash(password)  # an account without a usable hash must not answer sooner than others
            return False

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        await self._turn()
        return await shielded(self._in_turn(function, *args))

    async def _turn(self) -> None:
        if self._running < self._at_once:
            self._running += 1
            return
        if len(self._waiting) >= self._queue:
            raise Busy("too many passwords are being verified; try again in a moment", _RETRY_SECONDS)
        turn: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(turn)
        await turn

    async def _in_turn(self, function: Callable[..., T], *args: Any) -> T:
        try:
            return await self._in_thread(function, *args)
        finally:
            if self._waiting:
                self._waiting.popleft().callback(None)  # the turn is handed on, the number that run stays
            else:
                self._running -= 1
