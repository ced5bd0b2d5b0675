"""Tests of :mod:`benchmarks.messages`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.content import framed
from benchmarks.messages import Answer, LoadFailed, ends_chunks, joined_chunks


class AnswerTests(SynchronousTestCase):
    """What is read of the head of an answer."""

    def test_length(self) -> None:
        """Names of headers are the same in any case of letters."""
        answer = Answer(b"HTTP/1.1 200 OK\r\ncOnTent-LENGTH: 12\r\nX: 1\r\n", bodyless=False)
        self.assertEqual((200, 12, False, False), (answer.status, answer.length, answer.chunked, answer.closes))

    def test_chunked(self) -> None:
        """A chunked answer has no length."""
        answer = Answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", bodyless=False)
        self.assertTrue(answer.chunked)
        self.assertIsNone(answer.length)

    def test_head_request(self) -> None:
        """What answers HEAD may tell a length, and has no body in any case."""
        answer = Answer(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n", bodyless=True)
        self.assertFalse(answer.chunked)

    def test_no_content(self) -> None:
        """A 204 needs no length."""
        self.assertIsNone(Answer(b"HTTP/1.1 204 No Content\r\n", bodyless=False).length)

    def test_closes(self) -> None:
        """The server may end the connection."""
        self.assertTrue(Answer(b"HTTP/1.1 204 N\r\nConnection: close\r\n", bodyless=False).closes)

    def test_without_length(self) -> None:
        """A body that ends with the connection is refused: nobody could tell whether all of it came."""
        self.assertRaises(LoadFailed, Answer, b"HTTP/1.1 200 OK\r\n", bodyless=False)

    def test_header(self) -> None:
        """The value of a header, and a failure that names the one that is missing."""
        answer = Answer(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nlocation: /v2/x?a=b\r\n", bodyless=False)
        self.assertEqual("/v2/x?a=b", answer.header("Location"))
        self.assertIn("x-other", str(self.assertRaises(LoadFailed, answer.header, "x-other")))


class ChunkTests(SynchronousTestCase):
    """Tests of :func:`joined_chunks` and :func:`ends_chunks`."""

    @given(st.binary(max_size=100_000))
    def test_what_was_framed_is_joined(self, content: bytes) -> None:
        """Framing and joining give the same bytes."""
        self.assertEqual(content, joined_chunks(b"".join(framed(content))))

    def test_broken(self) -> None:
        """What is no chunk is told."""
        self.assertRaises(LoadFailed, joined_chunks, b"3\r\nabc\r\nzz\r\n")

    def test_end(self) -> None:
        """The last seven bytes tell that a body is over, or fewer if it is empty."""
        self.assertTrue(ends_chunks(b"\r\n0\r\n\r\n"))
        self.assertTrue(ends_chunks(b"0\r\n\r\n"))
        self.assertFalse(ends_chunks(b"10\r\n\r\n"))
        self.assertFalse(ends_chunks(b"\r\n0\r\n"))
