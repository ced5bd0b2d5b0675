"""Tests of :mod:`dockreg.web.accesslog`."""

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.accesslog import AccessLog, escaped
from dockreg.web.records import RequestRecord

RECORD = RequestRecord(
    address="192.0.2.7",
    method="GET",
    path="/v1/_ping",
    status=200,
    bytes_sent=4,
    bytes_received=0,
    seconds=0.0123,
    user_agent="docker/1.9.1",
    principal=None,
    complete=True,
)


class AccessLogTests(SynchronousTestCase):
    """:class:`dockreg.web.accesslog.AccessLog`."""

    def setUp(self) -> None:
        """A log that is collected in a list."""
        self.lines: list[str] = []
        self.clock = Clock()
        self.clock.advance(1_000_000_000)
        self.log = AccessLog(self.lines.append, self.clock)

    def test_line(self) -> None:
        """A line has the fields of the combined format, then seconds and bytes received."""
        self.log(RECORD)
        self.assertEqual(
            ['192.0.2.7 - - [09/Sep/2001:01:46:40 +0000] "GET /v1/_ping" 200 4 "-" "docker/1.9.1" 0.012 0'], self.lines
        )

    def test_principal(self) -> None:
        """The third field is who asked."""
        self.log(attrs.evolve(RECORD, principal="anna"))
        self.assertIn(" - anna [", self.lines[0])

    def test_cut(self) -> None:
        """A response that did not reach its end is marked."""
        self.log(attrs.evolve(RECORD, complete=False))
        self.assertTrue(self.lines[0].endswith(" cut"))

    def test_time_goes_on(self) -> None:
        """Each line has the time of its own second."""
        self.log(RECORD)
        self.clock.advance(1)
        self.log(RECORD)
        self.assertIn("[09/Sep/2001:01:46:41 +0000]", self.lines[1])

    def test_injection(self) -> None:
        """A client can neither begin a line nor end a field."""
        self.log(attrs.evolve(RECORD, user_agent='a" 200\n127.0.0.1 - admin\x1b[2J\\', path="/a b", principal="a b"))
        self.assertEqual(1, len(self.lines))
        self.assertIn('"a\\x22 200\\x0a127.0.0.1 - admin\\x1b[2J\\x5c"', self.lines[0])
        self.assertIn("/a\\x20b", self.lines[0])
        self.assertIn(" a\\x20b [", self.lines[0])

    @given(st.text())
    def test_printable(self, text: str) -> None:
        """Whatever a client sends, printable ASCII without quotes is written."""
        result = escaped(text)
        self.assertTrue(result.isascii())
        self.assertTrue(result.isprintable())
        self.assertNotIn('"', result)

    def test_length(self) -> None:
        """A long text is cut."""
        self.assertEqual("a" * 1024 + "...", escaped("a" * 5000))
