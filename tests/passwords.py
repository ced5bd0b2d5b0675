"""Passwords that are hashed quickly, for tests that are not about their strength."""

from collections.abc import Callable
from typing import Any

import argon2

from dockreg import identity
from dockreg.providers.auth.hashing import PasswordHasher
from dockreg.providers.auth.turns import Turns

#: As weak as argon2 can be.
CHEAP = argon2.Parameters(
    type=argon2.Type.ID, version=19, salt_len=16, hash_len=32, time_cost=1, memory_cost=8, parallelism=1
)


def weaken(patch: Callable[[Any, str, Any], object] = setattr) -> None:
    """
    Have the registries and commands of this process make such hashes.

    :param patch: as :meth:`twisted.trial.unittest.TestCase.patch`, where it is for one test.
    """
    patch(identity, PasswordHasher.__name__, _weak_hasher)


def _weak_hasher(turns: Turns) -> PasswordHasher:
    return PasswordHasher(turns, CHEAP)
