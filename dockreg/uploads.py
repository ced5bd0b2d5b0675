"""
Upload sessions: bytes that become a blob of a repository, over as many requests as the client likes.

A session is a row and a staging file, never state of this process: any process goes on with it, one at a time. Each
request ends by making durable what it brought, and by noting it in the row, also when the client went away in the
middle: what has arrived stays.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from attrs import define, field
from twisted.internet.defer import CancelledError

from dockreg.callables import IdentifierFactory, Piece
from dockreg.errors import (
    BlobUnknown,
    BodyTooLarge,
    DigestInvalid,
    RangeInvalid,
    StorageFull,
    StoreUnavailable,
    UploadBusy,
    UploadUnknown,
)
from dockreg.errors_quotas import QuotaExceeded
from dockreg.interfaces_blobs import IUpload
from dockreg.jumps import Jumps
from dockreg.model.access import Principal
from dockreg.model.blobs import NOTHING_RECEIVED, Blob, StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.layers import LayerInspector
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadLimits, UploadSession
from dockreg.quotas import Reservation
from dockreg.registry import Registry
from dockreg.shield import shielded

_EXPIRY_BATCH = 100
#: Expiry is asked for every ten minutes.
_EXPIRY_GAP_SECONDS = 3600.0
_MOST_INSPECTORS = 64
#: What is received without looking up; others wait for a thread meanwhile.
_AT_ONCE = 8 * 1024 * 1024
#: Repositories that are looked at for one that the caller may read, when a mount names none.
_MOST_HOLDERS = 100


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
    _ended: bool = field(default=False, init=False)
    _failed: bool = field(default=False, init=False)

    @property
    def size(self) -> int:
        """Bytes received so far, in all requests."""
        return self._upload.size

    async def write(self, chunks: Sequence[Piece]) -> None:
        """
        Hash and store the next bytes.

        :raises BodyTooLarge: the blob has more than it may have. :raises QuotaExceeded: its namespace would.
        """
        await self._take(sum(map(len, chunks)))
        await self._append(self._upload.write(chunks))

    def at_once(self) -> int:
        """How many bytes may be received without a question about room in between."""
        limit, reservation, room = self._limits.max_blob, self._reservation, self._registry.room
        most = _AT_ONCE if room is None or room.is_plenty(8 * _AT_ONCE) else 0
        if limit:
            most = min(most, limit - self.size)
        return most if reservation is None else min(most, reservation.reserved - self.size)

    async def receive(self, fetch: Callable[[], Piece], most: int) -> None:
        """The same as :meth:`write` with bytes that come elsewhere; ``most`` of them, no more than :meth:`at_once` says."""
        room, before = self._registry.room, self.size
        if room is not None:
            await room.take(most)
        try:
            await self._append(self._upload.receive(fetch))
        finally:
            if room is not None:
                room.give_back(most - (self.size - before))

    async def _append(self, writing: Awaitable[None]) -> None:
        try:
            await writing
        except UploadBusy:
            self._ended = True  # the session is somebody else's now
            raise
        except (CancelledError, StorageFull, StoreUnavailable):
            # The client is gone, and what is being written is written all the same; or what was taken is there.
            raise
        except Exception:
            self._failed = True
            raise

    async def _take(self, coming: int) -> None:
        """Have room for the next bytes."""
        limit = self._limits.max_blob
        if limit and self.size + coming > limit:
            raise BodyTooLarge(limit)
        if self._registry.room is not None:
            await self._registry.room.take(coming)
        reservation = self._reservation
        if reservation is not None and self.size + coming > reservation.reserved:
            await reservation.grow(self.size + coming)

    async def expect(self, length: int) -> None:
        """
        So many bytes are announced.

        :raises BodyTooLarge: the blob would have more than it may have. :raises StorageFull: there is no room for them.
        :raises QuotaExceeded: the namespace has none.
        """
        limit = self._limits.max_blob
        if limit and self.size + length > limit:
            raise BodyTooLarge(limit)
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
        if last and self._inspector is not None:
            # It has to have seen them all.
            await self.write(last)
            last = ()
        elif last:
            await self._take(sum(map(len, last)))
        self._ended = True
        return await shielded(self._commit(digest, last))

    async def release(self) -> None:
        """Keep what has arrived for the session; drop it where there is no session. Harmless after the end."""
        if not self._ended:
            self._ended = True
            await shielded(self._suspend())

    async def _suspend(self) -> None:
        if self.upload_id is None or self._failed:
            await self._drop()
            return
        try:
            received = await self._upload.suspend()
        except UploadBusy:
            # Nothing was begun, and nothing is to be kept.
            return
        except (StorageFull, StoreUnavailable):
            # What was suspended before is there, unless it can not be read any more.
            await self._upload.abort()
            raise
        except Exception:
            await self._drop()
            raise
        registry = self._registry
        if self._inspector is not None and self._keep is not None:
            self._keep(self.upload_id, received.size, self._inspector)
        now = registry.clock.seconds()
        try:
            leased_until, reserves = now + self._limits.session_seconds, self._reservation is not None
            await registry.metadata.uploads.record(self.upload_id, received, now, leased_until, reserves)
        except UploadUnknown:
            # It has expired meanwhile.
            await registry.blobs.drop_upload(self.upload_id)
            raise

    async def _commit(self, digest: Digest, last: Sequence[Piece]) -> StoredBlob:
        registry = self._registry
        try:
            facts = None if self._inspector is None else await registry.in_thread(self._inspector.finish)
            committed = await self._upload.commit(digest, last)
        except UploadBusy:
            raise
        except (StorageFull, StoreUnavailable):
            self._inspector = None  # it has finished
            await self._suspend()
            raise
        except Exception:
            await self._drop()
            raise
        limit = self._limits.max_blob
        if limit and committed.size > limit:
            # Another request wrote to the session after this one was let in, and before it opened the file.
            await registry.blobs.delete(committed)
            await self._drop()
            raise BodyTooLarge(limit)

        row = (
            self._reservation.upload_id if self.upload_id is None and self._reservation is not None else self.upload_id
        )

        async def record(blob: StoredBlob) -> StoredBlob:
            owner, now, lease = self._principal.name, registry.clock.seconds(), registry.lease_end()
            return await registry.metadata.blobs.record_in(self._name, blob, facts, owner, now, lease, upload_id=row)

        try:
            return await registry.keep_blob(committed, record, self.upload_id)
        except QuotaExceeded:
            await self._drop()
            raise

    async def _drop(self) -> None:
        await self._upload.abort()
        if self._reservation is not None:
            await self._reservation.release()
        if self.upload_id is not None:
            with suppress(UploadUnknown):
                await self._registry.metadata.uploads.end(self.upload_id)


@define(eq=False)
class Uploads:
    """Blobs on their way into repositories. Who may push was decided at the door."""

    registry: Registry
    new_id: IdentifierFactory
    limits: UploadLimits = field(factory=UploadLimits)
    _jumps: Jumps = field(init=False)
    # What was seen of layers whose sessions go on, by upload id; the oldest goes when there are too many.
    _inspectors: OrderedDict[str, tuple[int, LayerInspector]] = field(factory=OrderedDict, init=False)

    def __attrs_post_init__(self) -> None:
        self._jumps = Jumps("an upload session", _EXPIRY_GAP_SECONDS, self.limits.session_seconds)

    async def start(self, principal: Principal, name: RepositoryName, algorithm: str = "sha256") -> UploadSession:
        """
        A new session.

        :raises DigestInvalid: no digests are made by this algorithm. :raises StorageFull: there is no room.
        :raises QuotaExceeded: the namespace is full.
        """
        if algorithm not in ("sha256", "sha512"):
            raise DigestInvalid(algorithm[:256], "the registry knows the algorithms sha256 and sha512")
        if self.registry.room is not None:
            await self.registry.room.require()
        now = self.registry.clock.seconds()
        session = UploadSession(self.new_id(), name, principal.name, algorithm, NOTHING_RECEIVED, now)
        counts = self.registry.quotas is not None and self.registry.quotas.counting
        leased_until = now + self.limits.session_seconds
        await self.registry.metadata.uploads.start(session, leased_until, 0 if counts else None)
        return session

    async def size(self, principal: Principal, name: RepositoryName, upload_id: str) -> int:
        """How many bytes a session has. :raises UploadUnknown: the caller has no such session."""
        session = await self._session(principal, name, upload_id)
        size = await self.registry.blobs.upload_size(upload_id)
        if size < session.received.size:
            # A crash came between the bytes becoming a blob and the blob being recorded.
            raise UploadUnknown(upload_id)
        return size

    async def resume(
        self,
        principal: Principal,
        name: RepositoryName,
        upload_id: str,
        offset: int | None = None,
        digest: Digest | None = None,
        *,
        inspect: bool = False,
        soon: bool = False,
    ) -> BlobUpload:
        """
        Go on with a session.

        :param offset: where the next bytes begin; None: behind what is there.
        :param digest: of the blob, if this request ends the session.
        :param inspect: look at the bytes as a layer, for clients whose manifests do not tell what is in it.
        :param soon: few bytes are to come, so that UploadBusy may be told when they have.
        :raises UploadUnknown: the caller has no such session.
        :raises UploadBusy: another request is writing to it.
        :raises RangeInvalid: ``offset`` is not the number of bytes that are there; nothing is written.
        """
        session = await self._session(principal, name, upload_id)
        begins = session.received.size == 0
        algorithm = digest.algorithm if digest is not None and begins else session.algorithm
        inspector = self._inspector(session) if inspect else None
        observers = () if inspector is None else (inspector,)
        later = soon and offset is None and inspector is None
        upload = await self.registry.blobs.resume_upload(upload_id, session.received, observers, algorithm, later)
        if upload.size != session.received.size:  # After a crash: the inspector has not seen it all.
            inspector = None
        quotas = self.registry.quotas
        reservation = None if quotas is None else quotas.reservation(upload_id, digest)
        part = BlobUpload(
            self.registry, self.limits, principal, name, upload, upload_id, inspector, self._keep_inspector, reservation
        )
        if offset is not None and offset != upload.size:
            size = upload.size
            await part.release()
            raise RangeInvalid(size)
        return part

    async def begin(self, principal: Principal, name: RepositoryName, digest: Digest) -> BlobUpload:
        """A blob that one request brings as a whole."""
        quotas = self.registry.quotas
        reservation = None if quotas is None else await quotas.reservation_of_request(principal, name, digest)
        try:
            upload = await self.registry.blobs.start_upload((), digest.algorithm)
        except Exception:
            if reservation is not None:
                await reservation.release()
            raise
        return BlobUpload(self.registry, self.limits, principal, name, upload, None, reservation=reservation)

    async def cancel(self, principal: Principal, name: RepositoryName, upload_id: str) -> None:
        """
        End a session, and drop its bytes.

        :raises UploadUnknown: the caller has no such session. :raises UploadBusy: a request is writing to it.
        """
        await self._session(principal, name, upload_id)
        await shielded(self._cancel(upload_id))

    async def _cancel(self, upload_id: str) -> None:
        await self.registry.blobs.drop_upload(upload_id)
        await self.registry.metadata.uploads.end(upload_id)

    async def mount(
        self, principal: Principal, name: RepositoryName, digest: Digest, source: RepositoryName | None
    ) -> Blob | None:
        """
        Make a blob of another repository that the caller may read part of this one, without moving bytes.

        :param source: None: any repository that has it, this one included.
        :return: None when there is no such blob for this caller.
        """
        index = self.registry.metadata.blobs
        sources = [source] if source is not None else await index.holders(digest, _MOST_HOLDERS)
        now, lease = self.registry.clock.seconds(), self.registry.lease_end()
        for each in await self.registry.readable(principal, sources):
            with suppress(BlobUnknown):  # The source lost it in this very moment.
                mounted = await index.mount(name, each, digest, principal.name, now, lease)
                if mounted is not None:
                    return mounted
        return None

    async def expire(self) -> int:
        """End the sessions that nobody has written to for too long, but not after a jump of the clock; return how many."""
        ended = 0
        if not self._jumps.allow(self.registry.clock.seconds()):
            return ended
        while ids := await self.registry.metadata.uploads.expire(self.registry.clock.seconds(), _EXPIRY_BATCH):
            for upload_id in ids:
                with suppress(UploadBusy):  # Whoever writes to it now will find it gone, and drop it.
                    await self.registry.blobs.drop_upload(upload_id)
            ended += len(ids)
        return ended

    async def _session(self, principal: Principal, name: RepositoryName, upload_id: str) -> UploadSession:
        session = await self.registry.metadata.uploads.get(name, upload_id)
        if session.principal != principal.name:
            raise UploadUnknown(upload_id)
        return session

    def _inspector(self, session: UploadSession) -> LayerInspector | None:
        """One that has seen what the session has received; None when nobody has looked at all of that."""
        size, kept = self._inspectors.pop(session.upload_id, (0, None))
        if kept is not None and size == session.received.size:
            return kept
        if session.received.size:
            return None
        return LayerInspector(max_uncompressed=self.limits.max_uncompressed, max_entries=self.limits.max_entries)

    def _keep_inspector(self, upload_id: str, size: int, inspector: LayerInspector) -> None:
        self._inspectors[upload_id] = (size, inspector)
        while len(self._inspectors) > _MOST_INSPECTORS:
            self._inspectors.popitem(last=False)
