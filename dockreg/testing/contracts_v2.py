"""What every metadata store promises of upload sessions and of the blobs of repositories, as tests."""

from zope.interface.verify import verifyObject

from dockreg.errors import BlobInUse, BlobUnknown, UploadUnknown
from dockreg.interfaces import IBlobIndex
from dockreg.interfaces_uploads import IUploadStore
from dockreg.model.blobs import NOTHING_RECEIVED, Received, Recorded
from dockreg.model.collection import Kind, LeaseWanted
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import Sparse
from dockreg.model.uploads import UploadSession
from dockreg.model.v1 import LayerFacts
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, OTHER, push, some_id, some_manifest

FIVE = Received(5, Digest.sha256(b"layer"))
MISSING = Digest.sha256(b"missing")


def some_session(upload_id: str = "one", name: RepositoryName = BUSYBOX) -> UploadSession:
    """A session that has just begun."""
    return UploadSession(upload_id, name, "alice", "sha256", NOTHING_RECEIVED, 1.0)


def proven_id(end: int, number: int = 0) -> str:
    """An id that proves itself, of a session that lasts until ``end``."""
    return f"{end:08x}2{number:036}"


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

    async def test_proven(self) -> None:
        """A session that has no row is what its id proves, gets a row when it has received something, and ends for good."""
        uploads = (await self.opened()).uploads
        for ended_without_a_row in (True, False):
            session = some_session(proven_id(200, ended_without_a_row))
            self.assertEqual(session, await uploads.get(BUSYBOX, session.upload_id, session))
            await self.raises(UploadUnknown, uploads.get(BUSYBOX, session.upload_id))
            self.assertFalse(await uploads.is_known(session.upload_id))
            if not ended_without_a_row:
                await self.raises(UploadUnknown, uploads.record(session.upload_id, FIVE, 1.0, 2.0))
                for until in (100.0, 300.0):
                    await uploads.record(session.upload_id, FIVE, 2.0, until, proven=session)
                self.assertEqual(FIVE, (await uploads.get(BUSYBOX, session.upload_id, session)).received)
                await self.raises(UploadUnknown, uploads.get(OTHER, session.upload_id))
            await uploads.end(session.upload_id)
            await self.check_ended(uploads, session)

    async def check_ended(self, uploads: IUploadStore, session: UploadSession) -> None:
        """Nothing brings it back."""
        for promise in (
            uploads.get(session.repository, session.upload_id, session),
            uploads.record(session.upload_id, FIVE, 1.0, 2.0, proven=session),
            uploads.end(session.upload_id),
        ):
            await self.raises(UploadUnknown, promise)
        self.assertFalse(await uploads.is_known(session.upload_id))

    async def test_recorder(self) -> None:
        """Where somebody blocks what was received is noted as elsewhere."""
        uploads = (await self.opened()).uploads
        session = some_session(proven_id(200))
        with self.assertRaises(UploadUnknown):
            uploads.recorder(session.upload_id, 2.0, 300.0)(FIVE)
        for _ in range(2):
            uploads.recorder(session.upload_id, 2.0, 300.0, proven=session)(FIVE)
        self.assertEqual(FIVE, (await uploads.get(BUSYBOX, session.upload_id)).received)
        await uploads.end(session.upload_id)
        with self.assertRaises(UploadUnknown):
            uploads.recorder(session.upload_id, 2.0, 300.0, proven=session)(FIVE)

    async def test_proven_expires(self) -> None:
        """Without a row a session lasts until sessions of its time are expired; with one, as long as its lease."""
        uploads = (await self.opened()).uploads
        self.assertEqual(0.0, await uploads.begins_after())
        early, late, written = (some_session(proven_id(end)) for end in (99, 101, 98))
        await uploads.record(written.upload_id, FIVE, 2.0, 300.0, proven=written)
        self.assertEqual([], list(await uploads.expire(100.0, 10)))
        self.assertEqual(100.0, await uploads.begins_after())
        await self.check_ended(uploads, early)
        self.assertEqual(late, await uploads.get(BUSYBOX, late.upload_id, late))
        self.assertEqual(FIVE, (await uploads.get(BUSYBOX, written.upload_id, written)).received)
        self.assertEqual([written.upload_id], list(await uploads.expire(301.0, 10)))
        await self.check_ended(uploads, written)

    async def test_proven_ends_by_lease(self) -> None:
        """One whose lease is over has ended, also when its id says that it would last longer."""
        uploads = (await self.opened()).uploads
        session = some_session(proven_id(1000))
        await uploads.record(session.upload_id, FIVE, 2.0, 10.0, proven=session)
        self.assertEqual([session.upload_id], list(await uploads.expire(11.0, 10)))
        await self.check_ended(uploads, session)

    async def test_forgotten(self) -> None:
        """That a session has ended is remembered as long as its id proves something, and an hour; a clock may go back."""
        uploads = (await self.opened()).uploads
        session = some_session(proven_id(50_000))
        await uploads.end(session.upload_id)
        for now in (53_500.0, 49_000.0):
            await uploads.expire(now, 10)
            await self.check_ended(uploads, session)
        await uploads.expire(54_000.0, 10)
        await self.check_ended(uploads, session)
        await uploads.expire(49_000.0, 10)
        self.assertEqual(session, await uploads.get(BUSYBOX, session.upload_id, session))

    async def test_proven_ends_with_blob(self) -> None:
        """The transaction that records a blob ends its session, whether that has a row or not."""
        metadata = await self.opened()
        for end in (100, 200):
            session = some_session(proven_id(end))
            if end == 200:
                await metadata.uploads.record(session.upload_id, FIVE, 2.0, 300.0, proven=session)
            await metadata.blobs.record_in(BUSYBOX, some_blob(), None, None, 1.0, 9.0, upload_id=session.upload_id)
            await self.check_ended(metadata.uploads, session)

    async def test_ends_once(self) -> None:
        """Of two requests that bring the blob of one session at once the second finds it ended, and changes nothing."""
        metadata = await self.opened()
        for number, counting in enumerate((False, True)):
            if counting:
                await metadata.quotas.set_quota(BUSYBOX.namespace, 1 << 20)
                await metadata.quotas.settle()
            session, ended = some_session(proven_id(200 + number)), some_session(proven_id(300 + number))
            if counting:
                await metadata.uploads.start(session, 300.0, 7)
            await metadata.uploads.end(ended.upload_id)
            first, second = some_blob(b"%d" % number), some_blob(b"other %d" % number)
            again = some_blob(b"%d" % number, generation="second")
            record = metadata.blobs.recorder(BUSYBOX, None, None, 1.0, 9.0, session.upload_id)
            self.assertEqual(Recorded(first), record(first))
            usage = await metadata.quotas.usage(BUSYBOX.namespace)
            for late in (second, again):
                self.assertRaises(UploadUnknown, record, late)
                for each in (session, ended):
                    recording = metadata.blobs.record_in(BUSYBOX, late, None, None, 1.0, 900.0, each.upload_id)
                    await self.raises(UploadUnknown, recording)
            self.assertIsNone(await metadata.blobs.find(second.digest))
            self.assertEqual(first, await metadata.blobs.find_in(BUSYBOX, first.digest))
            wanted = LeaseWanted(Kind.BLOB, BUSYBOX, str(first.digest))
            self.assertEqual(9.0, await metadata.leases.leased_until(wanted))
            self.assertEqual(usage, await metadata.quotas.usage(BUSYBOX.namespace))

    async def test_expired_before_its_end(self) -> None:
        """A blob whose session has expired while its last bytes came is recorded, and the session stays ended."""
        metadata = await self.opened()
        for end, written in ((200, False), (400, True)):
            session = some_session(proven_id(end))
            if written:
                await metadata.uploads.record(session.upload_id, FIVE, 2.0, end, proven=session)
            await metadata.uploads.expire(end + 1.0, 10)
            blob = some_blob(b"%d" % end)
            await metadata.blobs.record_in(BUSYBOX, blob, None, None, 1.0, 9.0, upload_id=session.upload_id)
            self.assertEqual(blob, await metadata.blobs.find_in(BUSYBOX, blob.digest))
            await self.check_ended(metadata.uploads, session)

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

    async def test_recorder(self) -> None:
        """Where somebody blocks a blob is recorded as elsewhere, and it is told what was lost and has its place taken."""
        metadata = await self.opened()
        blobs = metadata.blobs
        session = some_session(proven_id(200))
        record = blobs.recorder(BUSYBOX, None, "alice", 1.0, 100.0, session.upload_id)
        first = some_blob()
        self.assertEqual(Recorded(first), record(first))
        self.assertEqual("alice", (await metadata.repositories.get(BUSYBOX)).owner)
        await self.raises(UploadUnknown, metadata.uploads.get(BUSYBOX, session.upload_id, session))
        self.assertEqual(first, await blobs.find_in(BUSYBOX, first.digest))
        again = some_blob(generation="second")
        self.assertEqual(Recorded(first), blobs.recorder(OTHER, None, None, 1.0, 100.0)(again))
        self.assertEqual(first, await blobs.find_in(OTHER, first.digest))
        await metadata.conditions.note(first, Condition.DAMAGED, 5.0)
        self.assertEqual(Recorded(again, first), blobs.recorder(OTHER, None, None, 1.0, 100.0)(again))
        self.assertEqual(again, await blobs.find_in(BUSYBOX, first.digest))

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
