"""The engines to test with give up where real engines were seen to give up, and only there."""

import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve
from twisted.internet.defer import ensureDeferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from dockreg.testing.client import EXISTS, Engine
from dockreg.testing.engines import (
    ENGINE_0_7_0,
    ENGINE_0_9_1,
    ENGINE_1_0_0,
    ENGINE_1_5_0,
    ENGINE_1_9_1,
    ENGINES,
    EngineProfile,
)
from dockreg.testing.samples import make_image
from dockreg.testing.sessions import EngineFailed
from dockreg.testing.wire import WireRequest
from tests.integration.engine_support import JOEY

_IMAGE = make_image("one")
_PATH = f"/v1/images/{_IMAGE.id}"
_LAYER = b"0123456789"

Reply = tuple[int, Mapping[str, str], bytes]


class _Script(Resource):
    """Answers by method and path, and hangs up on a TLS hello as a registry should."""

    isLeaf = True

    def __init__(self, replies: Mapping[str, Reply]) -> None:
        super().__init__()
        self.replies = replies
        self.asked: list[str] = []

    def render(self, request: Request) -> bytes:
        asked = f"{request.method.decode()} {request.path.decode()}"
        self.asked.append(asked)
        ranged = f"{asked} {request.getHeader('range')}"
        status, headers, body = self.replies.get(ranged) or self.replies.get(asked) or (404, {}, b"{}")
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(name, value)
        return body


def _push_replies(host: str) -> dict[str, Reply]:
    index = {"X-Docker-Token": "abc", "X-Docker-Endpoints": host}
    return {
        "GET /v1/_ping": (200, {"X-Docker-Registry-Version": "1", "X-Docker-Registry-Standalone": "true"}, b"true"),
        "PUT /v1/repositories/team/one/": (200, index, b'""'),
        f"PUT {_PATH}/json": (200, {}, b"true"),
        f"PUT {_PATH}/layer": (200, {}, b"true"),
        f"PUT {_PATH}/checksum": (200, {}, b"true"),
        "PUT /v1/repositories/team/one/tags/v1": (200, {}, b"true"),
        "PUT /v1/repositories/team/one/images": (204, {}, b""),
    }


def _pull_replies(host: str) -> dict[str, Reply]:
    size = {"X-Docker-Size": str(len(_LAYER))}
    layer = {"Accept-Ranges": "bytes"}
    return {
        "GET /v1/_ping": (200, {"X-Docker-Registry-Version": "1"}, b"true"),
        "GET /v1/repositories/team/one/images": (200, {"X-Docker-Endpoints": host}, b"[]"),
        "GET /v1/repositories/team/one/tags": (200, {}, json.dumps({"v1": _IMAGE.id}).encode()),
        "GET /v1/repositories/team/one/tags/v1": (200, {}, json.dumps(_IMAGE.id).encode()),
        f"GET {_PATH}/ancestry": (200, {}, json.dumps([_IMAGE.id]).encode()),
        f"GET {_PATH}/json": (200, size, _IMAGE.json),
        f"GET {_PATH}/layer": (200, layer, _LAYER),
        f"HEAD {_PATH}/layer": (200, layer, b""),
        f"GET {_PATH}/layer bytes=4-10": (206, {"Content-Range": "bytes 4-9/10"}, _LAYER[4:]),
        f"GET {_PATH}/layer bytes=10-10": (416, {"Content-Range": "bytes */10"}, b""),
    }


