"""What every metadata store promises of upload sessions and of the blobs of repositories, as tests."""

from zope.interface.verify import verifyObject

from dockreg.errors import BlobInUse, BlobUnknown, UploadUnknown
from dockreg.interfaces import IBlobIndex
from dockreg.interfaces_uploads import IUploadStore
from dockreg.model.blobs import NOTHING_RECEIVED, Received
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import Sparse
from dockreg.model.uploads import UploadSession
from dockreg.model.v1 import LayerFacts
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, OTHER, push, some_id, some_manifest

MISSING = Digest.sha256(b"missing")


def some_session(upload_id: str = "one", name: RepositoryName = BUSYBOX) -> UploadSession:
    """A session that has just begun."""
    return UploadSession(upload_id, name, "alice", "sha256", NOTHING_RECEIVED, 1.0)


class UploadStoreContract(MetadataContract):
    """What every IUploadStore promises."""

    def test_interface(self) -> None:
        """It has all that IUploadStore declares."""
        verifyObject(IUploadStore, self.make_metadata_store().uploads)

    async def test_life(self) -> None:
        """A session is found by its repository and id, remembers what was received, and is gone once it has ended."""
        uploads = (await self.opened()).uploads
        await uploads.start(some_session(), 100.0)
        self.assertEqual(some_session(), await uploads.get(BUSYBOX, "one"))
        received = Received(5, Digest.sha256(b"layer"))
        await uploads.record("one", received, 2.0, 200.0)
        self.assertEqual(received, (await uploads.get(BUSYBOX, "one")).received)
        self.assertTrue(await uploads.is_known("one"))
        await uploads.end("one")
        self.assertFalse(await uploads.is_known("one"))

    async def test_unknown(self) -> None:
        """A session that is not there, or is another repository's, is unknown."""
        uploads = (await self.opened()).uploads
        await uploads.start(some_session(), 100.0)
        for promise in (
            uploads.get(OTHER, "one"),
            uploads.get(BUSYBOX, "two"),
            uploads.record("two", NOTHING_RECEIVED, 1.0, 2.0),
            uploads.end("two"),
        ):
            await self.raises(UploadUnknown, promise)

    async def test_expire(self) -> None:
        """Sessions whose lease is over are forgotten, oldest first; a write renews the lease."""
        uploads = (await self.opened()).uploads
        for upload_id, until in (("b", 20.0), ("a", 10.0), ("c", 15.0), ("d", 99.0)):
            await uploads.start(some_session(upload_id), until)
        await uploads.record("c", NOTHING_RECEIVED, 9.0, 50.0)
        self.assertEqual(["a"], list(await uploads.expire(30.0, 1)))
        self.assertEqual(["b"], list(await uploads.expire(30.0, 10)))
        self.assertEqual([], list(await uploads.expire(30.0, 10)))
        known = [await uploads.is_known(upload_id) for upload_id in "abcd"]
        self.assertEqual([False, False, True, True], known)

    async def test_end_with_blob(self) -> None:
        """The transaction that records a blob ends its session, and makes the repository."""
        metadata = await self.opened()
        await metadata.uploads.start(some_session(), 100.0)
        await metadata.blobs.record_in(BUSYBOX, some_blob(), None, "alice", 1.0, 100.0, upload_id="one")
        self.assertFalse(await metadata.uploads.is_known("one"))
        self.assertEqual("alice", (await metadata.repositories.get(BUSYBOX)).owner)


