"""Tests for dockreg.model.documents."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import RequestInvalid
from dockreg.model.documents import parse_json, parse_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class ParseTests(SynchronousTestCase):
    """Tests for parse_json and parse_object."""

    @given(JSON)
    def test_everything_that_is_json(self, value: object) -> None:
        """JSON of a moderate depth is read as what it says."""
        self.assertEqual(value, parse_json(json.dumps(value).encode(), RequestInvalid))

    @given(st.binary(max_size=64) | st.text(alphabet='[]{}"\\:,01.eE-truefalsn', max_size=40).map(str.encode))
    def test_everything_else(self, content: bytes) -> None:
        """Anything else raises the error of the caller and no other."""
        try:
            parse_json(content, RequestInvalid)
        except RequestInvalid:
            return
        json.loads(content)

    def test_depth(self) -> None:
        """What is nested too deeply is refused before it is read, brackets in strings not counted."""
        self.assertEqual([["[" * 99]], parse_json(b'[["' + b"[" * 99 + b'"]]', RequestInvalid, 2))
        with self.assertRaises(RequestInvalid):
            parse_json(b"[[[]]]", RequestInvalid, 2)
        with self.assertRaises(RequestInvalid):
            parse_json(b"[" * 1_000_000, RequestInvalid)

    def test_many_members(self) -> None:
        """What has more members than any document of an engine is refused before it is read."""
        self.assertEqual(100_000, len(parse_json(b"[" + b"0," * 99_999 + b"0]", RequestInvalid)))
        for content in (b"[" + b"0," * 300_000 + b"0]", b"[" + b"[]," * 200_000 + b"0]", b"{" * 300_000):
            with self.assertRaises(RequestInvalid):
                parse_json(content, RequestInvalid)

    def test_odd_numbers(self) -> None:
        """Numbers of any length are read, those that JSON does not have are refused."""
        self.assertEqual(int("9" * 300), parse_json(b"9" * 300, RequestInvalid))
        self.assertIsInstance(parse_json(b"9" * 100_000, RequestInvalid), float)
        for constant in (b"NaN", b"Infinity", b"-Infinity"):
            with self.assertRaises(RequestInvalid):
                parse_json(constant, RequestInvalid)

    def test_encoding(self) -> None:
        """UTF-8 is read, other encodings and byte order marks are refused."""
        self.assertEqual("ä", parse_json('"ä"'.encode(), RequestInvalid))
        for content in ('"ä"'.encode("latin-1"), '"a"'.encode("utf-16"), b'\xef\xbb\xbf"a"'):
            with self.assertRaises(RequestInvalid):
                parse_json(content, RequestInvalid)

    def test_object(self) -> None:
        """Only an object is an object, and no object has two members of one name, at any depth."""
        self.assertEqual({"a": 1, "b": {"a": 2}}, parse_object(b'{"a":1,"b":{"a":2}}', RequestInvalid))
        for content in (b"[]", b'"a"', b"1", b"null", b'{"a":1,"a":2}', b'{"b":[{"a":1,"\\u0061":1}]}'):
            with self.assertRaises(RequestInvalid):
                parse_object(content, RequestInvalid)
