"""Blobs that the kernel sends, over real sockets."""

import contextlib
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.server import Request

from dockreg.providers.blobs.reading import FileBlobReader
from dockreg.web import kernel
from dockreg.web.sending import send_blob
from dockreg.web.site import Site
from tests.integration.streaming import (
    PATIENCE_SECONDS,
    Answer,
    Application,
    Client,
    StreamingCase,
    content,
    head,
    reactor,
)

MEBIBYTE = 1024 * 1024
SIZE = 40 * MEBIBYTE + 7


@cache
def _file() -> Path:
    """What all tests of this process have served, each under a name of its own."""
    path = Path("served").absolute()
    path.write_bytes(content(0, SIZE))
    return path


class FileApplication(Application):
    """Serves one file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.app.route("/file", methods=["GET"])(self.file)

    async def file(self, request: Request) -> None:
        """Send the file."""

        async def open_blob(start: int) -> FileBlobReader:
            descriptor = os.open(self.path, os.O_RDONLY)
            return FileBlobReader(descriptor, SIZE, start, deferToThread)

        await send_blob(request, open_blob, SIZE, '"content"', several=True, new_id=lambda: "part")


class KernelCase(StreamingCase):
    """Serves a file, with few threads, and counts what the kernel was asked for."""

    threads = 2
    application: FileApplication

    def setUp(self) -> None:
        self.pushed = 0
        self.pool = ThreadPool(0, self.threads, "sending")
        self.pool.start()
        self.busy = 0
        self.addCleanup(self.pool.stop)
        super().setUp()

    def make_application(self) -> FileApplication:
        path = Path(self.mktemp()).resolve()
        path.hardlink_to(_file())
        return FileApplication(path)

    def make_site(self) -> Site:
        site = super().make_site()
        site.kernel = kernel.KernelSender(reactor, self.in_thread, lambda: self.busy > self.threads)
        return site

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run in the pool."""
        self.pushed += 1
        self.busy += 1
        try:
            return await deferToThreadPool(reactor, self.pool, function, *args)
        finally:
            self.busy -= 1

    def descriptors(self) -> int:
        """How often this process has the file open, and how many sockets; those of earlier tests may still be closed."""
        found = 0
        for each in os.listdir("/proc/self/fd"):  # noqa: PTH208
            with contextlib.suppress(OSError):
                found += os.readlink(f"/proc/self/fd/{each}").startswith((str(self.application.path), "socket:"))  # noqa: PTH115
        return found


