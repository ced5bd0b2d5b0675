"""Tests for dockreg.web.v2.base."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import Unauthorized
from dockreg.model.access import Action
from dockreg.model.digest import Digest
from dockreg.web.v2.base import BaseDoor, is_v2, send_json, set_api_version, set_digest
from tests.unit.v2case import JOE, NOBODY, V2TestCase
from tests.unit.web.v2.exchanges import exchange_of, response_header


class PathTests(SynchronousTestCase):
    """What belongs to v2."""

    def test_paths(self) -> None:
        """v2 is what is at or below its one segment."""
        self.assertEqual([True] * 4, [is_v2(path) for path in ("/v2", "/v2/", "/v2/a", "/v2//")])
        for path in ("/", "/v1/", "/v2x", "/v20/", "v2/", "//v2/", "/V2/", ""):
            self.assertFalse(is_v2(path), path)


class AnswerTests(SynchronousTestCase):
    """What answers have in common."""

    def test_headers(self) -> None:
        """The version of the API and the digest of the content are headers."""
        exchange = exchange_of()
        set_api_version(exchange.request)
        set_digest(exchange, Digest.sha256(b""))
        self.assertEqual("registry/2.0", response_header(exchange, "docker-distribution-api-version"))
        self.assertEqual(str(Digest.sha256(b"")), response_header(exchange, "docker-content-digest"))

    def test_json(self) -> None:
        """A document is JSON, without blanks."""
        exchange = exchange_of()
        self.assertEqual(b'{"a":[1,"\\u00e4"]}', send_json(exchange, {"a": [1, "\u00e4"]}))
        self.assertEqual("application/json", response_header(exchange, "content-type"))


class CheckTests(V2TestCase):
    """``GET /v2/``."""

    def test_open(self) -> None:
        """Where everybody may push nobody is asked to log in."""
        door = BaseDoor(self.registry)
        for principal in (NOBODY, JOE):
            self.assertEqual(b"{}", self.result(door.check(exchange_of(principal=principal))))

    def test_closed(self) -> None:
        """Who has no name is asked for one where he could not push; who has one is let in, and may find out later."""
        for name in (None, "joe"):
            self.policy.refused.add((name, Action.PUSH, None))
        door = BaseDoor(self.registry)
        self.refused(Unauthorized, door.check(exchange_of(principal=NOBODY)))
        self.assertEqual(b"{}", self.result(door.check(exchange_of(principal=JOE))))
