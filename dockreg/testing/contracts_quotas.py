"""What every metadata store promises of quotas, as tests."""

from attrs import astuple
from zope.interface.verify import verifyObject

from dockreg.errors import BlobUnknown, NameUnknown, UploadUnknown
from dockreg.errors_quotas import QuotaExceeded
from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_quotas import IQuotaStore
from dockreg.model.blobs import Received
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.quotas import Usage
from dockreg.model.repositories import Sparse
from dockreg.model.v1 import LayerFacts
from dockreg.testing.contracts_manifests import made
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import push, some_id, some_manifest
from dockreg.testing.contracts_v2 import some_session

APP, TOOL, OTHER, PLAIN = (RepositoryName(name) for name in ("team/app", "team/tool", "other/app", "busybox"))
LAYER, CONFIG = Digest.sha256(b"layer"), Digest.sha256(b"config")


class _QuotaContract(MetadataContract):
    async def counting(self, quota: int = 1000) -> IMetadataStore:
        """A store that counts, with a quota for ``team``."""
        metadata = await self.opened()
        await metadata.quotas.set_quota("team", quota)
        return metadata

    async def link(self, metadata: IMetadataStore, name: RepositoryName = APP, content: bytes = b"layer") -> None:
        """A blob becomes part of a repository."""
        await metadata.blobs.record_in(name, some_blob(content), None, None, 1.0, 100.0)

    async def used(self, metadata: IMetadataStore, namespace: str = "team") -> tuple[int, int]:
        """What a namespace takes up, and has reserved; it is what a new count says, too."""
        usage = await metadata.quotas.usage(namespace)
        wrong = [each for each in await metadata.quotas.recount(None) if not each.is_right]
        self.assertEqual([], wrong)
        return usage.used, usage.reserved


