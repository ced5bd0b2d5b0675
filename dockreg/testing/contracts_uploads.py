"""
What every blob store promises of uploads that take more than one request, as tests.

Import the module and subclass the contract: trial would collect an imported class too.
"""

from collections.abc import Sequence

from dockreg.callables import Piece
from dockreg.errors import DigestInvalid, StorageFull, UploadBusy, UploadUnknown
from dockreg.interfaces import IBlobStore
from dockreg.interfaces_blobs import IUpload
from dockreg.model.blobs import NOTHING_RECEIVED, Received, StoredBlob
from dockreg.model.digest import Digest
from dockreg.testing.contracts import Recorder, content_of, nothing_recorded, nothing_resumable
from dockreg.testing.contracts_receiving import ReceivingContract

#: As good an upload id as any, of a session of which nothing has been received.
NEW_ID = "a-New_session-0001"


def sha512(content: bytes) -> Digest:
    """The sha512 digest of ``content``."""
    return Digest.of("sha512", content)


async def suspended(blobs: IBlobStore, chunks: Sequence[bytes], algorithm: str = "sha256") -> tuple[str, Received]:
    """The id of an upload that has received ``chunks``, and what it said when it was suspended."""
    upload = await blobs.start_upload(algorithm=algorithm)
    await upload.write(chunks)
    noted: list[Received] = []
    await upload.suspend(noted.append)
    return upload.upload_id, noted[0]


