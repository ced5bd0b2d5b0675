"""Tests for dockreg.web.exchange."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import BodyTooLarge, Busy
from dockreg.model.access import ANONYMOUS, Caller
from dockreg.web.channel import Channel
from dockreg.web.exchange import DocumentRoom, Exchange
from dockreg.web.requests import Request
from tests.unit.web.wire import Server, head, leave


class DocumentTests(SynchronousTestCase):
    """Documents in the bodies of requests."""

    def setUp(self) -> None:
        self.room = DocumentRoom(10)
        self.outcomes: list[bytes | Exception] = []

        async def handle(request: Request) -> bytes:
            exchange = Exchange(request, Caller(ANONYMOUS), self.room)
            try:
                self.outcomes.append(await exchange.document(8))
            except Exception as problem:  # noqa: BLE001  # the test looks at it
                self.outcomes.append(problem)
            return b""

        self.server = Server(handle)

    def send(self, length: int, sent: bytes) -> Channel:
        """Begin a request on a connection of its own."""
        channel, _ = self.server.connect()
        channel.dataReceived(head("PUT /", f"Content-Length: {length}") + sent)
        return channel

    def test_document(self) -> None:
        """A document is read whole, and its room is free again."""
        channel = self.send(6, b"abc")
        self.assertEqual(7, self.room.left)
        channel.dataReceived(b"def")
        self.assertEqual([b"abcdef"], self.outcomes)
        self.assertEqual(10, self.room.left)

    def test_no_room(self) -> None:
        """When those that are under way take all the room, another one is sent away for a while."""
        self.send(8, b"1234567")
        self.send(8, b"1234")
        (refused,) = self.outcomes
        self.assertIsInstance(refused, Busy)
        self.assertEqual(3, self.room.left)

    def test_client_gone(self) -> None:
        """A client that goes away leaves its room to others."""
        leave(self.send(8, b"1234567"))
        self.assertEqual(10, self.room.left)
        self.assertEqual(1, len(self.outcomes))

    def test_too_large(self) -> None:
        """A document over its own limit is refused by its length."""
        self.send(9, b"")
        (refused,) = self.outcomes
        self.assertIsInstance(refused, BodyTooLarge)
