"""Tests of :mod:`dockreg.providers.audit`."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dockreg.interfaces_people import IAuditLog
from dockreg.model.audit import AuditEvent, Result
from dockreg.providers.audit import AuditLines, audit_line

PUSH = AuditEvent(
    who="anna",
    how="access token",
    action="push",
    target={"repository": "team/app", "reference": "1.0"},
    result=Result.ALLOWED,
    address="192.0.2.1",
    request="r1",
    route="end-7",
    token="t1",
)


class AuditLinesTests(SynchronousTestCase):
    def test_line(self) -> None:
        """An event is a line with the time in UTC, and all that is known of it."""
        lines: list[str] = []
        clock = Clock()
        clock.advance(1_000_000_000.25)
        log = AuditLines(lines.append, clock)
        verifyObject(IAuditLog, log)
        log.record(PUSH)
        expected = {
            "time": "2001-09-09T01:46:40.250+00:00",
            "who": "anna",
            "how": "access token",
            "token": "t1",
            "address": "192.0.2.1",
            "action": "push",
            "target": {"repository": "team/app", "reference": "1.0"},
            "result": "allowed",
            "route": "end-7",
            "request": "r1",
        }
        self.assertEqual([expected], [json.loads(line) for line in lines])
        self.assertEqual(list(expected), list(json.loads(lines[0])))

    def test_nobody(self) -> None:
        """Anonymous is null, and what is not known is left out."""
        event = AuditEvent(None, "anonymous", "pull", {}, Result.DENIED, reason="Unauthorized")
        line = json.loads(audit_line(event, 0.0))
        self.assertEqual(["time", "who", "how", "address", "action", "target", "result", "reason"], list(line))
        self.assertIsNone(line["who"])

    @given(st.text(), st.dictionaries(st.text(), st.text()))
    def test_one_line(self, name: str, target: dict[str, str]) -> None:
        """Whatever names are in it, an event is one line of printable ASCII that reads back as it was."""
        line = audit_line(AuditEvent(name, "password", "login", target, Result.FAILED), 0.0)
        self.assertTrue(line.isascii() and line.isprintable())
        read = json.loads(line)
        self.assertEqual((name, target), (read["who"], read["target"]))
