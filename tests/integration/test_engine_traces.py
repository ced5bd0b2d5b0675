"""Recorded traces of engines, replayed against the registry header by header."""

import json
import re
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.trial.unittest import TestCase

from dockreg.testing.samples import bytes_of, gzip_layer, make_tar
from dockreg.testing.tarsums import payload_checksum, tarsum, without_trailer
from dockreg.testing.wire import Answer, WireRequest, exchange
from tests.integration.daemon import RunningRegistry, start_registry

TRACES = Path(__file__).parent.parent / "fixtures" / "traces"
_TARSUM_RULES = {"0.9.1": "last", "1.0.0": "last", "1.5.0": "order", "1.9.1": "order", "1.12.6": "order"}
_PIECE = 16 * 1024


@define
class Replay:
    """One trace under way: the values that stand for the placeholders of its file."""

    test: TestCase
    trace: dict[str, Any]
    values: dict[str, str] = Factory(dict)
    layers: list[bytes] = Factory(list)
    place: str = ""
    #: Numbers of images that the registry did not show where the recorder did.
    absent: list[int] = Factory(list)

    async def run(self) -> None:
        self._make_images()
        registry = None
        for section in self.trace["sections"]:
            if section["fresh"] or registry is None:
                registry = await start_registry(self.test, tls=section["tls"], only_v1=True)
                self.values.update(host=registry.host, url=registry.url, token="")
                await self._register(registry, section["accounts"])
            for command in section["commands"]:
                for number, request in enumerate(command["requests"], 1):
                    self.place = f"{section['title']}: {command['command']}, request {number} {request['path']}"
                    if "/tags/" in request["path"]:
                        await self._upload_absent(registry)
                    await self._replay(registry, request)

    async def _upload_absent(self, registry: RunningRegistry) -> None:
        """Send what the engine sent earlier for images that it did not find: it would do so now, and then tag them."""
        for number in sorted(self.absent):
            path = f"/v1/images/{{id:{number}}}/"
            uploads = {each["path"]: each for each in reversed(self._all_requests()) if each["method"] == "PUT"}
            for part in ("json", "layer", "checksum"):
                await self._replay(registry, uploads[path + part])
        self.absent.clear()

    def _all_requests(self) -> list[dict[str, Any]]:
        commands = [command for section in self.trace["sections"] for command in section["commands"]]
        return [request for command in commands for request in command["requests"]]

    def _make_images(self) -> None:
        # A base of a megabyte, a smaller one, and above them an empty layer and small ones.
        sizes = {0: 1_000_000, 1: 70_000}
        for number, image in enumerate(self.trace["images"]):
            content = bytes_of(str(number), sizes.get(number, 10))
            tar = make_tar({} if number == 2 else {"etc/": None, f"etc/{number}": content})
            tar = tar if self.trace["trailer"] else without_trailer(tar)
            layer = gzip_layer(tar)
            document = image["json"].encode("utf-8")
            self.layers.append(layer)
            self.values[f"id:{number}"] = image["id"]
            self.values[f"size:{number}"] = str(len(layer))
            self.values[f"payload:{number}"] = payload_checksum(document, layer)
            self.values[f"tarsum:{number}"] = tarsum(document, tar, _TARSUM_RULES[self.trace["engine"]])
        self.values.update(self.trace["agents"])

    async def _register(self, registry: RunningRegistry, accounts: dict[str, str]) -> None:
        for username, password in accounts.items():
            body = json.dumps({"username": username, "password": password, "auth": "", "email": "old@example.org"})
            lines = [("Host", registry.host), ("Content-Length", str(len(body)))]
            request = WireRequest("POST", "/v1/users/", lines, body.encode("ascii"))
            answer = await exchange(_endpoint(registry), request)
            self.test.assertEqual(201, answer.status)

    def _filled(self, text: str) -> str:
        return re.sub(r"\{(\w+(?::\d+)?)\}", lambda match: self.values[match[1]], text)

    async def _replay(self, registry: RunningRegistry, recorded: dict[str, Any]) -> None:
        lines = [tuple(self._filled(line).split(": ", 1)) for line in recorded["headers"]]
        pairs = [(line[0], line[1] if len(line) > 1 else "") for line in lines]
        body: Any = recorded.get("body", "")
        if isinstance(body, str):
            sent: Any = self._filled(body).encode("utf-8")
        elif "image" in body:
            sent = self.trace["images"][body["image"]]["json"].encode("utf-8")
        else:
            layer = self.layers[body["layer"]]
            sent = [layer[start : start + _PIECE] for start in range(0, len(layer), _PIECE)]
        request = WireRequest(recorded["method"], self._filled(recorded["path"]), pairs, sent)
        answer = await exchange(_endpoint(registry), request)
        self._check(answer, recorded["answer"])
        if answer.status != 200 and "absent" in recorded["answer"]:
            self.absent.append(recorded["answer"]["absent"])
        self.values["token"] = answer.header("X-Docker-Token") or self.values["token"]

    def _check(self, answer: Answer, expected: dict[str, Any]) -> None:
        test = self.test
        test.assertIn(answer.status, expected["status"], f"{self.place}: {answer.body[:500]!r}")
        for name, wanted in expected.get("headers", {}).items():
            value = answer.header(name)
            if isinstance(wanted, bool):
                test.assertEqual(wanted, bool(value), f"{self.place}: {name}: {value}")
            elif name == "Content-Type":
                test.assertEqual(wanted, (value or "").partition(";")[0], self.place)
            else:
                test.assertEqual(self._filled(wanted), value, f"{self.place}: {name}")
        self._check_body(answer, expected.get("body", {}))

    def _check_body(self, answer: Answer, expected: dict[str, Any]) -> None:
        test, place = self.test, self.place
        for kind, wanted in expected.items():
            if kind == "exactly":
                test.assertEqual(wanted.encode("utf-8"), answer.body, place)
            elif kind == "image":
                test.assertEqual(self.trace["images"][wanted]["json"].encode("utf-8"), answer.body, place)
            elif kind == "layer":
                test.assertEqual(self.layers[wanted], answer.body, place)
            elif kind == "json":
                test.assertEqual(json.loads(self._filled(json.dumps(wanted))), json.loads(answer.body), place)
            elif kind == "error":
                document = json.loads(answer.body)
                test.assertEqual(["error"], list(document), place)
                test.assertIsInstance(document["error"], str, place)
            elif kind == "ids":
                entries = json.loads(answer.body)
                ids = {self._filled(one) for one in wanted}
                test.assertEqual(ids, {entry["id"] for entry in entries}, place)
                test.assertFalse([entry for entry in entries if "Tag" in entry or "tag" in entry], place)
            else:
                test.assertEqual("search", kind)
                names = [result["name"] for result in json.loads(answer.body)["results"]]
                test.assertEqual(wanted, sorted(names), place)


