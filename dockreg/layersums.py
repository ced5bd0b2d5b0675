"""
The tarsums of v1 layers that nobody has summed while they arrived.

Engines from 0.10 claim the payload checksum, too, which is made of the bytes as they pass: for what they push no tarsum is
needed. For others it is computed from the stored bytes when it is claimed, once.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from attrs import define, evolve, field
from twisted.internet.defer import DeferredSemaphore

from dockreg.layerupload import LayerLimits
from dockreg.model.layers import LayerInspector
from dockreg.model.v1 import ClaimedChecksums, StagedLayer, V1Image
from dockreg.registry import Registry

Summed = TypeVar("Summed", bound=StagedLayer | V1Image | None)

_READ_BYTES: Final = 1024 * 1024
#: Reading layers again is work for a processor; a few requests at a time leave the others to pushes and pulls.
_AT_ONCE: Final = 2


@define(eq=False)
class LayerSums:
    """Computes tarsums, a few layers at a time, and keeps them. Ends when nobody waits for it any more."""

    registry: Registry
    _turn: DeferredSemaphore = field(factory=lambda: DeferredSemaphore(_AT_ONCE), init=False)

    async def matching(
        self,
        layers: Sequence[StagedLayer],
        claimed: ClaimedChecksums,
        limits: LayerLimits,
        find: Callable[[int], Awaitable[StagedLayer | None]],
    ) -> StagedLayer | None:
        """
        The first of these layers that has one of the claimed checksums; one that need not be summed before others.

        :param find: finds a layer again by its key.

        Raises what :meth:`known` raises.
        """
        for layer in layers:
            if layer.checksums.matches(claimed):
                return layer
        for layer in layers:
            if layer.checksums.may_match(claimed):
                found = await self.known(partial(find, layer.key), limits)
                if found is not None and found.checksums.matches(claimed):
                    return found
        return None

    async def known(self, find: Callable[[], Awaitable[Summed]], limits: LayerLimits) -> Summed:
        """
        What ``find`` finds, with its tarsums. A tar with too many entries has none.

        :param find: is called when it is our turn: who waits for the same layer needs to compute nothing then.
        :raises BlobLost: the layer is not there any more.
        :raises LayerTooLarge: it unpacks to more than is allowed by now.
        """
        await self._turn.acquire()
        try:
            found = await find()
            if found is None or found.checksums.tarsums is not None:
                return found
            tarsums = await self._compute(found, limits)
            await self.registry.metadata.images.keep_tarsums(found, tarsums)
            return evolve(found, checksums=evolve(found.checksums, tarsums=tarsums))
        finally:
            self._turn.release()

    async def _compute(self, of: StagedLayer | V1Image, limits: LayerLimits) -> frozenset[str]:
        in_thread = self.registry.in_thread
        inspector = LayerInspector(
            max_uncompressed=limits.max_uncompressed, max_entries=limits.max_entries, digested="nothing"
        )
        reader = await self.registry.open_blob(of.blob if isinstance(of, StagedLayer) else of.layer)
        try:
            while data := await reader.read(_READ_BYTES):
                await in_thread(inspector.update, data)
            await in_thread(inspector.finish)
            return await in_thread(inspector.tarsums, of.json)
        finally:
            inspector.stop()
            reader.close()
