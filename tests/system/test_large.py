"""Gigabytes go through the daemon, and its memory stays flat."""

import gzip
import hashlib
import json
import os
import socket
import tarfile
import threading
import time  # noqa: TID251  # the memory of a real process is watched in real time
from collections.abc import Iterator, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import Daemon

MIB = 1024 * 1024
PARALLEL = 16
LAYER = 256 * MIB
ALLOWED = 64 * MIB
REPOSITORY = "/v1/repositories/large/app"


def gzip_tar(part: int) -> bytes:
    """One gzip member with a file of ``part`` bytes; such members in a row are a gzip tar of many files."""
    content = os.urandom(part // 2) + bytes(part // 4) + os.urandom(part - part // 2 - part // 4)
    entry = tarfile.TarInfo("file")
    entry.size = len(content)
    header = entry.tobuf(tarfile.USTAR_FORMAT)
    return gzip.compress(header + content, 1, mtime=0)


class Pusher(threading.Thread):
    """Pushes one layer: ``piece`` again and again, until ``total`` bytes are sent."""

    def __init__(self, daemon: Daemon, number: int, piece: bytes, total: int, *, chunked: bool) -> None:
        super().__init__()
        self.daemon_process = daemon
        self.image_id = hashlib.sha256(f"large {number}".encode()).hexdigest()
        self.piece = piece
        self.repeats = total // len(piece)
        self.chunked = chunked
        self.failure: BaseException | None = None
        self.answer = b""
        self.payload = hashlib.sha256()

    def run(self) -> None:
        try:
            self._push()
        except BaseException as problem:  # noqa: BLE001  # told by the thread that waits
            self.failure = problem

    def _push(self) -> None:
        document = json.dumps({"id": self.image_id}).encode()
        status = self.daemon_process.request("PUT", f"/v1/images/{self.image_id}/json", document)[0]
        assert status == 200, status
        self.payload.update(document + b"\n")
        size = len(self.piece) * self.repeats
        framing = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {size}"
        with socket.create_connection(("127.0.0.1", self.daemon_process.port), timeout=300) as client:
            client.sendall(f"PUT /v1/images/{self.image_id}/layer HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
            for piece in self._pieces():
                client.sendall(piece)
            self.answer = client.recv(4096)

    def _pieces(self) -> Iterator[bytes]:
        # Docker's engines send chunks of 32 KiB.
        for _ in range(self.repeats):
            if not self.chunked:
                yield self.piece
                continue
            view = memoryview(self.piece)
            for start in range(0, len(view), 32768):
                chunk = view[start : start + 32768]
                yield b"%x\r\n" % len(chunk) + bytes(chunk) + b"\r\n"
        if self.chunked:
            yield b"0\r\n\r\n"


class LargeTests(SynchronousTestCase):
    """Large layers, one and many."""

    def setUp(self) -> None:
        self.daemon = Daemon(Path(self.mktemp()).absolute())
        self.daemon.start()
        self.addCleanup(self.daemon.kill)

    def memory(self, field: str) -> int:
        """A figure of the daemon's memory, in bytes (proc(5), ``status``)."""
        for line in Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(field)

    def push(self, pushers: Sequence[Pusher]) -> None:
        body = json.dumps([{"id": pusher.image_id} for pusher in pushers]).encode()
        self.assertEqual(200, self.daemon.request("PUT", f"{REPOSITORY}/", body)[0])
        for pusher in pushers:
            pusher.start()
        for pusher in pushers:
            pusher.join()
        for pusher in pushers:
            if pusher.failure is not None:
                raise pusher.failure
            self.assertEqual(b"HTTP/1.1 200 OK", pusher.answer.partition(b"\r\n")[0], pusher.answer)

    def check_parallel(self, piece: bytes) -> None:
        warm = Pusher(self.daemon, 1000, piece, len(piece), chunked=True)
        self.push([warm])
        time.sleep(0.5)
        before = self.memory("VmRSS")
        self.push([Pusher(self.daemon, number, piece, LAYER, chunked=True) for number in range(PARALLEL)])
        grown = self.memory("VmHWM") - before
        self.assertLess(grown, ALLOWED, f"grew by {grown / MIB:.1f} MiB")

    def test_parallel_no_tar(self) -> None:
        """16 parallel uploads of 256 MiB that are no tar raise the resident memory by less than 64 MiB."""
        self.check_parallel(b"\x01" + os.urandom(4 * MIB - 1))

    def test_parallel_gzip_tar(self) -> None:
        """16 parallel uploads of 256 MiB of gzip tar raise the resident memory by less than 64 MiB."""
        self.check_parallel(gzip_tar(8 * MIB))

    def check_several_gib(self, *, chunked: bool) -> None:
        piece = b"\x01" + os.urandom(4 * MIB - 1)
        pusher = Pusher(self.daemon, 1, piece, 3 * 1024 * MIB, chunked=chunked)
        self.push([pusher])
        for _ in range(pusher.repeats):
            pusher.payload.update(piece)
        headers = {"X-Docker-Checksum-Payload": f"sha256:{pusher.payload.hexdigest()}"}
        path = f"/v1/images/{pusher.image_id}"
        self.assertEqual(200, self.daemon.request("PUT", f"{path}/checksum", b"", headers)[0])
        self.assertEqual(str(3 * 1024 * MIB), self.daemon.request("GET", f"{path}/json")[2]["x-docker-size"])
        self.check_pull(path, piece, pusher.repeats)

    def check_pull(self, path: str, piece: bytes, repeats: int) -> None:
        before = self.memory("VmRSS")
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=300) as client:
            client.sendall(f"GET {path}/layer HTTP/1.0\r\n\r\n".encode())
            stream = client.makefile("rb")
            while stream.readline() not in (b"\r\n", b""):
                pass
            for number in range(repeats):
                self.assertEqual(piece, stream.read(len(piece)), f"piece {number}")
            self.assertEqual(b"", stream.read(1))
        self.assertLess(self.memory("VmHWM") - before, ALLOWED)

    def test_several_gib_with_length(self) -> None:
        """A layer of 3 GiB with a Content-Length goes in and comes out, byte for byte, in bounded memory."""
        self.check_several_gib(chunked=False)

    def test_several_gib_chunked(self) -> None:
        """A chunked layer of 3 GiB goes in and comes out, byte for byte, in bounded memory."""
        self.check_several_gib(chunked=True)
