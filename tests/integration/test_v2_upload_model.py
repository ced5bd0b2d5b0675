"""An upload session in any order of requests, held against a model: the bytes that must be there."""

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.v2case import digest_of
from tests.processes import Daemon, PreparedDaemon

SESSIONS = "/v2/a/b/blobs/uploads/"
CHUNKS = st.binary(max_size=40) | st.binary(min_size=1, max_size=4).map(lambda piece: piece * 25_000)
NO_RANGES = st.sampled_from(["", "x", "1", "-", "0-", "-0", "bytes=*/5", "0-1,2-3", "0--1", "\xb2-\xb3"])


def has_session(machine: "SessionMachine") -> bool:
    """Whether there is a session."""
    return machine.where is not None


def has_none(machine: "SessionMachine") -> bool:
    """Whether there is no session."""
    return machine.where is None


class SessionMachine(RuleBasedStateMachine):
    """One session at a time; :attr:`bytes` are those that it must have."""

    daemon: ClassVar[Daemon]

    def __init__(self) -> None:
        super().__init__()
        self.where: str | None = None
        self.bytes = b""
        self.ended: list[str] = []

    def ask(
        self,
        method: str,
        body: bytes | None = None,
        query: str = "",
        ranged: str | None = None,
        where: str | None = None,
    ) -> tuple[int, dict[str, str]]:
        """A request to the session; nothing may fail on the side of the daemon."""
        headers = {} if ranged is None else {"Content-Range": ranged}
        path = f"{where or self.where}{query}"
        status, content, names = self.daemon.request(method, path, body, headers)
        assert status < 500, content
        assert status < 400 or content.startswith(b'{"errors":[{"code":'), content
        return status, names

    def end(self) -> None:
        """The session is gone."""
        assert self.where is not None
        self.ended.append(self.where)
        self.where = None

    def check(self, expected: int, status: int, names: dict[str, str]) -> None:
        """An answer that tells where the session is and how far."""
        assert status == expected, status
        assert names["range"] == f"0-{max(0, len(self.bytes) - 1)}", names
        assert names["location"] == self.where, names

    @precondition(has_none)
    @rule(algorithm=st.sampled_from(["", "?digest-algorithm=sha256", "?digest-algorithm=sha512"]))
    def start(self, algorithm: str) -> None:
        status, names = self.ask("POST", b"", algorithm, where=SESSIONS)
        self.where, self.bytes = names["location"], b""
        self.check(202, status, names)

    @precondition(has_session)
    @rule(chunk=CHUNKS, ranged=st.booleans())
    def append(self, chunk: bytes, ranged: bool) -> None:
        """The next bytes, with a range or without."""
        first = len(self.bytes)
        status, names = self.ask(
            "PATCH", chunk, ranged=f"{first}-{first + len(chunk) - 1}" if ranged and chunk else None
        )
        self.bytes += chunk
        self.check(202, status, names)

    @precondition(has_session)
    @rule(chunk=CHUNKS)
    def append_of_unknown_length(self, chunk: bytes) -> None:
        """The next bytes, of a length that is not told before they end."""
        answer = self.send("Transfer-Encoding: chunked", self.in_chunks(chunk) + b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 202 "), answer
        self.bytes += chunk
        self.status()

    def in_chunks(self, chunk: bytes) -> bytes:
        """A chunk of HTTP, where there is anything to send."""
        return b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""

    def send(self, framing: str, body: bytes, *, gone: bool = False) -> bytes:
        """A PATCH by hand; of who goes away all is in the session some time later."""
        head = f"PATCH {self.where} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{framing}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=30) as connection:
            connection.sendall(head.encode() + body)
            if not gone:
                return b"".join(iter(lambda: connection.recv(65536), b""))
        self.until(lambda: self.ask("GET")[1]["range"] == f"0-{len(self.bytes) - 1}")
        self.until(lambda: self.ask("PATCH", b"")[0] != 409)
        return b""

    def until(self, happened: Callable[[], bool]) -> None:
        """Ask again until it has."""
        assert any(happened() for _ in range(5000))

    @precondition(has_session)
    @rule(chunk=CHUNKS.filter(len), missing=st.integers(1, 10), told=st.booleans())
    def break_off(self, chunk: bytes, missing: int, told: bool) -> None:
        """A client that goes away before all of its bytes have come, or before it says that they have: those stay."""
        if len(self.bytes + chunk) == 1:
            # The range says the same of one byte and of none: the next request may take the session before that byte is kept.
            return
        self.bytes += chunk
        if told:
            self.send(f"Content-Length: {len(chunk) + missing}", chunk, gone=True)
        else:
            self.send("Transfer-Encoding: chunked", self.in_chunks(chunk), gone=True)
        self.status()

    @precondition(has_session)
    @rule(chunk=CHUNKS.filter(len), shift=st.integers(-50_000, 50_000).filter(bool), closing=st.booleans())
    def append_elsewhere(self, chunk: bytes, shift: int, closing: bool) -> None:
        """Bytes that are not the next ones; the answer says which are."""
        first = abs(len(self.bytes) + shift)
        if first == len(self.bytes):
            return
        query = f"?digest={digest_of(self.bytes + chunk)}" if closing else ""
        ranged = f"{first}-{first + len(chunk) - 1}"
        status, names = self.ask("PUT" if closing else "PATCH", chunk, query, ranged)
        self.check(416, status, names)

    @precondition(has_session)
    @rule(chunk=CHUNKS.filter(len), header=NO_RANGES, longer=st.integers(-3, 3).filter(bool))
    def append_nonsense(self, chunk: bytes, header: str, longer: int) -> None:
        """Ranges that are none, or of another length than the bytes."""
        first = len(self.bytes)
        for ranged in (header, f"{first}-{first + len(chunk) - 1 + longer}", f"{first + 1}-{first}"):
            assert self.ask("PATCH", chunk, ranged=ranged)[0] == 400

    @precondition(has_session)
    @rule()
    def status(self) -> None:
        self.check(204, *self.ask("GET"))

    @precondition(has_session)
    @rule(kill=st.booleans(), chance=st.integers(0, 5))
    def restart(self, kill: bool, chance: int) -> None:
        """Now and then, in order or not."""
        if chance == 0:
            self.daemon.kill() if kill else self.daemon.stop()
            self.daemon.start()
            self.status()

    @precondition(has_session)
    @rule(rest=CHUNKS, algorithm=st.sampled_from(["sha256", "sha512"]), ranged=st.booleans())
    def finish(self, rest: bytes, algorithm: str, ranged: bool) -> None:
        """All bytes are there, and are the blob."""
        first, content = len(self.bytes), self.bytes + rest
        digest = digest_of(content, algorithm)
        status, names = self.ask(
            "PUT", rest, f"?digest={digest}", f"{first}-{first + len(rest) - 1}" if ranged and rest else None
        )
        assert (status, names["docker-content-digest"]) == (201, digest)
        self.end()
        status, found, _ = self.daemon.request("GET", names["location"])
        assert (status, hashlib.sha256(found).digest()) == (200, hashlib.sha256(content).digest())

    @precondition(has_session)
    @rule(rest=CHUNKS, algorithm=st.sampled_from(["sha256", "sha512"]))
    def finish_wrongly(self, rest: bytes, algorithm: str) -> None:
        """The bytes are others than were said: no blob, and no session."""
        digest = digest_of(self.bytes + rest + b"x", algorithm)
        assert self.ask("PUT", rest, f"?digest={digest}")[0] == 400
        assert self.daemon.request("GET", f"/v2/a/b/blobs/{digest}")[0] == 404
        self.end()

    @precondition(has_session)
    @rule(query=st.sampled_from(["", "?digest=", "?digest=sha256:x", "?digest=md5:" + "0" * 32, "?digest=%00"]))
    def finish_without_digest(self, query: str) -> None:
        """A digest that is none ends nothing."""
        assert self.ask("PUT", b"rest", query)[0] == 400

    @precondition(has_session)
    @rule()
    def cancel(self) -> None:
        assert self.ask("DELETE")[0] == 204
        self.end()

    @precondition(lambda machine: bool(machine.ended))
    @rule(method=st.sampled_from(["GET", "PATCH", "PUT", "DELETE"]))
    def use_ended(self, method: str) -> None:
        """What has ended is unknown for good."""
        query = f"?digest={digest_of(b'x')}" if method == "PUT" else ""
        assert self.ask(method, b"x", query, where=self.ended[-1])[0] == 404


class UploadModelTests(SynchronousTestCase):
    """Sessions against the model."""

    def test_model(self) -> None:
        """Whatever the order, a session has the bytes that were taken, and its blob is made of them."""
        daemon = PreparedDaemon(Path(self.mktemp()).absolute())
        daemon.start()
        self.addCleanup(daemon.kill)
        SessionMachine.daemon = daemon
        quiet = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
        run_state_machine_as_test(SessionMachine, settings=settings(quiet, max_examples=25, stateful_step_count=20))  # type: ignore[no-untyped-call, unused-ignore]
        self.assertNotIn("Traceback", daemon.log())
