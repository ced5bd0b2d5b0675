"""Scenarios: push."""

from twisted.internet.defer import DeferredList, ensureDeferred

from dockreg.testing.pushing import Cut
from dockreg.testing.samples import layered_image, make_image, odd_layers
from dockreg.testing.wire import UploadCut
from tests.integration.engine_support import CLOSED, JOEY, EngineScenarios


class Pushes(EngineScenarios):
    """``docker push``."""

    async def test_fresh(self) -> None:
        """A push of new images uploads each once, base first, and what is pulled afterwards has the same bytes."""
        await self.start()
        images = layered_image()
        engine = self.engine()
        await engine.push("team/layered", images, {"base": images[1].id, "v1": images[2].id})
        self.assertEqual([f"/v1/images/{image.id}/layer" for image in images], engine.requests("PUT", "/layer"))
        pulled = await self.engine().pull("team/layered", "v1")
        self.assert_same(list(images), pulled)

    async def test_order_of_requests(self) -> None:
        """A push is what this engine's row of the protocol table says, answered so that it comes to its end."""
        await self.start()
        base, _, _ = images = layered_image()
        engine = self.engine()
        await engine.push("team/layered", images[:2], {"v1": images[1].id})
        sent = [str(sent) for sent in engine.sent if sent.status]
        first = sent.index("PUT /v1/repositories/team/layered/ 200")
        json, layer, checksum = (f"PUT /v1/images/{base.id}/{part} 200" for part in ("json", "layer", "checksum"))
        places = [sent.index(each) for each in (json, layer, checksum)]
        self.assertEqual(sorted(places), places)
        self.assertLess(first, places[0])
        self.assertEqual("PUT /v1/repositories/team/layered/images 204", sent[-1])
        tags = [each for each in sent if "/tags/" in each]
        self.assertEqual(2 if self.profile.tags_every_image else 1, len(tags))

    async def test_again(self) -> None:
        """A second push finds everything there and uploads nothing."""
        await self.start()
        images = layered_image()
        await self.engine().push("team/layered", images, {"v1": images[2].id})
        engine = self.engine()
        printed = await engine.push("team/layered", images, {"v1": images[2].id})
        self.assertEqual([], [path for path in engine.requests("PUT") if "/v1/images/" in path])
        for image in images:
            self.assertIn(f"Image {image.id[:12]} already pushed, skipping", printed)

    async def test_child_of_what_is_there(self) -> None:
        """A push of images of another repository comes to its end, whether it has to upload them again or not."""
        await self.start()
        images = layered_image()
        await self.engine().push("team/layered", images[:2], {"v1": images[1].id})
        await self.engine().push("team/other", images, {"v1": images[2].id})
        self.assert_same(list(images), await self.engine().pull("team/other", "v1"))
        self.assert_same(list(images[:2]), await self.engine().pull("team/layered", "v1"))

    async def test_interrupted(self) -> None:
        """A push that broke off shows nothing, and a retry completes it."""
        await self.start()
        for cut in Cut:
            images = layered_image(cut.value)
            repository = f"team/{cut.name.lower()}"
            tags = {"v1": images[2].id}
            await self.assertFailure(ensureDeferred(self.engine().push(repository, images, tags, cut)), UploadCut)
            for part in ("json", "layer", "ancestry"):
                self.assert_flat_error(await self.ask("GET", f"/v1/images/{images[0].id}/{part}"), 400, 404)
            engine = self.engine()
            await engine.push(repository, images, tags)
            self.assertIn(f"/v1/images/{images[0].id}/layer", engine.requests("PUT", "/layer"))
            self.assert_same(list(images), await self.engine().pull(repository, "v1"))

    async def test_parallel(self) -> None:
        """Two pushes of the same new images at once both succeed, into one repository and into two."""
        await self.start()
        for seed, repositories in (("one", ("team/one", "team/one")), ("two", ("team/two", "team/three"))):
            images = layered_image(seed)
            tags = {"v1": images[2].id}
            pushes = [ensureDeferred(self.engine().push(repository, images, tags)) for repository in repositories]
            for succeeded, result in await DeferredList(pushes, consumeErrors=True):
                self.assertTrue(succeeded, result)
            for repository in repositories:
                self.assert_same(list(images), await self.engine().pull(repository, "v1"))

    async def test_single_name(self) -> None:
        """A repository without a namespace is the one of that name in ``library``."""
        await self.start()
        images = layered_image()
        await self.engine().push("single", images, {"v1": images[2].id})
        engine = self.engine()
        self.assert_same(list(images), await engine.pull("single", "v1"))
        self.assertIn("/v1/repositories/library/single/tags", " ".join(engine.requests("GET")))
        self.assert_same(list(images), await self.engine().pull("library/single", "v1"))

    async def test_three_components(self) -> None:
        """A name of three components is a repository of its own (engines from 1.8)."""
        await self.start()
        images = layered_image()
        await self.engine().push("team/part/thing", images, {"v1": images[2].id})
        self.assert_same(list(images), await self.engine().pull("team/part/thing", "v1"))
        self.assertEqual(404, (await self.fails(self.engine().pull("team/part", "v1"))).status)

    async def test_moving_tag(self) -> None:
        """A tag moves up to the top image and down again."""
        await self.start()
        images = layered_image()
        for top in (0, 2, 1):
            await self.engine().push("team/layered", images[: top + 1], {"v1": images[top].id})
            pulled = await self.engine().pull("team/layered", "v1")
            self.assertEqual({"v1": images[top].id}, pulled.tags)

    async def test_odd_layers(self) -> None:
        """Layers that are empty, lack their trailer, or hold uncommon headers are accepted and come back unchanged."""
        await self.start()
        images = [make_image(name, None, layer) for name, layer in odd_layers().items()]
        tags = {f"odd{number}": image.id for number, image in enumerate(images)}
        await self.engine().push("team/odd", images, tags)
        self.assert_same(images, await self.engine().pull("team/odd"))

    async def test_image_by_id(self) -> None:
        """An image that is pushed by its id alone is accepted once, without any announcement (up to 1.5)."""
        await self.start()
        if not self.profile.sends_empty_credentials:
            return
        image = make_image("by id")
        engine = self.engine()
        await engine.push_image(image)
        parts = [f"/v1/images/{image.id}/{part}" for part in ("json", "layer", "checksum")]
        self.assertEqual(parts, engine.requests("PUT"))

    async def test_without_cookies(self) -> None:
        """An engine that returns no cookies can push and pull like others."""
        self.keeps_cookies = False
        await self.start()
        await self.engine().login(JOEY)
        for account, repository in ((None, "team/one"), (JOEY, "joey/one")):
            images = layered_image(repository)
            await self.engine(account).push(repository, images, {"v1": images[2].id})
            self.assert_same(list(images), await self.engine(account).pull(repository, "v1"))

    async def test_needs_login(self) -> None:
        """Where anonymous users may do nothing, a push asks for a login, and succeeds after it."""
        await self.start(CLOSED)
        images = layered_image()
        tags = {"v1": images[2].id}
        self.assertEqual(401, (await self.fails(self.engine().push("joey/thing", images, tags))).status)
        engine = self.engine()
        await engine.login(JOEY)
        await engine.push("joey/thing", images, tags)
        self.assert_same(list(images), await self.engine(JOEY).pull("joey/thing", "v1"))
        self.assertEqual(401, (await self.fails(self.engine().pull("joey/thing", "v1"))).status)

    async def test_after_deletion(self) -> None:
        """After its tag or the whole repository was deleted, a push restores it from the images that are still there."""
        await self.start()
        images = layered_image()
        tags = {"v1": images[2].id}
        await self.engine().push("team/layered", images, tags)
        for path in ("/v1/repositories/team/layered/tags/v1", "/v1/repositories/team/layered/"):
            self.assertEqual(200, (await self.ask("DELETE", path)).status)
            self.assertEqual(404, (await self.fails(self.engine().pull("team/layered", "v1"))).status)
            engine = self.engine()
            await engine.push("team/layered", images, tags)
            self.assertEqual([], engine.requests("PUT", "/layer"), path)
            self.assert_same(list(images), await self.engine().pull("team/layered", "v1"))
