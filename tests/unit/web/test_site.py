"""What connections share: caps, records, and the orderly stop."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web import http, server
from zope.interface.verify import verifyObject

from dockreg.model.networks import Networks
from dockreg.web.bodies import BufferedBody, IRequestBody, StreamedBody
from dockreg.web.limits import Limits
from dockreg.web.proxies import Proxies
from dockreg.web.records import RequestRecord
from dockreg.web.requests import Request
from dockreg.web.site import Site
from tests.unit.web.wire import ChannelCase, Server, Transport, head, leave, statuses


class CapTests(ChannelCase):
    """Half-read requests are limited, per address and in total."""

    limits = Limits(connections_per_address=2, half_read_total=3, exempt_addresses=Networks.parse(["198.51.100.1"]))

    def test_silent_connections(self) -> None:
        """A connection too many from one address gets 503 with Retry-After; another address is served."""
        self.serve(self.ignore)
        self.server.connect()
        _, refused = self.server.connect()
        self.assertEqual([503], statuses(refused))
        self.assertIn(b"Retry-After: 1\r\n", refused.value())
        self.assertTrue(refused.half_closed)
        other, served = self.server.connect("192.0.2.2")
        other.dataReceived(head("GET /200"))
        self.assertEqual([200], statuses(served))

    def test_total(self) -> None:
        """One too many from everywhere is refused too."""
        self.serve(self.ignore)
        transports = [self.server.connect(f"192.0.2.{number}")[1] for number in (2, 3, 4)]
        self.assertEqual([[], [], [503]], [statuses(transport) for transport in transports])

    def test_exempt(self) -> None:
        """Behind a proxy that is configured, clients share no cap but the total."""
        self.server = Server(self.ignore, self.limits)
        transports = [self.server.connect("198.51.100.1")[1] for _ in range(4)]
        self.assertEqual([[], [], [], [503]], [statuses(transport) for transport in transports])

    def test_complete_requests_do_not_count(self) -> None:
        """Connections that wait, or whose requests are complete, leave room for others."""
        self.serve(self.wait)
        for _ in range(5):
            channel, transport = self.server.connect()
            channel.dataReceived(head("GET /a"))
            self.assertEqual([], statuses(transport))
        self.assertEqual(1, self.server.site.half_read.total)

    def test_second_request(self) -> None:
        """The beginning of a later request counts like that of a first one."""
        channel, transport = self.serve(self.ignore)
        channel.dataReceived(head("GET /200"))
        self.assertEqual(0, self.server.site.half_read.total)
        self.server.connect()
        self.server.connect()
        channel.dataReceived(b"GET ")
        self.assertEqual([200, 503], statuses(transport))

    def test_uploads(self) -> None:
        """A body under way counts until its end; one too many is refused before its handler runs."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("GET /a"))
        uploads = [self.server.connect() for _ in range(2)]
        for upload, _ in uploads:
            upload.dataReceived(head("PUT /a", "Content-Length: 2") + b"a")
        channel.dataReceived(head("PUT /a", "Content-Length: 2"))
        self.assertEqual([200, 503], statuses(transport))
        self.assertEqual(3, len(self.requests))
        for upload, _ in uploads:
            upload.dataReceived(b"b")
        self.assertEqual(0, self.server.site.half_read.total)

    def test_every_end_releases(self) -> None:
        """Whatever way a half-read request ends, it is no longer counted."""
        for data in (b"", b"GET", b"nonsense\r\n", head("PUT /a", "Content-Length: 5"), head("PUT /401")):
            channel, _ = self.serve(self.take)
            channel.dataReceived(data or b"\r\n")
            leave(channel)
            self.assertEqual(0, self.server.site.half_read.total, data)


