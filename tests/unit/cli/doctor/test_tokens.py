"""Tests of the answers of token services."""

import json
from base64 import urlsafe_b64encode
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.doctor.findings import Step, Verdict
from dockreg.cli.doctor.tokens import (
    Asked,
    Token,
    judge_form,
    judge_grant,
    judge_token,
    judge_use,
    read_token,
    secrets_in,
)
from dockreg.cli.transport import Reply
from tests.unit.cli.doctor.canned import HTTPS, PAGE, reply, texts

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z
JOE = Asked("GET a token", "joe")
NOBODY = Asked("GET a token", None, ["repository:x:pull"], needed=False)
BOTH = {"token": "abc.def", "access_token": "abc.def", "expires_in": 300}


def jwt(claims: object) -> str:
    """Something that looks like a signed token."""
    return f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


def answer(**members: Any) -> Reply:
    """A token service says yes."""
    return reply(200, json.dumps(members).encode(), Content_Type="application/json")


def judged(asked: Asked, given: Reply) -> Step:
    """The step."""
    return judge_token("token", asked, given, HTTPS, NOW)[0]


class TokenTests(SynchronousTestCase):
    """A GET for a token."""

    def test_good(self) -> None:
        """A token in both members with a life of minutes needs no remark, and is shown as a length."""
        for more in ({}, {"issued_at": "2023-11-14T22:13:19.123456789Z"}, {"issued_at": "2023-11-14T22:13:30+00:00"}):
            step = judged(JOE, answer(**{**BOTH, **more}))
            self.assertEqual((), step.remarks)
            self.assertIn("a token of 7 characters, expires_in 300", step.came)
            self.assertNotIn("abc.def", repr(step))

    def test_names(self) -> None:
        """Either name alone is warned of, for some clients read one and some the other; neither fails."""
        self.assertIn("older clients", texts(judged(JOE, answer(access_token="abc", expires_in=300)), Verdict.WARN))
        self.assertIn("access_token", texts(judged(JOE, answer(token="abc", expires_in=300)), Verdict.WARN))
        for members in ({"expires_in": 300}, {"token": 7}, {"token": None}):
            self.assertIn("neither", texts(judged(JOE, answer(**members)), Verdict.FAIL))
        self.assertIn("neither", texts(judged(JOE, reply(200, b"[]")), Verdict.FAIL))

    def test_life(self) -> None:
        """The life has to be a number; what is not said, or is short, is warned of."""
        self.assertIn("60 s", texts(judged(JOE, answer(token="a", access_token="a")), Verdict.WARN))
        self.assertIn("30 s", texts(judged(JOE, answer(**{**BOTH, "expires_in": 30})), Verdict.WARN))
        for life in ("300", 0, -1, True, None):
            self.assertIn("expires_in", texts(judged(JOE, answer(**{**BOTH, "expires_in": life})), Verdict.FAIL), life)

    def test_issued(self) -> None:
        """A token that has expired by the clock here fails, one of the future is warned of, as is no time at all."""
        cases = {
            "2023-11-14T22:00:00Z": (Verdict.FAIL, "800 s ago"),
            "2023-11-14T22:20:00Z": (Verdict.WARN, "400 s"),
            "long ago": (Verdict.WARN, "RFC 3339"),
        }
        for text, (verdict, sentence) in cases.items():
            self.assertIn(sentence, texts(judged(JOE, answer(**BOTH, issued_at=text)), verdict), text)

    def test_refused(self) -> None:
        """Wrong passwords and disabled accounts fail; nobody is not entitled to a token, unless it is all there is."""
        self.assertIn("password of joe", texts(judged(JOE, reply(401)), Verdict.FAIL))
        self.assertIn("disabled", texts(judged(JOE, reply(403)), Verdict.FAIL))
        self.assertIs(Verdict.OK, judged(NOBODY, reply(401)).verdict)
        needed = Asked("GET a token", None, ["repository:x:pull"])
        self.assertIn("--user", texts(judged(needed, reply(401)), Verdict.FAIL))

    def test_not_a_service(self) -> None:
        """What is no token service fails with where to look."""
        self.assertIn("its URL", texts(judged(JOE, reply(404)), Verdict.FAIL))
        self.assertIn("proxy", texts(judged(JOE, reply(404, PAGE, Content_Type="text/html")), Verdict.FAIL))
        self.assertIn("log", texts(judged(JOE, reply(500)), Verdict.FAIL))
        self.assertIn("200 or 401", texts(judged(JOE, reply(204)), Verdict.FAIL))

    def test_spelled(self) -> None:
        """What was asked is told with user and scope."""
        self.assertEqual("GET a token as joe, no scope", JOE.spelled)
        self.assertEqual("GET a token without credentials, scope repository:x:pull", NOBODY.spelled)


