"""
Upload sessions: bytes that become a blob of a repository, over as many requests as the client likes.

A session is a row and a staging file, never state of this process: any process goes on with it, one at a time. One that has
received nothing needs neither, for its id says what there is to know (:mod:`dockreg.uploadids`). Each request ends by making
durable what it brought, and by noting it in the row, also when the client went away in the middle: what has arrived stays.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from attrs import define, field, frozen

from dockreg.blobupload import BlobUpload
from dockreg.errors import BlobUnknown, DigestInvalid, RangeInvalid, UploadBusy, UploadUnknown
from dockreg.jumps import Jumps
from dockreg.model.access import Principal
from dockreg.model.blobs import NOTHING_RECEIVED, Blob
from dockreg.model.digest import Digest
from dockreg.model.layers import LayerInspector
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadLimits, UploadSession
from dockreg.registry import Registry
from dockreg.shield import shielded
from dockreg.uploadends import drop_ended
from dockreg.uploadids import UploadIDs

_EXPIRY_BATCH = 100
#: Expiry is asked for every ten minutes.
_EXPIRY_GAP_SECONDS = 3600.0
_MOST_INSPECTORS = 64
#: Sessions that have begun here and of which this process knows by itself that nothing has come.
_MOST_NEW = 1024
#: Repositories that are looked at for one that the caller may read, when a mount names none.
_MOST_HOLDERS = 100


@frozen
class Begun:
    """A new session."""

    session: UploadSession
    #: Begins another one like it, for the same caller, and returns its id; None when :meth:`Uploads.start` has to. To be
    #: called only as long as nothing has changed that lasts (:meth:`.IMoments.lasting_version`). None when it is no use.
    again: Callable[[], str | None] | None = None


@define(eq=False)
class Uploads:
    """Blobs on their way into repositories. Who may push was decided at the door."""

    registry: Registry
    ids: UploadIDs
    limits: UploadLimits = field(factory=UploadLimits)
    _jumps: Jumps = field(init=False)
    # What was seen of layers whose sessions go on, by upload id; the oldest goes when there are too many.
    _inspectors: OrderedDict[str, tuple[int, LayerInspector]] = field(factory=OrderedDict, init=False)
    # Sessions that have begun here, with the version of the metadata in which they did: as long as that is the same nothing can
    # be known of them but what their ids say. Each is taken out by its first request.
    _new: OrderedDict[str, tuple[object, UploadSession]] = field(factory=OrderedDict, init=False)

    def __attrs_post_init__(self) -> None:
        self._jumps = Jumps("an upload session", _EXPIRY_GAP_SECONDS, self.limits.session_seconds)

    async def start(self, principal: Principal, name: RepositoryName, algorithm: str = "sha256") -> "Begun":
        """
        A new session.

        :raises DigestInvalid: no digests are made by this algorithm. :raises StorageFull: there is no room.
        :raises QuotaExceeded: the namespace is full.
        """
        if algorithm not in ("sha256", "sha512"):
            raise DigestInvalid(algorithm[:256], "the registry knows the algorithms sha256 and sha512")
        if self.registry.room is not None:
            await self.registry.room.require()
        now, store = self.registry.clock.seconds(), self.registry.metadata.uploads
        leased_until = now + self.limits.session_seconds
        upload_id = await self.ids.make(name, principal.name, algorithm, leased_until)
        session = UploadSession(upload_id, name, principal.name, algorithm, NOTHING_RECEIVED, now)
        if self._counts:
            await store.start(session, leased_until, 0)
            return Begun(session)
        horizon = await store.begins_after()
        if leased_until <= horizon:
            # The clock was ahead once.
            await store.start(session, leased_until)
            return Begun(session)
        self._keep_new(session)
        return Begun(session, partial(self._start_again, name, principal.name, algorithm, horizon))

    def _start_again(self, name: RepositoryName, principal: str | None, algorithm: str, horizon: float) -> str | None:
        room, now = self.registry.room, self.registry.clock.seconds()
        leased_until = now + self.limits.session_seconds
        if self._counts or leased_until <= horizon or not (room is None or room.has_much()):
            return None
        upload_id = self.ids.make_at_once(name, principal, algorithm, leased_until)
        if upload_id is not None:
            self._keep_new(UploadSession(upload_id, name, principal, algorithm, NOTHING_RECEIVED, now))
        return upload_id

    def _keep_new(self, session: UploadSession) -> None:
        version = self.registry.metadata.version()
        if version is not None:
            self._new[session.upload_id] = (version, session)
            if len(self._new) > _MOST_NEW:
                self._new.popitem(last=False)

    async def size(self, principal: Principal, name: RepositoryName, upload_id: str) -> int:
        """How many bytes a session has. :raises UploadUnknown: the caller has no such session."""
        session, _ = await self._session(principal, name, upload_id)
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
        :param soon: few bytes may be to come, so that UploadBusy, or that the file is not there, may be told when they have.
        :raises UploadUnknown: the caller has no such session.
        :raises UploadBusy: another request is writing to it.
        :raises RangeInvalid: ``offset`` is not the number of bytes that are there; nothing is written.
        """
        session, proven = await self._session(principal, name, upload_id)
        quotas = self.registry.quotas
        # Whether blobs are counted may change while this waits.
        reservation = None if quotas is None or not quotas.counting else quotas.reservation(upload_id, digest)
        if proven is not None and reservation is not None:
            # What is reserved belongs to a row.
            now, store = self.registry.clock.seconds(), self.registry.metadata.uploads
            leased_until = now + self.limits.session_seconds
            await store.record(upload_id, NOTHING_RECEIVED, now, leased_until, proven=proven)
            proven = None
        begins = session.received.size == 0
        algorithm = digest.algorithm if digest is not None and begins else session.algorithm
        inspector = self._inspector(session) if inspect else None
        observers = () if inspector is None else (inspector,)
        later = soon and offset is None and inspector is None
        upload = await self.registry.blobs.resume_upload(upload_id, session.received, observers, algorithm, later)
        if upload.size != session.received.size:  # After a crash: the inspector has not seen it all.
            inspector = None
        part = BlobUpload(
            self.registry,
            self.limits,
            principal,
            name,
            upload,
            upload_id,
            inspector,
            self._keep_inspector,
            reservation,
            proven,
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
        # Until then another request may have begun the file again. Who does so from now on is told that the session has ended.
        await drop_ended(self.registry, upload_id)

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

    @property
    def _counts(self) -> bool:
        return self.registry.quotas is not None and self.registry.quotas.counting

    async def _session(
        self, principal: Principal, name: RepositoryName, upload_id: str
    ) -> tuple[UploadSession, UploadSession | None]:
        """A session, and that again if there is no row of it."""
        if (new := self._new.pop(upload_id, None)) is not None:
            version, session = new
            is_there = session.repository is name or session.repository == name
            mine = is_there and session.principal == principal.name
            if mine and version is self.registry.metadata.version():
                return session, session
        proven = await self.ids.session(name, principal.name, upload_id, self.limits.session_seconds)
        session = await self.registry.metadata.uploads.get(name, upload_id, proven)
        if session.principal != principal.name:
            raise UploadUnknown(upload_id)
        return session, proven if session == proven else None

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
