"""Chunks of one size, read from a pipe."""

import os
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.chunks import ChunkedDecoder
from dockreg.web.evenchunks import EvenChunks, Scatter
from tests.unit.web.memory import mapped

_SIZE = 4096
_LINE = b"\r\n1000\r\n"
_CONTENT = os.urandom(20_000)


def framed(sizes: Sequence[int], extension: bytes = b"") -> bytes:
    """Some content in chunks of these sizes, the last one followed by the end of the body."""
    parts, at = [], 0
    for size in sizes:
        piece = (_CONTENT * 10)[at % 997 :][:size]
        parts.append(b"%x%b\r\n%b\r\n" % (size, extension, piece))
        at += size
    return b"".join([*parts, b"0\r\n\r\n"])


def read(scatter: Scatter, data: bytes) -> int:
    """Have it read this, or the beginning of it; returns how much."""
    ours, theirs = os.pipe()
    try:
        os.write(theirs, data)
        os.close(theirs)
        return scatter.read(ours, memoryview(b""))
    finally:
        os.close(ours)


class EvenChunksTests(SynchronousTestCase):
    """Reads of chunks whose lines are known before."""

    def setUp(self) -> None:
        self.even = EvenChunks(_LINE, _SIZE)
        self.room = bytearray(3 * _SIZE)

    def scatter(self, left: int, most: int = 1 << 20) -> Scatter:
        """A read."""
        scatter = self.even.scatter(memoryview(self.room), left, most)
        assert scatter is not None
        return scatter

    def test_wherever_it_stops(self) -> None:
        """However much comes: what chunks carry lies side by side, and only a line that is not whole is left."""
        for left in (0, 1, 100, _SIZE):
            body = _CONTENT[:left]
            stream, bodies, rests, lefts = body, [*range(left + 1)], [b""] * (left + 1), [*range(left, -1, -1)]
            for _ in range(3):
                stream += _LINE
                bodies += [len(body)] * len(_LINE)
                rests += [_LINE[:length] for length in range(1, len(_LINE))] + [b""]
                lefts += [0] * (len(_LINE) - 1) + [_SIZE]
                piece = _CONTENT[len(body) :][:_SIZE]
                stream, body = stream + piece, body + piece
                bodies += [bodies[-1] + count for count in range(1, _SIZE + 1)]
                rests += [b""] * _SIZE
                lefts += [_SIZE - count for count in range(1, _SIZE + 1)]
            for size in [
                *range(1, 20),
                *range(left, left + 20),
                *range(left + _SIZE - 1, left + _SIZE + 20),
                len(stream),
            ]:
                scatter = self.scatter(left)
                came = read(scatter, stream[:size])
                carried, still, rest = scatter.taken(came)
                self.assertEqual((bodies[came], lefts[came], rests[came]), (carried, still, rest))
                self.assertEqual(body[:carried], self.room[:carried])
        self.assertEqual(3 * _SIZE, carried)

    def test_another_line(self) -> None:
        """From a line on that is another one all is given back as it came."""
        for other in (
            b"\r\n0\r\n\r\nGET",
            b"\r\n800\r\n" + b"x" * 2048 + b"\r\n0\r\n\r\n",
            b"\r\n1001\r\n" + b"y" * 3000,
            b"\r\n01000\r",
        ):
            for before in range(2):
                scatter = self.scatter(10)
                stream = b"a" * 10 + (_LINE + b"b" * _SIZE) * before + other
                came = read(scatter, stream)
                self.assertEqual((10 + before * _SIZE, 0, other), scatter.taken(came))
                self.assertEqual(b"a" * 10 + b"b" * before * _SIZE, self.room[: 10 + before * _SIZE])

    def test_most(self) -> None:
        """No more is read than may be, with the lines."""
        for most in (1, 99, 100, 101, 108, 109, 2000, _SIZE + 108, _SIZE + 120, 3 * _SIZE, 4 * _SIZE):
            scatter = self.even.scatter(memoryview(self.room), 100, most)
            if scatter is not None:
                self.assertLessEqual(read(scatter, b"a" * 100 + (_LINE + b"b" * _SIZE) * 4), most)
        self.assertIsNotNone(self.even.scatter(memoryview(self.room), 100, 100))
        self.assertIsNone(self.even.scatter(memoryview(self.room), 0, len(_LINE)))
        self.assertIsNone(self.even.scatter(memoryview(self.room), 0, 0))

    def test_small(self) -> None:
        """There are limits to how many buffers a read takes; small chunks are not read in this way."""
        self.assertIsNone(EvenChunks(b"\r\n10\r\n", 16).scatter(memoryview(self.room), 5, 1 << 20))
        large = memoryview(bytearray(1 << 20))
        scatter = self.even.scatter(large, 0, 1 << 21)
        assert scatter is not None
        self.assertEqual(4, read(scatter, b"\r\n10"))