class _ScriptedTestCase(TestCase):
    """An engine and a server that answers as the test says; only http."""

    timeout = 30

    def _start(self) -> str:
        from twisted.internet import reactor

        self.script = _Script({})
        port: Any = reactor.listenTCP(0, Site(self.script), interface="127.0.0.1")  # type: ignore[arg-type]  # Site is generic in its channel
        self.addCleanup(port.stopListening)
        self.pauses: list[float] = []
        return f"127.0.0.1:{port.getHost().port}"

    def _engine(self, profile: EngineProfile, host: str) -> Engine:
        from twisted.internet import reactor

        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        return Engine(profile, host, reactor, schemes=("http",), pause=pause)

    async def _outcomes(self, kind: str, engines: tuple[EngineProfile, ...], **changed: Reply | None) -> list[str]:
        """What each engine says, empty where it is content, when these answers are others than usual."""
        outcomes = []
        for profile in engines:
            host = self._start()
            replies = _push_replies(host) if kind == "push" else _pull_replies(host)
            for place, reply in changed.items():
                key = next(each for each in replies if each.endswith(_PLACES[place]))
                status, headers, body = reply or (404, {}, b"{}")
                replies[key] = status, {name: value.replace("{host}", host) for name, value in headers.items()}, body
            self.script.replies = replies
            engine = self._engine(profile, host)
            try:
                if kind == "push":
                    await engine.push("team/one", [_IMAGE], {"v1": _IMAGE.id})
                else:
                    await engine.pull("team/one", "v1", break_after=self.break_after)
            except EngineFailed as failed:
                outcomes.append(str(failed))
            else:
                outcomes.append("")
        return outcomes

    break_after: int | None = None


_PLACES = {
    "ping": "_ping",
    "announce": "team/one/",
    "lookup": "/json",
    "put_json": "/json",
    "checksum": "/checksum",
    "layer": "/layer",
    "close": "/images",
    "images": "/images",
    "json": "/json",
    "ranged": "bytes=4-10",
    "at_end": "bytes=10-10",
    "tags": "/tags",
}


class PushStrictnessTests(_ScriptedTestCase):
    """What makes a push fail (sections 5 to 7 of the traces, and 2.23 of the reference)."""

    async def test_good_answers(self) -> None:
        """Nothing is missed where all answers are right."""
        self.assertEqual([""] * 5, await self._outcomes("push", ENGINES))

    async def test_ping_without_version(self) -> None:
        """Up to 0.10 a ping without the version header is no registry; 1.9 does not even ping over http."""
        outcomes = await self._outcomes("push", ENGINES, ping=(200, {}, b"true"))
        self.assertEqual([True, True, False, False, False], ["does not look like" in each for each in outcomes])

    async def test_no_token(self) -> None:
        """Up to 1.6 a push ends without a token."""
        outcomes = await self._outcomes("push", ENGINES, announce=(200, {"X-Docker-Endpoints": "{host}"}, b""))
        wanted = "Index response didn't contain an access token"
        self.assertEqual([wanted] * 4 + [""], outcomes)

    async def test_no_endpoints(self) -> None:
        """Each engine ends a push without endpoints."""
        outcomes = await self._outcomes("push", ENGINES, announce=(200, {"X-Docker-Token": "abc"}, b""))
        self.assertEqual(["Index response didn't contain any endpoints"] * 5, outcomes)

    async def test_login_wanted(self) -> None:
        """A 401 to the announcement asks for a login."""
        outcomes = await self._outcomes("push", ENGINES, announce=(401, {}, b"{}"))
        self.assertEqual(["Please login prior to push"] * 5, outcomes)

    async def test_image_exists(self) -> None:
        """Exactly one flat error skips an image, whatever the status; anything else ends the push."""
        exists = b'{"error": "Image already exists"}'
        self.assertEqual([""] * 5, await self._outcomes("push", ENGINES, put_json=(409, {}, exists)))
        self.assertNotIn(f"PUT {_PATH}/layer", self.script.asked)
        for body in (b'{"error": {"text": "Image already exists"}}', b'{"error": "image already exists"}', b"exists"):
            outcomes = await self._outcomes("push", ENGINES, put_json=(409, {}, body))
            self.assertEqual([True] * 5, ["while uploading metadata" in each for each in outcomes])
        outcomes = await self._outcomes(
            "push", ENGINES, put_json=(409, {}, b'{"error": "Image already exists", "n": 1}')
        )
        self.assertNotIn("", outcomes)

    async def test_checksum_of_existing_image(self) -> None:
        """On the checksum, the same error ends the push."""
        exists = b'{"error": "Image already exists"}'
        outcomes = await self._outcomes("push", ENGINES, checksum=(409, {}, exists))
        self.assertEqual([True] * 5, ["Image already exists" in each for each in outcomes])

    async def test_end_of_push(self) -> None:
        """The end of a push is 204 and nothing else."""
        for status in (200, 202):
            self.assertNotIn("", await self._outcomes("push", ENGINES, close=(status, {}, b"true")))


