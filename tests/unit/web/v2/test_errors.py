"""Tests for dockreg.web.v2.errors, and for what dockreg.web.errors makes of them."""

import json
from collections.abc import Sequence
from typing import Any, cast

import attrs
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dockreg import errors
from dockreg.web.errors import ErrorResponses, NoRoute
from dockreg.web.exchange import Exchange
from dockreg.web.v2.errors import UNKNOWN, UNSUPPORTED, V2_ANSWERS, error_list, errors_of
from tests.unit.web.v2.exchanges import exchange_of, response_header

#: OCI Distribution specification, "Error Codes", and for what it has none those of docker's registry.
CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED",
    "UNSUPPORTED", "TOOMANYREQUESTS", "UNAVAILABLE", "UNKNOWN",
}  # fmt: skip


class BodyTests(SynchronousTestCase):
    """The bodies of errors."""

    def entries(self, body: bytes) -> Any:
        document = json.loads(body)
        self.assertEqual(["errors"], list(document))
        return document["errors"]

    def test_list(self) -> None:
        """An error is a list of one entry, with a detail where there is one."""
        self.assertEqual([{"code": "C", "message": "m"}], self.entries(error_list("C", "m")))
        details: Sequence[object] = ({"a": 1}, [], 0, "")
        for detail in details:
            entry = {"code": "C", "message": "m", "detail": detail}
            self.assertEqual([entry], self.entries(error_list("C", "m", detail)))

    def test_missing(self) -> None:
        """Each thing that is missing has an entry of its own, which names it."""
        found = self.entries(errors_of(errors.ReferencesUnknown(("sha256:a", "sha256:b")), "MANIFEST_BLOB_UNKNOWN"))
        self.assertEqual(["MANIFEST_BLOB_UNKNOWN"] * 2, [entry["code"] for entry in found])
        self.assertEqual([{"digest": "sha256:a"}, {"digest": "sha256:b"}], [entry["detail"] for entry in found])

    def test_detail(self) -> None:
        """What an error knows is told as it is."""
        for problem, detail in (
            (errors.RangeInvalid(7), {"size": 7}),
            (errors.NameInvalid("a", "b"), {"name": "a", "reason": "b"}),
            (errors.StorageFull("full"), {"reason": "full"}),
        ):
            (entry,) = self.entries(errors_of(problem, "C"))
            self.assertEqual((str(problem), detail), (entry["message"], entry.get("detail")))

    def test_foreign(self) -> None:
        """An error of a provider's own has a sentence."""

        class Foreign(errors.RegistryError):
            """Not one of ours."""

            def __str__(self) -> str:
                return "foreign"

        self.assertEqual([{"code": "C", "message": "foreign"}], self.entries(errors_of(Foreign(), "C")))

    def test_ascii(self) -> None:
        """Whatever is repeated is in ASCII, so that any client can read it."""
        body = errors_of(errors.NameInvalid("\u00e4\ud800\0\n", "\U0001f4a5"), "NAME_INVALID")
        self.assertTrue(body.isascii())
        self.assertEqual("\u00e4\ud800\0\n", self.entries(body)[0]["detail"]["name"])


class TableTests(SynchronousTestCase):
    """The table of statuses and codes."""

    def test_codes(self) -> None:
        """Each code is one that clients know, and each status that of an error."""
        for kind, (status, code) in V2_ANSWERS.items():
            self.assertIn(code, CODES, kind)
            self.assertGreaterEqual(status, 400)
            self.assertEqual(code in ("UNAVAILABLE", "UNKNOWN"), status >= 500, kind)
        self.assertLess({UNKNOWN, UNSUPPORTED}, CODES)

    def test_not_found(self) -> None:
        """What is not there is a 404, which clients act on."""
        for kind in (errors.NameUnknown, errors.TagUnknown, errors.BlobUnknown, errors.UploadUnknown):
            self.assertEqual(404, V2_ANSWERS[kind][0])