class QuotaStoreContract(_QuotaContract):
    """What every IQuotaStore promises of what is used."""

    def test_interface(self) -> None:
        """It has all that IQuotaStore declares."""
        verifyObject(IQuotaStore, self.make_metadata_store().quotas)

    async def test_off(self) -> None:
        """Without a quota nothing is counted; the first one counts what is there."""
        metadata = await self.opened()
        quotas = metadata.quotas
        await self.link(metadata)
        await self.link(metadata, PLAIN)
        self.assertEqual(
            (False, False, []), (await quotas.is_counting(), await quotas.settle(), [*await quotas.list_usage()])
        )
        self.assertEqual(Usage("team", 0, 0, None, 0), await quotas.usage("team"))
        self.assertEqual([], list(await quotas.recount(None)))
        self.assertEqual(Usage("team", 5, 0, 7, 7), await quotas.set_quota("team", 7))
        expected = [Usage("library", 5, 0, None, 0), Usage("team", 5, 0, 7, 7)]
        self.assertEqual((True, expected), (await quotas.is_counting(), list(await quotas.list_usage())))
        await quotas.set_quota("team", None)
        self.assertEqual((True, False), (await quotas.is_counting(), await quotas.settle()))
        self.assertEqual([], list(await quotas.list_usage()))
        await quotas.set_quota("team", 0)
        self.assertFalse(await quotas.is_counting())

    async def test_once(self) -> None:
        """A blob counts once for all repositories of a namespace, until the last of them lets go of it."""
        metadata = await self.counting()
        for name in (APP, APP, TOOL, OTHER):
            await self.link(metadata, name)
        self.assertEqual([(5, 0), (5, 0)], [await self.used(metadata, each) for each in ("team", "other")])
        await self.link(metadata, TOOL, b"config")
        self.assertEqual((11, 0), await self.used(metadata))
        await metadata.blobs.unlink(APP, LAYER)
        self.assertEqual((11, 0), await self.used(metadata))
        await metadata.blobs.unlink(TOOL, LAYER)
        self.assertEqual((6, 0), await self.used(metadata))
        await self.raises(BlobUnknown, metadata.blobs.unlink(TOOL, LAYER))
        self.assertEqual((6, 0), await self.used(metadata))

    async def test_refused(self) -> None:
        """What would be too much is refused, and nothing is changed; what is there already costs nothing."""
        metadata = await self.counting(11)
        await self.link(metadata)
        await self.link(metadata, APP, b"config")
        error = await self.raises(QuotaExceeded, self.link(metadata, TOOL, b"x"))
        self.assertEqual(("team", 11, 11, 0, 1), astuple(error))
        await self.raises(NameUnknown, metadata.repositories.get(TOOL))
        self.assertIsNone(await metadata.blobs.find(Digest.sha256(b"x")))
        self.assertEqual((11, 0, 1), (*await self.used(metadata), metadata.quotas.refused))
        await self.link(metadata, TOOL)
        await metadata.blobs.mount(TOOL, APP, CONFIG, None, 1.0, 2.0)
        await self.link(metadata, OTHER, b"x")
        await self.raises(QuotaExceeded, metadata.blobs.mount(TOOL, OTHER, Digest.sha256(b"x"), None, 1.0, 2.0))
        self.assertEqual((11, 0), await self.used(metadata))

    async def test_lowered(self) -> None:
        """What is there stays when the quota is lowered below it, and more is refused; with 0 there is no limit."""
        metadata = await self.counting()
        await self.link(metadata)
        await metadata.quotas.set_quota("team", 3)
        self.assertEqual((5, 0), await self.used(metadata))
        await self.link(metadata, TOOL)
        await self.raises(QuotaExceeded, self.link(metadata, APP, b"x"))
        await metadata.quotas.set_quota("team", 0)
        await self.link(metadata, APP, b"x")
        self.assertEqual((6, 0), await self.used(metadata))

    async def test_repositories(self) -> None:
        """What a repository loses when it is deleted, or comes back as somebody else's, is no longer used."""
        metadata = await self.counting()
        repositories = metadata.repositories
        await repositories.create(APP, "alice", 1.0)
        await push(metadata, some_id(1), repositories=[APP])
        await self.link(metadata, APP, b"config")
        self.assertEqual((11, 0), await self.used(metadata))
        await repositories.delete(APP, 2.0)
        self.assertEqual((5, 0), await self.used(metadata))
        await repositories.create(APP, "berta", 3.0)
        self.assertEqual((0, 0), await self.used(metadata))

    async def test_v1(self) -> None:
        """Layers of v1 images count for each namespace that the image is completed in."""
        metadata = await self.counting()
        for name in (APP, OTHER):
            await metadata.repositories.create(name, None, 1.0)
        await push(metadata, some_id(1), repositories=[APP, OTHER])
        self.assertEqual([(5, 0), (5, 0)], [await self.used(metadata, each) for each in ("team", "other")])
        await metadata.quotas.set_quota("team", 6)
        await self.raises(QuotaExceeded, push(metadata, some_id(2), repositories=[APP], content=b"second"))
        self.assertIsNone(await metadata.images.find_in(APP, some_id(2)))
        self.assertEqual((5, 0), await self.used(metadata))

    async def test_readers(self) -> None:
        """What is made for a client that pulls counts, and is not refused."""
        metadata = await self.counting()
        for content in (b"layer", b"config"):
            await self.link(metadata, APP, content)
        await metadata.blobs.learn(LAYER, LayerFacts("zstd", Digest.sha256(b"tar"), 3, 1))
        manifest = some_manifest([LAYER])
        await metadata.manifests.put(APP, manifest, [], None, 1.0, Sparse.NONE, overwrite=True)
        await metadata.quotas.set_quota("team", 11)
        unpacked = Descriptor("", Digest.sha256(b"tar"), 3)
        await metadata.images.add_images(APP, manifest.digest, [made(1, LAYER, unpacked)], None, 2.0)
        self.assertEqual((14, 0), await self.used(metadata))


