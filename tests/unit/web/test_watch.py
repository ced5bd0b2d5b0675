"""The times of a connection, exact to the second."""

from attrs import evolve
from twisted.internet.defer import Deferred

from dockreg.web.bodies import CutReason
from dockreg.web.limits import Limits
from dockreg.web.requests import Request
from dockreg.web.watch import Expiry, Phase, Watch
from tests.unit.web.wire import ChannelCase, Transport, head, leave, statuses

KIBIBYTE = 1024


class HeaderTimeTests(ChannelCase):
    """Headers must be complete in time."""

    def test_silent_connection(self) -> None:
        """A connection on which nothing comes is closed after 30 seconds, without a word."""
        _, transport = self.serve(self.take)
        self.server.pass_time(29)
        self.assertFalse(transport.disconnecting)
        self.server.pass_time(1)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(b"", transport.value())

    def test_dripping(self) -> None:
        """Bytes that drip do not restart the time; the client is told."""
        channel, transport = self.serve(self.take)
        for byte in head("GET /a")[:29]:
            self.server.pass_time(1)
            channel.dataReceived(bytes([byte]))
        self.assertEqual([], statuses(transport))
        self.server.pass_time(1)
        self.assertEqual([408], statuses(transport))
        self.assertTrue(transport.half_closed)

    def test_from_the_first_byte(self) -> None:
        """Between two requests the time of the headers begins with the first byte of the second."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("GET /a"))
        self.server.pass_time(50)
        channel.dataReceived(b"GET ")
        self.server.pass_time(29)
        self.assertEqual([200], statuses(transport))
        self.server.pass_time(1)
        self.assertEqual([200, 408], statuses(transport))

    def test_pipelined_beginning(self) -> None:
        """The beginning of a request behind another has no more time than any."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("GET /a") + b"GET /b HT")
        self.server.pass_time(30)
        self.assertEqual([200, 408], statuses(transport))

    def test_keep_alive(self) -> None:
        """A connection without a request is closed after 60 seconds."""
        channel, transport = self.serve(self.take)
        self.server.pass_time(20)
        channel.dataReceived(head("GET /a"))
        self.server.pass_time(59)
        self.assertFalse(transport.disconnecting)
        self.server.pass_time(1)
        self.assertTrue(transport.disconnecting)


class BodyTimeTests(ChannelCase):
    """Bodies must come at some pace, while we read."""

    limits = Limits(window_bytes=64 * KIBIBYTE)

    def start(self) -> Transport:
        """An upload of which nothing has come."""
        self.channel, transport = self.serve(self.take)
        self.channel.dataReceived(head("PUT /a", "Content-Length: 1000000000"))
        return transport

    def test_idle(self) -> None:
        """A body that stands still for 60 seconds is given up: the handler is told, the client gets 408 and a close."""
        transport = self.start()
        self.server.pass_time(50)
        self.channel.dataReceived(bytes(100 * KIBIBYTE))
        self.server.pass_time(59)
        self.assertEqual([], self.cuts)
        self.server.pass_time(1)
        self.assertEqual([CutReason.TIMED_OUT], [cut.reason for cut in self.cuts])
        self.assertEqual([408], statuses(transport))
        self.assertTrue(transport.half_closed)

    def test_idle_counts_while_reading(self) -> None:
        """Time in which we did not read, because the handler was busy, is not held against the client."""
        transport = self.start()
        busy: Deferred[None] = Deferred()
        self.between = busy
        self.channel.dataReceived(bytes(KIBIBYTE))
        self.channel.dataReceived(bytes(64 * KIBIBYTE))
        self.server.pass_time(200)
        self.assertEqual([], self.cuts)
        self.between = None
        busy.callback(None)
        self.server.pass_time(59)
        self.assertEqual([], self.cuts)
        self.server.pass_time(1)
        self.assertEqual([408], statuses(transport))

    def test_minimum_rate(self) -> None:
        """After the first minute each one must bring 60 KiB."""
        transport = self.start()
        for _ in range(60):
            self.channel.dataReceived(b"x")
            self.server.pass_time(1)
        for _ in range(60):
            self.channel.dataReceived(bytes(KIBIBYTE))
            self.server.pass_time(1)
        for second in range(60):
            self.assertEqual([], statuses(transport), second)
            self.channel.dataReceived(bytes(KIBIBYTE - 1))
            self.server.pass_time(1)
        self.assertEqual([408], statuses(transport))

    def test_minimum_rate_counts_while_reading(self) -> None:
        """A minute of reading may take any number of minutes."""
        transport = self.start()
        for _ in range(10):
            self.channel.dataReceived(bytes(20 * KIBIBYTE))
            self.server.pass_time(15)
            busy: Deferred[None] = Deferred()
            self.between = busy
            while transport.reading:
                self.channel.dataReceived(bytes(KIBIBYTE))
            self.server.pass_time(45)
            self.between = None
            busy.callback(None)
        self.assertEqual([], self.cuts)

    def test_drip_between_pauses(self) -> None:
        """A body that drips is given up after two minutes of reading, even if each was a second long."""
        transport = self.start()
        for _ in range(130):
            self.channel.dataReceived(b"x")
            self.server.pass_time(1)
            self.channel._watch.reading(False, self.server.clock.seconds())
            self.server.pass_time(5)
            self.channel._watch.reading(True, self.server.clock.seconds())
            if self.cuts:
                break
        self.assertEqual([408], statuses(transport))

    def test_each_body_has_its_first_minute(self) -> None:
        """A second upload on a connection is not held against the pace of the first."""
        self.start()
        watch = Watch(self.limits, 0.0)
        for begin in (0.0, 1000.0):
            watch.enter(Phase.BODY, begin)
            for second in (20.0, 40.0, 60.0):
                watch.arrived(1, begin + second)
            self.assertIsNone(watch.expired(begin + 60, sending=False))
            watch.enter(Phase.HANDLING, begin + 61)

    def test_no_minimum_rate(self) -> None:
        """A rate of 0 is no limit."""
        self.limits = evolve(self.limits, minimum_rate=0)
        self.start()
        for _ in range(300):
            self.channel.dataReceived(b"x")
            self.server.pass_time(1)
        self.assertEqual([], self.cuts)

    def test_no_total_limit(self) -> None:
        """A body that comes fast enough may take a day."""
        self.limits = evolve(self.limits, sweep_seconds=30.0)
        self.start()
        for _ in range(24 * 60 * 2):
            self.channel.dataReceived(bytes(31 * KIBIBYTE))
            self.server.clock.advance(30)
            self.pieces.clear()
        self.assertEqual([], self.cuts)

    def test_unread(self) -> None:
        """A body that its handler does not ask for ends the connection after 300 seconds: the client may be gone."""
        channel, transport = self.serve(self.wait)
        channel.dataReceived(head("PUT /a", "Content-Length: 1000000") + bytes(20 * KIBIBYTE))
        self.server.pass_time(299)
        self.assertFalse(transport.aborted)
        self.server.pass_time(1)
        self.assertTrue(transport.aborted)
        self.assertEqual([499], [record.status for record in self.server.records])

    def test_silent_handler_after_a_cut(self) -> None:
        """A handler that does not answer after its body was cut loses the connection after 300 seconds."""

        async def hang(request: Request) -> bytes:
            try:
                return await self.take(request)
            finally:
                await Deferred()

        channel, transport = self.serve(hang)
        channel.dataReceived(head("PUT /a", "Content-Length: 10"))
        self.server.pass_time(60 + 299)
        self.assertFalse(transport.aborted)
        self.server.pass_time(1)
        self.assertTrue(transport.aborted)


