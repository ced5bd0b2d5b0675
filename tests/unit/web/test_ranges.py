"""``Range``, ``If-Range`` and ``If-None-Match``."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.ranges import MAX_RANGES, Selection, if_range_holds, matches_etag, select, select_several

SIZE = 100


class SelectTests(SynchronousTestCase):
    """Which part of a blob of 100 bytes answers a Range header."""

    def assert_part(self, header: str, start: int, length: int) -> None:
        """The header selects this part."""
        self.assertEqual(Selection(status=206, start=start, length=length, size=SIZE), select(header, SIZE), header)

    def test_parts(self) -> None:
        """Closed, open and suffix ranges select their bytes."""
        self.assert_part("bytes=0-0", 0, 1)
        self.assert_part("bytes=10-19", 10, 10)
        self.assert_part("bytes=99-", 99, 1)
        self.assert_part("bytes=0-", 0, 100)
        self.assert_part("bytes=-1", 99, 1)
        self.assert_part("bytes= 10-19 ", 10, 10)
        self.assert_part("Bytes=10-19", 10, 10)

    def test_clamped(self) -> None:
        """An end or a suffix beyond the blob is clamped; engines ask for one byte too many."""
        self.assert_part("bytes=10-100", 10, 90)
        self.assert_part("bytes=99-100", 99, 1)
        self.assert_part("bytes=10-9999999999999999999", 10, 90)
        self.assert_part("bytes=-1000", 0, 100)

    def test_content_range(self) -> None:
        """Content-Range has its unit, the last byte included and the size; it is absent for the whole."""
        self.assertEqual("bytes 10-99/100", select("bytes=10-100", SIZE).content_range)
        self.assertEqual("bytes */100", select("bytes=100-", SIZE).content_range)
        self.assertIsNone(select(None, SIZE).content_range)

    def test_unsatisfiable(self) -> None:
        """A range that begins at or behind the end is answered with 416 and nothing."""
        for header in ("bytes=100-100", "bytes=100-", "bytes=500-600", "bytes=-0"):
            self.assertEqual(Selection(status=416, start=0, length=0, size=SIZE), select(header, SIZE), header)

    def test_ignored(self) -> None:
        """What is malformed, in another unit or several ranges is answered with the whole."""
        whole = Selection(status=200, start=0, length=SIZE, size=SIZE)
        headers = ["bytes=5-3", "bytes=-", "bytes=", "bytes", "", "lines=1-2", "bytes=0-1,5-6", "bytes=a-b"]
        headers += [
            "bytes=0x1-2",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=\u0661-2",
            "bytes=1-2\n",
            "bytes=" + "9" * 30 + "-",
        ]
        for header in headers:
            self.assertEqual(whole, select(header, SIZE), header)
        self.assertEqual(whole, select(None, SIZE))

    def test_empty_blob(self) -> None:
        """An empty blob has no byte to begin with, and all of it is nothing."""
        self.assertEqual([416, 200, 200], [select(header, 0).status for header in ("bytes=0-", "bytes=-5", None)])

    @given(st.integers(0, 200), st.one_of(st.none(), st.integers(0, 200)), st.integers(0, 150))
    def test_within_the_blob(self, first: int, last: int | None, size: int) -> None:
        """Whatever is asked for, the part lies within the blob and is what Python's slices select."""
        blob = bytes(index % 251 for index in range(size))
        part = select(f"bytes={first}-{'' if last is None else last}", size)
        sent = blob[part.start : part.start + part.length]
        self.assertEqual(part.length, len(sent))
        if part.status == 206:
            self.assertEqual(blob[first : None if last is None else last + 1], sent)
            self.assertTrue(sent)

    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        """No text is an error."""
        self.assertIn(select(f"bytes={text}", SIZE).status, (200, 206, 416))


