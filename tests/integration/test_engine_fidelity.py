"""The engines to test with make the requests that real engines were seen to make."""

import json
import re
from typing import Any

from twisted.trial.unittest import TestCase

from dockreg.testing.client import Engine
from dockreg.testing.engines import ENGINES, EngineProfile, V2Probe
from dockreg.testing.samples import layered_image
from dockreg.testing.sessions import Sent
from tests.integration.daemon import start_registry
from tests.integration.engine_support import JOEY
from tests.integration.test_engine_traces import TRACES


def _value(name: str, value: str) -> str:
    """What can be compared of a header: sizes, sums and tokens differ from push to push."""
    if name == "Authorization":
        scheme, _, rest = value.partition(" ")
        return f"{scheme} {'nobody' if rest in ('', 'Og==') else 'somebody'}"
    if name == "User-Agent":
        return "docker" if value.startswith(("docker/", "{docker}")) else "go"
    if name in ("Content-Length", "Host"):
        return ""
    if name.startswith("X-Docker-Checksum"):
        return ""
    return re.sub(r"(https?://)?(127\.0\.0\.1:\d+|\{host\}|\{url\})", "", value)


def _shape(method: str, path: str, headers: list[tuple[str, str]]) -> str:
    path = re.sub(r"[0-9a-f]{64}|\{id:\d+\}", "ID", path)
    return "\n".join([f"{method} {path}", *(f"{name}: {_value(name, value)}" for name, value in headers)])


def _recorded(command: dict[str, Any]) -> list[str]:
    shapes = []
    for request in command["requests"]:
        headers = [line.partition(": ")[::2] for line in request["headers"]]
        shapes.append(_shape(request["method"], request["path"], headers))
    return shapes


def _made(sent: list[Sent]) -> list[str]:
    return [_shape(each.method, each.path, list(each.headers)) for each in sent if each.status]


class EngineFidelityTests(TestCase):
    """Command by command against the traces; 0.7.0 left none."""

    timeout = 60

    async def _compare(self, tls: bool) -> None:
        from twisted.internet import reactor

        for profile in ENGINES[1:]:
            registry = await start_registry(self, tls=tls, only_v1=True)
            text = (TRACES / f"engine-{profile.version}.json").read_text(encoding="utf-8")
            sections = [section for section in json.loads(text)["sections"] if section["tls"] == tls]
            commands = [command for section in sections for command in section["commands"]]
            await Engine(profile, registry.host, reactor, registry.tls).login(JOEY)
            engine = Engine(profile, registry.host, reactor, registry.tls, keeps_cookies=False)
            for docker, run in self._commands(engine, tls):
                recorded = next(each for each in commands if re.fullmatch(docker, each["command"]))
                engine.sent.clear()
                await run
                self.assertEqual(_recorded(recorded), _made(engine.sent), f"{profile.version}: {docker}")

    def _commands(self, engine: Engine, tls: bool) -> list[tuple[str, Any]]:
        images = layered_image()
        tags = {"v1": images[2].id} if tls else {"base": images[1].id, "v1": images[2].id}
        commands: list[tuple[str, Any]] = [
            ("docker login .*", engine.login(JOEY)),
            (r"docker push \{host\}/team/layered(:v1)?", engine.push("team/layered", images, tags)),
        ]
        if not tls:
            commands += [
                (r"docker pull \{host\}/team/layered:v1", engine.pull("team/layered", "v1")),
            ]
        if _searches(engine.profile):
            commands.append((r"docker search .*", engine.search("layered")))
        return commands

    async def test_http(self) -> None:
        """Over http, requests and headers are those of the traces, in their order."""
        await self._compare(tls=False)

    async def test_https(self) -> None:
        """Over https, requests and headers are those of the traces, in their order."""
        await self._compare(tls=True)


def _searches(profile: EngineProfile) -> bool:
    """Earlier engines ask the official index only, which is not in the traces."""
    return profile.probes_v2 is not V2Probe.NEVER