class GrantTests(SynchronousTestCase):
    """What a token says that it is good for."""

    def test_read(self) -> None:
        """The actions are read from a JWT; what is none says nothing."""
        access = [{"type": "repository", "name": "x", "actions": ["pull"]}]
        cases: list[tuple[str, frozenset[str] | None]] = [
            (jwt({"access": access}), frozenset({"pull"})),
            (jwt({"access": []}), frozenset()),
            (jwt({"access": None}), frozenset()),
            (jwt({}), None),
            (jwt({"access": [1]}), None),
            ("opaque", None),
            ("a.b.c", None),
        ]
        for value, expected in cases:
            self.assertEqual(Token(value, expected), read_token(answer(token=value)), value)

    def test_missing(self) -> None:
        """An action that the token does not reach is a fault where it is needed, and else worth a note."""
        step = Step("token to push", "a", "b")
        token = Token("x", frozenset({"pull"}))
        self.assertIn("push", texts(judge_grant(step, token, "push", needed=True), Verdict.FAIL))
        self.assertIn("push", texts(judge_grant(step, token, "push", needed=False), Verdict.OK))
        for other in (Token("x", frozenset({"pull", "push"})), Token("x"), None):
            self.assertIs(step, judge_grant(step, other, "push", needed=True))

    def test_secrets(self) -> None:
        """All tokens of an answer are secrets."""
        given = answer(token="one", access_token="two", refresh_token="three", expires_in=300)
        self.assertEqual(["one", "two", "three"], list(secrets_in(given)))
        self.assertEqual([], list(secrets_in(reply(200, b"no JSON"))))


class FormTests(SynchronousTestCase):
    """The POST of containerd."""

    def test_taken(self) -> None:
        """A token is fine, if it is in access_token."""
        self.assertEqual((), judge_form(JOE, answer(**BOTH)).remarks)
        self.assertIn("access_token", texts(judge_form(JOE, answer(token="abc")), Verdict.WARN))

    def test_fallback(self) -> None:
        """After these statuses containerd asks by GET; after others it gives up."""
        for status in (400, 401, 404, 405):
            self.assertIs(Verdict.OK, judge_form(JOE, reply(status)).verdict, status)
        for status in (403, 500, 200):
            self.assertIn("containerd", texts(judge_form(JOE, reply(status)), Verdict.FAIL), status)


class UseTests(SynchronousTestCase):
    """``/v2/`` once more."""

    def test_use(self) -> None:
        """What the registry does not take is told for tokens and passwords apart."""
        self.assertEqual((), judge_use(reply(200, b"{}"), HTTPS, "the token of joe", is_token=True).remarks)
        self.assertIn("audience", texts(judge_use(reply(401), HTTPS, "the token of joe", is_token=True), Verdict.FAIL))
        self.assertIn(
            "type them again",
            texts(judge_use(reply(401), HTTPS, "Basic credentials of joe", is_token=False), Verdict.FAIL),
        )
        self.assertIn(
            "disabled", texts(judge_use(reply(403), HTTPS, "Basic credentials of joe", is_token=False), Verdict.FAIL)
        )
        self.assertIn(
            "proxy", texts(judge_use(reply(502, PAGE), HTTPS, "the token of joe", is_token=True), Verdict.FAIL)
        )