def _endpoint(registry: RunningRegistry) -> IStreamClientEndpoint:
    from twisted.internet import reactor

    endpoint = HostnameEndpoint(reactor, "127.0.0.1", registry.port)
    return wrapClientTLS(registry.tls, endpoint) if registry.scheme == "https" else endpoint


class EngineTraceTests(TestCase):
    """What real engines sent is answered so that they would go on."""

    timeout = 120

    async def _replay(self, engine: str) -> None:
        trace = json.loads((TRACES / f"engine-{engine}.json").read_text(encoding="utf-8"))
        await Replay(self, trace).run()

    async def test_engine_0_9_1(self) -> None:
        """Each request of engine 0.9.1 gets the answer that it needs."""
        await self._replay("0.9.1")

    async def test_engine_1_0_0(self) -> None:
        """Each request of engine 1.0.0 gets the answer that it needs."""
        await self._replay("1.0.0")

    async def test_engine_1_5_0(self) -> None:
        """Each request of engine 1.5.0 gets the answer that it needs."""
        await self._replay("1.5.0")

    async def test_engine_1_9_1(self) -> None:
        """Each request of engine 1.9.1 gets the answer that it needs."""
        await self._replay("1.9.1")

    async def test_engine_1_12_6(self) -> None:
        """Each request of engine 1.12.6, which tries v2 first in its own way, gets the answer that it needs."""
        await self._replay("1.12.6")
