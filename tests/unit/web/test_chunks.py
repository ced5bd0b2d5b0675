"""The chunked coding: the same as Twisted's decoder takes, nothing else, and without copies of what is large."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import _ChunkedTransferDecoder, _MalformedChunkedDataError

from dockreg.web.chunks import ChunkedDecoder, ChunksMalformed
from tests.unit.web.memory import mapped

MALFORMED = "malformed"

_TOKENS = (
    b"0", b"5", b"a", b"F", b"00", b"05", b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n", b";", b";a=b", b"hello", b"0\r\n\r\n", b"X: y",
    b"5\r\nhello\r\n", b"\x00", b"\\", b"\x7f", b"\xff", b" ", b"GET / HTTP/1.1\r\n", b"1" * 20,
)  # fmt: skip

#: What was taken, what came behind the end or None, the lines behind the last chunk, and whether it was malformed.
Outcome = tuple[bytes, bytes | None, list[bytes], bool]


def outcome(decoder_of: Any, malformed: type[Exception], pieces: list[bytes]) -> Outcome:
    """What becomes of a stream, given to a decoder in these pieces until it has ended."""
    taken: list[bytes] = []
    ended: list[bytes] = []
    decoder = decoder_of(lambda data: taken.append(bytes(data)), ended.append)
    cut = False
    for number, piece in enumerate(pieces):
        try:
            decoder.dataReceived(piece)
        except malformed:
            cut = True
            break
        if ended:
            ended = [ended[0] + b"".join(pieces[number + 1 :])]
            break
    trailers = decoder.trailers if isinstance(decoder, ChunkedDecoder) else decoder._trailerHeaders
    return b"".join(taken), ended[0] if ended else None, [bytes(each) for each in trailers], cut


def ours(*pieces: bytes) -> Outcome:
    """What our decoder makes of these pieces."""
    return outcome(ChunkedDecoder, ChunksMalformed, list(pieces))


class ChunkedDecoderTests(SynchronousTestCase):
    """What is taken and what is not."""

    def test_views(self) -> None:
        """Pieces of a chunk are handed on as views of what came, not as copies."""
        taken: list[bytes | memoryview] = []
        came = b"8\r\n01234567\r\n3\r\nabc"
        ChunkedDecoder(taken.append, taken.append).dataReceived(came)
        self.assertEqual([b"01234567", b"abc"], taken)
        self.assertEqual([True, True], [isinstance(each, memoryview) and each.obj is came for each in taken])

    def test_many_small(self) -> None:
        """Of very many small chunks in one piece most are copied, for each view would weigh more than its bytes."""
        taken: list[bytes | memoryview] = []
        ChunkedDecoder(taken.append, taken.append).dataReceived(b"1\r\nx\r\n" * 10_000)
        self.assertEqual(b"x" * 10_000, b"".join(taken))
        self.assertLess(sum(isinstance(each, memoryview) for each in taken), 200)

    def test_lines_are_not_kept(self) -> None:
        """What is mostly lines between chunks is not kept in memory by the few bytes of the body that came with it."""
        taken: list[bytes | memoryview] = []
        ChunkedDecoder(taken.append, taken.append).dataReceived((b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 100)
        self.assertEqual(b"x" * 100, b"".join(taken))
        self.assertEqual([], [each for each in taken if isinstance(each, memoryview)])

    def test_what_came_before_an_error(self) -> None:
        """Pieces before something malformed are handed on."""
        taken: list[bytes | memoryview] = []
        decoder = ChunkedDecoder(taken.append, taken.append)
        self.assertRaises(ChunksMalformed, decoder.dataReceived, b"3\r\nabc\r\nx\r\n")
        self.assertEqual([b"abc"], taken)

    def test_cut_everywhere(self) -> None:
        """Wherever a stream is cut into two pieces, the same comes of it."""
        stream = b"5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        expected = (b"hello0123456789abcdef", b"GET / HTTP/1.1\r\n\r\n", [b"X: y"], False)
        self.assertEqual(expected, ours(stream))
        for cut in range(len(stream)):
            self.assertEqual(expected, ours(stream[:cut], stream[cut:]), cut)

    def test_bytewise(self) -> None:
        """One byte at a time is a stream like any other."""
        stream = b"a\r\n0123456789\r\n0\r\n\r\n"
        self.assertEqual((b"0123456789", b"", [], False), ours(*(bytes([each]) for each in stream)))

    def test_no_end(self) -> None:
        """A stream that ends early has no end, and nothing of a line is taken."""
        self.assertEqual((b"hel", None, [], False), ours(b"5\r\nhel"))
        self.assertEqual((b"hello", None, [], False), ours(b"5\r\nhello\r"))

    def test_after_the_end(self) -> None:
        """Nobody gives more to a decoder that has finished."""
        decoder = ChunkedDecoder(lambda _: None, lambda _: None)
        decoder.dataReceived(b"0\r\n\r\n")
        self.assertRaises(RuntimeError, decoder.dataReceived, b"x")

    def test_huge_sizes(self) -> None:
        """A size with any number of leading zeros is a size; one of more than 16 digits is none."""
        self.assertEqual((b"hello", b"", [], False), ours(b"0" * 900 + b"5\r\nhello\r\n0\r\n\r\n"))
        self.assertTrue(ours(b"1" * 17 + b"\r\nhello")[3])

    def test_limits(self) -> None:
        """Lines without end are malformed as soon as they are too long, whether their end has come or not."""
        for line, longest in ((b"5;", 1_023), (b"0\r\nX: ", 65_537)):
            end = b"\r\nhello\r\n0\r\n\r\n" if line == b"5;" else b"\r\n\r\n"
            fits = line.ljust(longest, b"a")
            self.assertFalse(ours(fits + end)[3], line)
            self.assertTrue(ours(fits + b"a" + end)[3], line)
            self.assertTrue(ours(fits + b"aa")[3], line)

    @given(st.lists(st.sampled_from(_TOKENS), max_size=12), st.lists(st.integers(0, 80), max_size=4))
    def test_same_as_twisted(self, tokens: list[bytes], cuts: list[int]) -> None:
        """Whatever comes, in whichever pieces: what is taken is what Twisted takes, and so is what is not."""
        stream = b"".join(tokens)
        places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        pieces = [stream[start:end] for start, end in pairwise(places) if start < end]
        taken, rest, trailers, cut = outcome(_ChunkedTransferDecoder, _MalformedChunkedDataError, pieces)
        if (mine := ours(*pieces)) != (taken, rest, trailers, cut):
            # Only ever stricter, and never about where an end is.
            self.assertTrue(mine[3], (stream, mine))
            self.assertTrue(cut or b"1" * 17 in stream or b"\r" in stream, (stream, mine))


class CompactTests(SynchronousTestCase):
    """Chunks decoded where they are."""

    def test_plain(self) -> None:
        """What chunks carry is moved together; lines between them are taken with it."""
        self.assertEqual(
            (b"hello0123456789abcdefw", 36, True), compacted(b"5\r\nhello\r\n10\r\n0123456789abcdef\r\n5\r\nw")
        )

    def test_stops(self) -> None:
        """It stops before a line whose end has not come, and says whether more of it would help."""
        for line, is_plain in (
            (b"\r", True),
            (b"\r\n", True),
            (b"\r\n1", True),
            (b"\r\n10\r", True),
            (b"\r\n" + b"0" * 1_023, True),
            (b"\r\n" + b"0" * 1_024, False),
            (b"\n", False),
            (b"x", False),
            (b"\r\nx\r\n", False),
            (b"\r\n0\r\n", False),
            (b"\r\n0\r\n\r\n", False),
        ):
            self.assertEqual((b"hello", 8, is_plain), compacted(b"5\r\nhello" + line), line)

    def test_where_it_ends(self) -> None:
        """Behind the last chunk there is nothing for it."""
        decoder = ChunkedDecoder(lambda _: None, lambda _: None)
        decoder.dataReceived(b"0\r\n")
        self.assertIsNone(decoder.begin_compact())
        decoder.dataReceived(b"\r\n")
        self.assertIsNone(decoder.begin_compact())

    @given(
        st.lists(st.sampled_from(_TOKENS), max_size=12),
        st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=6),
    )
    def test_same(self, tokens: list[bytes], turns: list[tuple[int, bool]]) -> None:
        """Whoever decodes in turn, here or in the other way: the same comes of it."""
        stream = b"".join(tokens)
        taken: list[bytes] = []
        ended: list[bytes] = []
        decoder = ChunkedDecoder(lambda data: taken.append(bytes(data)), ended.append)
        at, cut = 0, False
        for size, compacts in [*turns, (len(stream), False)]:
            data, at = stream[at : at + size], at + size
            begun = decoder.begin_compact() if compacts and not ended else None
            if begun is not None:
                # Somewhere in a buffer.
                buffer, first, last = mapped(begun + data, at), at, at + len(begun + data)
                carried, end, _ = decoder.compact(buffer, first, last)
                taken.append(buffer[first : first + carried])
                data = buffer[end:last]
            if ended:
                ended[0] += data
                continue
            try:
                decoder.dataReceived(data)
            except ChunksMalformed:
                cut = True
                break
        self.assertEqual(
            ours(stream), (b"".join(taken), ended[0] if ended else None, list(map(bytes, decoder.trailers)), cut)
        )


def compacted(stream: bytes) -> tuple[bytes, int, bool]:
    """What is at the beginning of a buffer that had this, how much of it was taken, and whether it was plain."""
    decoder = ChunkedDecoder(lambda _: None, lambda _: None)
    content = (decoder.begin_compact() or b"") + stream
    buffer = mapped(content)
    carried, taken, plain = decoder.compact(buffer, 0, len(content))
    return buffer[:carried], taken, plain
