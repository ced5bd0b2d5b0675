"""
Password hashes: argon2id, off the reactor thread, few at a time.

One hash costs 64 MiB and some tens of milliseconds of several cores, by design. Without a bound, a handful of clients
with wrong passwords would stop a registry; with a queue without a bound, they would only do so later.
"""

import argon2
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from attrs import define, field
from zope.interface import implementer

from dockreg.interfaces_access import IPasswordHasher
from dockreg.providers.auth.turns import Turns

#: RFC 9106 section 4, second recommended option: 3 passes, 64 MiB, 4 lanes, 16 bytes of salt, 32 bytes of hash.
RFC_9106_LOW_MEMORY = argon2.profiles.RFC_9106_LOW_MEMORY


@implementer(IPasswordHasher)
@define(eq=False)
class PasswordHasher:
    """Hashes passwords in :attr:`turns`, which others who hash may share."""

    turns: Turns
    _cost: argon2.Parameters = RFC_9106_LOW_MEMORY
    _argon2: argon2.PasswordHasher = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._argon2 = argon2.PasswordHasher.from_parameters(self._cost)

    async def hash(self, password: bytes) -> str:
        """See :meth:`.IPasswordHasher.hash`."""
        return await self.turns.run(self._argon2.hash, password)

    async def verify(self, stored: str, password: bytes) -> bool:
        """See :meth:`.IPasswordHasher.verify`."""
        return await self.turns.run(self._matches, stored, password)

    async def verify_nobody(self, password: bytes) -> None:
        """See :meth:`.IPasswordHasher.verify_nobody`; making a hash is the same work as verifying one."""
        await self.turns.run(self._argon2.hash, password)

    def _matches(self, stored: str, password: bytes) -> bool:
        try:
            return self._argon2.verify(stored, password)
        except VerifyMismatchError:
            return False
        except InvalidHashError:
            self._argon2.hash(password)  # an account without a usable hash must not answer sooner than others
            return False
