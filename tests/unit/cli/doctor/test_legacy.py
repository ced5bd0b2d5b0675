"""Tests of what is asked in v1."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.doctor.findings import Verdict
from dockreg.cli.doctor.legacy import judge_v1_login, judge_v1_ping, speaks_v1
from tests.unit.cli.doctor.canned import HTTPS, PAGE, reply, texts

GOOD: dict[str, Any] = {"X_Docker_Registry_Version": "0.9", "X_Docker_Registry_Standalone": "True"}


class V1Tests(SynchronousTestCase):
    """Ping and login."""

    def test_good(self) -> None:
        """A ping with its headers needs no remark."""
        step = judge_v1_ping(reply(200, b"true", **GOOD), HTTPS)
        self.assertEqual((), step.remarks)
        self.assertIn("X-Docker-Registry-Standalone: True", step.came)

    def test_absent(self) -> None:
        """No v1 is no fault."""
        for answer in (reply(404), reply(200, PAGE), reply(401)):
            self.assertFalse(speaks_v1(answer))
            self.assertIs(Verdict.OK, judge_v1_ping(answer, HTTPS).verdict)

    def test_doubts(self) -> None:
        """A lost version and a status that asks for a login are warned of; another index is worth a note."""
        self.assertIn("0.10", texts(judge_v1_ping(reply(200, b"true"), HTTPS), Verdict.WARN))
        self.assertIn("401", texts(judge_v1_ping(reply(401, **GOOD), HTTPS), Verdict.WARN))
        for value in ("False", "mirror", "0"):
            step = judge_v1_ping(reply(200, **{**GOOD, "X_Docker_Registry_Standalone": value}), HTTPS)
            self.assertIn("index", texts(step, Verdict.OK), value)
            self.assertIs(Verdict.OK, step.verdict)

    def test_login(self) -> None:
        """A wrong password and a disabled account fail; a registry without accounts is worth a note."""
        self.assertEqual((), judge_v1_login(reply(200), HTTPS, "joe").remarks)
        self.assertIn("password of joe", texts(judge_v1_login(reply(401), HTTPS, "joe"), Verdict.FAIL))
        self.assertIn("active", texts(judge_v1_login(reply(403), HTTPS, "joe"), Verdict.FAIL))
        self.assertIs(Verdict.OK, judge_v1_login(reply(404), HTTPS, "joe").verdict)
        self.assertIs(Verdict.WARN, judge_v1_login(reply(500), HTTPS, "joe").verdict)
        self.assertIn("try again", texts(judge_v1_login(reply(429), HTTPS, "joe"), Verdict.FAIL))
