"""How often the bytes of a suspended upload are digested, and what is kept of that."""

import os
import shutil
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StoreUnavailable
from dockreg.model.blobs import NOTHING_RECEIVED, Received
from dockreg.model.digest import Digest, Hasher
from dockreg.providers.blobs import digesting
from dockreg.providers.blobs.digesting import KeptHashers, digest_file, seal, sealed
from dockreg.testing import contracts
from dockreg.testing.contracts_uploads import sha512, suspended
from tests.unit.providers.blobs.test_filesystem import filesystem


class ReadingTests(contracts.Contract):
    """A staging file is read only when there is no other way to its digest, and then once."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.store = filesystem(self.folder)
        self.other = filesystem(self.folder)
        #: The bytes that were read from files.
        self.read = 0
        preadv = os.preadv

        def count(*args: Any) -> int:
            number = preadv(*args)
            self.read += number
            return number

        self.patch(os, "preadv", count)

    async def test_same_process(self) -> None:
        """The process that has digested the bytes goes on from there."""
        upload_id, received = await suspended(self.store, [b"abc"])
        for _ in range(3):
            upload = await self.store.resume_upload(upload_id, received)
            await upload.write([b"d"])
            received = await upload.suspend()
        self.assertEqual((Received(6, Digest.sha256(b"abcddd")), 0), (received, self.read))

    async def test_other_process(self) -> None:
        """Another process reads what is there when the first new bytes come, once, and then goes on from there."""
        upload_id, received = await suspended(self.store, [b"abc"])
        upload = await self.other.resume_upload(upload_id, received)
        self.assertEqual(0, self.read)
        await upload.write([b"d"])
        await upload.write([b"e"])
        self.assertEqual(3, self.read)
        received = await upload.suspend()
        upload = await self.other.resume_upload(upload_id, received)
        await upload.write([b"f"])
        self.assertEqual((Digest.sha256(b"abcdef"), 3), ((await upload.commit()).digest, self.read))

    async def test_commit_in_another_process(self) -> None:
        """A commit that brings no bytes reads nothing, in any process, whether a digest is expected or not."""
        for expected in (None, Digest.sha256(b"abc")):
            upload_id, received = await suspended(self.store, [b"abc"])
            upload = await self.other.resume_upload(upload_id, received)
            self.assertEqual((Digest.sha256(b"abc"), 0), ((await upload.commit(expected)).digest, self.read))

    async def test_released_in_another_process(self) -> None:
        """An upload that is resumed and suspended as it is keeps its digest, and nothing is read."""
        upload_id, received = await suspended(self.store, [b"abc"])
        self.assertEqual(received, await (await self.other.resume_upload(upload_id, received)).suspend())
        self.assertEqual(received, await (await self.store.resume_upload(upload_id, received)).suspend())
        self.assertEqual(0, self.read)

    async def test_other_algorithm(self) -> None:
        """A commit that expects a digest by another algorithm reads the file once, whatever was digested before."""
        upload_id, received = await suspended(self.store, [b"abc"])
        upload = await self.store.resume_upload(upload_id, received)
        await upload.write([b"d"])
        self.assertEqual((sha512(b"abcd"), 4), ((await upload.commit(sha512(b"abcd"))).digest, self.read))

    async def test_overtaken(self) -> None:
        """A hasher that is kept is of no use once another process has gone on with the upload."""
        upload_id, received = await suspended(self.store, [b"abc"])
        upload = await self.other.resume_upload(upload_id, received)
        await upload.write([b"d"])
        received = await upload.suspend()
        upload = await self.store.resume_upload(upload_id, received)
        await upload.write([b"e"])
        self.assertEqual(Digest.sha256(b"abcde"), (await upload.commit()).digest)

    async def test_begun_again_elsewhere(self) -> None:
        """Nor is it when another process has dropped the upload and begun it again, with as many bytes."""
        upload_id, received = await suspended(self.store, [b"abc"])
        await self.other.drop_upload(upload_id)
        upload = await self.other.resume_upload(upload_id, NOTHING_RECEIVED)
        await upload.write([b"xyz"])
        await upload.suspend()
        upload = await self.store.resume_upload(upload_id, received)
        await upload.write([b"!"])
        self.assertEqual(Digest.sha256(b"xyz!"), (await upload.commit()).digest)

    async def test_crash_in_a_request(self) -> None:
        """Bytes that came after the last suspension count, and are read, for nobody knows their digest."""
        upload_id, received = await suspended(self.store, [b"abc"])
        upload = await self.store.resume_upload(upload_id, received)
        await upload.write([b"def"])
        copy = Path(self.mktemp())
        shutil.copytree(self.folder, copy)
        upload = await filesystem(copy).resume_upload(upload_id, received)
        self.assertEqual((6, 0), (upload.size, self.read))
        self.assertEqual(Received(6, None), await upload.suspend())
        upload = await filesystem(copy).resume_upload(upload_id, Received(6, None))
        self.assertEqual((Digest.sha256(b"abcdef"), 6), ((await upload.commit()).digest, self.read))

    async def test_large(self) -> None:
        """A file of more than one piece is digested whole."""
        content = bytes(range(256)) * 10_000
        upload_id, received = await suspended(self.store, [content])
        upload = await self.other.resume_upload(upload_id, received)
        await upload.write([b"more"])
        self.assertEqual(Digest.sha256(content + b"more"), (await upload.commit()).digest)

    async def test_short(self) -> None:
        """A file that loses bytes while it is locked makes the store unavailable, and no blob."""
        upload_id, received = await suspended(self.store, [b"abc"])
        upload = await self.other.resume_upload(upload_id, received)
        os.truncate(self.folder / "staging" / upload_id, 2)
        await self.raises(StoreUnavailable, upload.write([b"d"]))
        await self.raises(StoreUnavailable, upload.commit())
        await upload.abort()


class DigestingTests(SynchronousTestCase):
    """Seals and kept hashers."""

    def open(self, content: bytes) -> int:
        path = Path(self.mktemp())
        path.write_bytes(content)
        descriptor = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def test_seal(self) -> None:
        """A seal tells the digest of a file of exactly its size."""
        descriptor = self.open(b"abc")
        self.assertIsNone(sealed(descriptor, 3))
        for digest in (Digest.sha256(b"abc"), sha512(b"abc")):
            seal(descriptor, 3, digest)
            self.assertEqual([None, digest, None], [sealed(descriptor, size) for size in (2, 3, 4)])

    def test_broken_seal(self) -> None:
        """What is no seal tells nothing."""
        descriptor = self.open(b"")
        for content in (b"", b"x", bytes(8), bytes(39), bytes(41)):
            os.setxattr(descriptor, digesting._SEAL, content)
            self.assertIsNone(sealed(descriptor, 0))

    def test_latest(self) -> None:
        """The hashers of the latest uploads are kept."""
        kept = KeptHashers(2)
        hashers = {}
        for name in ("a", "b", "a", "c"):
            hashers[name] = Hasher()
            kept.keep(name, hashers[name])
        empty = Digest.sha256(b"")
        self.assertEqual([hashers["a"], None, hashers["c"]], [kept.take(name, empty) for name in ("a", "b", "c")])

    def test_taken_once(self) -> None:
        """A hasher is given to one upload, and only if it has seen these bytes."""
        kept = KeptHashers()
        for digest in (Digest.sha256(b""), None, Digest.sha256(b"other")):
            kept.keep("a", Hasher())
            self.assertEqual(digest == Digest.sha256(b""), kept.take("a", digest) is not None)
            self.assertIsNone(kept.take("a", Digest.sha256(b"")))
        kept.keep("a", Hasher())
        kept.forget("a")
        kept.forget("a")
        self.assertIsNone(kept.take("a", Digest.sha256(b"")))

    def test_nobody_waits(self) -> None:
        """The reading of a large file ends when nobody wants its digest any more."""
        descriptor = self.open(bytes(3 << 20))
        pieces: list[int] = []

        def go_on() -> None:
            pieces.append(1)
            if len(pieces) == 2:
                raise CancelledError

        self.assertRaises(CancelledError, digest_file, Hasher(), descriptor, 3 << 20, go_on)
