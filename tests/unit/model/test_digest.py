"""Tests for dockreg.model.digest."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import DigestInvalid
from dockreg.model.digest import Digest, Hasher


class DigestTests(SynchronousTestCase):
    """Tests for Digest and Hasher."""

    def test_parse(self) -> None:
        """sha256 and sha512 digests are parsed and printed unchanged."""
        for algorithm in ("sha256", "sha512"):
            text = f"{algorithm}:{hashlib.new(algorithm, b'x').hexdigest()}"
            self.assertEqual(text, str(Digest.parse(text)))

    def test_refused(self) -> None:
        """Another algorithm, length, case or alphabet is refused."""
        good = "a" * 64
        for text in ("", good, f"sha256:{good}\n", f"sha256:{good[1:]}", f"SHA256:{good}", f"sha256:{'A' * 64}",
                     f"sha512:{good}", "md5:" + "a" * 32, f"sha256:../{good[3:]}"):  # fmt: skip
            with self.assertRaises(DigestInvalid, msg=text):
                Digest.parse(text)

    @given(st.lists(st.binary()))
    def test_hasher(self, pieces: list[bytes]) -> None:
        """The hasher gives the digest of all pieces together, at any time."""
        hasher = Hasher()
        for piece in pieces:
            hasher.update(piece)
        self.assertEqual(Digest.sha256(b"".join(pieces)), hasher.digest)
