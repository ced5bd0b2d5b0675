"""
The least that a registry of Python can do: ``python -m benchmarks.bare --help``.

It keeps what it acknowledges as dockreg does: a file is flushed, gets its name, its folder is flushed, and a transaction
of SQLite tells of it. It does nothing else: one user, no rights, no limits, no checks but that of the digest, no log,
no quotas, no garbage collection, no v1. Each connection has a thread, which waits in the system calls of its socket.
What it takes is what the requests, the disk and the interpreter cost whatever a registry does between.
"""

import argparse
import hashlib
import os
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from attrs import define, field, frozen

_PIECE = 512 * 1024
_HEAD_END = b"\r\n\r\n"
_TABLES = """
PRAGMA journal_mode = WAL;
CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE manifests (digest TEXT PRIMARY KEY, content BLOB NOT NULL, type TEXT NOT NULL);
CREATE TABLE tags (name TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
"""


@frozen
class Head:
    """The head of a request."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, head: bytes) -> "Head":
        """What the bytes before the empty line say."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _version = first.split(" ")
        url = urlsplit(target)
        pairs = (line.split(": ", 1) for line in lines)
        return cls(method, url.path, parse_qs(url.query), {name.lower(): value for name, value in pairs})


@define
class Upload:
    """The file of a session."""

    path: Path
    file: int
    hasher: "hashlib._Hash" = field(factory=hashlib.sha256)
    size: int = 0

    @classmethod
    def open(cls, path: Path) -> "Upload":
        """A new and empty one."""
        return cls(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def write(self, piece: memoryview) -> None:
        """Append, and digest."""
        self.hasher.update(piece)
        self.size += len(piece)
        while piece:
            piece = piece[os.write(self.file, piece) :]


class Stored:
    """A folder with objects, the files of sessions, and the database."""

    def __init__(self, folder: Path) -> None:
        self.objects, self.staging = folder / "objects", folder / "staging"
        self._database = folder / "metadata.sqlite3"
        for each in (self.objects, self.staging):
            each.mkdir(parents=True, exist_ok=True)
        self._objects_folder = os.open(self.objects, os.O_RDONLY)
        if not self._database.exists():
            with self.connected() as connection:
                connection.executescript(_TABLES)

    def connected(self) -> sqlite3.Connection:
        """A connection for one thread, whose commits are flushed."""
        connection = sqlite3.connect(self._database, timeout=60, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def keep(self, upload: Upload, digest: str) -> None:
        """The file becomes an object that survives a crash."""
        os.fsync(upload.file)
        os.close(upload.file)
        upload.path.rename(self.objects / digest)
        os.fsync(self._objects_folder)


class Exchange:
    """One connection, in its thread."""

    def __init__(self, connection: socket.socket, stored: Stored, uploads: dict[str, Upload | None]) -> None:
        self._socket = connection
        self._stored = stored
        self._uploads = uploads
        self._database = stored.connected()
        self._buffer = bytearray(_PIECE)
        self._view = memoryview(self._buffer)
        # What was read and not used yet.
        self._start = self._end = 0
        self._actions: Mapping[tuple[str, str], Callable[[Head, str], None]] = {
            ("POST", "uploads"): self._begin,
            ("PATCH", "uploads"): self._append,
            ("PUT", "uploads"): self._finish,
            ("PUT", "manifests"): self._put_manifest,
            ("GET", "manifests"): self._get_manifest,
            ("HEAD", "manifests"): self._get_manifest,
            ("GET", "blobs"): self._get_blob,
            ("HEAD", "blobs"): self._get_blob,
        }

    def run(self) -> None:
        """Until the client goes."""
        with self._socket, self._database:
            while head := self._head():
                *_, kind, reference = head.path.rsplit("/", 2)
                action = self._actions.get((head.method, kind))
                if action is None:
                    self._answer("200 OK", "Content-Type: application/json", body=b"{}")
                else:
                    action(head, reference)
        self._database.close()

    # Reading

    def _more(self) -> int:
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._buffer):
            left = self._end - self._start
            self._view[:left] = self._view[self._start : self._end]
            self._start, self._end = 0, left
        got = self._socket.recv_into(self._view[self._end :])
        self._end += got
        return got

    def _until(self, mark: bytes) -> bytes:
        while (found := self._buffer.find(mark, self._start, self._end)) < 0:
            if not self._more():
                return b""
        text = bytes(self._view[self._start : found])
        self._start = found + len(mark)
        return text

    def _head(self) -> Head | None:
        head = self._until(_HEAD_END)
        return Head.parse(head) if head else None

    def _taken(self, length: int) -> Iterator[memoryview]:
        while length:
            if self._start == self._end and not self._more():
                raise ConnectionError("the client went away")
            piece = self._view[self._start : min(self._end, self._start + length)]
            self._start += len(piece)
            length -= len(piece)
            yield piece

    def _body(self, head: Head) -> Iterator[memoryview]:
        if "transfer-encoding" not in head.headers:
            yield from self._taken(int(head.headers.get("content-length", "0")))
            return
        while length := int(self._until(b"\r\n"), 16):
            yield from self._taken(length)
            self._until(b"\r\n")
        self._until(b"\r\n")

    # Answering

    def _answer(self, status: str, *headers: str, length: int | None = None, body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}", "", ""]
        self._socket.sendall("\r\n".join(lines).encode() + body)

    def _begin(self, head: Head, _reference: str) -> None:
        session = os.urandom(16).hex()
        self._uploads[session] = None
        self._answer("202 Accepted", f"Location: {head.path}{session}", "Range: 0-0")

    def _upload(self, session: str) -> Upload:
        found = self._uploads[session]
        if found is None:
            found = self._uploads[session] = Upload.open(self._stored.staging / session)
        return found

    def _receive(self, head: Head, session: str) -> Upload:
        upload = self._upload(session)
        for piece in self._body(head):
            upload.write(piece)
        return upload

    def _append(self, head: Head, session: str) -> None:
        upload = self._receive(head, session)
        os.fsync(upload.file)
        self._answer("202 Accepted", f"Location: {head.path}", f"Range: 0-{upload.size - 1}")

    def _finish(self, head: Head, session: str) -> None:
        upload = self._receive(head, session)
        digest = head.query["digest"][0]
        if f"sha256:{upload.hasher.hexdigest()}" != digest:
            self._answer("400 Bad Request")
            return
        self._stored.keep(upload, digest)
        del self._uploads[session]
        self._database.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, upload.size))
        self._answer("201 Created", f"Location: /v2/blobs/{digest}", f"Docker-Content-Digest: {digest}")

    def _put_manifest(self, head: Head, reference: str) -> None:
        content = b"".join(map(bytes, self._body(head)))
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(
            "INSERT OR IGNORE INTO manifests VALUES (?, ?, ?)", (digest, content, head.headers["content-type"])
        )
        self._database.execute("INSERT OR REPLACE INTO tags VALUES (?, ?)", (reference, digest))
        self._database.execute("COMMIT")
        self._answer("201 Created", f"Location: {head.path}", f"Docker-Content-Digest: {digest}")

    def _get_manifest(self, head: Head, reference: str) -> None:
        row = self._database.execute(
            "SELECT digest, content, type FROM manifests"
            " WHERE digest = coalesce((SELECT digest FROM tags WHERE name = :reference), :reference)",
            {"reference": reference},
        ).fetchone()
        if row is None:
            self._answer("404 Not Found")
            return
        digest, content, media_type = row
        body = content if head.method == "GET" else b""
        headers = f"Content-Type: {media_type}", f"Docker-Content-Digest: {digest}"
        self._answer("200 OK", *headers, length=len(content), body=body)

    def _get_blob(self, head: Head, digest: str) -> None:
        row = self._database.execute("SELECT size FROM blobs WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            self._answer("404 Not Found")
            return
        self._answer("200 OK", "Content-Type: application/octet-stream", length=row[0])
        if head.method == "GET":
            with (self._stored.objects / digest).open("rb") as file:
                self._socket.sendfile(file)


def serve(port: int, folder: Path, tls: ssl.SSLContext | None) -> None:
    """Serve, until the process is told to end."""
    stored, uploads = Stored(folder), dict[str, Upload | None]()
    numbers = count()
    with socket.create_server(("127.0.0.1", port), backlog=512) as listening:
        while True:
            connection, _address = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def run(plain: socket.socket = connection) -> None:
                try:
                    Exchange(tls.wrap_socket(plain, server_side=True) if tls else plain, stored, uploads).run()
                except OSError:
                    plain.close()

            threading.Thread(target=run, daemon=True, name=f"connection-{next(numbers)}").start()


def main() -> None:
    """Read the arguments, and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare", description="Serve on 127.0.0.1.")
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="files in the format PEM")
    options = parser.parse_args()
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
    serve(options.port, options.folder, context)


if __name__ == "__main__":
    main()