class SendTests(KernelCase):
    """Whole files and parts of them."""

    async def test_whole(self) -> None:
        """A file arrives whole, twice on one connection, and every byte of it is on record."""
        before = self.descriptors()
        answers = await self.talk(lambda client: [client.ask("GET /file") for _ in range(2)])
        for answer in answers:
            self.assertEqual((200, str(SIZE)), (answer.status, answer.headers["content-length"]))
            self.assertTrue(answer.body == content(0, SIZE))
        await self.until(lambda: self.site.open_connections == 0)
        self.assertEqual([SIZE, SIZE], [record.bytes_sent for record in self.records])
        self.assertGreater(self.pushed, 1)
        self.assertLessEqual(self.descriptors(), before)

    async def test_range(self) -> None:
        """A part is sent from its place; a small part, several parts and HEAD do without the kernel."""

        def script(client: Client) -> list[Answer]:
            wanted = (f"bytes={MEBIBYTE}-", "bytes=5-9", f"bytes=0-{MEBIBYTE},{2 * MEBIBYTE}-{3 * MEBIBYTE}")
            return [client.ask("GET /file", f"Range: {each}") for each in wanted]

        large, small, several = await self.talk(script)
        self.assertEqual((206, f"bytes {MEBIBYTE}-{SIZE - 1}/{SIZE}"), (large.status, large.headers["content-range"]))
        self.assertTrue(large.body == content(MEBIBYTE, SIZE - MEBIBYTE))
        self.assertEqual((206, content(5, 5)), (small.status, small.body))
        self.assertIn("multipart/byteranges", several.headers["content-type"])
        self.assertIn(content(2 * MEBIBYTE, MEBIBYTE), several.body)

    async def test_closes_at_once(self) -> None:
        """A client that closes as soon as it has all of it has had all of it, even if the server has no time to notice before."""
        slept = Deferred[None]()
        sent = threading.Event()

        def script(client: Client) -> None:
            client.ask("GET /file", f"Range: bytes=0-{MEBIBYTE - 1}")
            sent.wait(PATIENCE_SECONDS)
            client.close()

        async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
            await deferToThreadPool(reactor, self.pool, function, *args)
            if not cast("Any", function).__self__.left:
                # The thread has sent everything, and the client closes, before this is told.
                sent.set()
                await slept

        self.patch(self.site.kernel, "_in_thread", in_thread)
        await self.talk(script)
        await self.until(lambda: self.records)
        slept.callback(None)
        (record,) = self.records
        self.assertEqual((206, MEBIBYTE, True), (record.status, record.bytes_sent, record.complete))
        await self.until(lambda: self.site.open_connections == 0)

    async def test_small_and_head(self) -> None:
        """What is small, and what has no body, is no matter for the kernel."""

        def script(client: Client) -> bytes:
            client.ask("GET /file", f"Range: bytes=0-{kernel.LEAST_BYTES - 2}")
            client.send(head("HEAD /file", "Connection: close"))
            return client.rest()

        self.assertTrue((await self.talk(script)).endswith(b"\r\n\r\n"))
        self.assertEqual(0, self.pushed)

    async def test_more_clients_than_threads(self) -> None:
        """Clients take turns, and each gets its own bytes."""

        def script(start: int) -> Callable[[Client], Answer]:
            return lambda client: client.ask("GET /file", f"Range: bytes={start}-{start + 8 * MEBIBYTE}")

        starts = [each * MEBIBYTE for each in range(8)]
        answers = await gatherResults([Deferred.fromCoroutine(self.talk(script(start))) for start in starts])
        for start, answer in zip(starts, answers, strict=True):
            self.assertTrue(answer.body == content(start, 8 * MEBIBYTE + 1), start)

    async def test_stalled_clients_take_no_thread(self) -> None:
        """Clients that do not read, more than there are threads, hold up nobody; later they get the rest."""
        stalled = [await self.connect() for _ in range(self.threads + 1)]
        for client in stalled:
            await deferToThread(client.send, head("GET /file"))
            await deferToThread(client.line)
        answer = await self.talk(lambda client: client.ask("GET /file"))
        self.assertTrue(answer.body == content(0, SIZE))
        for client in stalled:
            body = await deferToThread(read_body, client)
            self.assertTrue(body == content(0, SIZE))

    async def test_vanished_client(self) -> None:
        """A client that leaves in the middle leaves nothing open, and no word in the log."""
        before = self.descriptors()
        for _ in range(3):
            client = await self.connect()
            await deferToThread(client.send, head("GET /file"))
            await deferToThread(client.line)
            client.close()
        await self.until(lambda: len(self.records) == 3 and self.busy == 0)
        self.assertEqual([(200, False)] * 3, [(record.status, record.complete) for record in self.records])
        await self.until(lambda: self.descriptors() <= before)

    async def test_file_that_ends_early(self) -> None:
        """A file shorter than its blob never ends cleanly: the client sees that the response is cut."""
        self.application.path.unlink()
        self.application.path.write_bytes(content(0, 30 * MEBIBYTE))
        client = await self.connect()
        await self.assertFailure(deferToThread(client.ask, "GET /file"), EOFError, ConnectionResetError)
        self.assertEqual(1, len(self.flushLoggedErrors(kernel.BlobCutShort)))
        await self.until(lambda: self.records)
        self.assertEqual([False], [record.complete for record in self.records])


class StalledTests(KernelCase):
    """A client that stops reading."""

    limits = evolve(KernelCase.limits, response_idle_seconds=0.4)

    async def test_cut(self) -> None:
        """A response that moves no byte for its time is cut, and its file is closed."""
        before = self.descriptors()
        client = await self.connect()
        await deferToThread(client.send, head("GET /file"))
        await self.until(lambda: self.records)
        self.assertEqual([False], [record.complete for record in self.records])
        await self.until(lambda: self.descriptors() <= before + 1)  # the client's own

    async def test_slow_is_not_stalled(self) -> None:
        """A response that moves now and then goes on for much longer than that time."""
        client = await self.connect()
        await deferToThread(client.send, head("GET /file"))
        for _ in range(8):
            await deferToThread(client._exactly, 2_000_000)
            await deferLater(reactor, 0.15)
        self.assertEqual([], [record for record in self.records if not record.complete])


def read_body(client: Client) -> bytes:
    """The body of a response whose first line was read."""
    length = 0
    while line := client.line():
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return client._exactly(length)
