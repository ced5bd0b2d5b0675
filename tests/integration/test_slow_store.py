"""A store that is slower than the network: the client is made to wait, and memory stays bounded."""

import hashlib
import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import SkipTest

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from dockreg.callables import ByteObserver, Ending, InThread, Piece
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IUpload
from dockreg.model.blobs import Received, StoredBlob
from dockreg.model.digest import Digest
from dockreg.providers.blobs.memory import MemoryBlobStore
from tests.integration import test_service
from tests.integration.streaming import content

MEBIBYTE = 1024 * 1024
LAYER_BYTES = 64 * MEBIBYTE
#: What the registry may have taken from the network while its store takes nothing, whatever the size of the layer.
MOST_IN_MEMORY = 4 * MEBIBYTE
#: What the client's system keeps for it; Linux doubles what it is asked for (socket(7)).
SEND_BUFFER = 256 * 1024
#: A client that can send nothing for this long is made to wait.
QUIET_SECONDS = 1.0
PATIENCE_SECONDS = 60.0

_PIECE = 64 * 1024
_RECEIVE_BUFFERS = Path("/proc/sys/net/ipv4/tcp_rmem")
_CONNECTIONS = Path("/proc/net/tcp")

#: The stores that were made, newest last.
STORES: list["SlowBlobs"] = []


@implementer(IBlobStore)
class SlowBlobs(MemoryBlobStore):
    """A store whose writes wait for the test, and that keeps no more of them than their digest and size."""

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = True
        self.waiting: list[Deferred[None]] = []
        #: Bytes that were handed to ``write``, whether it has returned or not.
        self.handed = 0
        self.committed: list[StoredBlob] = []

    async def start_upload(self, observers: Sequence[ByteObserver] = (), algorithm: str = "sha256") -> IUpload:
        """See :class:`~dockreg.interfaces.IBlobStore`."""
        return _SlowUpload(self, observers)

    def release(self) -> None:
        """Write what waits, and from now on without waiting."""
        self.is_slow = False
        for each in self.waiting:
            each.callback(None)


@implementer(IUpload)
class _SlowUpload:
    upload_id = "slow"

    def __init__(self, store: SlowBlobs, observers: Sequence[ByteObserver]) -> None:
        self.size = 0
        self._store = store
        self._hash = hashlib.sha256()
        self._observers = (self._hash, *observers)

    async def write(self, chunks: Sequence[Piece]) -> None:
        store = self._store
        store.handed += sum(map(len, chunks))
        if store.is_slow:
            store.waiting.append(Deferred())
            await store.waiting[-1]
        for chunk in chunks:
            self.size += len(chunk)
            for observer in self._observers:
                observer.update(chunk)

    async def receive(self, fetch: Callable[[], Piece], ending: Ending | None = None) -> StoredBlob | None:
        while piece := fetch():
            await self.write([bytes(piece)])
        return None if ending is None else await self.commit(ending.expected, (), ending.then)

    async def suspend(self, then: Callable[[Received], object] | None = None, last: Sequence[Piece] = ()) -> Received:
        await self.write(last)
        received = Received(self.size, None)
        if then is not None:
            then(received)
        return received

    async def commit(
        self,
        expected: Digest | None = None,
        last: Sequence[Piece] = (),
        then: Callable[[StoredBlob], bool] | None = None,
        small_bytes: int = 0,
    ) -> StoredBlob:
        if last:
            await self.write(last)
        blob = StoredBlob(Digest("sha256", self._hash.hexdigest()), "slow", self.size)
        self._store.committed.append(blob)
        if then is not None:
            then(blob)
        return blob

    async def abort(self) -> None:
        pass


def slow_blobs(in_thread: InThread, clock: object) -> IBlobStore:
    """The store, as ``blobs.provider`` names it."""
    STORES.append(SlowBlobs())
    return STORES[-1]


