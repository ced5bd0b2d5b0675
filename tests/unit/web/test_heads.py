"""Heads of requests that were seen before: kept within bounds, and answered as if they were new."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers, InvalidHeaderName
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from dockreg.config import read_config
from dockreg.service import open_registry
from dockreg.web.entrance import Entrance
from dockreg.web.heads import KnownHead, KnownHeads, ResponseHeaders, may_be_kept
from dockreg.web.rates import RateLimit
from dockreg.web.records import RequestRecord
from dockreg.web.repeats import Repeats
from dockreg.web.requests import Request
from dockreg.web.site import Site
from tests.unit.web.wire import Transport, head, leave

PING = head("GET /v2/")


class Mirror(Resource):
    """Answers with all that a request shows, and counts how often a head was new to it."""

    isLeaf = True

    def __init__(self, *, answers_all: bool = False) -> None:
        super().__init__()
        self.answers_all = answers_all
        self.new = 0
        self.waiting: list[Deferred[None]] = []

    def render(self, request: Any) -> Any:
        self.new += 1
        request.remember(self, self.answer)
        return self.answer(request)

    def answer(self, request: Request) -> Any:
        shown = (
            request.method, request.uri, request.path, request.args, request.clientproto, request.received_cookies,
            sorted(request.requestHeaders.getAllRawHeaders()), request.getHost(), request.origin, request.principal,
            type(request.body).__name__, request.getCookie(b"a"), request.isSecure(), request.prepath,
        )  # fmt: skip
        request.setHeader(b"X-Shown", repr(shown).encode())
        if request.path == b"/later":
            done: Deferred[None] = Deferred()
            self.waiting.append(done)
            _ = done.addCallback(lambda _: self.end(request))
            _ = request.notifyFinish().addErrback(lambda _: done.addErrback(lambda _: None).cancel())
            return NOT_DONE_YET
        if request.path == b"/fails":
            raise ValueError("as it should")
        if request.path == b"/a":
            # As the root of a registry does it where the answer is the same for all.
            request.setHeader(b"Content-Length", b"2")
            request.repeats = True
            request.end_with(b"ok")
            if request.is_known:
                request.keep_answer(self, lambda: self)
            return NOT_DONE_YET
        return self.end(request)

    def end(self, request: Request) -> Any:
        request.setHeader(b"Content-Length", b"2")
        request.write(b"ok")
        request.finish()
        return NOT_DONE_YET


class Served:
    """A site with a mirror, and one connection to it."""

    def __init__(self, *, keeps: bool) -> None:
        self.mirror = Mirror(answers_all=keeps)
        self.clock = Clock()
        self.records: list[RequestRecord] = []
        self.site = Site(self.mirror, self.clock, access_log=self.records.append)
        if not keeps:
            self.site.heads = KnownHeads(most_bytes=0)
            self.site.repeats = Repeats(self.clock, most_bytes=0)
        self.connect()

    def connect(self) -> None:
        """Another connection."""
        channel = self.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1024))
        assert channel is not None
        self.channel = channel
        self.transport = Transport()
        self.transport.protocol = channel
        channel.makeConnection(self.transport)

    def play(self, reads: Sequence[bytes]) -> tuple[Any, ...]:
        """What comes of these reads."""
        for data in reads:
            if data:
                self.channel.dataReceived(data)
            else:
                waiting, self.mirror.waiting = self.mirror.waiting, []
                for each in waiting:
                    if not each.called:
                        each.callback(None)
        state = (
            self.transport.half_closed,
            self.transport.disconnecting,
            self.transport.reading,
            self.channel.persistent,
        )
        phase, counted = self.channel._watch.phase, self.site.half_read.total
        leave(self.channel)
        lines = [line for line in self.transport.value().split(b"\r\n") if not line.startswith(b"Date: ")]
        return lines, state, phase, counted, [*self.records], self.site.requests_in_flight


_LINES = st.sampled_from(
    [
        "GET /v2/", "HEAD /v2/", "GET /later", "GET /a", "HEAD /a", "GET /a?b=c&b=d&e=", "GET /a%20b", "POST /v2/", "OPTIONS *", "GET /fails",
        "GET http://u:p@h/x",
    ]
)  # fmt: skip
_HEADERS = st.lists(
    st.sampled_from(
        [
            "Accept: a", "Accept: b", "Cookie: a=b; c=d", "Connection: close", "Connection: keep-alive", "Upgrade: h2c",
            "Expect: 100-continue", "Content-Length: 0", "Content-Length: 2", "Authorization: Basic eDp5", "X: \x00",
            " folded", "Transfer-Encoding: chunked", "nonsense", "X-Long: " + "y" * 5000,
        ]
    ),
    max_size=3,
)  # fmt: skip
_HEADS = st.builds(lambda line, headers: head(line, *headers), _LINES, _HEADERS)
_READS = st.one_of(
    _HEADS,
    st.sampled_from([PING, PING, head("GET /later"), b""]),
    st.builds(lambda one, other: one + other, _HEADS, _HEADS),
    st.builds(lambda whole, at: whole[: at % len(whole)], _HEADS, st.integers(0, 500)),
    st.sampled_from(
        [b"\r\n", b"\r\n" + PING, PING.replace(b"HTTP/1.1", b"HTTP/1.0"), b"ab", b"0\r\n\r\n", b"\r\n\r\n"]
    ),
)


class SameTests(SynchronousTestCase):
    """A head that was seen before is answered like one that was not."""

    @settings(max_examples=400, deadline=None)
    @given(st.lists(_READS, min_size=1, max_size=4), st.integers(2, 3))
    @example([head("GET /later"), PING, b""], 2)
    @example([head("GET /later"), PING + PING, b""], 2)
    @example([head("GET /v2/", "Connection: close")], 2)
    @example([head("GET /fails"), PING], 2)
    @example([head("GET /a"), head("HEAD /a"), head("GET /a")], 3)
    @example([head("GET /a"), head("GET /a", "Connection: close")], 3)
    @example([head("POST /v2/", "Content-Length: 0"), PING], 3)
    @example([head("POST /later", "Content-Length: 0"), PING, b""], 3)
    @example([head("POST /v2/", "Content-Length: 0"), head("POST /v2/", "Content-Length: 2"), b"ab", PING], 3)
    @example([head("POST /v2/", "Content-Length: 0", "Expect: 100-continue"), PING], 3)
    @example([head("GET /a"), head("GET /a") + PING, PING[:5]], 3)
    def test_same(self, reads: list[bytes], times: int) -> None:
        """Whatever comes, in whatever pieces, is answered, logged and counted the same with and without memory."""
        outcomes: list[list[Any]] = []
        for keeps in (True, False):
            served = Served(keeps=keeps)
            outcomes.append([])
            for _ in range(2):
                outcomes[-1].append(served.play(reads * times))
                served.connect()
        self.flushLoggedErrors(ValueError)
        self.assertEqual(outcomes[1], outcomes[0])

    def test_remembered(self) -> None:
        """The same head is not parsed again, on no connection; another one is."""
        served = Served(keeps=True)
        for _ in range(3):
            served.channel.dataReceived(PING)
        other = Served(keeps=True)
        other.site.heads = served.site.heads
        other.channel.dataReceived(PING)
        self.assertEqual((1, 0), (served.mirror.new, other.mirror.new))
        served.channel.dataReceived(head("GET /v2/", "Accept: x"))
        self.assertEqual(2, served.mirror.new)
        self.assertEqual(4, len(served.records))

    def test_post(self) -> None:
        """Nor is that of a request that begins something, with or without a length; one with a body is."""
        served = Served(keeps=True)
        for one in (head("POST /v2/"), head("POST /v2/", "Content-Length: 0")):
            for _ in range(3):
                served.channel.dataReceived(one)
        self.assertEqual((2, 6), (served.mirror.new, len(served.records)))
        for _ in range(2):
            served.channel.dataReceived(head("POST /v2/", "Content-Length: 1"))
            served.channel.dataReceived(b"x")
        self.assertEqual((4, 8), (served.mirror.new, len(served.records)))

    def test_in_pieces(self) -> None:
        """What does not come in one read is parsed."""
        served = Served(keeps=True)
        for _ in range(2):
            served.channel.dataReceived(PING[:10])
            served.channel.dataReceived(PING[10:])
            served.channel.dataReceived(PING + PING)
        self.assertEqual((6, 0), (served.mirror.new, len(served.site.heads)))

    def test_not_by_others(self) -> None:
        """What is decided below the root of a site, which may decide otherwise the next time, is not remembered."""
        served = Served(keeps=True)
        root = Resource()
        root.putChild(b"v2", served.mirror)
        served.site.resource = root
        for _ in range(2):
            served.channel.dataReceived(PING)
        self.assertEqual((2, 0), (served.mirror.new, len(served.site.heads)))

    def test_entrance(self) -> None:
        """A request whose head is known comes through the entrance like every other one."""
        served = Served(keeps=True)
        served.site.entrance = Entrance(rates=RateLimit(1, 2, served.clock))
        for _ in range(3):
            served.channel.dataReceived(PING)
        statuses = re.findall(rb"HTTP/1\.1 (\d+) ", served.transport.value())
        self.assertEqual([b"200", b"200", b"429"], statuses)
        self.assertEqual(1, served.mirror.new)

    def test_draining(self) -> None:
        """A site that stops closes the connection behind a known head, too."""
        served = Served(keeps=True)
        served.channel.dataReceived(PING)
        served.site.draining = True
        served.channel.dataReceived(PING)
        self.assertIn(b"Connection: close\r\n", served.transport.value())

    def test_secrets(self) -> None:
        """What is kept tells nothing when it is shown."""
        served = Served(keeps=True)
        raw = head("GET /v2/", "Authorization: Basic c2VjcmV0")
        served.channel.dataReceived(raw)
        shown = f"{served.site.heads!r} {served.site.heads.find(raw)!r}"
        self.assertNotIn("c2VjcmV0", shown)


class BoundTests(SynchronousTestCase):
    """How much is kept."""

    def head(self) -> KnownHead:
        return KnownHead(b"", b"GET", b"/", b"/", {}, Headers(), {}, None, lambda _: None, ("", "", ""))

    def test_bounded(self) -> None:
        """The ones that were not seen for the longest time go."""
        heads = KnownHeads()
        heads.keep(b"a", self.head())
        heads = KnownHeads(most_bytes=3 * heads.weight)
        for each in (b"a", b"b", b"c"):
            heads.keep(each, self.head())
        self.assertIsNotNone(heads.find(b"a"))
        heads.keep(b"d", self.head())
        heads.keep(b"d", self.head())
        self.assertEqual([True, False, True, True], [heads.find(each) is not None for each in (b"a", b"b", b"c", b"d")])

    def test_which(self) -> None:
        """Whole heads of GET and HEAD that are not too long, and of POST without a query."""
        for one in (PING, head("HEAD /a?b"), head("POST /a"), head("POST /a", "Content-Length: 0", "Referer: /?")):
            self.assertTrue(may_be_kept(one), one)
        for other in (
            head("POST /a?b"),
            head("POST /a", "Content-Length: 1") + b"x",
            PING[:-1],
            PING + PING,
            head("PUT /a"),
            head("GET /" + "a" * 4096),
            b"\r\n" + PING,
            b"",
        ):
            self.assertFalse(may_be_kept(other), other)


class HeadersTests(SynchronousTestCase):
    """The shorter way to headers of responses."""

    @given(
        st.sampled_from([b"etag", "Etag", b"x-a", b"WWW-authenticate"]),
        st.one_of(st.binary(max_size=5), st.sampled_from([b"a\r\nb", b"a\nb", "text", b" a "])),
    )
    def test_same(self, name: Any, value: Any) -> None:
        """Names and values are those that Twisted would have."""
        ours, theirs = ResponseHeaders({b"etag": [b"before"]}), Headers({b"etag": [b"before"]})
        ours.set(name, value)
        theirs.setRawHeaders(name, [value])
        self.assertEqual([*theirs.getAllRawHeaders()], [*ours.getAllRawHeaders()])
        self.assertEqual(dict(theirs.getAllRawHeaders()), ours.raw)
        self.assertEqual(
            (theirs.hasHeader(name), theirs.hasHeader("Age")), (ours.hasHeader(name), ours.hasHeader("Age"))
        )
        ours.removeHeader(name)
        self.assertEqual(dict(ours.getAllRawHeaders()), ours.raw)

    def test_invalid(self) -> None:
        """A name that is none is refused as ever."""
        self.assertRaises(InvalidHeaderName, ResponseHeaders().set, b"a b", b"c")


class EndTests(SynchronousTestCase):
    """Ending a response at once, and by write and finish."""

    def play(self, status: int, line: str, body: bytes | None, *steps: str, short: bool) -> tuple[Any, ...]:
        """What comes of a response."""

        class Answering(Resource):
            isLeaf = True

            def render(self, request: Any) -> Any:
                request.setResponseCode(status)
                possible: dict[str, Callable[[], object]] = {
                    "length": lambda: request.setHeader(b"content-length", b"%d" % len(body or b"")),
                    "cookie": lambda: request.addCookie(b"a", b"b"),
                    "etag": lambda: request.setETag(b"x"),
                    "modified": lambda: request.setLastModified(10),
                    "begun": lambda: request.write(b"begun"),
                    "aborted": request.abort,
                }
                for each in steps:
                    possible[each]()
                if short:
                    request.end_with(body)
                else:
                    if body is not None:
                        request.setHeader(b"content-length", b"%d" % len(body))
                        request.write(body)
                    if not request.has_ended:
                        request.finish()
                return NOT_DONE_YET

        served = Served(keeps=True)
        served.site.resource = Answering()
        return served.play([head(line), PING])

    @given(
        st.sampled_from([200, 204, 304, 404]),
        st.sampled_from(["GET /a", "HEAD /a", "POST /a"]),
        st.sampled_from([None, b"", b"body"]),
        st.lists(st.sampled_from(["length", "cookie", "etag", "modified", "begun", "aborted"]), max_size=2),
    )
    def test_same(self, status: int, line: str, body: bytes | None, steps: list[str]) -> None:
        """Both ways send, log and leave behind the same."""
        ways = [self.play(status, line, body, *steps, short=short) for short in (True, False)]
        self.assertEqual(ways[1], ways[0])


class RegistryTests(SynchronousTestCase):
    """The resource of a registry remembers its routes."""

    def connect(self, text: str = "") -> tuple[Any, Transport]:
        reactor: Any = MemoryReactorClock()
        site = Site(open_registry(read_config(text), reactor).resource, Clock())
        channel = site.buildProtocol(None)
        transport = Transport()
        transport.protocol = channel
        assert channel is not None
        channel.makeConnection(transport)
        return channel, transport

    def test_known(self) -> None:
        """The second answer is the first one, but for its id."""
        channel, transport = self.connect()
        answers = []
        for _ in range(2):
            channel.dataReceived(PING)
            answers.append([line for line in transport.value().split(b"\r\n") if not line.startswith(b"Date: ")])
            transport.clear()
        self.assertIn(b"HTTP/1.1 200 OK", answers[0])
        self.assertEqual((answers[0], 1), (answers[1], len(channel.site.heads)))

    def test_refused(self) -> None:
        """Rights are asked for each time; paths that are Klein's, and mistakes, are looked at anew."""
        channel, transport = self.connect('[auth]\nanonymous = "pull"')
        for _ in range(2):
            channel.dataReceived(PING)
        self.assertEqual(2, transport.value().count(b"HTTP/1.1 401 "))
        for line in ("GET /v2/a/manifests/a%41", "GET /nothing", "GET /v2/%2f"):
            for _ in range(2):
                channel.dataReceived(head(line))
        self.assertEqual(1, len(channel.site.heads))