class ResponseTimeTests(ChannelCase):
    """Responses must move."""

    def test_handler_has_time(self) -> None:
        """A handler that has not begun to answer is not hurried."""
        channel, transport = self.serve(self.wait)
        channel.dataReceived(head("GET /a"))
        self.server.pass_time(1000)
        self.assertFalse(transport.aborted)
        self.gate.callback(None)
        self.assertEqual([200], statuses(transport))

    def test_begun_response_that_stops(self) -> None:
        """A response that has begun and moves no byte for 300 seconds is cut."""
        more: list[Request] = []

        async def trickle(request: Request) -> None:
            request.write(b"begun")
            more.append(request)
            await Deferred()

        channel, transport = self.serve(trickle)
        channel.dataReceived(head("GET /a"))
        self.server.pass_time(200)
        more[0].write(b"more")
        self.server.pass_time(300)
        self.assertFalse(transport.aborted)
        self.server.pass_time(1)
        self.assertTrue(transport.aborted)

    def test_client_that_does_not_read(self) -> None:
        """What waits to be sent and does not move for 300 seconds ends the connection, also behind the response."""
        channel, transport = self.serve(self.ignore)
        transport.dataBuffer = b"unsent"
        transport.offset = 0
        channel.dataReceived(head("GET /200"))
        self.server.pass_time(250)
        transport.offset = 1
        self.server.pass_time(300)
        self.assertFalse(transport.aborted)
        self.server.pass_time(1)
        self.assertTrue(transport.aborted)

    def test_each_response_has_its_time(self) -> None:
        """A response that looks like the one before it has its own time."""
        watch = Watch(self.limits, 0.0)
        watch.enter(Phase.HANDLING, 0.0)
        expired = [
            watch.expired(now, sending=sending, moved=1) for now, sending in ((1, True), (2, False), (301, True))
        ]
        self.assertEqual([None] * 3, expired)
        self.assertEqual(Expiry.RESPONSE, watch.expired(601, sending=True, moved=1))

    def test_idle_begins_when_all_is_sent(self) -> None:
        """The time between two requests begins when the first response has left."""
        channel, transport = self.serve(self.ignore)
        transport.dataBuffer = b"unsent"
        channel.dataReceived(head("GET /200"))
        self.server.pass_time(100)
        transport.dataBuffer = b""
        self.server.pass_time(59)
        self.assertFalse(transport.disconnecting)
        self.server.pass_time(1)
        self.assertTrue(transport.disconnecting)


class LingerTimeTests(ChannelCase):
    """A connection that is closed for writing."""

    def refuse(self) -> None:
        """Answer an upload that goes on."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("PUT /401", "Content-Length: 1000000"))
        self.assertTrue(transport.half_closed)

    def test_sender_goes_on(self) -> None:
        """What still comes is dropped for 30 seconds."""
        self.refuse()
        for _ in range(29):
            self.server.pass_time(1)
            self.channel.dataReceived(bytes(100))
        self.assertFalse(self.transport.aborted)
        self.server.pass_time(1)
        self.assertTrue(self.transport.aborted)

    def test_sender_stops(self) -> None:
        """When nothing comes, 5 seconds are enough."""
        self.refuse()
        self.server.pass_time(4)
        self.assertFalse(self.transport.aborted)
        self.server.pass_time(1)
        self.assertTrue(self.transport.aborted)

    def test_sender_closes(self) -> None:
        """A client that closes ends it at once, and nothing is left ticking."""
        self.refuse()
        leave(self.channel)
        self.assertEqual([], self.server.clock.getDelayedCalls())
