"""
Password hashes: argon2id, off the reactor thread, few at a time.

One hash costs 64 MiB and some tens of milliseconds of several cores, by design. Without a bound, a handful of clients
with wrong passwords would stop a registry; with a queue without a bound, they would only do so later.
"""

from functools import cached_property
from typing import TYPE_CHECKING

from attrs import define
from zope.interface import implementer

from dockreg.interfaces_access import IPasswordHasher
from dockreg.providers.auth.turns import Turns

if TYPE_CHECKING:
    import argon2


@implementer(IPasswordHasher)
@define(eq=False)
class PasswordHasher:
    """
    Hashes passwords in :attr:`turns`, which others who hash may share.

    :param cost: by default the second option that RFC 9106 recommends (section 4): 3 passes, 64 MiB, 4 lanes, 16 bytes of
        salt, 32 bytes of hash.
    """

    turns: Turns
    _cost: "argon2.Parameters | None" = None

    @cached_property
    def _argon2(self) -> "argon2.PasswordHasher":
        # Where nobody has a password it is never loaded.
        import argon2  # noqa: PLC0415

        return argon2.PasswordHasher.from_parameters(self._cost or argon2.profiles.RFC_9106_LOW_MEMORY)

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
        from argon2.exceptions import InvalidHashError, VerifyMismatchError  # noqa: PLC0415

        try:
            return self._argon2.verify(stored, password)
        except VerifyMismatchError:
            return False
        except InvalidHashError:
            self._argon2.hash(password)  # an account without a usable hash must not answer sooner than others
            return False
