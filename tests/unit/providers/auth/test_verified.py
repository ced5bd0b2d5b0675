"""Tests of :mod:`dockreg.providers.auth.verified`."""

from twisted.cred.credentials import UsernamePassword
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.auth.verified import Verified, presented
from tests.unit.providers.auth.support import counted_bytes, memory_of


class VerifiedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.verified = memory_of(self.clock)

    def test_very_parts(self) -> None:
        """What was kept is found for the very parts only; the borders between them count."""
        self.verified.keep("yes", b"anna", b"secret", b"stored")
        self.assertEqual("yes", self.verified.recall(b"anna", b"secret", b"stored"))
        for parts in (
            (b"ann", b"asecret", b"stored"),
            (b"anna", b"secret", b"other"),
            (b"anna", b"secretstored"),
            (b"anna", b"secret", b"stored", b""),
            (b"berta", b"secret", b"stored"),
            (),
        ):
            self.assertIsNone(self.verified.recall(*parts), parts)

    def test_its_time(self) -> None:
        """After its time nothing is found, and without time nothing is kept."""
        self.verified.keep("yes", b"anna")
        self.clock.advance(60)
        self.assertIsNone(self.verified.recall(b"anna"))
        forgetful = memory_of(self.clock, 0)
        forgetful.keep("yes", b"anna")
        self.assertIsNone(forgetful.recall(b"anna"))

    def test_a_minute_at_most(self) -> None:
        """Nobody can configure a longer memory than a minute."""
        with self.assertRaises(ValueError):
            memory_of(self.clock, 61)

    def test_shows_nothing(self) -> None:
        """What is kept are keyed hashes: another process, with another key, makes others, and none has the password."""
        other = Verified[str](self.clock, lambda size: b"x" * size)
        parts = (b"anna", b"secret")
        self.assertNotEqual(self.verified._proof(parts), other._proof(parts))
        self.assertNotIn(b"secret", self.verified._proof(parts))
        self.assertNotIn(repr(counted_bytes()(32)), repr(self.verified))


class PresentedTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Names and passwords are bytes, in whichever form they come."""
        self.assertEqual((b"anna", b"secret"), presented(UsernamePassword(b"anna", b"secret")))
        text = UsernamePassword("jürgen", "\udc80")  # type: ignore[arg-type]  # others pass text
        self.assertEqual(("jürgen".encode(), b"\xed\xb2\x80"), presented(text))
