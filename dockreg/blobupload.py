"""One request's part of an upload session, or of an upload that is one request."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError

from dockreg.callables import Ending, Piece
from dockreg.errors import (
    BodyTooLarge,
    RegistryError,
    StorageFull,
    StoreUnavailable,
    UploadBusy,
    UploadUnknown,
)
from dockreg.errors_quotas import QuotaExceeded
from dockreg.interfaces_blobs import IUpload
from dockreg.model.access import Principal
from dockreg.model.blobs import NOTHING_RECEIVED, Received, StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.layers import LayerInspector
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadLimits, UploadSession
from dockreg.model.v1 import LayerFacts
from dockreg.quotas import Reservation
from dockreg.recordinghere import NotingHere, RecordingHere
from dockreg.registry import Registry
from dockreg.shield import shielded
from dockreg.uploadends import drop_ended

T = TypeVar("T")

#: What is received without looking up: much where there is much room, and nobody waits for a thread meanwhile.
_AT_ONCE = (32 * 1024 * 1024, 8 * 1024 * 1024)
#: Half of the threads for bytes.
_MOST_RECORDING_HERE = 8
#: So much of a body is gathered, and handed to a thread with what is to be done at its end.
GATHERED_BYTES = 128 * 1024


def at_once(registry: Registry, size: int, limit: int, reservation: Reservation | None) -> int:
    """How many bytes may be received, behind ``size``, without a question about room in between; limit 0 is none."""
    room = registry.room
    most = next((each for each in _AT_ONCE if room is None or room.is_plenty(8 * each)), 0)
    if limit:
        most = min(most, limit - size)
    return most if reservation is None else min(most, reservation.reserved - size)


async def receive(
    registry: Registry, upload: IUpload, fetch: Callable[[], Piece], most: int, ending: Ending | None = None
) -> StoredBlob | None:
    """Have an upload receive bytes that come elsewhere; ``most`` of them, no more than :func:`at_once` says."""
    room, before = registry.room, upload.size
    if room is not None:
        await room.take(most)
    try:
        return await upload.receive(fetch, ending)
    finally:
        if room is not None:
            room.give_back(most - (upload.size - before))


@define(eq=False)
class BlobUpload:
    """
    One request's part of an upload. It ends in :meth:`pause` or :meth:`commit`; :meth:`release` belongs in a cleanup clause.

    ``upload_id`` is None when the request brings the whole blob and there is no session.
    """

    _registry: Registry
    _limits: UploadLimits
    _principal: Principal
    _name: RepositoryName
    _upload: IUpload
    upload_id: str | None
    _inspector: LayerInspector | None = None
    _keep: Callable[[str, int, LayerInspector], None] | None = None
    _reservation: Reservation | None = None
    # What the session is if it has no row yet.
    _proven: UploadSession | None = None
    _ended: bool = field(default=False, init=False)
    _failed: bool = field(default=False, init=False)
    # Whether nobody waits any more for what is received; and the blob, once it is one.
    _left: bool = field(default=False, init=False)
    _committed: StoredBlob | None = field(default=None, init=False)
    # What has come and no thread has yet; whether more is added to it.
    _gathered: list[bytes] = field(factory=list, init=False)
    _gathers: bool = field(default=True, init=False)

    @property
    def size(self) -> int:
        """Bytes received so far, in all requests."""
        return self._upload.size + sum(map(len, self._gathered))

    async def write(self, chunks: Sequence[Piece], *, last: bool = False) -> None:
        """
        Hash and store the next bytes, or few of them at the end of the request.

        :param last: whether these are the last of the request.
        :raises BodyTooLarge: the blob has more than it may have. :raises QuotaExceeded: its namespace would.
        """
        await self._take(sum(map(len, chunks)), last=last)
        if self.gathers:
            # As bytes: what is a view may change.
            self._gathered += map(bytes, chunks)
            if sum(map(len, self._gathered)) <= GATHERED_BYTES:
                return
            chunks = self._take_gathered()
        await self._append(self._upload.write(chunks))

    def _take_gathered(self) -> Sequence[Piece]:
        gathered, self._gathered, self._gathers = self._gathered, [], False
        return gathered

    @property
    def gathers(self) -> bool:
        """Whether the next bytes are gathered, for so few have come that nobody knows that there are many."""
        return self._gathers and self._inspector is None

    def at_once(self) -> int:
        """How many bytes may be received without a question about room in between."""
        return at_once(self._registry, self.size, self._limits.max_blob, self._reservation)

    async def receive(self, fetch: Callable[[], Piece], most: int) -> None:
        """The same as :meth:`write` with bytes that come elsewhere; ``most`` of them, no more than :meth:`at_once` says."""
        if self._gathered:
            await self._append(self._upload.write(self._take_gathered()))
        await self._append(receive(self._registry, self._upload, fetch, most))

    async def receive_all(self, fetch: Callable[[], Piece], most: int, digest: Digest) -> None:
        """The same with all bytes that are left: if they come, it is :meth:`commit`, too, which gives the blob then."""
        here = None if self._inspector is not None or self._gathered else self._recording_here(None)
        if here is None:
            await self.receive(fetch, most)
            return
        self._ended = True
        try:
            await shielded(self._receive_all(fetch, most, digest, here))
        except CancelledError:
            self._left = True
            raise

    async def _receive_all(self, fetch: Callable[[], Piece], most: int, digest: Digest, here: RecordingHere) -> None:
        ending = Ending(most, digest, here)
        committed = await self._unless_it_fails(receive(self._registry, self._upload, fetch, most, ending), here)
        if committed is not None:
            self._committed = await self._recorded(committed, here, None)
            return
        self._ended = False
        if self._left:
            await self.release()

    async def _append(self, writing: Awaitable[object]) -> None:
        try:
            await writing
        except (UploadBusy, UploadUnknown):
            self._ended = True  # the session is somebody else's now, or it has ended
            raise
        except (CancelledError, StorageFull, StoreUnavailable):
            # The client is gone, and what is being written is written all the same; or what was taken is there.
            raise
        except Exception:
            self._failed = True
            raise

    async def _take(self, coming: int, *, last: bool) -> None:
        """Have room for the next bytes, which may be the last of the request."""
        limit = self._limits.max_blob
        if limit and self.size + coming > limit:
            raise BodyTooLarge(limit)
        if self._registry.room is not None:
            await self._registry.room.take(coming)
        reservation = self._reservation
        if reservation is not None and self.size + coming > reservation.reserved:
            await (reservation.expect if last else reservation.grow)(self.size + coming)

    async def expect(self, length: int) -> None:
        """
        So many bytes are announced.

        :raises BodyTooLarge: the blob would have more than it may have. :raises StorageFull: there is no room for them.
        :raises QuotaExceeded: the namespace has none.
        """
        limit = self._limits.max_blob
        if limit and self.size + length > limit:
            raise BodyTooLarge(limit)
        self._gathers = length <= GATHERED_BYTES
        if self._registry.room is not None:
            await self._registry.room.require(length)
        if self._reservation is not None:
            await self._reservation.expect(self.size + length)

    async def pause(self) -> None:
        """The request is over, the session goes on."""
        self._ended = True
        await shielded(self._suspend())

    async def commit(self, digest: Digest, last: Sequence[Piece] = ()) -> StoredBlob:
        """
        All bytes are here: they become a blob of the repository, and the session ends.

        :param last: the last of them, which were not written; see :meth:`write`.
        :raises DigestInvalid: they have another digest; they are dropped, and the session ends.
        """
        if self._committed is not None:
            return self._committed
        if last and self._inspector is not None:
            # It has to have seen them all.
            await self.write(last, last=True)
            last = ()
        elif last:
            await self._take(sum(map(len, last)), last=True)
        self._ended = True
        return await shielded(self._commit(digest, (*self._take_gathered(), *last)))

    async def release(self) -> None:
        """Keep what has arrived for the session; drop it where there is no session. Harmless after the end."""
        if not self._ended:
            self._ended = True
            # Where nothing was begun, nothing is to be kept.
            with suppress(UploadBusy):
                await shielded(self._suspend())

    async def _suspend(self) -> None:
        if self.upload_id is None or self._failed:
            await self._drop()
            return
        if self._proven is not None and not self.size:
            # It is what its id says, as before.
            await self._upload.abort()
            return
        registry, here = self._registry, self._noting_here()
        try:
            received = await self._let_go(here)
        except (UploadBusy, UploadUnknown):
            raise  # nothing is begun
        except (StorageFull, StoreUnavailable):
            # What was suspended before is there, unless it can not be read any more.
            await self._upload.abort()
            raise
        except Exception:
            await self._drop()
            raise
        if self._inspector is not None and self._keep is not None:
            self._keep(self.upload_id, received.size, self._inspector)
        try:
            if here is None or not here.called:
                await registry.metadata.uploads.record(self.upload_id, received, *self._noting())
            elif here.problem is not None:
                raise here.problem
        except UploadUnknown:
            # It has expired meanwhile.
            await drop_ended(registry, self.upload_id)
            raise
        self._proven = None

    async def _let_go(self, here: NotingHere | None) -> Received:
        """Suspend the upload; where nothing is noted in between, its session has a row before others can come upon it."""
        problem: RegistryError | None = None
        if here is None:
            try:
                await self._have_row()
            except UploadUnknown:
                # It has ended, and its file may be open.
                await self._upload.abort()
                raise
            except (StorageFull, StoreUnavailable) as error:
                # The bytes are kept until the next start, for whoever goes on with them.
                problem = error
        try:
            received = await self._upload.suspend(here, self._take_gathered())
        finally:
            self._recorded_here(here)
        if problem is not None:
            raise problem
        return received

    def _noting(self) -> tuple[float, float, bool, UploadSession | None]:
        """What is noted with what was received."""
        now = self._registry.clock.seconds()
        return now, now + self._limits.session_seconds, self._reservation is not None, self._proven

    def _noting_here(self) -> NotingHere | None:
        """As :meth:`_recording_here`, for what the session has received."""
        registry = self._registry
        if self.upload_id is None or registry.recording_here >= _MOST_RECORDING_HERE:
            return None
        registry.recording_here += 1
        return NotingHere(registry.metadata.uploads.recorder(self.upload_id, *self._noting()))

    def _recorded_here(self, here: object | None) -> None:
        self._registry.recording_here -= here is not None
        # Where jobs are done at once there was no wait that has ended the moment.
        self._registry.metadata.end_moment()

    async def _have_row(self) -> None:
        """Before others can come upon what was received: what nobody knows a session of is not kept."""
        proven, registry = self._proven, self._registry
        if proven is not None and self.size:
            now = registry.clock.seconds()
            leased_until = now + self._limits.session_seconds
            await registry.metadata.uploads.record(proven.upload_id, NOTHING_RECEIVED, now, leased_until, proven=proven)
            self._proven = None

    async def _commit(self, digest: Digest, last: Sequence[Piece]) -> StoredBlob:
        facts: LayerFacts | None = None
        if self._inspector is not None:
            facts = await self._unless_it_fails(self._registry.in_thread(self._inspector.finish))
        here = self._recording_here(facts)
        small = self._registry.most_in_rows()
        committed = await self._unless_it_fails(self._upload.commit(digest, last, here, small), here)
        return await self._recorded(committed, here, facts)

    async def _unless_it_fails(self, work: Awaitable[T], here: RecordingHere | None = None) -> T:
        """What comes of a step of the commit; when it fails, what was received is kept, or dropped."""
        try:
            try:
                return await work
            finally:
                self._recorded_here(here)
        except (UploadBusy, UploadUnknown):
            raise
        except (StorageFull, StoreUnavailable):
            self._inspector = None  # it has finished
            await self._suspend()
            raise
        except Exception:
            await self._drop()
            raise

    async def _recorded(
        self, committed: StoredBlob, here: RecordingHere | None, facts: LayerFacts | None
    ) -> StoredBlob:
        """The durable object as a blob of the repository."""
        registry, limit = self._registry, self._limits.max_blob
        if limit and committed.size > limit:
            # Another request wrote to the session after this one was let in, and before it opened the file.
            await registry.blobs.delete(committed)
            await self._drop()
            raise BodyTooLarge(limit)

        try:
            if here is None:
                return await registry.keep_blob(committed, partial(self._record, facts), self.upload_id)
            return await here.recorded(registry, committed, self.upload_id)
        except QuotaExceeded:
            await self._drop()
            raise
        except UploadUnknown:
            # Another request has ended it meanwhile: with other bytes, or with the same.
            if self.upload_id is not None:
                await drop_ended(registry, self.upload_id)
            raise
        except (StorageFull, StoreUnavailable):
            with suppress(RegistryError):
                await (self._drop() if self.upload_id is None else self._have_row())
            raise

    @property
    def _row(self) -> str | None:
        """The session, or what bytes are reserved for, that ends when the blob is recorded."""
        return self._reservation.upload_id if self.upload_id is None and self._reservation else self.upload_id

    async def _record(self, facts: LayerFacts | None, blob: StoredBlob) -> StoredBlob:
        registry = self._registry
        owner, now = self._principal.name, registry.clock.seconds()
        lease = now + registry.lease_seconds
        return await registry.metadata.blobs.record_in(self._name, blob, facts, owner, now, lease, upload_id=self._row)

    def _recording_here(self, facts: LayerFacts | None) -> RecordingHere | None:
        """
        What records the blob in the thread that makes it durable; None when so many do that already that a database which
        does not answer would take all threads from those who read and write blobs.
        """
        registry = self._registry
        if registry.recording_here >= _MOST_RECORDING_HERE:
            return None
        registry.recording_here += 1
        owner, now = self._principal.name, registry.clock.seconds()
        lease = now + registry.lease_seconds
        record = registry.metadata.blobs.recorder(self._name, facts, owner, now, lease, self._row)
        return RecordingHere(record, self._limits.max_blob)

    async def _drop(self) -> None:
        await self._upload.abort()
        if self._reservation is not None:
            await self._reservation.release()
        if self.upload_id is not None:
            with suppress(UploadUnknown):
                await self._registry.metadata.uploads.end(self.upload_id)
            # Until then another request may have begun the file again. Who does so now is told that the session has ended.
            await drop_ended(self._registry, self.upload_id)