class ReservationContract(_QuotaContract):
    """What every IUploadStore promises of what is reserved."""

    async def test_life(self) -> None:
        """What is reserved counts, as far as it was received once the request is over, and is used in the end."""
        metadata = await self.counting(100)
        uploads = metadata.uploads
        await uploads.start(some_session("one", APP), 100.0, 0)
        self.assertEqual(20, await uploads.reserve("one", 5, 20))
        self.assertEqual((0, 20), await self.used(metadata))
        self.assertEqual(20, await uploads.reserve("one", 5, 50))
        await uploads.record("one", Received(7, None), 2.0, 100.0, reserves=True)
        self.assertEqual((0, 7), await self.used(metadata))
        await uploads.record("one", Received(5, None), 2.0, 100.0)
        self.assertEqual((0, 7), await self.used(metadata))
        await metadata.blobs.record_in(APP, some_blob(), None, None, 1.0, 100.0, upload_id="one")
        self.assertEqual((5, 0), await self.used(metadata))
        await self.raises(UploadUnknown, uploads.reserve("one", 5, 20))

    async def test_ends(self) -> None:
        """What is reserved is free again when a session is ended or expires."""
        metadata = await self.counting(100)
        uploads = metadata.uploads
        for name in "abc":
            await uploads.start(some_session(name, APP), 10.0, 30)
        self.assertEqual((0, 90), await self.used(metadata))
        await uploads.end("a")
        self.assertEqual((0, 60), await self.used(metadata))
        await uploads.expire(20.0, 10)
        self.assertEqual((0, 0), await self.used(metadata))

    async def test_refused(self) -> None:
        """There is no room beyond the quota, whoever has reserved it; as much is given as there is."""
        metadata = await self.counting(100)
        uploads = metadata.uploads
        await self.link(metadata)
        for name in "ab":
            await uploads.start(some_session(name, APP), 10.0, 0)
        self.assertEqual([60, 35], [await uploads.reserve("a", 60, 60), await uploads.reserve("b", 10, 60)])
        error = await self.raises(QuotaExceeded, uploads.reserve("b", 36, 60))
        self.assertEqual(("team", 100, 5, 95, 1), astuple(error))
        await self.raises(QuotaExceeded, uploads.start(some_session("c", APP), 10.0, 0))
        self.assertFalse(await uploads.is_known("c"))
        await uploads.start(some_session("c", APP), 10.0)
        await self.raises(QuotaExceeded, self.link(metadata, APP, b"x"))
        await uploads.start(some_session("d", OTHER), 10.0, 500)
        self.assertEqual((5, 95), await self.used(metadata))

    async def test_known(self) -> None:
        """A blob that the namespace has already needs no room; one that somebody else has needs all of it."""
        metadata = await self.counting(6)
        await self.link(metadata)
        await self.link(metadata, OTHER, b"config")
        await metadata.uploads.start(some_session("a", TOOL), 10.0)
        self.assertEqual(50, await metadata.uploads.reserve("a", 5, 50, LAYER))
        await self.raises(QuotaExceeded, metadata.uploads.reserve("a", 6, 6, CONFIG))
        self.assertEqual((5, 0), await self.used(metadata))

    async def test_lowered(self) -> None:
        """An upload that has its room can end, also when the quota was lowered meanwhile."""
        metadata = await self.counting(100)
        await metadata.uploads.start(some_session("a", APP), 10.0, 5)
        await metadata.quotas.set_quota("team", 1)
        await metadata.blobs.record_in(APP, some_blob(), None, None, 1.0, 100.0, upload_id="a")
        self.assertEqual((5, 0), await self.used(metadata))

    async def test_off(self) -> None:
        """When the last quota is gone nothing stays reserved."""
        metadata = await self.counting(100)
        await metadata.uploads.start(some_session("a", APP), 10.0, 5)
        await metadata.quotas.set_quota("team", None)
        await metadata.quotas.settle()
        await metadata.uploads.end("a")
        self.assertEqual((0, 0), await self.used(metadata))
