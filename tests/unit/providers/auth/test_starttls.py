"""Tests of :mod:`dockreg.providers.auth.starttls`."""

import socket
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.auth.starttls import StartTLSFailed, ask_for_tls

#: What OpenLDAP answers, and Active Directory, which spells lengths in the long form.
GOOD = bytes.fromhex("300c02010178070a010004000400")
GOOD_LONG = (
    bytes.fromhex("308400000028020101788400000 01f0a01000400 0400".replace(" ", ""))
    + b"\x8a\x16"
    + b"1.3.6.1.4.1.1466.20037"
)
REFUSED = bytes.fromhex("300c02010178070a010204000400")


class AskTests(SynchronousTestCase):
    def ask(self, answers: Iterable[bytes]) -> bytes:
        """What is left on the connection once the server has answered that."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for each in answers:
                theirs.sendall(each)
            theirs.shutdown(socket.SHUT_WR)
            ask_for_tls(ours, lambda: 5)
            self.asked = theirs.recv(4096)
            return ours.recv(4096)

    def refused(self, answer: bytes) -> str:
        return str(self.assertRaises(StartTLSFailed, self.ask, [answer]))

    def test_question(self) -> None:
        """What is asked is the extended request of RFC 4511."""
        self.ask([GOOD])
        self.assertEqual(b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037", self.asked)

    def test_yes(self) -> None:
        """A success is one, however the server spells lengths."""
        for answer in (GOOD, GOOD_LONG):
            self.assertEqual(b"", self.ask([answer]))

    def test_nothing_beyond(self) -> None:
        """What somebody puts behind the answer is left to TLS, which takes it for nothing good."""
        self.assertEqual(b"0\x0c\x02\x01\x02a", self.ask([GOOD, b"0\x0c\x02\x01\x02a"]))

    def test_no(self) -> None:
        """A refusal is told with its number."""
        self.assertIn("refuses StartTLS with result 2", self.refused(REFUSED))

    def test_others(self) -> None:
        """An answer to another question, of another kind, too long or too short is none."""
        for answer in (
            b"",
            GOOD[:-1],
            GOOD[:1],
            GOOD.replace(b"\x02\x01\x01", b"\x02\x01\x02"),
            GOOD.replace(b"\x78", b"\x61"),
            GOOD.replace(b"\x0a\x01", b"\x02\x01"),
            GOOD.replace(b"\x0a\x01", b"\x0a\x00"),
            b"\x30\x02\x02\x05",
            b"\x30\x00",
            b"\x30\x80",
            b"\x30\x85\x00\x00\x00\x00\x01x",
            b"\x30\x83\xff\xff\xff",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
        ):
            self.assertNotEqual("", self.refused(answer), answer)

    @given(st.binary(max_size=30))
    def test_anything(self, answer: bytes) -> None:
        """Whatever comes, the outcome is a sentence."""
        for each in (answer, b"\x30" + bytes([len(answer)]) + answer):
            self.assertNotEqual("", self.refused(each))

    def test_time(self) -> None:
        """A server that says nothing, or stops in the middle, is not waited for beyond the time."""
        for begin in (b"", GOOD[:5]):
            left = iter([0.01, 0.01, 0.01])

            def remaining(left: Iterable[float] = left) -> float:
                for each in left:
                    return each
                raise TimeoutError("no answer in time")

            ours, theirs = socket.socketpair()
            with ours, theirs:
                theirs.sendall(begin)
                self.assertRaises(TimeoutError, ask_for_tls, ours, remaining)