class Sender:
    """Puts a layer, as far as it is let; for use in a thread."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.socket.connect(("127.0.0.1", port))
        self.head = (
            f"PUT /v1/images/{test_service.IMAGE}/layer HTTP/1.1\r\nHost: x\r\nContent-Length: {LAYER_BYTES}\r\n\r\n"
        ).encode()
        self.socket.sendall(self.head)

    def send(self, patience_seconds: float) -> None:
        """Send on until all is sent, or nothing can be sent for that long."""
        self.socket.settimeout(patience_seconds)
        try:
            while self.sent < LAYER_BYTES:
                self.sent += self.socket.send(content(self.sent, min(_PIECE, LAYER_BYTES - self.sent)))
        except TimeoutError:
            pass

    def status(self) -> bytes:
        """The first line of the answer."""
        self.socket.settimeout(PATIENCE_SECONDS)
        with self.socket.makefile("rb") as answer:
            return answer.readline().strip()

    def taken(self) -> int:
        """How many bytes of the layer the other process has read: those that neither end's system still keeps."""
        mine, other = self.socket.getsockname()[1], self.socket.getpeername()[1]
        return self.sent + len(self.head) - _queued(mine, other)[0] - _queued(other, mine)[1]


def _queued(local: int, remote: int) -> tuple[int, int]:
    # Bytes not acknowledged by the other end, and bytes not read by the process (proc(5), "/proc/net/tcp").
    for line in _CONNECTIONS.read_text().splitlines()[1:]:
        _, here, there, _, queues, *_ = line.split()
        if (int(here.split(":")[1], 16), int(there.split(":")[1], 16)) == (local, remote):
            sending, receiving = queues.split(":")
            return int(sending, 16), int(receiving, 16)
    raise AssertionError("the connection is not there")


class SlowStoreTests(test_service.ServiceTestCase):
    """A push to a store that does not keep up."""

    timeout = 2 * PATIENCE_SECONDS

    async def test_back_pressure(self) -> None:
        """While the store waits the client waits too, with little in memory; then all bytes arrive, in order."""
        if not _CONNECTIONS.exists():
            raise SkipTest("needs /proc/net/tcp, which Linux has")
        service = await self.start(f"[blobs]\nprovider = '{__name__}.slow_blobs'\n")
        store = STORES[-1]
        path = f"/v1/images/{test_service.IMAGE}"
        document = json.dumps({"id": test_service.IMAGE}).encode()
        self.assertEqual(200, (await self.ask(service, f"{path}/json", "PUT", data=document))[0])

        sender = await deferToThread(Sender, self.port(service))
        self.addCleanup(sender.socket.close)
        await deferToThread(sender.send, QUIET_SECONDS)
        in_system = 2 * SEND_BUFFER + int(_RECEIVE_BUFFERS.read_text().split()[2])
        self.assertLess(sender.sent, min(LAYER_BYTES, MOST_IN_MEMORY + in_system))
        self.assertEqual(1, len(store.waiting))
        self.assertGreater(store.handed, 0)
        # What the store was handed is a part of what was taken; the rest is in the queue before it.
        self.assertGreaterEqual(sender.taken(), store.handed)
        self.assertLess(sender.taken(), MOST_IN_MEMORY)

        store.release()
        await deferToThread(sender.send, PATIENCE_SECONDS)
        self.assertEqual(b"HTTP/1.1 200 OK", await deferToThread(sender.status))
        whole, payload = hashlib.sha256(), hashlib.sha256(document + b"\n")
        for start in range(0, LAYER_BYTES, MEBIBYTE):
            for each in (whole, payload):
                each.update(content(start, MEBIBYTE))
        self.assertEqual(LAYER_BYTES, store.handed)
        self.assertEqual([StoredBlob(Digest("sha256", whole.hexdigest()), "slow", LAYER_BYTES)], store.committed)
        checksum = {"X-Docker-Checksum-Payload": f"sha256:{payload.hexdigest()}"}
        answer = await self.ask(service, f"{path}/checksum", "PUT", headers=checksum)
        self.assertEqual((200, b"true"), answer)