class PullStrictnessTests(_ScriptedTestCase):
    """What makes a pull fail."""

    async def test_good_answers(self) -> None:
        """Nothing is missed where all answers are right."""
        self.assertEqual([""] * 5, await self._outcomes("pull", ENGINES))

    async def test_no_endpoints(self) -> None:
        """Up to 0.10 a pull ends without endpoints; later engines use the index for the rest."""
        outcomes = await self._outcomes("pull", ENGINES, images=(200, {}, b"[]"))
        self.assertEqual([True, True, False, False, False], ["any endpoints" in each for each in outcomes])

    async def test_no_size(self) -> None:
        """Up to 0.10 a pull ends without the size of a layer."""
        outcomes = await self._outcomes("pull", ENGINES, json=(200, {}, _IMAGE.json))
        self.assertEqual([True, True, False, False, False], ["invalid syntax" in each for each in outcomes])

    async def test_json_is_tried_again(self) -> None:
        """From 0.9.1 an image json is asked for five times, with longer pauses between."""
        outcomes = await self._outcomes("pull", (ENGINE_0_7_0,), json=(500, {}, b"{}"))
        self.assertEqual((["HTTP code 500"], []), (outcomes, self.pauses))
        outcomes = await self._outcomes("pull", (ENGINE_0_9_1,), json=(500, {}, b"{}"))
        self.assertEqual((["HTTP code 500"], [0.5, 1.0, 1.5, 2.0]), (outcomes, self.pauses))

    async def test_partial_first_answer(self) -> None:
        """The first answer with a layer has to be 200."""
        partial = (206, {"Content-Range": "bytes 0-9/10"}, _LAYER)
        self.assertNotIn("", await self._outcomes("pull", ENGINES, layer=partial))

    async def test_resume(self) -> None:
        """A broken layer is continued from 0.12 on, with 206 in the middle and an empty 416 at the end."""
        for self.break_after in (4, 10):
            outcomes = await self._outcomes("pull", ENGINES)
            self.assertEqual([True, True, False, False, False], ["unexpected EOF" in each for each in outcomes])

    async def test_bad_resume(self) -> None:
        """A 200 to a range, a 416 with a body, and a layer without ``Accept-Ranges`` end the pull."""
        new = (ENGINE_1_0_0, ENGINE_1_5_0, ENGINE_1_9_1)
        self.break_after = 4
        self.assertNotIn("", await self._outcomes("pull", new, ranged=(200, {}, _LAYER)))
        self.assertNotIn("", await self._outcomes("pull", new, layer=(200, {}, _LAYER)))
        self.break_after = 10
        self.assertNotIn("", await self._outcomes("pull", new, at_end=(416, {}, b"{}")))

    async def test_stale_tags(self) -> None:
        """An image list that names tags is refused, for engines would pull stale images."""
        host = {"X-Docker-Endpoints": "{host}"}
        body = json.dumps([{"id": _IMAGE.id, "Tag": "v0"}]).encode()
        self.assertNotIn("", await self._outcomes("pull", ENGINES, images=(200, host, body)))