def challenges(request: Any, problem: errors.Unauthorized, v2: bool) -> list[str]:
    """What stands for the gate's."""
    return [f'Basic realm="{v2}"']


class ResponseTests(SynchronousTestCase):
    """Answers of the v2 door."""

    def respond(self, problem: Exception, line: str = "GET /v2/a/manifests/b") -> tuple[int, Any, Exchange]:
        """Status, errors, and the request."""
        exchange = exchange_of(line)
        exchange.respond(200, ETag='"x"', Docker_Content_Digest="x", Last_Modified="x", Vary="Accept")
        body = ErrorResponses(challenges, lambda: "incident-1").respond(exchange.request, Failure(problem))
        return exchange.request.code, json.loads(body)["errors"], exchange

    def test_each(self) -> None:
        """Each error of the table has its status and code."""
        for kind, (status, code) in V2_ANSWERS.items():
            fields: Any = attrs.fields(kind)  # type: ignore[arg-type]
            problem = kind(*({int: 7, str: "x"}.get(each.type, ("x",)) for each in fields))
            found, entries, _ = self.respond(problem)
            self.assertEqual((status, code), (found, entries[0]["code"]))

    def test_reason(self) -> None:
        """The status line says in words what the status means, also where Twisted has none for it."""
        _, _, exchange = self.respond(errors.Busy("x", 1))
        self.assertEqual(b"Too Many Requests", cast("Any", exchange.request).code_message)

    def test_headers(self) -> None:
        """Nothing is told of what would have been answered, and the answer is not to be kept."""
        _, _, exchange = self.respond(errors.BlobUnknown("x"))
        for name in ("etag", "docker-content-digest", "last-modified", "vary"):
            self.assertIsNone(response_header(exchange, name))
        self.assertEqual("application/json", response_header(exchange, "content-type"))
        self.assertEqual("no-cache", response_header(exchange, "cache-control"))

    def test_challenge(self) -> None:
        """Who has to log in is told how."""
        status, _, exchange = self.respond(errors.Unauthorized("x"))
        self.assertEqual((401, 'Basic realm="True"'), (status, response_header(exchange, "www-authenticate")))

    def test_come_back(self) -> None:
        """Who should come back is told when."""
        for problem, seconds in ((errors.Busy("x", 17), "17"), (errors.StoreUnavailable("x"), "5")):
            with capturedLogs():
                _, _, exchange = self.respond(problem)
            self.assertEqual(seconds, response_header(exchange, "retry-after"))
        self.assertIsNone(response_header(self.respond(errors.Denied("x"))[2], "retry-after"))

    def test_of_v1(self) -> None:
        """What only v1 knows has the status that it has there."""
        status, entries, _ = self.respond(errors.ImageUnknown("x"))
        self.assertEqual((404, UNKNOWN), (status, entries[0]["code"]))

    def test_no_url(self) -> None:
        """A URL or a method that does not exist is unsupported; the methods that do are named."""
        status, entries, _ = self.respond(NoRoute(404))
        self.assertEqual((404, UNSUPPORTED), (status, entries[0]["code"]))
        status, entries, exchange = self.respond(NoRoute(405, ["PUT", "GET"]))
        self.assertEqual((405, UNSUPPORTED), (status, entries[0]["code"]))
        self.assertEqual("GET, PUT", response_header(exchange, "allow"))

    def test_bug(self) -> None:
        """A bug is told by an incident that is in the log, and by nothing else."""
        status, entries, _ = self.respond(KeyError("secret"))
        self.assertEqual((500, UNKNOWN), (status, entries[0]["code"]))
        self.assertIn("incident-1", entries[0]["message"])
        self.assertNotIn("secret", str(entries))
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))

    def test_other_door(self) -> None:
        """Elsewhere errors are flat."""
        body = ErrorResponses(challenges, lambda: "x").respond(
            exchange_of("GET /v2x/").request, Failure(errors.BlobUnknown("x"))
        )
        self.assertEqual({"error": "no blob x"}, json.loads(body))
