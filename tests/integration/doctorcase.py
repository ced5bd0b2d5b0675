"""Examinations inside a test."""

import json
from base64 import b64encode
from typing import Any

from twisted.trial.unittest import TestCase

from dockreg.cli.doctor.examination import Asked, examine
from dockreg.cli.doctor.findings import Report, Verdict, as_document
from dockreg.cli.doctor.place import Place
from dockreg.cli.v1session import Credentials
from tests.integration.misbehaving import PASSWORD

ALICE = Credentials("alice_1", PASSWORD)
WRONG = Credentials("alice_1", "wrong")


class DoctorCase(TestCase):
    """Runs the examination, and sees that nothing secret is told."""

    timeout = 60

    async def examine(self, url: str, login: Credentials | None = None, **more: Any) -> Report:
        """The report."""
        from twisted.internet import reactor

        self.report = Report()
        await examine(reactor, Asked(Place.parse(url), login, **more), self.report)
        told = json.dumps(as_document(self.report, url))
        for secret in (PASSWORD, b64encode(PASSWORD.encode()).decode(), ALICE.basic[6:], "e30."):
            self.assertNotIn(secret, told)
        return self.report

    def told(self, step: str, verdict: Verdict) -> str:
        """What is said about the last step of this name, which has this verdict."""
        found = [each for each in self.report.steps if each.name == step]
        self.assertTrue(found, (step, self.report))
        self.assertIs(verdict, found[-1].verdict, found[-1])
        return " ".join(remark.text for remark in found[-1].remarks if remark.verdict is verdict)

    def names(self) -> list[str]:
        """The steps that were gone."""
        return [step.name for step in self.report.steps]

    def assert_well(self) -> None:
        """Nothing failed, and nothing is warned of."""
        self.assertEqual([], [step for step in self.report.steps if step.verdict is not Verdict.OK])