class LoginStrictnessTests(_ScriptedTestCase):
    """What each answer to a registration means (section 8 of the traces)."""

    async def _login(self, profile: EngineProfile, status: int, body: bytes) -> str:
        host = self._start()
        self.script.replies = {
            "GET /v1/_ping": (200, {"X-Docker-Registry-Version": "1"}, b"true"),
            "POST /v1/users/": (status, {}, body),
            "GET /v1/users/": (200, {}, b'"OK"'),
        }
        try:
            return await self._engine(profile, host).login(JOEY)
        except EngineFailed as failed:
            return str(failed)

    async def test_answers(self) -> None:
        """201 makes an account; 400 goes on only with the exact bytes; other statuses end the login."""
        for profile in ENGINES:
            self.assertEqual("Account created.", await self._login(profile, 201, b'"User Created"'))
            self.assertEqual("Login Succeeded", await self._login(profile, 400, EXISTS))
            self.assertIn("Registration: ", await self._login(profile, 400, EXISTS + b"\n"))
            self.assertIn("Unexpected status code [200]", await self._login(profile, 200, b'"User Created"'))
            self.assertIn("Unexpected status code [404]", await self._login(profile, 404, b"{}"))

    async def test_unauthorized(self) -> None:
        """A 401 goes on to the login check from 0.7.1 on."""
        self.assertIn("Unexpected status code [401]", await self._login(ENGINE_0_7_0, 401, b"{}"))
        self.assertEqual("Login Succeeded", await self._login(ENGINE_0_9_1, 401, b"{}"))

    async def test_promise_of_v2(self) -> None:
        """The version header of v2 commits an engine that looks for it."""
        for profile, wanted in ((ENGINE_1_0_0, "Login Succeeded"), (ENGINE_1_5_0, "promises v2")):
            host = self._start()
            self.script.replies = {
                "GET /v2/": (401, {"Docker-Distribution-API-Version": "registry/2.0"}, b"{}"),
                "GET /v1/_ping": (200, {}, b"true"),
                "POST /v1/users/": (400, {}, EXISTS),
                "GET /v1/users/": (200, {}, b'"OK"'),
            }
            engine = self._engine(profile, host)
            if profile is ENGINE_1_0_0:
                self.assertEqual(wanted, await engine.login(JOEY))
            else:
                failed = await self.assertFailure(ensureDeferred(engine.login(JOEY)), EngineFailed)
                self.assertIn(wanted, str(failed))


class SearchStrictnessTests(_ScriptedTestCase):
    """Which results can be decoded."""

    async def test_types(self) -> None:
        """Engines up to 0.6.5 understand strings only, later ones numbers and truth values in their places."""
        host = self._start()
        old = evolve(ENGINE_0_7_0, search_wants_strings=True)
        for result, fails_old, fails_new in (
            ({"name": "a", "description": None}, False, False),
            ({"name": "a", "star_count": 0, "is_official": False}, True, False),
            ({"name": "a", "star_count": "0"}, False, True),
            ({"name": "a", "star_count": True}, True, True),
        ):
            body = json.dumps({"query": "", "num_results": 1, "results": [result]}).encode()
            self.script.replies = {
                "GET /v1/_ping": (200, {"X-Docker-Registry-Version": "1"}, b"true"),
                "GET /v1/search": (200, {}, body),
            }
            for profile, fails in ((old, fails_old), (ENGINE_1_9_1, fails_new)):
                searching = ensureDeferred(self._engine(profile, host).search("a"))
                if fails:
                    await self.assertFailure(searching, EngineFailed)
                else:
                    self.assertEqual("a", (await searching)[0]["name"])


class WireRequestTests(TestCase):
    """The bytes of a request."""

    def test_order_and_case(self) -> None:
        """Header lines keep their order and their case."""
        transport = StringTransport()
        request = WireRequest("PUT", "/x", [("b", "1"), ("Content-type", "a"), ("A", "2")], b"body")
        self.assertTrue(request.writeTo(transport).called)
        self.assertEqual(b"PUT /x HTTP/1.1\r\nb: 1\r\nContent-type: a\r\nA: 2\r\n\r\nbody", transport.value())

    def test_chunks(self) -> None:
        """Each piece of a body becomes one chunk, and the last chunk is sent at its end."""
        transport = StringTransport()
        request = WireRequest("PUT", "/x", [], [b"ab", b"c" * 16])
        written = request.writeTo(transport)
        for _ in range(3):
            request.resumeProducing()
        body = transport.value().partition(b"\r\n\r\n")[2]
        self.assertEqual(b"2\r\nab\r\n10\r\n" + b"c" * 16 + b"\r\n0\r\n\r\n", body)
        self.assertTrue(written.called)
