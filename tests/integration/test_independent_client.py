"""A v1 client that somebody else wrote (docker-registry-client on PyPI) against the registry."""

from collections.abc import Callable
from typing import Any

from docker_registry_client import DockerRegistryClient
from docker_registry_client.Image import Image
from requests import HTTPError
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from dockreg.testing.client import Engine
from dockreg.testing.engines import ENGINE_1_9_1
from dockreg.testing.samples import V1Image, layered_image, sample_id
from tests.integration.daemon import RunningRegistry, start_registry
from tests.integration.engine_support import CLOSED, JOEY


class IndependentClientTests(TestCase):
    """What the client offers for v1. It cannot push an image, so an engine does."""

    timeout = 60
    registry: RunningRegistry

    async def _start(self, settings: str = "") -> list[V1Image]:
        from twisted.internet import reactor

        self.registry = await start_registry(self, settings=settings, only_v1=True)
        images = list(layered_image())
        engine = Engine(ENGINE_1_9_1, self.registry.host, reactor, self.registry.tls)
        await engine.login(JOEY)
        await engine.push("joey/layered", images, {"base": images[1].id, "v1": images[2].id})
        await engine.push("single", images[:1], {"latest": images[0].id})
        return images

    async def _with_client(self, work: Callable[[DockerRegistryClient], Any], **arguments: Any) -> Any:
        """Do ``work`` with a new client, in a thread, for it blocks."""
        url = self.registry.url
        return await deferToThread(lambda: work(DockerRegistryClient(url, api_version=1, api_timeout=20, **arguments)))

    async def _fails(self, work: Callable[[DockerRegistryClient], Any], **arguments: Any) -> int:
        error = await self.assertFailure(deferToThread(lambda: self._blocking(work, arguments)), HTTPError)
        status = error.response.status_code
        assert isinstance(status, int)
        return status

    def _blocking(self, work: Callable[[DockerRegistryClient], Any], arguments: dict[str, Any]) -> Any:
        return work(DockerRegistryClient(self.registry.url, api_version=1, api_timeout=20, **arguments))

    async def test_ping(self) -> None:
        """The ping is a JSON document and succeeds."""
        await self._start()
        await self._with_client(lambda client: client._base_client.check_status())

    async def test_repositories(self) -> None:
        """The catalogue is made of an empty search, with a namespace in each name."""
        await self._start()
        names = await self._with_client(lambda client: sorted(client.repositories()))
        self.assertEqual(["joey/layered", "library/single"], names)
        namespaces = await self._with_client(lambda client: sorted(client.namespaces()))
        self.assertEqual(["joey", "library"], namespaces)

    async def test_search(self) -> None:
        """A search with a term finds the repositories that have it in their name."""
        await self._start()
        found = await self._with_client(lambda client: client._base_client.search("layer"))
        self.assertEqual(1, found["num_results"])
        self.assertEqual("joey/layered", found["results"][0]["name"])

    async def test_tags(self) -> None:
        """Tags and their images are listed, with and without a namespace."""
        images = await self._start()
        tags = await self._with_client(lambda client: sorted(client.repository("joey/layered").tags()))
        self.assertEqual(["base", "v1"], tags)
        image_id = await self._with_client(lambda client: client.repository("single").image("latest").image_id)
        self.assertEqual(images[0].id, image_id)
        image_id = await self._with_client(lambda client: client._base_client.get_image_id("joey", "layered", "base"))
        self.assertEqual(images[1].id, image_id)

    async def test_tag_data(self) -> None:
        """The properties of a tag tell of the client that set it."""
        await self._start()
        data = await self._with_client(lambda client: client.repository("joey/layered").data("v1"))
        self.assertEqual(("1.9.1", "linux", "amd64"), (data["docker_version"], data["os"], data["arch"]))

    async def test_set_tag(self) -> None:
        """A new tag is set, moved, and deleted."""
        images = await self._start()

        def work(client: DockerRegistryClient) -> list[str]:
            repository = client.repository("joey/layered")
            seen = []
            for image in images[:2]:
                repository.tag("new", image.id)
                repository.refresh()
                seen.append(repository.image("new").image_id)
            repository.untag("new")
            repository.refresh()
            return [*seen, *sorted(repository.tags())]

        self.assertEqual([images[0].id, images[1].id, "base", "v1"], await self._with_client(work))
        self.assertEqual(404, await self._fails(lambda client: client.repository("joey/layered").untag("new")))

    async def test_tag_to_nothing(self) -> None:
        """A tag cannot be set to an image that is not there."""
        await self._start()
        nothing = sample_id("nothing")
        self.assertEqual(404, await self._fails(lambda client: client.repository("joey/layered").tag("new", nothing)))

    async def test_image(self) -> None:
        """Json and ancestry of an image are those that were pushed."""
        images = await self._start()

        def work(client: DockerRegistryClient) -> tuple[Any, Any]:
            image = client.repository("joey/layered").image("v1")
            return image.get_json(), image.ancestry()

        document, ancestry = await self._with_client(work)
        self.assertEqual((images[2].id, images[1].id), (document["id"], document["parent"]))
        self.assertEqual([image.id for image in reversed(images)], ancestry)

    async def test_unknown_image(self) -> None:
        """What is asked of an image that is not there gets 404."""
        await self._start()
        nothing = sample_id("nothing")
        self.assertEqual(404, await self._fails(lambda client: Image(nothing, client._base_client).get_json()))
        self.assertEqual(404, await self._fails(lambda client: Image(nothing, client._base_client).ancestry()))

    async def test_delete_repository(self) -> None:
        """A repository that was deleted is gone from tags and search."""
        await self._start()
        await self._with_client(lambda client: client._base_client.delete_repository("joey", "layered"))
        self.assertEqual(404, await self._fails(lambda client: client.repository("joey/layered").tags()))
        self.assertEqual(["library/single"], await self._with_client(lambda client: sorted(client.repositories())))

    async def test_login(self) -> None:
        """Where an account is needed, its name and password open all this, and nothing else does."""
        images = await self._start(CLOSED)
        self.assertEqual(401, await self._fails(lambda client: client.repository("joey/layered").tags()))
        wrong = {"username": JOEY.username, "password": "mistaken"}
        self.assertEqual(401, await self._fails(lambda client: client.repository("joey/layered").tags(), **wrong))

        def work(client: DockerRegistryClient) -> Any:
            client.repository("joey/layered").tag("new", images[0].id)
            return client.repository("joey/layered").image("new").get_json()["id"]

        right = {"username": JOEY.username, "password": JOEY.password}
        self.assertEqual(images[0].id, await self._with_client(work, **right))
