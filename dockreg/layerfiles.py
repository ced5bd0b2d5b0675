"""What is in the layer of a v1 image: the lists of files and of changes, for tools."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import DeferredSemaphore

from dockreg.errors import RequestInvalid
from dockreg.model.compression import CompressionInvalid
from dockreg.model.tarheader import NotATar
from dockreg.model.v1 import V1Image
from dockreg.registry import Registry

if TYPE_CHECKING:
    from dockreg.model.filelist import LayerChanges, LayerFile

_READ_BYTES = 256 * 1024
#: Reading layers again is work for a processor; a few requests at a time leave the others to pushes and pulls.
_AT_ONCE = 2


@define(eq=False)
class LayerFiles:
    """Lists files from the stored bytes of layers, without unpacking anything to disk."""

    registry: Registry
    max_uncompressed: int
    max_files: int
    _turn: DeferredSemaphore = field(factory=lambda: DeferredSemaphore(_AT_ONCE), init=False)

    async def files(self, image: V1Image) -> bytes:
        """
        The JSON list of the files in the image's own layer, in archive order.

        :raises RequestInvalid: the layer is no tar.
        :raises LayerTooLarge: it exceeds a limit.
        """
        await self._turn.acquire()
        try:
            return await self.registry.in_thread(_list, await self._files(image))
        finally:
            self._turn.release()

    async def diff(self, chain: Sequence[V1Image]) -> bytes:
        """
        The JSON object of what the layer of ``chain[0]`` creates, changes and deletes in the layers of its ancestors.

        Raises what :meth:`files` raises.
        """
        from dockreg.model.filelist import LayerChanges  # noqa: PLC0415  # few tools ask for it

        await self._turn.acquire()
        try:
            changes = LayerChanges(await self._files(chain[0]))
            for ancestor in chain[1:]:
                if changes.decided:
                    break
                await self.registry.in_thread(changes.look_below, await self._files(ancestor))
            return await self.registry.in_thread(_encode, changes)
        finally:
            self._turn.release()

    async def _files(self, image: V1Image) -> "Sequence[LayerFile]":
        from dockreg.model.filelist import LayerFileLister  # noqa: PLC0415

        lister = LayerFileLister(max_files=self.max_files, max_uncompressed=self.max_uncompressed)
        reader = await self.registry.open_blob(image.layer)
        try:
            while data := await reader.read(_READ_BYTES):
                await self.registry.in_thread(lister.update, data)
            return await self.registry.in_thread(lister.finish)
        except (NotATar, CompressionInvalid):
            raise RequestInvalid(f"the layer of image {image.image_id} is no tar archive") from None
        finally:
            lister.stop()
            reader.close()


def _list(files: "Sequence[LayerFile]") -> bytes:
    return json.dumps([file.row() for file in files]).encode()


def _encode(changes: "LayerChanges") -> bytes:
    return json.dumps(changes.document()).encode()
