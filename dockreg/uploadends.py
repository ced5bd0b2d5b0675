"""What an upload session that has ended may leave."""

from contextlib import suppress

from twisted.internet.task import deferLater

from dockreg.errors import StoreUnavailable, UploadBusy
from dockreg.registry import Registry
from dockreg.shield import detached

_TRIES = 10
#: Seconds between further tries, for which nobody waits.
_PAUSES = (0.1, 1.0, 10.0)


async def drop_ended(registry: Registry, upload_id: str) -> None:
    """
    Drop the file of a session that has ended, unless somebody writes to it: he will find it ended, and drop it.

    Who has just noted what he has received, before the end, does not find that: he is about to let go of the file. Both may
    have been committed together, so that he is told no earlier than this one, or in another process.
    """
    for _ in range(_TRIES):
        with suppress(UploadBusy):
            await registry.blobs.drop_upload(upload_id)
            return
    detached(_drop_later(registry, upload_id))


async def _drop_later(registry: Registry, upload_id: str) -> None:
    for pause in _PAUSES:
        await deferLater(registry.clock, pause)
        # When the registry is closed by now, the next start drops it.
        with suppress(UploadBusy, StoreUnavailable):
            await registry.blobs.drop_upload(upload_id)
            return
