"""Tests for dockreg.web.v2.base."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import Unauthorized
from dockreg.model.access import Action
from dockreg.model.digest import Digest
from dockreg.web.v2.base import BaseDoor, hides_v2_from, is_v2, send_json, set_api_version, set_digest
from tests.unit.v2case import JOE, NOBODY, V2TestCase
from tests.unit.web.v2.exchanges import exchange_of, response_header


class HiddenTests(SynchronousTestCase):
    """Who must not learn that there is a v2."""

    def test_old(self) -> None:
        """Engines before 1.6 must not, released or not."""
        for version in ("0.6.0", "0.11.1", "1.0.0", "1.0.1-dev", "1.5.0", "1.5"):
            self.assertTrue(hides_v2_from(f"docker/{version} go/go1.3.3"), version)
        self.assertTrue(hides_v2_from("Go 1.1 package http"))

    def test_new(self) -> None:
        """Everybody else may, and names that begin alike are no engines."""
        for agent in (
            "docker/1.6.0", "docker/1.10.0", "docker/1.13.1", "docker/1.50.0", "docker/17.05.0", "docker/20.10", "",
            "docker", "docker/", "docker/x", "mydocker/1.5.0", "Docker-Client/1.5.0", "Go-http-client/1.1",
            "Go 1.1 package", "\ufffd",
        ):  # fmt: skip
            self.assertFalse(hides_v2_from(agent), agent)

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
