"""Scenarios: pull, and the credentials that go with it."""

import json
from contextlib import suppress

from dockreg.testing.pushing import Cut
from dockreg.testing.samples import V1Image, layered_image
from dockreg.testing.wire import UploadCut
from tests.integration.engine_support import CLOSED, JOEY, EngineScenarios

_INDEX = {"X-Docker-Token": "true", "Content-Type": "application/json"}


class Pulls(EngineScenarios):
    """``docker pull``."""

    async def _push(self, settings: str = "") -> list[V1Image]:
        await self.start(settings)
        images = layered_image()
        engine = self.engine()
        if settings:
            await engine.login(JOEY)
        await engine.push("joey/layered", images, {"base": images[1].id, "v1": images[2].id})
        return list(images)

    async def test_one_tag(self) -> None:
        """A pull of one tag brings its chain, base first."""
        images = await self._push()
        pulled = await self.engine().pull("joey/layered", "base")
        self.assertEqual({"base": images[1].id}, pulled.tags)
        self.assertEqual((images[0].id, images[1].id), pulled.fetched)
        self.assert_same(images[:2], pulled)

    async def test_all_tags(self) -> None:
        """A pull of all tags brings each image once."""
        images = await self._push()
        pulled = await self.engine().pull("joey/layered")
        self.assertEqual({"base": images[1].id, "v1": images[2].id}, pulled.tags)
        self.assertEqual(3, len(pulled.fetched))
        self.assert_same(images, pulled)

    async def test_newer_image(self) -> None:
        """A pull fetches only what the engine does not have."""
        images = await self._push()
        have = await self.engine().pull("joey/layered", "base")
        pulled = await self.engine().pull("joey/layered", "v1", have.images)
        self.assertEqual((images[2].id,), pulled.fetched)

    async def test_unknown_tag(self) -> None:
        """A tag that is not there is told from a repository that is not there."""
        await self._push()
        failed = await self.fails(self.engine().pull("joey/layered", "nosuch"))
        self.assertEqual("Tag nosuch not found in repository joey/layered", str(failed))

    async def test_unknown_repository(self) -> None:
        """A pull of a repository that is not there fails with what the engine prints for a 404."""
        await self._push()
        failed = await self.fails(self.engine().pull("joey/nosuch", "v1"))
        self.assertEqual(self.profile.says_not_found.format(name="joey/nosuch", tag="v1"), str(failed))

    async def test_credentials(self) -> None:
        """A pull succeeds with what this engine sends: nothing, an empty login, Basic, or the token it was given."""
        images = await self._push()
        await self.engine().login(JOEY)
        for account in (None, JOEY):
            engine = self.engine(account)
            self.assert_same(images, await engine.pull("joey/layered", "v1"))
            kinds = {sent.authorization for sent in engine.sent if "/v1/images/" in sent.path}
            basic = self.tls and self.profile.basic_when_standalone
            self.assertEqual({"Basic" if basic else "Token"}, kinds)

    async def test_login_needed(self) -> None:
        """Where reading needs an account, an anonymous pull is asked to log in, and a login is good for each call."""
        images = await self._push(CLOSED)
        self.assertEqual(401, (await self.fails(self.engine().pull("joey/layered", "v1"))).status)
        self.assert_same(images, await self.engine(JOEY).pull("joey/layered", "v1"))

    async def test_resume(self) -> None:
        """A layer that broke off is continued where it stopped, also when it stopped right at its end."""
        images = await self._push()
        size = len(self.sent_layer(images[0]))
        for broken_at in (1, size // 2, size - 1, size):
            engine = self.engine()
            if not self.profile.resumes:
                failed = await self.fails(engine.pull("joey/layered", "base", break_after=broken_at))
                self.assertIn("unexpected EOF", str(failed))
                continue
            self.assert_same(images[:2], await engine.pull("joey/layered", "base", break_after=broken_at))
            resumed = [sent for sent in engine.sent if dict(sent.headers).get("Range") == f"bytes={broken_at}-{size}"]
            self.assertEqual([206 if broken_at < size else 416], [sent.status for sent in resumed])

    async def test_head(self) -> None:
        """HEAD on a layer tells its size and that ranges work, without a body."""
        images = await self._push()
        answer = await self.ask("HEAD", f"/v1/images/{images[0].id}/layer")
        self.assertEqual((200, b""), (answer.status, answer.body))
        self.assertEqual("bytes", answer.header("Accept-Ranges"))
        self.assertEqual(str(len(self.sent_layer(images[0]))), answer.header("Content-Length"))
        engine = self.engine()
        await engine.pull("joey/layered", "base")
        self.assertEqual(2 if self.profile.heads_layers else 0, len(engine.requests("HEAD")))

    async def test_empty_list(self) -> None:
        """A repository for which an empty list was announced is there and has neither images nor tags."""
        await self.start()
        await self.engine().push("joey/empty", [], {})
        pulled = await self.engine().pull("joey/empty")
        self.assertEqual({}, pulled.tags)

    async def test_image_in_progress(self) -> None:
        """An image whose push has not come to its checksum is not shown, cannot be tagged, and is nobody's parent."""
        await self.start()
        images = layered_image()
        for cut in (Cut.AFTER_JSON, Cut.BEFORE_CHECKSUM):
            with suppress(UploadCut):
                await self.engine().push("joey/thing", images[:1], {"v1": images[0].id}, cut)
            for part in ("json", "layer", "ancestry", "files"):
                self.assert_flat_error(await self.ask("GET", f"/v1/images/{images[0].id}/{part}"), 400, 404)
            body = json.dumps(images[0].id).encode("ascii")
            tag = "/v1/repositories/joey/thing/tags/v1"
            self.assert_flat_error(await self.ask("PUT", tag, {"Content-Type": "application/json"}, body), 404)
            child = await self.ask("PUT", f"/v1/images/{images[1].id}/json", body=images[1].json)
            self.assert_flat_error(child, 400)


class Tokens(EngineScenarios):
    """Every way in which a token is spelled, and where it is worth nothing."""

    async def _token(self, repository: str) -> str:
        headers = {**_INDEX, "Authorization": JOEY.basic}
        answer = await self.ask("GET", f"/v1/repositories/{repository}/images", headers)
        self.assertEqual(200, answer.status)
        return answer.header("X-Docker-Token") or ""

    async def _push_two(self, settings: str) -> list[V1Image]:
        await self.start(settings)
        images = list(layered_image()) + list(layered_image("other"))
        await self.engine().login(JOEY)
        await self.engine(JOEY).push("joey/one", images[:3], {"v1": images[2].id})
        await self.engine(JOEY).push("joey/two", images[3:], {"v1": images[5].id})
        return images

    async def test_spellings(self) -> None:
        """A token counts with its scheme in any case, doubled, and with blanks around the value."""
        images = await self._push_two(CLOSED)
        token = await self._token("joey/one")
        for spelling in (f"Token {token}", f"token {token}", f"TOKEN {token}", f"Token Token {token}"):
            for path in (f"/v1/images/{images[0].id}/json", "/v1/repositories/joey/one/tags"):
                answer = await self.ask("GET", path, {"Authorization": spelling})
                self.assertEqual(200, answer.status, f"{spelling[:12]} {path}")

    async def test_empty(self) -> None:
        """An empty token and an empty login are nobody: enough to read what all may read, and nothing else."""
        images = await self._push_two("")
        path = f"/v1/images/{images[0].id}/json"
        for spelling in ("Token", "Token ", "Basic Og=="):
            self.assertEqual(200, (await self.ask("GET", path, {"Authorization": spelling})).status, spelling)

    async def test_empty_where_login_is_needed(self) -> None:
        """An empty token and an empty login get 401 where reading needs an account."""
        images = await self._push_two(CLOSED)
        path = f"/v1/images/{images[0].id}/json"
        for spelling in ("Token", "Token ", "Basic Og=="):
            answer = await self.ask("GET", path, {"Authorization": spelling})
            self.assert_flat_error(answer, 401)
            self.assertTrue(answer.header("WWW-Authenticate"))

    async def test_other_repository(self) -> None:
        """A token for one repository opens no other, whoever holds it."""
        images = await self._push_two(CLOSED)
        token = await self._token("joey/one")
        for path in ("/v1/repositories/joey/two/tags", f"/v1/images/{images[3].id}/json"):
            answer = await self.ask("GET", path, {"Authorization": f"Token {token}"})
            self.assert_flat_error(answer, 401, 403, 404)

    async def test_reading_token(self) -> None:
        """A token that was given for reading is no good for writing."""
        images = await self._push_two(CLOSED)
        credentials = {"Authorization": f"Token {await self._token('joey/one')}", "Content-Type": "application/json"}
        body = json.dumps(images[1].id).encode("ascii")
        answer = await self.ask("PUT", "/v1/repositories/joey/one/tags/v2", credentials, body)
        self.assert_flat_error(answer, 401, 403)

    async def test_forged(self) -> None:
        """A token that was changed or made up is refused, also where nobody needs one."""
        images = await self._push_two("")
        token = await self._token("joey/one")
        middle = len(token) // 2
        changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
        for forged in (changed, 'signature=AAAA,repository="joey/one",access=write'):
            path = f"/v1/images/{images[0].id}/json"
            self.assert_flat_error(await self.ask("GET", path, {"Authorization": f"Token {forged}"}), 401)