class ScatteredTests(SynchronousTestCase):
    """What the decoder makes of it."""

    def decoded(self, stream: bytes, cuts: Sequence[tuple[int, bool]]) -> tuple[bytes, bytes, int]:
        """The body of a stream, what follows it, and how many reads did without a look at each chunk."""
        taken: list[bytes] = []
        ended: list[bytes] = []
        decoder = ChunkedDecoder(lambda data: taken.append(bytes(data)), ended.append)
        at = scattered = 0
        for size, in_turn in [*cuts, (len(stream), False)]:
            if ended or (begun := decoder.begin_compact() if in_turn else None) is None:
                data = stream[at : at + size]
                at += len(data)
                if ended:
                    ended[0] += data
                else:
                    decoder.dataReceived(data)
                continue
            buffer = bytearray(4 * _SIZE)
            scatter = None if begun else decoder.scatter(memoryview(buffer), size)
            if scatter is not None:
                scattered += 1
                came = read(scatter, stream[at:][:size])
                carried, rest, _ = decoder.scattered(scatter, came)
                at += came
            else:
                data = begun + stream[at : at + size]
                at += size
                pages = mapped(data)
                carried, end, _ = decoder.compact(pages, 0, len(data))
                rest, buffer = pages[end : len(data)], bytearray(pages)
            taken.append(bytes(buffer[:carried]))
            decoder.dataReceived(rest)
        return b"".join(taken), ended[0], scattered

    @settings(max_examples=60)
    @given(
        st.lists(st.sampled_from([_SIZE] * 6 + [1, _SIZE - 1, _SIZE + 1, 5000]), max_size=20),
        st.lists(st.tuples(st.integers(1, 3 * _SIZE), st.sampled_from([True, True, True, False])), max_size=20),
        st.sampled_from([b"", b";a=b"]),
    )
    def test_same(self, sizes: Sequence[int], cuts: Sequence[tuple[int, bool]], extension: bytes) -> None:
        """Whoever reads, and in which way: the same comes of it."""
        stream = framed([_SIZE] * 6 + list(sizes), extension) + b"next"
        plain = self.decoded(stream, [])
        self.assertEqual(plain, (*self.decoded(stream, [(4 * _SIZE, True), *cuts])[:2], 0))

    def test_known(self) -> None:
        """Lines that are alike are known; a line that is none of them is looked at, and the next ones are known again."""
        cuts = [(4 * _SIZE, True)] + [(4 * _SIZE, True)] * 40
        self.assertGreater(self.decoded(framed([_SIZE] * 100), cuts)[2], 20)
        self.assertGreater(self.decoded(framed([_SIZE] * 50 + [100] + [_SIZE] * 50), cuts)[2], 20)

    def test_never_alike(self) -> None:
        """Of chunks that are not what was expected again and again nothing is expected any more."""
        cuts = [(4 * _SIZE, True)] * 200
        few = self.decoded(framed(([_SIZE] * 8 + [100] * 8) * 10), cuts)[2]
        self.assertEqual(few, self.decoded(framed(([_SIZE] * 8 + [100] * 8) * 20), cuts)[2])
