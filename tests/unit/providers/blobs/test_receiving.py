"""Bytes that an upload fetches by itself."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Event, get_ident

from twisted.trial.unittest import SynchronousTestCase

from dockreg.callables import Piece
from dockreg.errors import StorageFull
from dockreg.model.digest import Digest, Hasher
from dockreg.providers.blobs import appending
from dockreg.providers.blobs.disk import write_all
from dockreg.providers.blobs.observing import Behind, Helpers, Receivers
from dockreg.testing import contracts
from tests.unit.providers.blobs.test_filesystem import files_in, filesystem, limit_files


class Reusing:
    """Fetches one piece, and notes what it is told."""

    def __init__(self, *, decrypts: bool) -> None:
        self.decrypts = decrypts
        self.reused = False
        self._pieces = iter([b"piece", b""])

    def __call__(self) -> bytes:
        return next(self._pieces)

    def reuse(self) -> None:
        self.reused = True


class ReceivingTests(contracts.Contract):
    """Who receives."""

    async def test_plain(self) -> None:
        """What is not decrypted is received by who writes it, with two processors: it is in the cache of his."""
        self.patch(os, "cpu_count", lambda: 2)
        upload = await filesystem(Path(self.mktemp())).start_upload()
        pieces = iter([b"x" * (1 << 19)] * 5 + [b""])
        threads = set()

        def fetch() -> bytes:
            threads.add(get_ident())
            return next(pieces)

        await upload.receive(fetch)
        blob = await upload.commit(Digest.sha256(b"x" * 5 * (1 << 19)))
        self.assertEqual((5 << 19, {get_ident()}), (blob.size, threads))

    async def test_reuse(self) -> None:
        """Who fetches is told that each piece is needed until the next call only, unless another thread may digest it meanwhile."""
        for processors, observers, decrypts, reuses in (
            (1, 1, False, True),
            (2, 0, False, True),
            (2, 1, False, False),
            (2, 0, True, False),
            (3, 0, False, True),
            (4, 0, False, False),
        ):
            self.patch(os, "cpu_count", lambda processors=processors: processors)
            upload = await filesystem(Path(self.mktemp())).start_upload([Hasher()] * observers)
            fetch = Reusing(decrypts=decrypts)
            await upload.receive(fetch)
            self.assertEqual(reuses, fetch.reused, (processors, observers, decrypts))
            await upload.abort()

    async def test_nothing_left_meanwhile(self) -> None:
        """One that finds no room while the next bytes are received leaves nothing, and nothing is received any more when that is told."""
        folder = Path(self.mktemp())
        self.patch(os, "cpu_count", lambda: 2)
        upload = await filesystem(folder).start_upload()
        asked, answered, failed = [0], [0], Event()

        class Decrypting:
            decrypts = True

            def __call__(self) -> bytes:
                asked[0] += 1
                if asked[0] == 3:
                    # While the piece before it is written, for which there is no room.
                    failed.wait(30)
                answered[0] += 1
                return b"x" * (1 << 19)

        def write_and_tell(descriptor: int, chunks: Sequence[Piece]) -> int:
            try:
                return write_all(descriptor, chunks)
            except OSError:
                failed.set()
                raise

        self.patch(appending, "write_all", write_and_tell)
        limit_files(self, (1 << 20) - 1)
        await self.raises(StorageFull, upload.receive(Decrypting()))
        self.assertEqual(([3], [3]), (asked, answered))
        await upload.abort()
        self.assertEqual(set(), files_in(folder))


class ThreadsTests(SynchronousTestCase):
    """Who digests."""

    def test_received_elsewhere(self) -> None:
        """What another thread receives is digested by who writes it, unless there is a processor for each of the three."""
        helpers = Helpers()
        self.addCleanup(helpers.stopService)
        for processors, elsewhere, here in ((2, True, True), (3, True, False), (3, False, True), (4, False, False)):
            threads: list[int] = []
            began = Event()

            class Observer:
                def update(self, _: Piece, threads: list[int] = threads, began: Event = began) -> None:
                    threads.append(get_ident())
                    began.set()

            receivers = Receivers(processors)
            with receivers:
                behind = Behind(receivers, helpers, elsewhere=elsewhere)
                behind.observe((bytes(1 << 19),), (Observer(),))
                # Before that the helper may be spared.
                began.wait(30)
                behind.end()
            self.assertEqual((1, here), (len(threads), threads[0] == get_ident()), (processors, elsewhere))