class SeveralTests(SynchronousTestCase):
    """Which parts of a blob of 100 bytes answer a Range header that may ask for several."""

    def assert_parts(self, header: str, *parts: tuple[int, int]) -> None:
        """The header selects these first and last bytes."""
        expected = [Selection(status=206, start=first, length=last - first + 1, size=SIZE) for first, last in parts]
        self.assertEqual(expected, select_several(header, SIZE), header)

    def assert_whole(self, header: str | None, size: int = SIZE) -> None:
        """The header is ignored."""
        self.assertEqual([Selection(status=200, start=0, length=size, size=size)], select_several(header, size), header)

    def test_one(self) -> None:
        """A single range, and no range at all, are what they always are."""
        for header in (None, "", "bytes=", "bytes=5-9", "bytes=-5", "bytes=100-", "bytes=-0", "lines=1-2"):
            self.assertEqual([select(header, SIZE)], select_several(header, SIZE), header)

    def test_several(self) -> None:
        """Several ranges are as many parts, in the order of the header."""
        self.assert_parts("bytes=0-1,5-6", (0, 1), (5, 6))
        self.assert_parts("bytes= 50-59 , 0-9\t,-3", (50, 59), (0, 9), (97, 99))
        self.assert_parts("Bytes=90-,0-0", (90, 99), (0, 0))

    def test_empty_elements(self) -> None:
        """Empty elements of the list mean nothing (RFC 9110 5.6.1.2)."""
        self.assert_parts("bytes=,0-1, ,5-6,", (0, 1), (5, 6))
        self.assert_parts("bytes=0-1,", (0, 1))
        self.assert_whole("bytes=, ,")

    def test_outside(self) -> None:
        """Ranges outside the blob are left out; if all are outside the answer is 416."""
        self.assert_parts("bytes=100-200,5-6,-0", (5, 6))
        self.assert_parts("bytes=100-200,5-6,98-200", (5, 6), (98, 99))
        self.assertEqual(
            [Selection(status=416, start=0, length=0, size=SIZE)], select_several("bytes=100-,200-300,-0", SIZE)
        )

    def test_joined(self) -> None:
        """Ranges that overlap or touch are one part, in the place of the first of them."""
        self.assert_parts("bytes=0-9,5-14", (0, 14))
        self.assert_parts("bytes=10-19,0-9", (0, 19))
        self.assert_parts("bytes=0-9,11-19", (0, 9), (11, 19))
        self.assert_parts("bytes=50-59,0-9,10-19,55-60", (50, 60), (0, 19))
        self.assert_parts("bytes=20-29,0-0,25-26", (20, 29), (0, 0))

    def test_malformed(self) -> None:
        """One range that is malformed makes the whole header so."""
        for header in ("bytes=0-1,x", "bytes=0-1,-", "bytes=0-1;5-6", "bytes=0-1,5-6\n"):
            self.assert_whole(header)

    def test_backwards(self) -> None:
        """A range that ends before it begins is nothing that there is, beside others or alone."""
        self.assertEqual([Selection(status=416, start=0, length=0, size=SIZE)], select_several("bytes=5-3", SIZE))
        self.assert_parts("bytes=0-1,5-3", (0, 1))

    def test_too_many(self) -> None:
        """More ranges than are answered are ignored; those outside the blob do not count."""
        most = ",".join(f"{2 * number}-{2 * number}" for number in range(MAX_RANGES))
        self.assertEqual(MAX_RANGES, len(select_several(f"bytes={most},100-", SIZE)))
        self.assert_whole(f"bytes={most},99-99")
        self.assert_whole("bytes=" + "0-0," * 5000)

    def test_too_much(self) -> None:
        """Ranges that have more bytes between them than the blob are ignored, however they overlap."""
        self.assert_parts("bytes=0-49,40-89", (0, 89))
        self.assert_parts("bytes=0-49,0-49", (0, 49))
        self.assert_whole("bytes=0-49,0-50")
        self.assert_whole("bytes=0-,0-0")

    def test_empty_blob(self) -> None:
        """An empty blob has no parts."""
        self.assert_whole("bytes=-5,-6", 0)
        self.assertEqual([416], [each.status for each in select_several("bytes=0-1,5-6", 0)])

    @given(
        st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)).map(lambda pair: (min(pair), max(pair)))),
        st.integers(0, 100),
    )
    def test_any(self, wanted: list[tuple[int, int]], size: int) -> None:
        """Parts never overlap, and hold the bytes that were asked for and no others."""
        header = "bytes=" + ",".join(f"{first}-{last}" for first, last in wanted)
        parts = select_several(header, size)
        sent = [number for part in parts for number in range(part.start, part.start + part.length)]
        self.assertEqual(len(sent), len(set(sent)))
        self.assertTrue(len(sent) <= size)
        if parts[0].status == 206:
            asked = {number for first, last in wanted for number in range(first, min(last + 1, size))}
            self.assertEqual(asked, set(sent))
            self.assertTrue(len(parts) <= MAX_RANGES)


class ConditionTests(SynchronousTestCase):
    """Conditions on the entity tag."""

    def test_if_range(self) -> None:
        """A range holds without a condition or with the very tag, and not with another, a weak one, or a date."""
        self.assertTrue(if_range_holds(None, None))
        self.assertTrue(if_range_holds('"a"', '"a"'))
        for header, etag in (
            ('"b"', '"a"'),
            ('W/"a"', 'W/"a"'),
            ("Sat, 29 Oct 1994 19:43:31 GMT", '"a"'),
            ('"a"', None),
        ):
            self.assertFalse(if_range_holds(header, etag), header)

    def test_if_none_match(self) -> None:
        """Any tag of the list matches, weakly; so does the star."""
        for named in ('"a"', '"b", "a"', 'W/"a"', "*"):
            self.assertTrue(matches_etag(named, '"a"'), named)
        for header, etag in (('"b"', '"a"'), (None, '"a"'), ('"a"', None), ("*", None)):
            self.assertFalse(matches_etag(header, etag), header)
