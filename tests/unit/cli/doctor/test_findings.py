"""Tests of reports."""

import json

from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.doctor.findings import Report, Step, Verdict, as_document, fail, lines_of, note, summary, warn


class ReportTests(SynchronousTestCase):
    """What is kept and shown."""

    def test_verdict(self) -> None:
        """A step is as bad as its worst remark."""
        self.assertIs(Verdict.OK, Step("x", "a", "b").verdict)
        self.assertIs(Verdict.OK, Step("x", "a", "b", (note("n"),)).verdict)
        self.assertIs(Verdict.FAIL, Step("x", "a", "b", (warn("w"), fail("f"), note("n"))).verdict)

    def test_secrets(self) -> None:
        """A secret is replaced by its length wherever a server repeats it, the longest first."""
        shown: list[Step] = []
        report = Report(shown.append)
        report.hide("secret", "secret of joe", "abc")
        report.add(Step("x", "asked secret", "came: secret of joe, abc", (fail("see secret of joe"),)))
        step = shown[0]
        self.assertEqual("asked (6 characters)", step.asked)
        self.assertEqual("came: (13 characters), abc", step.came)
        self.assertEqual("see (13 characters)", step.remarks[0].text)
        self.assertNotIn("secret", repr(report))
        self.assertNotIn("secret", json.dumps(as_document(report, "r")))

    def test_summary(self) -> None:
        """The last line counts what went wrong."""
        report = Report()
        report.add(Step("x", "a", "b"))
        self.assertEqual(("All 1 steps went well.", False), (summary(report), report.failed))
        report.add(Step("x", "a", "b", (warn("w"),)))
        self.assertEqual("Of 2 steps 1 with a warning.", summary(report))
        self.assertFalse(report.failed)
        report.add(Step("x", "a", "b", (fail("f"),)))
        self.assertEqual("Of 3 steps 1 failed and 1 with a warning.", summary(report))
        self.assertTrue(report.failed)

    def test_document(self) -> None:
        """Programs get the same as people."""
        report = Report()
        step = report.add(Step("x", "a", "b", (warn("w"),)))
        self.assertEqual(
            {
                "registry": "https://r",
                "ok": True,
                "steps": [
                    {"step": "x", "asked": "a", "came": "b", "verdict": "warn",
                     "remarks": [{"verdict": "warn", "text": "w"}]},
                ],
            },
            as_document(report, "https://r"),
        )  # fmt: skip
        self.assertEqual(["warn  x", "      asked: a", "      came:  b", "      ! w"], list(lines_of(step)))
