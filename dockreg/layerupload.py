"""The bytes of a v1 layer on their way in."""

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import define, field

from dockreg.blobupload import at_once, receive
from dockreg.callables import Piece
from dockreg.errors import BodyTooLarge
from dockreg.interfaces_blobs import IUpload
from dockreg.model.blobs import StoredBlob
from dockreg.model.layers import LayerInspector, PayloadHasher
from dockreg.model.v1 import Checksums, LayerFacts, StagedImage
from dockreg.quotas import Reservation
from dockreg.registry import Registry
from dockreg.shield import shielded


class LayerUpload(Protocol):
    """Where the bytes of one layer go."""

    async def expect(self, length: int) -> None:
        """
        So many bytes are announced.

        :raises BodyTooLarge: a layer may not have them. :raises StorageFull: there is no room for them.
        :raises QuotaExceeded: the namespace has none.
        """

    async def write(self, chunks: Sequence[Piece]) -> None:
        """
        Take the next bytes.

        :raises BodyTooLarge: they are more than a layer may have. :raises QuotaExceeded: there is no room for them.
        """

    def at_once(self) -> int:
        """How many bytes may be received without a question in between."""

    async def receive(self, fetch: Callable[[], Piece], most: int) -> None:
        """The same as :meth:`write` with bytes that come elsewhere; ``most`` of them, no more than :meth:`at_once` says."""

    async def finish(self) -> None:
        """All bytes are here: make them durable, and ready for their checksum."""

    async def abort(self) -> None:
        """Drop what is not finished. Harmless after :meth:`finish`."""


class LayerLimits(Protocol):
    """The part of the limits that concerns the bytes of a layer."""

    @property
    def max_layer(self) -> int:
        """Bytes as sent; 0 means no limit."""

    @property
    def max_uncompressed(self) -> int:
        """Bytes of the uncompressed tar."""

    @property
    def max_entries(self) -> int:
        """Files in the tar."""


@define(eq=False)
class DiscardedLayer:
    """A layer that is not needed: its image was completed meanwhile. Read to its end, as clients expect."""

    max_size: int
    _size: int = 0

    async def expect(self, length: int) -> None:
        """They need no room."""
        if self.max_size and length > self.max_size:
            raise BodyTooLarge(self.max_size)

    async def write(self, chunks: Sequence[Piece]) -> None:
        """Count and forget."""
        self._size = _counted(self._size, chunks, self.max_size)

    def at_once(self) -> int:
        """None: they are read in the common way."""
        return 0

    async def receive(self, fetch: Callable[[], Piece], most: int) -> None:
        """Forget them."""
        while piece := fetch():
            await self.write((piece,))

    async def finish(self) -> None:
        """Nothing is kept."""

    async def abort(self) -> None:
        """Nothing is kept."""


@define(eq=False)
class StagedLayerUpload:
    """
    A layer for one or more staged jsons.

    The payload checksum covers json and layer, so each distinct json has a hasher of its own. Nearly always there is
    one; several pushers of one id with differing jsons are told apart by it.
    """

    _registry: Registry
    _upload: IUpload
    _staged: Sequence[StagedImage]
    _payloads: Sequence[PayloadHasher]
    _inspector: LayerInspector
    _limits: LayerLimits
    _tarsums: bool
    _reservation: Reservation | None = None
    _size: int = field(default=0, init=False)
    _finishing: bool = field(default=False, init=False)

    @classmethod
    async def start(
        cls,
        registry: Registry,
        staged: Sequence[StagedImage],
        limits: LayerLimits,
        reservation: Reservation | None = None,
        *,
        tarsums: bool = True,
    ) -> "StagedLayerUpload":
        """
        :param tarsums: whether they are computed while the bytes arrive. Otherwise nobody knows them until they are asked for.
        :param reservation: in the namespace that it is pushed to, while the bytes arrive.
        :raises StorageFull: there is no room to begin.
        """
        if registry.room is not None:
            await registry.room.require()
        inspector = LayerInspector(
            max_uncompressed=limits.max_uncompressed,
            max_entries=limits.max_entries if tarsums else 0,
            digested="compressed",
        )
        payloads = [PayloadHasher(image.json) for image in staged]
        upload = await registry.blobs.start_upload([*payloads, inspector])
        return cls(registry, upload, staged, payloads, inspector, limits, tarsums, reservation)

    async def expect(self, length: int) -> None:
        """See :class:`LayerUpload`."""
        if self._limits.max_layer and length > self._limits.max_layer:
            raise BodyTooLarge(self._limits.max_layer)
        if self._registry.room is not None:
            await self._registry.room.require(length)
        if self._reservation is not None:
            await self._reservation.expect(length)

    async def write(self, chunks: Sequence[Piece]) -> None:
        """Hash, inspect and store the next bytes."""
        before, self._size = self._size, _counted(self._size, chunks, self._limits.max_layer)
        if self._registry.room is not None:
            await self._registry.room.take(self._size - before)
        if self._reservation is not None and self._size > self._reservation.reserved:
            await self._reservation.grow(self._size)
        await self._upload.write(chunks)

    def at_once(self) -> int:
        """See :class:`LayerUpload`."""
        return at_once(self._registry, self._size, self._limits.max_layer, self._reservation)

    async def receive(self, fetch: Callable[[], Piece], most: int) -> None:
        """Hash, inspect and store what comes."""
        try:
            await receive(self._registry, self._upload, fetch, most)
        finally:
            self._size = self._upload.size

    async def finish(self) -> None:
        """Record the layer for every json that it was checked against."""
        self._finishing = True
        await shielded(self._finish())

    async def _finish(self) -> None:
        registry = self._registry
        try:
            facts, checksums = await registry.in_thread(self._inspect)
            committed = await self._upload.commit()
        except Exception:
            await self._release()
            raise
        finally:
            await self._upload.abort()

        async def record(blob: StoredBlob) -> StoredBlob:
            now, leased_until = registry.clock.seconds(), registry.lease_end()
            known = facts.of_blob(blob.digest)
            return await registry.metadata.images.stage_layer(blob, known, checksums, now, leased_until)

        try:
            await registry.keep_blob(committed, record)
        finally:
            await self._release()

    async def _release(self) -> None:
        if self._reservation is not None:
            await self._reservation.release()

    def _inspect(self) -> tuple[LayerFacts, Sequence[tuple[StagedImage, Checksums]]]:
        facts = self._inspector.finish()
        return facts, [
            (image, Checksums(payload.checksum, self._sums(facts, image.json)))
            for image, payload in zip(self._staged, self._payloads, strict=True)
        ]

    def _sums(self, facts: LayerFacts, json: bytes) -> frozenset[str] | None:
        known = self._inspector.tarsums(json)
        # What is no tar, or has too many entries, has none.
        has_none = facts.entries is None or facts.entries > self._limits.max_entries
        return known if known or has_none or self._tarsums else None

    async def abort(self) -> None:
        """Drop the bytes that were received, unless all were: then the end of it no longer depends on the client."""
        if not self._finishing:
            self._inspector.stop()
            await self._upload.abort()
            await shielded(self._release())


def _counted(size: int, chunks: Sequence[Piece], limit: int) -> int:
    total = size + sum(map(len, chunks))
    if limit and total > limit:
        raise BodyTooLarge(limit)
    return total
