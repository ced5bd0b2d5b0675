"""Header fields that were seen before: requests with a body among them, and what is kept."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import parse_qs
from twisted.web.http_headers import Headers
from twisted.web.server import NOT_DONE_YET

from dockreg.model.networks import Networks
from dockreg.web.admission import HalfRead
from dockreg.web.agents import Agent
from dockreg.web.bodies import BodyCut
from dockreg.web.channel import Channel
from dockreg.web.fields import Fields, KnownFields, arguments_of, take_apart
from dockreg.web.heads import KnownHeaders
from dockreg.web.limits import Limits
from dockreg.web.proxies import Proxies
from dockreg.web.requests import Request
from dockreg.web.watch import Phase
from tests.unit.web.test_heads import Mirror, Served
from tests.unit.web.wire import head, leave, statuses


class BodyMirror(Mirror):
    """Answers with the body as well; before it has come, long after that, or never, as the path says."""

    def answer(self, request: Request) -> Any:
        if request.path in (b"/v2/", b"/late", b"/pieces"):
            _ = Deferred.fromCoroutine(self.take(request)).addErrback(lambda reason: reason.trap(BodyCut))
            return NOT_DONE_YET
        if request.path == b"/413":
            request.setResponseCode(413)
        return super().answer(request)

    async def take(self, request: Request) -> None:
        pieces: list[bytes] = []
        if request.path == b"/late":
            await self.until_told()
        if request.path == b"/pieces":
            while chunks := await request.body.read():
                pieces += map(bytes, chunks)
        else:
            pieces.append(await request.body.collect(100_000))
        request.setHeader(b"X-Body", repr(b"".join(pieces)).encode())
        if not request.has_ended:
            super().answer(request)

    def until_told(self) -> Deferred[None]:
        told: Deferred[None] = Deferred()
        self.waiting.append(told)
        return told


class BodyServed(Served):
    """The same of such a mirror, which keeps both heads and fields, or neither."""

    def __init__(self, *, keeps: bool, limits: Limits | None = None) -> None:
        super().__init__(keeps=keeps)
        self.mirror = BodyMirror(answers_all=keeps)
        self.site.resource = self.mirror
        self.site.limits = Limits() if limits is None else limits
        self.site.half_read = HalfRead(self.site.limits)
        if not keeps:
            self.site.fields = KnownFields(self.site.limits.header_bytes, most_bytes=0)
        self.channel.transport.loseConnection()
        self.connect()


def put(line: str, body: bytes, *headers: str) -> bytes:
    """A request with a body."""
    return head(line, *headers, f"Content-Length: {len(body)}") + body


_BODIES = st.sampled_from([b"", b"a", b"body", b"\r\n\r\n", b"GET /a HTTP/1.1\r\n\r\n", b"x" * 3000, b"y" * 20_000])
_LINES = st.sampled_from(
    [
        "PUT /v2/", "PUT /v2/?digest=sha256:ab", "PUT /v2/?digest=sha256%3Aab&x=%zz;a=b", "PATCH /v2/", "POST /v2/", "PUT /late", "PUT /pieces",
        "PUT /413", "PUT /later", "PUT /a%20b", "put /v2/", "DELETE /v2/", "PUT *", "GET /v2/", "HEAD /v2/", "PUT /fails", "GET /a?b",
        "PUT /v2/#x", "PUT /\xe9",
    ]
)  # fmt: skip
_HEADERS = st.lists(
    st.sampled_from(
        [
            "Content-Type: a/b", "Authorization: Basic eDp5", "User-Agent: u/1", "Cookie: a=b; c=d", "Connection: close", "Upgrade: h2c",
            "Expect: 100-continue", "Content-Length: 5", "content-length: 4", "Content-Length : 4", " folded", "X: \x00", "nonsense",
            "Transfer-Encoding: chunked", "Content-Length: +4", "X-Content-Length: 7", "X: a\rContent-Length: 4", "Content-Length: 04",
            "X-Long: " + "y" * 5000,
        ]
    ),
    max_size=2,
)  # fmt: skip
_CHUNKED = st.builds(
    lambda line, body: head(line, "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
    _LINES,
    _BODIES.filter(bool),
)
_REQUESTS = st.one_of(
    st.builds(lambda line, body, headers: put(line, body, *headers), _LINES, _BODIES, st.just([])),
    st.builds(lambda line, body, headers: put(line, body, *headers), _LINES, _BODIES, _HEADERS),
    _CHUNKED,
    st.builds(head, _LINES),
    st.sampled_from([b"\r\n", head("PUT /v2/", "Content-Length: 1"), head("PUT /v2/").replace(b"1.1", b"1.0")]),
)


def pieces_of(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """The bytes as several reads bring them."""
    places = sorted({0, len(data), *(each % (len(data) + 1) for each in cuts)})
    for start, end in pairwise(places):
        yield data[start:end]


class SameTests(SynchronousTestCase):
    """Requests whose fields were seen before are answered like those whose fields were not."""

    def outcomes(self, reads: Sequence[bytes], limits: Limits | None = None) -> list[Any]:
        """What comes of these reads on two connections, one after the other, with memory and without."""
        both: list[Any] = []
        for keeps in (True, False):
            served = BodyServed(keeps=keeps, limits=limits)
            both.append([])
            for _ in range(2):
                both[-1].append(served.play(reads))
                served.connect()
        self.flushLoggedErrors(ValueError)
        return both

    @settings(max_examples=250, deadline=None)
    @given(
        st.lists(_REQUESTS, min_size=1, max_size=3),
        st.lists(st.integers(0, 70_000), max_size=3),
        st.booleans(),
        st.booleans(),
    )
    @example([put("PUT /v2/", b"body")], [], False, True)
    @example([put("PUT /v2/", b"body"), put("PUT /v2/", b"x" * 3000)], [], True, False)
    @example([put("PUT /later", b"body"), put("PUT /v2/", b"b")], [], False, True)
    @example([put("PUT /413", b"y" * 20_000)], [500], False, True)
    @example([put("PUT /late", b""), put("PUT /v2/", b""), b"\r\n"], [], False, True)
    def test_same(self, requests: list[bytes], cuts: list[int], together: bool, told: bool) -> None:
        """Whatever comes, in whatever pieces, is answered, logged and counted the same with and without memory."""
        sequences = [b"".join(requests)] if together else requests
        once = [piece for each in sequences for piece in pieces_of(each, cuts)]
        reads = [piece for _ in range(3) for piece in (*once, *([b""] if told else []))]
        kept, parsed = self.outcomes(reads)
        self.assertEqual(parsed, kept)

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.sampled_from([b"", b"body", b"\r\n\r\n", b"x" * 3000, b"y" * 20_000]), min_size=1, max_size=3),
        st.data(),
    )
    def test_cuts(self, bodies: list[bytes], data: st.DataObject) -> None:
        """It does not matter either where one read ends and the next one begins."""
        served = BodyServed(keeps=True)
        sequence = b"".join(put(f"PUT /v2/?n={number}", body) for number, body in enumerate(bodies))
        answers = []
        for _ in range(4):
            cuts = data.draw(st.lists(st.integers(0, len(sequence)), max_size=4))
            lines, *_ = served.play([*pieces_of(sequence, cuts)])
            answers.append(re.findall(rb"HTTP/1\.1 200|X-Body: [^\r]*", b"\r\n".join(lines)))
            served.connect()
        expected = [part for body in bodies for part in (b"HTTP/1.1 200", b"X-Body: " + repr(body).encode())]
        self.assertEqual([expected] * 4, answers)

    def test_half_read(self) -> None:
        """Those whose bodies have not come are counted, and refused when there are too many."""
        limits = Limits(connections_per_address=1)
        reads = [put("PUT /v2/", b"a")] * 3 + [head("PUT /v2/", "Content-Length: 1")]
        kept, parsed = self.outcomes(reads, limits)
        self.assertEqual(parsed, kept)
        served = BodyServed(keeps=True, limits=limits)
        for each in reads[:3]:
            served.channel.dataReceived(each)
        idle, transport = served.channel, served.transport
        served.connect()
        idle.dataReceived(reads[0] + reads[3])
        self.assertEqual([200, 200, 200, 200, 503], statuses(transport))

    def test_time(self) -> None:
        """A body that does not come, or comes slowly, has as much time."""
        phases = []
        for keeps in (True, False):
            served = BodyServed(keeps=keeps, limits=Limits(body_idle_seconds=5, rate_window_seconds=3, minimum_rate=10))
            for sent, seconds in ((b"", 6), (b"ab", 6), (b"x" * 50, 9)):
                served.connect()
                for _ in range(3):
                    served.channel.dataReceived(put("PUT /v2/", b"a"))
                served.channel.dataReceived(head("PUT /v2/", "Content-Length: 1000"))
                for at in range(seconds):
                    served.channel.dataReceived(sent[10 * at : 10 * at + 10] or sent[:1])
                    phases.append((keeps, served.channel._watch.phase))
                    served.clock.advance(1)
                phases.append((keeps, served.channel._watch.phase))
                leave(served.channel)
        half = len(phases) // 2
        self.assertEqual([each for _, each in phases[:half]], [each for _, each in phases[half:]])
        self.assertIn(Phase.CUT, [each for _, each in phases])

    def test_proxied(self) -> None:
        """Behind a proxy clients are known by what it says, and counted as such, though its fields were seen before."""
        outcomes = []
        for keeps in (True, False):
            served = BodyServed(keeps=keeps, limits=Limits(connections_per_address=1))
            served.site.proxies = Proxies(Networks.parse(["192.0.2.1"]))
            lines: list[bytes] = []
            for number in (1, 1, 1, 2, 1, 3, 3):
                served.connect()
                told = f"X-Forwarded-For: 198.51.100.{number}"
                for _ in range(3):
                    served.channel.dataReceived(put("PUT /v2/", b"a", told))
                # Its body does not come, and the connection stays.
                served.channel.dataReceived(head("PUT /v2/", told, "Content-Length: 2"))
                lines += [b"%d" % each for each in statuses(served.transport)]
            outcomes.append((lines, [each.address for each in served.records], served.site.half_read.total))
        self.assertEqual(*outcomes)
        # One for each client, and the first connection of all, on which nothing has come.
        self.assertEqual((4, 3 + 1), (outcomes[0][0].count(b"503"), outcomes[0][2]))
        self.assertIn("198.51.100.3", outcomes[0][1])

    def test_header_bytes(self) -> None:
        """A head that is longer than heads may be is refused, though its fields were seen before."""
        served = BodyServed(keeps=True)
        served.site.limits = Limits(header_bytes=500)
        served.site.fields = KnownFields(500)
        served.connect()
        for size in (1, 1, 1, 600):
            served.channel.dataReceived(put(f"PUT /v2/?a={'b' * size}", b"a"))
        self.assertEqual([200, 200, 200, 414], statuses(served.transport))


class KnownTests(SynchronousTestCase):
    """What is known, and of what."""

    def fields(self) -> Fields:
        return Fields(KnownHeaders(Headers({b"a": [b"b"]})), {}, "", Agent(), 1, b"1")

    def test_third(self) -> None:
        """The third request with the same fields is not parsed, whatever it asks for and however long its body is."""
        served = BodyServed(keeps=True)
        parsed: list[bytes] = []

        class Spy(Channel):
            def lineReceived(self, line: bytes) -> None:
                parsed.append(line)
                super().lineReceived(line)

        served.site.protocol = Spy
        served.connect()
        for number, body in enumerate((b"a", b"bb", b"ccc", b"dddd")):
            served.channel.dataReceived(put(f"PUT /v2/?n={number}", body, "User-Agent: u"))
            self.assertEqual(5 * min(2, number + 1), len(parsed))
        self.assertEqual((1, 4), (len(served.site.fields), len(served.records)))
        self.assertEqual({("u", 200, True)}, {(each.user_agent, each.status, each.complete) for each in served.records})
        self.assertEqual([1, 2, 3, 4], [each.bytes_received for each in served.records])

    def test_rest(self) -> None:
        """What has come of a body is there when its handler begins, and nowhere else: a thread reads what is behind it."""
        served, there = BodyServed(keeps=True), []

        class Looking(BodyMirror):
            def answer(self, request: Request) -> Any:
                there.append((getattr(request.body, "received", None), request.channel._buffer))
                return super().answer(request)

        served.site.resource = Looking(answers_all=True)
        for _ in range(4):
            served.channel.dataReceived(head("PUT /v2/", "Content-Length: 9") + b"body")
            served.channel.dataReceived(b"comes" + head("PUT /v2/", "Content-Length: 1"))
            served.channel.dataReceived(b"x")
            served.channel.dataReceived(head("PUT /v2/", "Transfer-Encoding: chunked") + b"1\r\n")
            served.channel.dataReceived(b"x\r\n0\r\n\r\n")
        # Of chunks nobody knows before they are decoded.
        self.assertEqual([(4, b""), (0, b""), (0, b"1\r\n")] * 4, there)
        self.assertEqual(([200] * 12, 2), (statuses(served.transport), len(served.site.fields)))

    def test_numbered(self) -> None:
        """Fields that come once are not kept, however many there are."""
        served = BodyServed(keeps=True)
        for number in range(5000):
            served.channel.dataReceived(put("PUT /v2/", b"", f"X-Request-ID: {number}"))
            served.transport.clear()
            served.records.clear()
        self.assertEqual((0, 0), (len(served.site.fields), served.site.fields.weight))

    def test_bounded(self) -> None:
        """The ones that were not seen for the longest time go."""
        heads = [take_apart(put("PUT /", b"a", f"X: {each}"), 4096) for each in "abcd"]
        known = KnownFields(4096)
        for one in heads:
            assert one is not None
            for _ in range(3):
                known.keep(one, self.fields())
        self.assertEqual(4, len(known))
        known = KnownFields(4096, most_bytes=3 * known.weight // 4)
        for one in (*heads[:3], *heads[:3], heads[3]):
            assert one is not None
            known.keep(one, self.fields())
        first, last = heads[0], heads[3]
        assert first is not None
        assert last is not None
        self.assertIsNotNone(known.find(first.key))
        known.keep(last, self.fields())
        self.assertEqual(
            [True, False, True, True], [each is not None and known.find(each.key) is not None for each in heads]
        )

    def test_length(self) -> None:
        """Another length makes other headers, and leaves alone those that somebody still looks at."""
        known, before = KnownFields(4096), self.fields()
        one, other = take_apart(put("PUT /", b"a"), 4096), take_apart(put("PUT /", b"bb"), 4096)
        assert one is not None
        assert other is not None
        known.keep(one, before)
        known.keep(one, before)
        headers = before.headers
        found = known.find(other.key)
        assert found is not None
        assert other.digits is not None
        found.set_length(other.digits)
        self.assertEqual((2, [b"2"]), (found.length, found.headers.getRawHeaders(b"content-length")))
        self.assertEqual(([b"b"], None), (headers.getRawHeaders(b"a"), headers.getRawHeaders(b"content-length")))

    def test_which(self) -> None:
        """Whole heads that are not too long, of paths that need no decoding."""
        self.assertIsNotNone(take_apart(head("PUT /a?b=%20"), 4096))
        for other in (
            "PUT /a%20b",
            "PUT a",
            "put /a",
            "PUT  /a",
            "PUT *",
            "PUT /\x7f",
            "PUT /" + "a" * 5000,
            "PUT http://a/",
        ):
            self.assertIsNone(take_apart(head(other), 4096), other)
        for data in (head("PUT /")[:-1], b"\r\n" + head("PUT /"), b"", head("PUT /").replace(b"1.1", b"1.0")):
            self.assertIsNone(take_apart(data, 4096), data)

    def test_secrets(self) -> None:
        """What is kept tells nothing when it is shown."""
        served = BodyServed(keeps=True)
        raw = put("PUT /v2/", b"a", "Authorization: Basic c2VjcmV0")
        for _ in range(3):
            served.channel.dataReceived(raw)
        one = take_apart(raw, 4096)
        assert one is not None
        shown = f"{served.site.fields!r} {one!r} {served.site.fields.find(one.key)!r}"
        self.assertEqual((1, False), (len(served.site.fields), "c2VjcmV0" in shown))


class ArgumentTests(SynchronousTestCase):
    """The parameters of a query."""

    @settings(max_examples=1000)
    @given(
        st.one_of(
            st.lists(
                st.sampled_from(["a", "b", "=", "&", ";", "+", "%", "%3A", "%3a", "%26", ":", "", "?"]), max_size=9
            ).map("".join),
            st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3).map(
                lambda each: "&".join(f"{quote(name)}={quote(value)}" for name, value in each.items())
            ),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12),
        )
    )
    @example("digest=sha256%3Aab&_state=x=")
    @example("a=1&a=2")
    def test_same(self, query: str) -> None:
        """They are what Twisted makes of it."""
        raw = query.encode()
        self.assertEqual(parse_qs(raw, 1), arguments_of(raw))
        self.assertEqual({}, arguments_of(None))