class UploadContract(ReceivingContract):
    """What every IBlobStore promises of uploads that are suspended. Subclass it and say how to make one."""

    def make_blob_store(self) -> IBlobStore:
        """A new, empty store."""
        raise NotImplementedError

    async def test_received(self) -> None:
        """A suspended upload tells how many bytes it has, and their digest by the algorithm of the upload."""
        blobs = self.make_blob_store()
        self.assertEqual(Received(3, Digest.sha256(b"abc")), (await suspended(blobs, [b"ab", b"c"]))[1])
        self.assertEqual(Received(3, sha512(b"abc")), (await suspended(blobs, [b"abc"], "sha512"))[1])
        self.assertEqual(NOTHING_RECEIVED, (await suspended(blobs, []))[1])

    async def test_resumed(self) -> None:
        """An upload goes on where it was suspended, again and again, and its blob is what was written in all."""
        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [b"0"])
        expected = b"0"
        for number in range(1, 5):
            upload = await blobs.resume_upload(upload_id, received)
            self.assertEqual((upload_id, len(expected)), (upload.upload_id, upload.size))
            await upload.write([b"%d" % number, b","])
            expected += b"%d," % number
            received = await upload.suspend()
            self.assertEqual(Received(len(expected), Digest.sha256(expected)), received)
        upload = await blobs.resume_upload(upload_id, received)
        await upload.write([b"end"])
        blob = await upload.commit(Digest.sha256(expected + b"end"))
        self.assertEqual(expected + b"end", await content_of(blobs, blob))

    async def test_nothing_more(self) -> None:
        """An upload that is resumed may be committed, or suspended, as it is."""
        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [b"abc"])
        upload = await blobs.resume_upload(upload_id, received)
        again = await upload.suspend()
        # Who has not digested the bytes need not know.
        self.assertIn(again, (received, Received(3, None)))
        upload = await blobs.resume_upload(upload_id, again)
        blob = await upload.commit()
        self.assertEqual((Digest.sha256(b"abc"), b"abc"), (blob.digest, await content_of(blobs, blob)))

    async def test_begins_empty(self) -> None:
        """An upload of which nothing was received need not be there."""
        blobs = self.make_blob_store()
        upload = await blobs.resume_upload(NEW_ID, NOTHING_RECEIVED)
        self.assertEqual((NEW_ID, 0), (upload.upload_id, upload.size))
        await upload.write([b"abc"])
        blob = await upload.commit()
        self.assertEqual((Digest.sha256(b"abc"), b"abc"), (blob.digest, await content_of(blobs, blob)))

    async def test_empty(self) -> None:
        """An upload that was suspended without bytes goes on like any other."""
        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [])
        upload = await blobs.resume_upload(upload_id, received)
        self.assertEqual(NOTHING_RECEIVED, await upload.suspend())
        upload = await blobs.resume_upload(upload_id, received)
        self.assertEqual(Digest.sha256(b""), (await upload.commit()).digest)

    async def test_more_than_noted(self) -> None:
        """The bytes that are there count, when a crash kept the metadata from being told of all of them."""
        blobs = self.make_blob_store()
        upload_id, _ = await suspended(blobs, [b"abcdef"])
        for noted in (NOTHING_RECEIVED, Received(3, Digest.sha256(b"abc"))):
            upload = await blobs.resume_upload(upload_id, noted)
            self.assertEqual(6, upload.size)
            await upload.suspend()
        upload = await blobs.resume_upload(upload_id, Received(3, Digest.sha256(b"abc")))
        await upload.write([b"g"])
        blob = await upload.commit(Digest.sha256(b"abcdefg"))
        self.assertEqual(b"abcdefg", await content_of(blobs, blob))

    async def test_unknown(self) -> None:
        """An upload that is not there, or has fewer bytes than were suspended, is unknown."""
        blobs = self.make_blob_store()
        await self.raises(UploadUnknown, blobs.resume_upload(NEW_ID, Received(1, None)))
        upload_id, _ = await suspended(blobs, [b"abc"])
        await self.raises(UploadUnknown, blobs.resume_upload(upload_id, Received(4, None)))
        upload = await blobs.resume_upload(upload_id, Received(3, None))
        await upload.abort()

    async def test_ids_from_outside(self) -> None:
        """An id that no upload could have is unknown, has no bytes, and can be dropped without harm."""
        blobs = self.make_blob_store()
        names = ["", ".", "..", "short", "../" * 8 + "etc", "a" * 65, "a" * 300, "a" * 20 + "\n", "a" * 20 + "/b"]
        for name in [*names, "\u0661" * 20, "a" * 20 + ".b", "a" * 20 + "\0", "\udcff" * 20]:
            await self.raises(UploadUnknown, blobs.resume_upload(name, NOTHING_RECEIVED))
            self.assertEqual(0, await blobs.upload_size(name))
            await blobs.drop_upload(name)

    async def test_one_writer(self) -> None:
        """While somebody writes to an upload nobody else can resume or drop it."""
        blobs = self.make_blob_store()
        started = await blobs.start_upload()
        await self.raises(UploadBusy, blobs.resume_upload(started.upload_id, NOTHING_RECEIVED))
        await self.raises(UploadBusy, blobs.drop_upload(started.upload_id))
        received = await started.suspend()
        resumed = await blobs.resume_upload(started.upload_id, received)
        await self.raises(UploadBusy, blobs.resume_upload(started.upload_id, received))
        await self.raises(UploadBusy, blobs.drop_upload(started.upload_id))
        await resumed.write([b"abc"])
        self.assertEqual(b"abc", await content_of(blobs, await resumed.commit()))

    async def test_abort_after_suspend(self) -> None:
        """An abort after the suspension drops nothing; the object is of no other use."""
        blobs = self.make_blob_store()
        upload = await blobs.start_upload()
        await upload.write([b"abc"])
        received = await upload.suspend()
        await upload.abort()
        await self.raises(ValueError, upload.write([b"d"]))
        await self.raises(ValueError, upload.suspend())
        await self.raises(ValueError, upload.commit())
        resumed = await blobs.resume_upload(upload.upload_id, received)
        await upload.abort()
        await resumed.write([b"d"])
        self.assertEqual(b"abcd", await content_of(blobs, await resumed.commit()))

    async def test_abort(self) -> None:
        """An upload that is aborted after it was resumed is gone, with all its bytes."""
        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [b"abc"])
        upload = await blobs.resume_upload(upload_id, received)
        await upload.abort()
        await self.raises(ValueError, upload.suspend())
        await self.raises(UploadUnknown, blobs.resume_upload(upload_id, received))
        self.assertEqual(0, await blobs.upload_size(upload_id))

    async def test_committed(self) -> None:
        """After the commit there is no such upload."""
        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [b"abc"])
        upload = await blobs.resume_upload(upload_id, received)
        blob = await upload.commit()
        await upload.abort()
        await self.raises(ValueError, upload.suspend())
        await self.raises(UploadUnknown, blobs.resume_upload(upload_id, received))
        self.assertEqual(b"abc", await content_of(blobs, blob))

    async def test_then(self) -> None:
        """Who commits may go on with the durable object there and then, and says whether it is confirmed by that."""
        seen: list[StoredBlob] = []

        def then(blob: StoredBlob) -> bool:
            seen.append(blob)
            return len(seen) == 1

        for count in (1, 2):
            blobs = self.make_blob_store()
            upload = await blobs.resume_upload(*await suspended(blobs, [b"abc"]))
            blob = await upload.commit(Digest.sha256(b"abcdef"), [b"def"], then)
            self.assertEqual((count, blob, b"abcdef"), (len(seen), seen[-1], await content_of(blobs, blob)))
            await blobs.confirm(blob)  # harmless where it was confirmed
            self.assertEqual(0, await blobs.recover(nothing_recorded, nothing_resumable))
            upload = await blobs.resume_upload(*await suspended(blobs, [b"abc"]))
            await self.raises(DigestInvalid, upload.commit(Digest.sha256(b"other"), (), then))

    async def test_other_digest(self) -> None:
        """A commit that expects another digest than that of all bytes fails, and drops them."""
        for more in ([], [b"def"]):
            blobs = self.make_blob_store()
            upload_id, received = await suspended(blobs, [b"abc"])
            upload = await blobs.resume_upload(upload_id, received)
            await upload.write(more)
            await self.raises(DigestInvalid, upload.commit(Digest.sha256(b"other")))
            await self.raises(UploadUnknown, blobs.resume_upload(upload_id, received))

    async def test_begun_again(self) -> None:
        """What was received before an upload was dropped and begun again is not taken for what is there now."""
        blobs = self.make_blob_store()
        upload_id, before = await suspended(blobs, [b"abc"])
        await blobs.drop_upload(upload_id)
        upload = await blobs.resume_upload(upload_id, NOTHING_RECEIVED)
        await upload.write([b"xyz"])
        await upload.suspend()
        upload = await blobs.resume_upload(upload_id, before)
        await self.raises(DigestInvalid, upload.commit(before.digest))

    async def test_sha512(self) -> None:
        """A blob may be named by its sha512 digest."""
        blobs = self.make_blob_store()
        upload = await blobs.start_upload(algorithm="sha512")
        await upload.write([b"abc"])
        blob = await upload.commit(sha512(b"abc"))
        await blobs.confirm(blob)
        self.assertEqual((sha512(b"abc"), b"abc"), (blob.digest, await content_of(blobs, blob)))
        await blobs.delete(blob)
        upload_id, received = await suspended(blobs, [b"ab"], "sha512")
        upload = await blobs.resume_upload(upload_id, received, algorithm="sha512")
        await upload.write([b"c"])
        self.assertEqual(sha512(b"abc"), (await upload.commit()).digest)

    async def test_other_algorithm(self) -> None:
        """The digest that a commit expects may be by another algorithm than that of the upload."""
        for algorithm, expected in (("sha256", sha512(b"abcdef")), ("sha512", Digest.sha256(b"abcdef"))):
            blobs = self.make_blob_store()
            upload = await blobs.start_upload(algorithm=algorithm)
            await upload.write([b"abc", b"def"])
            self.assertEqual(expected, (await upload.commit(expected)).digest)
            upload_id, received = await suspended(blobs, [b"abcdef"], algorithm)
            upload = await blobs.resume_upload(upload_id, received, algorithm=algorithm)
            self.assertEqual(expected, (await upload.commit(expected)).digest)
            upload = await blobs.start_upload(algorithm=algorithm)
            await upload.write([b"abc"])
            await self.raises(DigestInvalid, upload.commit(expected))

    async def test_resumed_by_another_algorithm(self) -> None:
        """An upload can be resumed by another algorithm than it was suspended with."""
        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [b"abc"])
        upload = await blobs.resume_upload(upload_id, received, algorithm="sha512")
        await upload.write([b"def"])
        self.assertEqual(Received(6, sha512(b"abcdef")), await upload.suspend())

    async def test_observers(self) -> None:
        """Observers of a resumed upload see what is written from then on."""
        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [b"abc"])
        recorder = Recorder()
        upload = await blobs.resume_upload(upload_id, received, [recorder])
        await upload.write([b"d", b"ef"])
        await upload.commit()
        self.assertEqual(b"def", b"".join(recorder.seen))

    async def test_later(self) -> None:
        """An upload that may be begun later is like any other."""
        blobs = self.make_blob_store()
        await (await blobs.resume_upload(NEW_ID, NOTHING_RECEIVED, later=True)).abort()
        self.assertEqual(NOTHING_RECEIVED, await (await self.later(blobs, NEW_ID)).suspend())
        upload = await self.later(blobs, NEW_ID)
        await upload.write([b"a"])
        received = await upload.suspend()
        self.assertEqual(1, received.size)
        upload = await blobs.resume_upload(NEW_ID, received, later=True)
        self.assertEqual(1, upload.size)
        blob = await upload.commit(Digest.sha256(b"ab"), [b"b"])
        self.assertEqual(b"ab", await content_of(blobs, blob))
        blob = await (await self.later(blobs, "other" * 5)).commit(Digest.sha256(b"c"), [b"c"])
        self.assertEqual(b"c", await content_of(blobs, blob))

    async def test_later_after_a_crash(self) -> None:
        """What is there goes before what comes, although nobody was told of it."""
        blobs = self.make_blob_store()
        upload_id, _ = await suspended(blobs, [b"abc"])
        blob = await (await self.later(blobs, upload_id)).commit(Digest.sha256(b"abcd"), [b"d"])
        self.assertEqual(b"abcd", await content_of(blobs, blob))

    async def test_later_by_two(self) -> None:
        """Whoever comes second is told in the end, and who came first goes on."""
        blobs = self.make_blob_store()
        first = await blobs.start_upload()

        async def commit() -> None:
            await (await self.later(blobs, first.upload_id)).commit(Digest.sha256(b"a"), [b"a"])

        async def abort() -> None:
            await (await self.later(blobs, first.upload_id)).abort()
            raise UploadBusy(first.upload_id)  # or it was told before

        await self.raises(UploadBusy, commit())
        await self.raises(UploadBusy, abort())
        await first.write([b"b"])
        self.assertEqual(b"b", await content_of(blobs, await first.commit()))

    async def later(self, blobs: IBlobStore, upload_id: str) -> IUpload:
        """An upload of which nothing was suspended."""
        return await blobs.resume_upload(upload_id, NOTHING_RECEIVED, later=True)

    async def test_last(self) -> None:
        """What comes with the commit is behind what was written before, and seen by observers."""
        blobs = self.make_blob_store()
        for before in ([], [b"abc"]):
            upload_id, received = await suspended(blobs, before)
            recorder = Recorder()
            upload = await blobs.resume_upload(upload_id, received, [recorder])
            await upload.write([b"d"])
            whole = b"".join([*before, b"def"])
            blob = await upload.commit(Digest.sha256(whole), [b"e", b"f"])
            await blobs.confirm(blob)
            self.assertEqual((len(whole), whole), (blob.size, await content_of(blobs, blob)))
            self.assertEqual(b"def", b"".join(recorder.seen))

    async def test_last_of_another_digest(self) -> None:
        """Nothing is left of an upload whose last bytes do not fit its digest."""
        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [b"abc"])
        upload = await blobs.resume_upload(upload_id, received)
        await self.raises(DigestInvalid, upload.commit(Digest.sha256(b"abc"), [b"d"]))
        self.assertEqual(0, await blobs.upload_size(upload_id))

    async def test_size(self) -> None:
        """The size of an upload is known without resuming it, also while somebody writes to it."""
        blobs = self.make_blob_store()
        self.assertEqual(0, await blobs.upload_size(NEW_ID))
        upload = await blobs.start_upload()
        await upload.write([b"abc"])
        self.assertEqual(3, await blobs.upload_size(upload.upload_id))
        await upload.suspend()
        self.assertEqual(3, await blobs.upload_size(upload.upload_id))

    async def test_drop(self) -> None:
        """A suspended upload can be dropped, again and again."""
        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [b"abc"])
        await blobs.drop_upload(upload_id)
        await blobs.drop_upload(upload_id)
        self.assertEqual(0, await blobs.upload_size(upload_id))
        await self.raises(UploadUnknown, blobs.resume_upload(upload_id, received))

    async def test_recover(self) -> None:
        """Recovery drops suspended uploads that the metadata does not know, and no others."""
        blobs = self.make_blob_store()
        known, received = await suspended(blobs, [b"abc"])
        forgotten, _ = await suspended(blobs, [b"def"])
        asked = []

        async def is_resumable(upload_id: str) -> bool:
            asked.append(upload_id)
            return upload_id == known

        self.assertEqual(1, await blobs.recover(nothing_recorded, is_resumable))
        self.assertEqual({known, forgotten}, set(asked))
        self.assertEqual([3, 0], [await blobs.upload_size(upload_id) for upload_id in (known, forgotten)])
        upload = await blobs.resume_upload(known, received)
        self.assertEqual(0, await blobs.recover(nothing_recorded, nothing_resumable))
        self.assertEqual(b"abc", await content_of(blobs, await upload.commit()))

    async def test_refusal(self) -> None:
        """An upload that an observer has ended can be neither suspended nor committed, only aborted."""

        class Refusing:
            def update(self, data: Piece, /) -> None:
                raise StorageFull

        blobs = self.make_blob_store()
        upload_id, received = await suspended(blobs, [b"abc"])
        upload = await blobs.resume_upload(upload_id, received, [Refusing()])
        await self.raises(StorageFull, upload.write([b"d"]))
        await self.raises(StorageFull, upload.suspend())
        await upload.abort()
        await self.raises(UploadUnknown, blobs.resume_upload(upload_id, received))