class RepositoryBlobsContract(MetadataContract):
    """What every IBlobIndex promises of the blobs of repositories."""

    def test_interface(self) -> None:
        """It has all that IBlobIndex declares."""
        verifyObject(IBlobIndex, self.make_metadata_store().blobs)

    async def test_find_in(self) -> None:
        """A blob is found where it was pushed to, and nowhere else, also when it is known by digest."""
        blobs = (await self.opened()).blobs
        blob = some_blob()
        self.assertIsNone(await blobs.find_in(BUSYBOX, blob.digest))
        await blobs.record_in(BUSYBOX, blob, None, None, 1.0, 100.0)
        self.assertEqual(blob, await blobs.find_in(BUSYBOX, blob.digest))
        self.assertIsNone(await blobs.find_in(OTHER, blob.digest))

    async def test_record_again(self) -> None:
        """The same bytes pushed to another repository are the object that is there already."""
        blobs = (await self.opened()).blobs
        first = await blobs.record_in(BUSYBOX, some_blob(), None, None, 1.0, 100.0)
        again = await blobs.record_in(OTHER, some_blob(generation="second"), None, None, 1.0, 100.0)
        self.assertEqual((first, first), (again, await blobs.find_in(OTHER, first.digest)))

    async def test_mount(self) -> None:
        """A blob of another repository becomes part of this one; what the source does not have does not."""
        blobs = (await self.opened()).blobs
        blob = await blobs.record_in(BUSYBOX, some_blob(), None, None, 1.0, 100.0)
        self.assertIsNone(await blobs.mount(OTHER, BUSYBOX, MISSING, None, 1.0, 100.0))
        self.assertIsNone(await blobs.mount(BUSYBOX, OTHER, blob.digest, None, 1.0, 100.0))
        for _ in range(2):
            self.assertEqual(blob, await blobs.mount(OTHER, BUSYBOX, blob.digest, None, 1.0, 100.0))
        self.assertEqual(blob, await blobs.find_in(OTHER, blob.digest))
        self.assertEqual([BUSYBOX, OTHER], list(await blobs.holders(blob.digest, 10)))
        self.assertEqual([BUSYBOX], list(await blobs.holders(blob.digest, 1)))

    async def test_unlink(self) -> None:
        """A blob that nothing refers to leaves its repository, and stays in others."""
        blobs = (await self.opened()).blobs
        for name in (BUSYBOX, OTHER):
            await blobs.record_in(name, some_blob(), None, None, 1.0, 100.0)
        await blobs.unlink(BUSYBOX, some_blob().digest)
        self.assertIsNone(await blobs.find_in(BUSYBOX, some_blob().digest))
        self.assertIsNotNone(await blobs.find_in(OTHER, some_blob().digest))
        await self.raises(BlobUnknown, blobs.unlink(BUSYBOX, some_blob().digest))
        await self.raises(BlobUnknown, blobs.unlink(RepositoryName("none"), some_blob().digest))

    async def test_unlink_used(self) -> None:
        """What a manifest or a v1 image of the repository refers to is not unlinked, until that is deleted."""
        metadata = await self.opened()
        manifest = some_manifest([some_blob().digest])
        for content in (b"layer", b"config"):
            await metadata.blobs.record_in(BUSYBOX, some_blob(content), None, None, 1.0, 100.0)
        await metadata.manifests.put(BUSYBOX, manifest, (), None, 1.0, Sparse.NONE, overwrite=True)
        error = await self.raises(BlobInUse, metadata.blobs.unlink(BUSYBOX, some_blob().digest))
        self.assertIn(str(manifest.digest), str(error))
        await metadata.manifests.delete(BUSYBOX, manifest.digest)
        await metadata.blobs.unlink(BUSYBOX, some_blob().digest)
        await metadata.repositories.create(OTHER, None, 1.0)
        image = await push(metadata, some_id(1), repositories=[OTHER])
        await self.raises(BlobInUse, metadata.blobs.unlink(OTHER, image.layer.digest))

    async def test_facts(self) -> None:
        """What is learned of a layer later is kept."""
        blobs = (await self.opened()).blobs
        blob = await blobs.record_in(BUSYBOX, some_blob(), None, None, 1.0, 100.0)
        self.assertIsNone(await blobs.facts(blob.digest))
        facts = LayerFacts("zstd", Digest.sha256(b"tar"), 10_000, 3)
        await blobs.learn(blob.digest, facts)
        self.assertEqual(facts, await blobs.facts(blob.digest))
        await blobs.learn(MISSING, facts)
        self.assertIsNone(await blobs.facts(MISSING))
