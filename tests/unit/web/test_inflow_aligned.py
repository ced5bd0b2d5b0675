"""Turns of a thread whose bytes lie in memory as they will lie in a file."""

import contextlib
import ctypes
import os
import socket
from collections.abc import Sequence
from threading import Thread

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.callables import BLOCK_BYTES
from dockreg.web import inflow as inflow_module
from dockreg.web.chunks import ChunkedDecoder
from dockreg.web.inflow import LEAST_BYTES, Inflow, Inflows, receive_plain

MIB = 1024 * 1024
CONTENT = os.urandom(3 * MIB)


def address_of(piece: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(piece))


def receive_somehow(connection: int, room: memoryview) -> int:
    """A :data:`.Receive` that nobody knows."""
    return receive_plain(connection, room)


def framed(content: bytes, sizes: Sequence[int]) -> bytes:
    """The content in chunks of these sizes, again and again, without the end of the body."""
    stream, at, number = b"", 0, 0
    while at < len(content):
        chunk = content[at : at + sizes[number % len(sizes)]]
        stream += b"%x\r\n" % len(chunk) + chunk + b"\r\n"
        at, number = at + len(chunk), number + 1
    return stream


class AlignedTests(SynchronousTestCase):
    """Where pieces lie, and how large they are."""

    def setUp(self) -> None:
        self.inflows = Inflows(lambda: False)

    def pieces(
        self,
        stream: bytes,
        position: int | None,
        *,
        first: bytes = b"",
        chunked: bool = False,
        short: bool = False,
        opaque: bool = False,
        parts: int = 1,
    ) -> tuple[list[tuple[int | None, bytes]], Inflow]:
        """
        What is given of a stream: the place of each piece within a block of memory, if it has one, and its bytes.

        :param opaque: whether only the receiver knows how to read, as over TLS.
        :param parts: in so many parts it is sent.
        """
        client, ours = socket.socketpair()
        ours.setblocking(False)
        size = -(-len(stream) // parts)

        def send() -> None:
            # After a failure nobody reads.
            with contextlib.suppress(OSError):
                for at in range(0, len(stream), size):
                    client.sendall(stream[at : at + size])
                client.shutdown(socket.SHUT_WR)

        sending = Thread(target=send)
        sending.start()
        receive = receive_somehow if opaque else receive_plain
        decoder = ChunkedDecoder(lambda _: None, lambda _: None) if chunked else None
        most = len(stream) if short or not chunked else 10 * len(stream)
        inflow = Inflow(self.inflows, os.dup(ours.fileno()), receive, decoder, b"", first, most, short=short)
        if position is not None:
            inflow.align(position)
        given = []
        # A machine may be busy: the sender has all the time that it needs.
        self.patch(inflow_module, "_WAIT_MILLISECONDS", 10_000)
        self.patch(inflow_module, "_MOST_WAITS", 1_000_000)
        try:
            while piece := inflow.fetch():
                place = address_of(piece) % BLOCK_BYTES if isinstance(piece, memoryview) else None
                given.append((place, bytes(piece)))
        finally:
            inflow.end(resting=True)
            ours.close()
            sending.join()
            client.close()
        return given, inflow

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(0, 3 * BLOCK_BYTES),
        st.integers(0, 200_000),
        st.lists(st.sampled_from([1, 100, 4096, 5000, 32_768, 40_000, 300_000]), min_size=1, max_size=3),
        st.booleans(),
        st.booleans(),
        st.integers(1, 9),
        st.integers(1, len(CONTENT)),
    )
    def test_place(
        self, position: int, first: int, chunks: list[int], chunked: bool, opaque: bool, parts: int, size: int
    ) -> None:
        """Each byte has the place in a page of memory that it will have in a block of the file, however it comes."""
        content = CONTENT[:size]
        if chunked and min(chunks) < BLOCK_BYTES:
            # Of so small ones there would be very many.
            content = content[:100_000]
        stream = framed(content, chunks) if chunked else content
        begun = CONTENT[:first]
        given, inflow = self.pieces(stream, position, first=begun, chunked=chunked, opaque=opaque, parts=parts)
        self.assertEqual(begun + content, b"".join(piece for _, piece in given))
        self.assertEqual(len(content), inflow.carried)
        for number, (place, piece) in enumerate(given):
            if place is not None:
                self.assertEqual(position % BLOCK_BYTES, place)
                if len(piece) >= LEAST_BYTES and number < len(given) - 1:
                    self.assertEqual(0, (position + len(piece)) % BLOCK_BYTES)
            position += len(piece)

    def test_large(self) -> None:
        """Much that is there is given in few pieces, between two of which nothing has to be moved."""
        for chunked, opaque in ((False, False), (False, True), (True, False)):
            stream = framed(CONTENT, [65_536]) if chunked else CONTENT
            given, _ = self.pieces(stream, 0, chunked=chunked, opaque=opaque)
            sizes = [len(piece) for _, piece in given]
            self.assertTrue(all(each >= LEAST_BYTES for each in sizes[:-1]), sizes)

    def test_short(self) -> None:
        """A short body is given to its end, behind what the reactor has read of it."""
        given, inflow = self.pieces(CONTENT[100 : 2 * MIB], 0, first=CONTENT[:100], short=True)
        self.assertEqual([(0, CONTENT[:MIB]), (0, CONTENT[MIB : 2 * MIB])], given)
        self.assertTrue(inflow.is_whole)

    def test_cut(self) -> None:
        """What was read behind a block when the turn was cut is given all the same."""
        client, ours = socket.socketpair()
        self.addCleanup(client.close)
        self.addCleanup(ours.close)
        ours.setblocking(False)
        sending = Thread(target=client.sendall, args=(CONTENT[: LEAST_BYTES + 5],))
        sending.start()
        self.patch(inflow_module, "_WAIT_MILLISECONDS", 10_000)
        self.patch(inflow_module, "_MOST_WAITS", 1_000_000)
        inflow = Inflow(self.inflows, os.dup(ours.fileno()), receive_plain, None, b"", b"", MIB)
        inflow.align(0)
        found = b""
        while len(found) < LEAST_BYTES:
            found += bytes(inflow.fetch())
        sending.join()
        inflow.end(resting=False)
        while piece := inflow.fetch():
            found += bytes(piece)
        # What nobody has read when it was cut is lost.
        self.assertEqual(found, CONTENT[: len(found)])
        self.assertEqual(inflow.carried, len(found))
