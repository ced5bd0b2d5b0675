"""Tests of WWW-Authenticate."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.doctor.challenges import Challenge, chosen, judge_challenge, may_have_password, parse_challenges
from dockreg.cli.doctor.findings import Verdict
from tests.unit.cli.doctor.canned import HTTP, HTTPS, LOCAL, texts

GOOD = 'Bearer realm="https://r.example/token",service="r.example"'


class ParsingTests(SynchronousTestCase):
    """RFC 9110 11.6.1, as registries spell it."""

    def test_forms(self) -> None:
        """Several challenges in a line, quoted and plain values, blanks, a scheme alone, a token in place of parameters."""
        cases = {
            GOOD: [("bearer", {"realm": "https://r.example/token", "service": "r.example"})],
            'Basic realm="dockreg", Token': [("basic", {"realm": "dockreg"}), ("token", {})],
            'Token, BASIC Realm = "a, \\"b\\"" ,charset=UTF-8': [
                ("token", {}), ("basic", {"realm": 'a, "b"', "charset": "UTF-8"}),
            ],
            "Negotiate, Basic realm=x": [("negotiate", {}), ("basic", {"realm": "x"})],
            'Bearer scope="repository:a:pull,push repository:b:pull",error=insufficient_scope': [
                ("bearer", {"scope": "repository:a:pull,push repository:b:pull", "error": "insufficient_scope"}),
            ],
            "": [],
            " , ": [],
            '"nonsense"': [],
        }  # fmt: skip
        for value, expected in cases.items():
            with self.subTest(value=value):
                self.assertEqual(expected, [(each.scheme, dict(each.parameters)) for each in parse_challenges([value])])

    def test_order(self) -> None:
        """Bearer goes before Basic, in whichever order and in however many lines they come."""
        found = chosen(parse_challenges(['Basic realm="x"', GOOD]))
        assert found is not None
        self.assertEqual("bearer", found.scheme)
        self.assertIsNone(chosen(parse_challenges(["Negotiate"])))

    def test_token_url(self) -> None:
        """Service, scopes and account are added to the realm, each quoted, to a query that is there already too."""
        challenge = Challenge("bearer", {"realm": "https://r/token", "service": "a b"})
        self.assertEqual(
            "https://r/token?service=a%20b&scope=repository%3Ax%3Apull&account=joe%26",
            challenge.token_url(["repository:x:pull"], "joe&"),
        )
        self.assertEqual(
            "https://r/t?a=b&scope=x", Challenge("bearer", {"realm": "https://r/t?a=b"}).token_url(["x"], None)
        )
        self.assertEqual("https://r/t", Challenge("bearer", {"realm": "https://r/t"}).token_url([], None))


class JudgementTests(SynchronousTestCase):
    """What there is to say about a challenge."""

    def test_good(self) -> None:
        """A challenge as it should be needs no remark."""
        self.assertEqual(
            ((), ()), (judge_challenge([GOOD], HTTPS).remarks, judge_challenge(['Basic realm="x"'], HTTPS).remarks)
        )
        self.assertEqual((), judge_challenge(['Basic realm="x"'], LOCAL).remarks)

    def test_missing(self) -> None:
        """A 401 without a challenge fails, and so does one with nothing that clients know."""
        self.assertIn("how to log in", texts(judge_challenge([], HTTPS), Verdict.FAIL))
        step = judge_challenge(["Negotiate"], HTTPS)
        self.assertIn("negotiate", texts(step, Verdict.FAIL))
        self.assertIn("nothing that can be read", texts(judge_challenge(['"'], HTTPS), Verdict.FAIL))

    def test_realm(self) -> None:
        """A realm has to be there and absolute, https for https, and not inside another network."""
        cases = {
            'Bearer service="x"': "without a realm",
            'Bearer realm="/token",service="x"': "absolute",
            'Bearer realm="http://r.example/token",service="x"': "X-Forwarded-Proto",
            'Bearer realm="https://10.0.0.7/token",service="x"': "guard",
        }
        for value, sentence in cases.items():
            with self.subTest(value=value):
                self.assertIn(sentence, texts(judge_challenge([value], HTTPS), Verdict.FAIL))

    def test_doubts(self) -> None:
        """A service that is not named, Basic without a realm, and Basic in the open are warned of; both schemes noted."""
        self.assertIn("service", texts(judge_challenge(['Bearer realm="https://r.example/t"'], HTTPS), Verdict.WARN))
        self.assertIn("realm", texts(judge_challenge(["Basic"], HTTPS), Verdict.WARN))
        self.assertIn("https", texts(judge_challenge(['Basic realm="x"'], HTTP), Verdict.WARN))
        self.assertIn("Bearer", texts(judge_challenge([GOOD, 'Basic realm="x"'], HTTPS), Verdict.OK))

    def test_password(self) -> None:
        """A password goes to https, and to http only where the registry is http itself."""
        for realm, place, expected in (
            ("https://r.example/t", HTTPS, True), ("http://r.example/t", HTTPS, False),
            ("http://r.example:5000/t", HTTP, True), ("ftp://r.example/t", HTTP, False),
        ):  # fmt: skip
            self.assertEqual(expected, may_have_password(Challenge("bearer", {"realm": realm}), place), realm)

    def test_use(self) -> None:
        """Without an absolute realm there is nothing to go on with."""
        for value, expected in ((GOOD, True), ("Basic", True), ("Bearer", False), ('Bearer realm="/x"', False)):
            found = chosen(parse_challenges([value]))
            assert found is not None
            self.assertEqual(expected, found.can_be_used, value)