class ProxyTests(ChannelCase):
    """Behind trusted proxies it is their clients that count."""

    limits = Limits(connections_per_address=1)
    proxies = Proxies(Networks.parse(["10.0.0.0/8", "198.51.100.1"]))

    def upload(self, client: str, proxy: str = "10.0.0.1") -> list[int]:
        """The status of an upload of ``client`` that stands still, if it is refused."""
        channel, transport = self.server.connect(proxy)
        channel.dataReceived(head("PUT /a", "Content-Length: 5", f"X-Forwarded-For: {client}"))
        return statuses(transport)

    def test_proxies(self) -> None:
        """A proxy may have many connections whose requests have not come."""
        self.server = Server(self.ignore, self.limits, self.proxies)
        self.assertEqual([[]] * 3, [statuses(self.server.connect("10.0.0.1")[1]) for _ in range(3)])

    def test_clients(self) -> None:
        """A client has its own limit, by whichever proxy it comes; another one has another."""
        self.server = Server(self.take, self.limits, self.proxies)
        self.assertEqual([], self.upload("192.0.2.7"))
        self.assertEqual([503], self.upload("192.0.2.7"))
        self.assertEqual([503], self.upload("192.0.2.7", "198.51.100.1"))
        self.assertEqual([], self.upload("192.0.2.8"))
        self.assertEqual(2, self.server.site.half_read.total)

    def test_release(self) -> None:
        """A request that has ended counts for nobody, and the next one on its connection for its own client."""
        channel, transport = self.serve(self.take)
        channel, transport = self.server.connect("10.0.0.1")
        for client in ("192.0.2.7", "192.0.2.8"):
            channel.dataReceived(head("PUT /a", "Content-Length: 1", f"X-Forwarded-For: {client}"))
            self.assertEqual([503], self.upload(client))
            channel.dataReceived(b"a")
            self.assertEqual([], self.upload(client))
        self.assertEqual([200, 200], statuses(transport))

    def test_record(self) -> None:
        """The client is on record, not the proxy; who is not trusted is on record itself."""
        self.server = Server(self.take, self.limits, self.proxies)
        for proxy in ("10.0.0.1", "192.0.2.66"):
            channel, _ = self.server.connect(proxy)
            channel.dataReceived(head("GET /a", "X-Forwarded-For: 192.0.2.7"))
        self.assertEqual(["192.0.2.7", "192.0.2.66"], [record.address for record in self.server.records])


class RecordTests(ChannelCase):
    """One record for each request, once its response has ended."""

    def test_record(self) -> None:
        """It has what an access log needs, and no query."""

        async def answer(request: Request) -> bytes:
            request.principal = "ada"
            await self.gate
            size = len(await request.body.collect(10))
            return b"x" * size

        channel, _ = self.serve(answer)
        channel.dataReceived(head("PUT /a%20b?token=secret", "User-Agent: docker/1.5", "Content-Length: 3") + b"abc")
        self.assertEqual(([], 1), (self.server.records, self.server.site.requests_in_flight))
        self.server.pass_time(2.5)
        self.gate.callback(None)
        expected = RequestRecord(
            address="192.0.2.1",
            method="PUT",
            path="/a%20b",
            status=200,
            bytes_sent=3,
            bytes_received=3,
            seconds=2.5,
            user_agent="docker/1.5",
            principal="ada",
            complete=True,
        )
        self.assertEqual([expected], self.server.records)
        self.assertEqual(0, self.server.site.requests_in_flight)
        leave(channel)
        self.assertEqual(1, len(self.server.records))

    def test_no_credentials(self) -> None:
        """An absolute URI, which may name a password, is not recorded."""
        channel, _ = self.serve(self.take)
        channel.dataReceived(head("GET http://ada:secret@registry/a"))
        self.assertEqual(["*"], [record.path for record in self.server.records])

    def test_failing_log(self) -> None:
        """An access log that fails does not harm the response."""

        def fail(record: RequestRecord) -> None:
            raise ZeroDivisionError

        channel, transport = self.serve(self.take)
        self.server.site._access_log = fail
        channel.dataReceived(head("GET /a") + head("GET /b"))
        self.assertEqual([200, 200], statuses(transport))
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_no_log(self) -> None:
        """A site without an access log serves."""
        channel, transport = self.serve(self.take)
        self.server.site._access_log = None
        channel.dataReceived(head("GET /a"))
        self.assertEqual([200], statuses(transport))


