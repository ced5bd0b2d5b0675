"""Tests of answers as such."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.doctor.answers import came, judge_clock, judge_ping, judge_proxy, judge_trouble
from dockreg.cli.doctor.findings import Step, Verdict
from dockreg.cli.transport import Reply
from tests.unit.cli.doctor.canned import HTTP, HTTPS, PAGE, reply, texts

VERSION = {"Docker_Distribution_Api_Version": "registry/2.0"}
JSON = "application/json"
# Tue, 14 Nov 2023 22:13:20 GMT
NOW = 1_700_000_000.0


def ping(answer: Reply, *, v1: bool = False, login: bool = False) -> Step:
    """The step."""
    return judge_ping(answer, HTTPS, speaks_v1=v1, has_login=login)


class PingTests(SynchronousTestCase):
    """``/v2/``."""

    def test_good(self) -> None:
        """200 and 401 with the header of the API need no remark."""
        for status in (200, 401):
            self.assertEqual((), ping(reply(status, b"{}", Content_Type=JSON, **VERSION)).remarks)

    def test_no_login(self) -> None:
        """200 for everybody is warned of who wants to log in: docker would not even send the password."""
        self.assertIn("401", texts(ping(reply(200, b"{}", **VERSION), login=True), Verdict.WARN))

    def test_version_lost(self) -> None:
        """The header that a proxy swallows on errors only is told with the word that mends it."""
        self.assertIn("always", texts(ping(reply(401)), Verdict.WARN))
        self.assertNotIn("always", texts(ping(reply(200)), Verdict.WARN))
        self.assertIn("registry/2.0", texts(ping(reply(200)), Verdict.WARN))

    def test_not_there(self) -> None:
        """404 is no registry, unless v1 is spoken."""
        self.assertIn("no registry", texts(ping(reply(404)), Verdict.FAIL))
        step = ping(reply(404), v1=True)
        self.assertEqual("", texts(step, Verdict.FAIL))
        self.assertIn("17.05", texts(step, Verdict.WARN))

    def test_others(self) -> None:
        """A firewall, and whatever else is no registry, fail."""
        self.assertIn("firewall", texts(ping(reply(403)), Verdict.FAIL))
        self.assertIn("200 or 401", texts(ping(reply(418)), Verdict.FAIL))


class TroubleTests(SynchronousTestCase):
    """What can be wrong with every answer."""

    def trouble(self, answer: Reply) -> str:
        return texts(judge_trouble(answer, HTTPS), Verdict.FAIL)

    def test_none(self) -> None:
        """An answer of a registry is no trouble, whatever it says."""
        for status in (200, 202, 400, 401, 403, 404, 405):
            self.assertEqual([], list(judge_trouble(reply(status, b'{"errors":[]}', Content_Type=JSON), HTTPS)))

    def test_pages(self) -> None:
        """A page for people is told from an answer by its type or its beginning."""
        self.assertIn("proxy", self.trouble(reply(404, b"x", Content_Type="text/html; charset=utf-8")))
        self.assertIn("proxy", self.trouble(reply(200, b"\n <HTML>")))

    def test_gateways(self) -> None:
        """A gateway's page means that the registry is not reached, a registry's own 503 that it can not answer."""
        for status in (502, 503, 504):
            self.assertIn("does not reach", self.trouble(reply(status, PAGE, Content_Type="text/html")))
        self.assertIn("can not answer now", self.trouble(reply(503, b'{"errors":[{"code":"x"}]}', Content_Type=JSON)))

    def test_limits(self) -> None:
        """Sizes, lengths and rates that something in front limits are told with what to set."""
        self.assertIn("client_max_body_size", self.trouble(reply(413, PAGE, Content_Type="text/html")))
        self.assertIn("chunked", self.trouble(reply(411)))
        self.assertIn("after 7 seconds", self.trouble(reply(429, Retry_After="7")))
        self.assertIn("no Retry-After", self.trouble(reply(429)))
        self.assertIn("log", self.trouble(reply(500, b"{}")))

    def test_redirections(self) -> None:
        """A redirection to https says which URL to use; elsewhere, and without a Location, it fails."""
        moved = judge_trouble(reply(301, url="http://r.example:5000/v2/", Location="https://r.example:5000/v2/"), HTTP)
        self.assertIn("use that URL", texts(moved, Verdict.FAIL))
        self.assertIn("X-Forwarded-Proto", self.trouble(reply(302, Location="http://r.example/v2/x")))
        self.assertIn("answer here", self.trouble(reply(307, Location="/login")))
        self.assertIn("without Location", self.trouble(reply(302)))

    def test_words(self) -> None:
        """An answer in a few words: what the registry said, its type, and where it leads, without what may be secret."""
        body = b'{"errors":[{"code":"DENIED","message":"not you"}]}'
        self.assertEqual("403 not you, application/json", came(reply(403, body, Content_Type=JSON)))
        self.assertEqual("200 OK", came(reply(200)))
        self.assertEqual("200 OK, no Content-Type", came(reply(200, b"x")))
        self.assertEqual(
            "307 Temporary Redirect, Location: https://s3/x?(6 characters)",
            came(reply(307, Location="https://s3/x?a=bcde")),
        )


class ClockTests(SynchronousTestCase):
    """The header Date."""

    def clock(self, text: str | None) -> Step:
        answer = reply(200) if text is None else reply(200, Date=text)
        return judge_clock(answer, NOW - 0.1, NOW + 0.1)

    def test_right(self) -> None:
        """A clock that differs by seconds is right."""
        for text in ("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:42 GMT"):
            self.assertEqual((), self.clock(text).remarks)

    def test_wrong(self) -> None:
        """Half a minute is warned of, five minutes fail, in both directions."""
        cases = {
            "Tue, 14 Nov 2023 22:14:20 GMT": (Verdict.WARN, "60 s ahead"),
            "Tue, 14 Nov 2023 22:12:20 GMT": (Verdict.WARN, "60 s behind"),
            "Tue, 14 Nov 2023 22:23:20 GMT": (Verdict.FAIL, "600 s ahead"),
            "Tue, 14 Nov 2023 21:13:20 GMT": (Verdict.FAIL, "3600 s behind"),
        }
        for text, (verdict, shown) in cases.items():
            step = self.clock(text)
            self.assertIs(verdict, step.verdict, text)
            self.assertIn("NTP", step.remarks[0].text)
            self.assertRegex(step.came.replace("599", "600").replace("59 s", "60 s"), shown)

    def test_unknown(self) -> None:
        """No date, or none that can be read, is warned of."""
        for text in (None, "yesterday"):
            self.assertIs(Verdict.WARN, self.clock(text).verdict)


class ProxyTests(SynchronousTestCase):
    """What is in front."""

    def test_known(self) -> None:
        """A proxy that says its name is told with what to set there."""
        step = judge_proxy(reply(200, Server="nginx/1.22.1"))
        assert step is not None
        self.assertIs(Verdict.OK, step.verdict)
        self.assertIn("proxy_request_buffering off", step.remarks[0].text)
        step = judge_proxy(reply(200, CF_Ray="8abc"))
        assert step is not None
        self.assertIn("100 MB", step.remarks[0].text)

    def test_unknown(self) -> None:
        """Any other is told by its name, and what is no proxy not at all."""
        step = judge_proxy(reply(200, Via="1.1 squid"))
        assert step is not None
        self.assertEqual((), step.remarks)
        self.assertIsNone(judge_proxy(reply(200, Server="TwistedWeb/26")))
        self.assertIsNone(judge_proxy(reply(200)))
