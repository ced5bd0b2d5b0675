"""The index role and the registry role as two daemons, as the official Hub had them."""

import json
from pathlib import Path

from twisted.trial.unittest import TestCase

from dockreg.testing.client import Engine
from dockreg.testing.engines import ENGINE_0_7_0, ENGINE_0_9_1, ENGINE_1_0_0, ENGINE_1_5_0, ENGINES, EngineProfile
from dockreg.testing.samples import layered_image
from dockreg.testing.sessions import Account, EngineFailed
from tests.processes import PreparedDaemon

JOEY = Account("joey", "secret", "joey@example.org")
JANE = Account("jane", "secret", "jane@example.org")


class TwoRolesTests(TestCase):
    """One daemon has accounts, image lists and tokens, the other one images and tags."""

    timeout = 120

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        self.index = PreparedDaemon(folder / "index")
        self.registry = PreparedDaemon(
            folder / "registry", config=f'role = "registry"\n[index]\nurl = "http://127.0.0.1:{self.index.port}"\n'
        )
        self.index.configure(
            f'role = "index"\n[auth]\nanonymous = "pull"\n[v1]\nendpoints = ["127.0.0.1:{self.registry.port}"]\n'
        )
        for daemon in (self.index, self.registry):
            daemon.start()
            self.addCleanup(daemon.kill)

    def engine(self, profile: EngineProfile, account: Account | None = None) -> Engine:
        from twisted.internet import reactor

        return Engine(profile, f"127.0.0.1:{self.index.port}", reactor, account=account)

    def token(self, name: str, account: Account = JOEY, *, write: bool = True) -> str:
        """A token of the index."""
        headers = {"Authorization": account.basic}
        if write:
            answer = self.index.request("PUT", f"/v1/repositories/{name}/", b"[]", headers)
        else:
            answer = self.index.request("GET", f"/v1/repositories/{name}/images", headers=headers)
        self.assertEqual(200, answer[0], answer)
        self.assertEqual(f"127.0.0.1:{self.registry.port}", answer[2]["x-docker-endpoints"])
        return answer[2]["x-docker-token"]

    async def test_push_and_pull(self) -> None:
        """Each engine logs in and pushes by way of the index, and anybody pulls what was pushed."""
        images = layered_image()
        self.assertEqual("Account created.", await self.engine(ENGINE_1_0_0).login(JOEY))
        for number, profile in enumerate(ENGINES):
            name = f"joey/app{number}"
            await self.engine(profile, JOEY).push(name, images, {"latest": images[-1].id})
            for reader in (ENGINE_0_7_0, ENGINE_1_5_0):
                pulled = await self.engine(reader).pull(name, "latest")
                self.assertEqual({"latest": images[-1].id}, dict(pulled.tags))
                self.assertEqual({image.id: image.json for image in images},
                                 {image_id: image.json for image_id, image in pulled.images.items()})  # fmt: skip

    async def test_ping(self) -> None:
        """Neither says that it is standalone, so that engines use tokens over https too."""
        for daemon in (self.index, self.registry):
            self.assertEqual("false", daemon.request("GET", "/v1/_ping")[2]["x-docker-registry-standalone"])

    async def test_anonymous_push(self) -> None:
        """Who may not push is told so by the index."""
        images = layered_image()
        with self.assertRaises(EngineFailed):
            await self.engine(ENGINE_0_9_1).push("joey/app", images, {"latest": images[-1].id})

    async def test_tokens_at_the_registry(self) -> None:
        """The registry takes the tokens of its index, in each spelling, for their repository and access only."""
        await self.engine(ENGINE_1_0_0).login(JOEY)
        image = layered_image()[0]
        listed = json.dumps([{"id": image.id}]).encode()
        self.assertEqual(
            200, self.index.request("PUT", "/v1/repositories/joey/app/", listed, {"Authorization": JOEY.basic})[0]
        )
        write, read = self.token("joey/app"), self.token("joey/app", write=False)
        other = self.token("joey/other")
        path = f"/v1/images/{image.id}/json"
        for header, method, expected in (
            ("Token", "PUT", 401), ("Token nonsense", "PUT", 401), (JOEY.basic, "PUT", 401), (f"Token {other}", "PUT", 400),
            (f"Token {read}", "PUT", 401), (f"Token {write}x", "GET", 401), (f"Token {write}", "GET", 404),
            (f"Token {write}", "PUT", 200), (f"Token Token {write}", "PUT", 200), (f"Token {write}, {write}", "PUT", 200),
            (f"Token {write}", "GET", 400),
        ):  # fmt: skip
            body = image.json if method == "PUT" else None
            answer = self.registry.request(method, path, body, {"Authorization": header})
            self.assertEqual(expected, answer[0], (header, method, answer))
        changed = write.replace('"joey/app"', '"joey/other"')
        answer = self.registry.request("PUT", path, image.json, {"Authorization": f"Token {changed}"})
        self.assertIn(answer[0], (400, 401), answer)

    async def test_image_that_is_not_listed(self) -> None:
        """The registry takes only images that the index lists for the repository."""
        await self.engine(ENGINE_1_0_0).login(JOEY)
        image = layered_image()[0]
        headers = {"Authorization": f"Token {self.token('joey/app')}"}
        answer = self.registry.request("PUT", f"/v1/images/{image.id}/json", image.json, headers)
        self.assertEqual(400, answer[0])
        self.assertIn(b"image list", answer[1])

    async def test_delete(self) -> None:
        """A repository is deleted as the Hub's documentation has it: index, registry, index."""
        images = layered_image()
        await self.engine(ENGINE_1_0_0).login(JOEY)
        await self.engine(ENGINE_1_0_0, JOEY).push("joey/app", images, {"latest": images[-1].id})
        path, basic = "/v1/repositories/joey/app/", {"Authorization": JOEY.basic}
        first = self.index.request("DELETE", path, headers={**basic, "X-Docker-Token": "true"})
        self.assertEqual(202, first[0])
        token = {"Authorization": f"Token {first[2]['x-docker-token']}"}
        self.assertEqual(200, self.registry.request("DELETE", path, headers=token)[0])
        endpoints = {"X-Docker-Endpoints": first[2]["x-docker-endpoints"]}
        self.assertEqual(200, self.index.request("DELETE", path, headers={**basic, **endpoints})[0])
        self.assertEqual(404, self.index.request("GET", f"{path}images", headers=basic)[0])
        with self.assertRaises(EngineFailed):
            await self.engine(ENGINE_1_0_0).pull("joey/app", "latest")

    async def test_auth_and_access(self) -> None:
        """The index answers what registries ask: is the token good, may its bearer read this image?"""
        await self.engine(ENGINE_1_0_0).login(JOEY)
        image = layered_image()[0]
        listed = json.dumps([{"id": image.id}]).encode()
        self.index.request("PUT", "/v1/repositories/joey/app/", listed, {"Authorization": JOEY.basic})
        token = {"Authorization": f"Token {self.token('joey/app')}"}
        path = "/v1/repositories/joey/app"
        self.assertEqual((200, b'"OK"'), self.index.request("PUT", f"{path}/auth", b"", token)[:2])
        self.assertIn(self.index.request("PUT", "/v1/repositories/joey/other/auth", b"", token)[0], (403, 404))
        for image_id, access in ((image.id, True), ("0" * 64, False)):
            answer = self.index.request("GET", f"{path}/layer/{image_id}/access", headers=token)
            self.assertEqual({"access": access}, json.loads(answer[1]))

    async def test_index_gone(self) -> None:
        """While the index does not answer, the registry says so and asks to try again."""
        await self.engine(ENGINE_1_0_0).login(JOEY)
        headers = {"Authorization": f"Token {self.token('joey/app')}"}
        self.index.kill()
        answer = self.registry.request("GET", "/v1/repositories/joey/app/tags", headers=headers)
        self.assertEqual(502, answer[0])
        self.assertIn("retry-after", answer[2])