class StopTests(ChannelCase):
    """The orderly stop."""

    def test_nothing_open(self) -> None:
        """Without connections it is over at once."""
        self.assertIsNone(self.successResultOf(Server(self.take).site.drain(10)))

    def test_idle_and_half_read(self) -> None:
        """Connections without a complete request are closed now, and new ones are refused."""
        channel, idle = self.serve(self.take)
        channel.dataReceived(head("GET /a"))
        silent = self.server.connect()
        begun = self.server.connect()
        begun[0].dataReceived(b"GET /")
        stopping = self.server.site.drain(10)
        self.assertEqual([True] * 3, [each.disconnecting for each in (idle, silent[1], begun[1])])
        self.assertIsNone(self.server.site.buildProtocol(None))
        self.assertNoResult(stopping)
        for each in (channel, silent[0], begun[0]):
            leave(each)
        self.successResultOf(stopping)
        self.assertEqual([], self.server.clock.getDelayedCalls())

    def test_running_request(self) -> None:
        """A request that runs is answered, with a close; what is pipelined behind it is not."""
        channel, transport = self.serve(self.wait)
        channel.dataReceived(head("GET /a") + head("GET /b"))
        stopping = self.server.site.drain(10)
        self.assertFalse(transport.disconnecting)
        self.gate.callback(None)
        self.assertEqual([200], statuses(transport))
        self.assertIn(b"Connection: close\r\n", transport.value())
        self.assertEqual(1, len(self.server.records))
        leave(channel)
        self.successResultOf(stopping)

    def test_grace(self) -> None:
        """What runs on after the grace time is cut off, and its handler told."""
        channel, transport = self.serve(self.take)
        channel.dataReceived(head("PUT /a", "Content-Length: 10") + b"abc")
        stopping = self.server.site.drain(10)
        self.server.pass_time(9)
        self.assertFalse(transport.aborted)
        self.server.pass_time(1)
        self.assertTrue(transport.aborted)
        self.assertEqual(1, len(self.cuts))
        self.successResultOf(stopping)


class SiteTests(ChannelCase):
    """The rest."""

    def test_protocols(self) -> None:
        """HTTP/2 is never offered, not even where Twisted could speak it."""
        self.patch(http, "H2_ENABLED", True)
        self.assertEqual([b"http/1.1"], Server(self.take).site.acceptableProtocols())

    def test_bodies_are_adapted(self) -> None:
        """IRequestBody finds the stream of our request, always the same, and the buffered one of a foreign request."""
        channel, _ = self.serve(self.wait)
        channel.dataReceived(head("PUT /a", "Content-Length: 10"))
        request = self.requests[0]
        self.assertIsInstance(IRequestBody(request), StreamedBody)
        self.assertIs(IRequestBody(request), request.body)
        foreign: Any = server.Site(self.server.site.resource, reactor=self.server.clock).buildProtocol(None)
        foreign.makeConnection(Transport())
        stock = server.Request(foreign._channel)
        stock.gotLength(3)
        self.assertIsInstance(IRequestBody(stock), BufferedBody)
        self.assertIs(IRequestBody(stock), IRequestBody(stock))
        verifyObject(IRequestBody, IRequestBody(stock))

    def test_one_bad_connection(self) -> None:
        """A connection that cannot be looked at does not keep the others from their times."""
        _, transport = self.serve(self.take)
        bad, _ = self.server.connect()

        def fail(now: float) -> None:
            raise ZeroDivisionError

        bad.check = fail  # type: ignore[method-assign]  # nothing in check fails by itself
        self.server.pass_time(30)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(30, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_no_clock_for_a_log_file(self) -> None:
        """Listening starts no timer, and finished requests write no line."""
        site = Site(Server(self.take).site.resource, Server(self.take).clock)
        site.doStart()
        self.addCleanup(site.doStop)
        self.assertIsNone(site._logDateTimeCall)
        self.assertIsNone(site._logFile)

    def test_limits_are_checked(self) -> None:
        """A limit that makes no sense is refused."""
        nonsense: Any
        for nonsense in ({"header_seconds": 0}, {"window_bytes": 0}, {"half_read_total": -1}, {"drain_bytes": -1}):
            with self.assertRaises(ValueError):
                Limits(**nonsense)

    def test_waiting_handler_is_cancelled(self) -> None:
        """When the stop cuts a connection its handler is cancelled, whatever it waits for."""
        cancelled: list[bool] = []
        self.gate = Deferred(lambda _: cancelled.append(True))
        channel, _ = self.serve(self.wait)
        channel.dataReceived(head("GET /a"))
        stopping = self.server.site.drain(1)
        self.server.pass_time(1)
        self.assertEqual([True], cancelled)
        self.successResultOf(stopping)
