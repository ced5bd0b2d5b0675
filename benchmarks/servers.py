"""Servers as processes: started, asked whether they answer, stopped."""

import ctypes
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence

from benchmarks import processes
from benchmarks.certificates import trust
from benchmarks.connection import Target
from benchmarks.contenders.base import Contender, Place
from benchmarks.messages import LoadFailed

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_ASK_SECONDS = 0.002
_LOG_BYTES = 1500
_ANSWERS = (b"HTTP/1.1 200", b"HTTP/1.1 401")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    # However the benchmark ends, no server outlives it.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Server:
    """One contender at one place."""

    def __init__(self, contender: Contender, place: Place) -> None:
        self.contender = contender
        self.place = place
        self.target = Target(place.port, trust(place.certificate) if place.situation.tls else None)
        self._log = place.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; the seconds until it answered for the first time."""
        command = self.contender.prepare(self.place)
        began = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command.arguments,
                cwd=self.place.folder,
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # this process has one thread
            )
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                self.stop()
                raise LoadFailed(f"{self.contender.name} did not start:\n{self.log()}")
            time.sleep(_ASK_SECONDS)
        return time.perf_counter() - began

    def processes(self) -> Sequence[int]:
        """The server's processes."""
        assert self._process is not None
        return processes.tree(self._process.pid)

    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """The last that it has printed."""
        return self._log.read_bytes()[-_LOG_BYTES:].decode(errors="replace") if self._log.exists() else ""

    def stop(self) -> None:
        """Stop it; harmless when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)

    def remove(self) -> None:
        """Stop it, and remove all that it has stored."""
        self.stop()
        shutil.rmtree(self.place.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.place.port), timeout=_START_SECONDS) as plain:
                tls = self.target.tls
                with plain if tls is None else tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                    connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    return connection.recv(4096).startswith(_ANSWERS)
        except (OSError, ssl.SSLError):
            return False
