"""Tests for dockreg.web.v2.uploads: clients that leave at once, or before all of a body has come."""

import errno
from itertools import count
from typing import Any
from unittest.mock import Mock, patch

from twisted.internet.address import IPv4Address
from twisted.logger import LogLevel, capturedLogs

from dockreg.model.digest import Digest
from dockreg.providers.blobs import appending
from dockreg.room import Room
from dockreg.web.access import Gate
from dockreg.web.app import RegistryResource, make_routing
from dockreg.web.channel import Channel
from dockreg.web.errors import ErrorResponses
from dockreg.web.records import RequestRecord
from dockreg.web.site import Site
from dockreg.web.v2.locations import Locations
from dockreg.web.v2.uploads import UploadsDoor
from tests.unit.v1case import ONE
from tests.unit.v2case import NOBODY, ThreadedTestCase
from tests.unit.web.wire import Transport, head, leave

#: Of one request: what is gathered, what is waited for before it is written, and what is written in several jobs.
BODIES = (b"xyz", b"0123456789" * 4_000, b"0123456789" * 30_000)
BEFORE = b"before"
FOLDER = "/v2/demo/one/blobs/uploads"


def framed(body: bytes, *, told: bool, whole: bool) -> tuple[str, bytes]:
    """The header that tells the length, and what of the body is sent; without ``whole`` its end is missing."""
    if told:
        return f"Content-Length: {len(body) + (not whole)}", body
    return "Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(body), body) + (b"0\r\n\r\n" if whole else b"")


class GoneTests(ThreadedTestCase):
    """A client leaves while its request waits for a thread, whichever; all that it has sent has come by then."""

    def setUp(self) -> None:
        super().setUp()
        self.registry.room = Room(self.registry.blobs, self.clock, 1)
        doors: Any = Mock()
        doors.v2.uploads = UploadsDoor(self.uploads, Locations())
        gate = Gate(self.registry, Mock(), lambda _: "http://registry")
        responses = ErrorResponses(gate.challenges, lambda: "incident")
        routing = make_routing(doors, gate, responses, "1", 255)
        self.records: list[RequestRecord] = []
        self.site = Site(RegistryResource(routing, responses, "1"), self.clock, access_log=self.records.append)

    def begin(self) -> str:
        """A session that has some bytes; the next request has to ask for room again."""
        upload_id = self.start(principal=NOBODY)
        self.result(self.append(ONE, upload_id, BEFORE, NOBODY))
        self.clock.advance(2)
        return upload_id

    def connect(self) -> Channel:
        """A new connection."""
        channel = self.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1024))
        assert channel is not None
        transport = Transport()
        transport.protocol = channel
        channel.makeConnection(transport)
        return channel

    def gone_after(self, jobs: int, request: bytes) -> bool:
        """Send a request, and leave after so many jobs; whether there were so many."""
        channel = self.connect()
        channel.dataReceived(request)
        ran = 0
        while ran < jobs and not self.threads.idle:
            self.threads.run()()
            ran += 1
        with capturedLogs() as logged:
            leave(channel)
            self.threads.run_all()
        self.assertEqual([], [each for each in logged if each["log_level"] >= LogLevel.warn])
        self.assertEqual((0, 0), (self.site.requests_in_flight, self.registry.recording_here))
        return ran == jobs

    def check_goes_on(self, upload_id: str, content: bytes) -> None:
        """The session has these bytes, in its row, too, and nobody writes to it."""
        self.assertEqual(len(content), self.result(self.metadata.uploads.get(ONE, upload_id)).received.size)
        self.assertEqual(len(content), self.result(self.uploads.size(NOBODY, ONE, upload_id)))
        digest = Digest.sha256(content + b"rest")
        self.result(self.finish(ONE, upload_id, b"rest", digest, NOBODY))
        self.check_blob(content + b"rest")

    def check_blob(self, content: bytes) -> None:
        """There is a blob of these bytes, and nothing unfinished."""
        self.assertEqual(content, self.content(ONE, Digest.sha256(content)))
        self.assertEqual([], self.files())

    def each(self, method: str, body: bytes, *, told: bool, whole: bool) -> None:
        """After any number of jobs."""
        framing, sent = framed(body, told=told, whole=whole)
        for jobs in count():
            upload_id = self.begin()
            path = f"{FOLDER}/{upload_id}"
            if method == "PUT":
                path += f"?digest={Digest.sha256(BEFORE + body)}"
            more = self.gone_after(jobs, head(f"{method} {path}", framing) + sent)
            if method == "PUT" and whole:
                self.check_blob(BEFORE + body)
            else:
                self.check_goes_on(upload_id, BEFORE + body)
            if not more:
                self.assertGreater(jobs, 0)
                return

    def test_patch(self) -> None:
        """What came of the body is in the session, as a whole or cut, of a length that was told or not."""
        for body in BODIES:
            for told in (False, True):
                for whole in (False, True):
                    self.each("PATCH", body, told=told, whole=whole)

    def test_put(self) -> None:
        """All bytes become the blob, as if the client had waited; of fewer the session goes on."""
        for body in BODIES:
            for told in (False, True):
                for whole in (False, True):
                    self.each("PUT", body, told=told, whole=whole)

    def test_busy(self) -> None:
        """Of a request that finds another one writing to the session nothing is kept, and nobody is told."""
        for told in (False, True):
            framing, sent = framed(BODIES[0], told=told, whole=not told)
            for jobs in range(3):
                upload_id = self.begin()
                writer = self.result(self.uploads.resume(NOBODY, ONE, upload_id))
                self.gone_after(jobs, head(f"PATCH {FOLDER}/{upload_id}", framing) + sent)
                self.result(writer.write([b"writer"]))
                self.result(writer.pause())
                self.check_goes_on(upload_id, BEFORE + b"writer")

    def test_disk(self) -> None:
        """What the disk does not take is in the log, for nobody waits for the answer."""
        upload_id = self.begin()
        channel = self.connect()
        framing, sent = framed(BODIES[2], told=True, whole=False)
        channel.dataReceived(head(f"PATCH {FOLDER}/{upload_id}", framing) + sent)
        leave(channel)
        with capturedLogs() as logged, patch.object(appending, "write_all", side_effect=OSError(errno.ENOSPC, "full")):
            self.threads.run_all()
        self.assertEqual(1, sum(each["log_format"] == "{path} was cut: {problem}" for each in logged))
        self.check_goes_on(upload_id, BEFORE)

    def test_cut_at_a_stop(self) -> None:
        """When the time to stop is over nothing more is begun than to keep what was written."""
        upload_id = self.begin()
        framing, sent = framed(BODIES[2], told=True, whole=False)
        channel = self.connect()
        channel.dataReceived(head(f"PATCH {FOLDER}/{upload_id}", framing))
        self.threads.run_all()
        channel.dataReceived(sent[:200_000])
        channel.dataReceived(sent[200_000:])
        drained = self.site.drain(10)
        self.clock.advance(10)
        self.successResultOf(drained)
        self.threads.run()()
        self.threads.run()()
        self.assertTrue(self.threads.idle)
        self.check_goes_on(upload_id, BEFORE + sent[:200_000])
