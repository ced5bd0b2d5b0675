"""Digests of content, and the hasher that computes them as bytes pass."""

import hashlib
import re

from attrs import frozen

from dockreg.errors import DigestInvalid

_ALGORITHMS = frozenset({"sha256", "sha512"})
_DIGEST = re.compile(r"(sha256):([a-f0-9]{64})|(sha512):([a-f0-9]{128})", re.ASCII)


@frozen(order=True)
class Digest:
    """``algorithm:encoded`` (OCI Image specification, "Digests"); sha256 and sha512 are known."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """:raises DigestInvalid: unknown algorithm, or not its lowercase hexadecimal form."""
        found = _DIGEST.fullmatch(text)
        if found is None:
            raise DigestInvalid(text[:256], "it is not a sha256 or sha512 digest in lowercase hexadecimal digits")
        return cls(found[1] or found[3], found[2] or found[4])

    @classmethod
    def sha256(cls, content: bytes) -> "Digest":
        """The sha256 digest of ``content``."""
        return cls("sha256", hashlib.sha256(content).hexdigest())

    @classmethod
    def of(cls, algorithm: str, content: bytes) -> "Digest":
        """
        The digest of ``content`` by ``algorithm``.

        :raises DigestInvalid: the algorithm is not known.
        """
        if algorithm not in _ALGORITHMS:
            raise DigestInvalid(algorithm[:256], "only sha256 and sha512 are known")
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


class Hasher:
    """Digests bytes as they pass."""

    def __init__(self, algorithm: str = "sha256") -> None:
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self.update = self._hash.update

    def copy(self) -> "Hasher":
        """Another one that has seen the same bytes."""
        copy = object.__new__(Hasher)
        copy._algorithm, copy._hash = self._algorithm, self._hash.copy()
        copy.update = copy._hash.update
        return copy

    @property
    def digest(self) -> Digest:
        """The digest of all bytes seen so far."""
        return Digest(self._algorithm, self._hash.hexdigest())
