"""What of Twisted's web server is private, and is built upon."""

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http
from twisted.web.http import HTTPChannel
from twisted.web.server import Request as StockRequest

from dockreg.web.channel import Channel
from dockreg.web.chunks import ChunkedDecoder
from dockreg.web.framing import FramedChannel
from dockreg.web.knowing import KnowingChannel
from dockreg.web.receiving import ReceivingChannel
from dockreg.web.requests import Request
from tests.unit.web.wire import Server, head


class TwistedTests(SynchronousTestCase):
    """The private names of Twisted that this package builds on."""

    def test_names_exist(self) -> None:
        """Every method that is overridden or called exists in the parent."""
        # zope.interface puts names of its own, with two underscores, into classes that it has looked at.
        overridden = {
            name
            for name in {**vars(Channel), **vars(KnowingChannel), **vars(ReceivingChannel), **vars(FramedChannel)}
            if not name.startswith("__") and name in vars(HTTPChannel) and callable(getattr(Channel, name))
        }
        expected = {
            "_finishRequestBody", "_maybeChooseTransferDecoder", "_respondToBadRequestAndDisconnect", "_send100Continue",
            "allHeadersReceived", "checkPersistence", "connectionLost", "connectionMade", "dataReceived", "getHost", "getPeer",
            "lineReceived",
            "loseConnection", "pauseProducing", "rawDataReceived", "requestDone", "resumeProducing", "write",
            "writeHeaders", "writeSequence",
        }  # fmt: skip
        self.assertEqual(expected, overridden)
        for name in ("gotLength", "handleContentChunk", "requestReceived", "connectionLost"):
            self.assertIn(name, vars(Request))
            self.assertIn(name, vars(http.Request))
        self.assertIn("processingFailed", vars(StockRequest))

    def test_state_exists(self) -> None:
        """Every private attribute that is read or set exists while a body is arriving."""

        async def wait(request: Request) -> bytes:
            await Deferred()
            return b""

        channel, _ = Server(wait).connect()
        channel.dataReceived(head("PUT /a", "Transfer-Encoding: chunked"))
        state = vars(HTTPChannel) | vars(channel)
        names = ["_command", "_path", "_version", "_transferDecoder", "_dataBuffer", "_networkProducer"]
        names += ["_waitingForTransport", "_requestProducer", "persistent", "length", "_receivedHeaderSize"]
        names += ["_failChooseTransferDecoder", "_handlingRequest", "_HTTPChannel__first_line"]
        self.assertEqual([], [name for name in names if name not in state])
        self.assertIsInstance(channel._transferDecoder, ChunkedDecoder)
        self.assertEqual((0, b""), (channel.line_mode, channel._buffer))
        channel, _ = Server(wait).connect()
        channel.dataReceived(head("PUT /a", "Content-Length: 10") + b"abc")
        self.assertEqual(7, cast("Any", channel._transferDecoder).contentLength)
        self.assertIs(http._IdentityTransferDecoder, type(channel._transferDecoder))
        self.assertIs(channel.requests[0].channel, channel)
        self.assertFalse(channel.requests[0]._disconnected)

    def test_constructor(self) -> None:
        """A request begins with all that Twisted gives to one, and with nothing else of it."""

        async def wait(request: Request) -> bytes:
            await Deferred()
            return b""

        channel, _ = Server(wait).connect()
        ours, theirs = vars(Request(channel)), vars(StockRequest(channel, parsePOSTFormSubmission=False))
        own = {"_owner", "_peer", "trusts_peer", "rated_as"}
        self.assertEqual(set(theirs), set(ours) - own)
        apart = {"requestHeaders", "responseHeaders"}
        self.assertEqual(
            {name: value for name, value in theirs.items() if name not in apart},
            {name: ours[name] for name in theirs if name not in apart},
        )

    def test_end(self) -> None:
        """A request that was answered in one step is left as Twisted leaves one."""

        class Ended:
            def __init__(self, *, short: bool) -> None:
                self.told: list[object] = []
                self.short = short
                self.request: Request | None = None

            async def answer(self, request: Request) -> None:
                self.request = request
                _ = request.notifyFinish().addCallback(self.told.append)
                request.setHeader(b"Content-Length", b"2")
                if self.short:
                    request.end_with(b"ok")
                else:
                    request.write(b"ok")
                    request.finish()

        states = []
        for short in (True, False):
            ended = Ended(short=short)
            channel, _ = Server(ended.answer).connect()
            channel.dataReceived(head("PUT /a", "Content-Length: 1") + b"a")
            assert ended.request is not None
            same = ("finished", "startedWriting", "sentLength", "queued", "_disconnected", "producer")
            state = {name: getattr(ended.request, name) for name in same}
            gone = {"channel", "content"} & set(vars(ended.request))
            states.append((state, gone, ended.told, set(vars(ended.request))))
        self.assertEqual(*states)
        self.assertEqual([None], states[0][2])

    def test_state_between(self) -> None:
        """Between two requests a connection is what Twisted makes of it, whether Twisted or this package has done that."""

        async def take(request: Request) -> bytes:
            return await request.body.collect(10)

        def plain(channel: Channel) -> dict[str, Any]:
            # What stays, or has its own time.
            apart = ("_watch", "site", "factory", "transport", "_networkProducer")
            return {name: value for name, value in vars(channel).items() if name not in apart}

        channel, _ = Server(take).connect()
        # Nothing else, for whoever finds a new one here has to see to it in Channel as well.
        states = []
        for paused in (False, True):
            channel._paused = paused
            channel.dataReceived(head("PUT /a", "Content-Length: 1") + b"a")
            states.append(plain(channel))
        self.assertEqual(*states)

    def test_hooks_are_called(self) -> None:
        """Twisted calls each private hook where this package expects it."""
        called: list[str] = []

        class Spy(Channel):
            def _send100Continue(self) -> None:
                called.append("expect")
                super()._send100Continue()

            def _finishRequestBody(self, data: bytes) -> None:
                called.append("end of body")
                super()._finishRequestBody(data)

            def _respondToBadRequestAndDisconnect(self) -> None:
                called.append("bad request")
                super()._respondToBadRequestAndDisconnect()

        async def take(request: Request) -> bytes:
            return await request.body.collect(10)

        server = Server(take)
        server.site.protocol = Spy
        channel, _ = server.connect()
        channel.dataReceived(head("PUT /a", "Content-Length: 1", "Expect: 100-continue"))
        channel.dataReceived(b"a" + head("PUT /a", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + b"nonsense\r\n")
        self.assertEqual(["expect", "end of body", "end of body", "bad request"], called)
