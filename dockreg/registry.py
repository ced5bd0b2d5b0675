"""
What every door needs: repositories, tags, search, and bytes that become recorded blobs.

Who may call a method was decided at the door, by the right that its route names; where a method needs more than that
right, it asks for it.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from dockreg.callables import InThread
from dockreg.errors import BlobUnknown, Denied, NameUnknown, StorageFull, StoreUnavailable, Unauthorized
from dockreg.interfaces import IBlobStore, IMetadataStore
from dockreg.interfaces_access import IAuthorizer
from dockreg.interfaces_blobs import IBlobReader, IUpload
from dockreg.interfaces_v1 import IImageList
from dockreg.leases import Leases
from dockreg.model.access import Access, Action, Principal
from dockreg.model.blobs import Blob, Recorded, StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest, parse_manifest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import RepositoryRecord, TagRecord
from dockreg.model.v1 import AnnouncedImage, ImageID
from dockreg.pulls import Pulls
from dockreg.quotas import Quotas
from dockreg.room import Room
from dockreg.shield import detached, shielded
from dockreg.soundness import Soundness

log = Logger()

_SEARCH_BATCH = 500
_READ_BYTES = 256 * 1024
_SMALL_BYTES = 32 * 1024
_ALONE = {action: frozenset({action}) for action in Action}
_WITH_PULL = {action: frozenset({action, Action.PULL}) for action in Action}
#: One that was pushed is often pushed again, under another tag. What is made of it is not changed by anybody.
_parse_small = lru_cache(maxsize=64)(parse_manifest)


@frozen
class SearchPage:
    """One page of the repositories that were found; ``total`` counts all that the caller may see."""

    total: int
    results: Sequence[RepositoryRecord]


@define(eq=False)
class Registry:
    """The rules of a registry that do not depend on a protocol."""

    metadata: IMetadataStore
    blobs: IBlobStore
    authorizer: IAuthorizer
    clock: IReactorTime
    in_thread: InThread
    lease_seconds: float = 86400
    #: Looked at before blobs are written; None: nothing is kept free.
    room: Room | None = None
    #: Whether what is read is digested.
    verify: bool = False
    #: Where pulls are noted, if anybody wants to know.
    pulls: Pulls | None = None
    quotas: Quotas | None = None
    #: Blobs of so many bytes at most that come as a whole are kept in the metadata.
    small_bytes: int = 0
    #: How many blobs are being recorded in the threads of the blob store.
    recording_here: int = field(default=0, init=False)
    soundness: Soundness = field(init=False)
    leases: Leases = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.soundness = Soundness(self.metadata, lambda: self.blobs, self.clock, self.in_thread, self.verify)
        self.leases = Leases(self.metadata, self.clock, self.lease_seconds)

    async def may(self, principal: Principal, action: Action, repository: RepositoryName | None) -> bool:
        """Whether ``principal`` may do ``action`` on the repository, or (None) on the registry as a whole."""
        return action in await self.authorizer.granted(principal, Access(repository, _ALONE[action]))

    async def require(
        self,
        principal: Principal,
        action: Action,
        repository: RepositoryName | None,
    ) -> None:
        """
        Refuse unless the principal may do ``action``: absent and forbidden look the same to who may not pull.

        :raises NameUnknown: the caller may not know that there is such a repository, or there is none.
        :raises Unauthorized: anonymous may not, and credentials might help; or a token with more scopes would.
        :raises Denied: the caller may pull, and not do this.
        """
        granted = await self.authorizer.granted(principal, Access(repository, _WITH_PULL[action]))
        if action in granted:
            return
        if principal.asks_too_little(action, repository):
            raise Unauthorized("the token was not asked for with this in its scope", "insufficient_scope")
        if principal.name is None:
            raise Unauthorized("authentication is required for this")
        if Action.PULL in granted or repository is None:
            raise Denied(f"{principal} may not {action.value} here")
        raise NameUnknown(str(repository))

    async def readable(self, principal: Principal, names: Sequence[RepositoryName]) -> Sequence[RepositoryName]:
        """Those of the repositories that ``principal`` may pull from, in the same order."""
        return await self.authorizer.granted_each(principal, Action.PULL, names)

    def note_pull(self, name: RepositoryName, reference: Tag | Digest | ImageID) -> None:
        """Somebody pulled this: retention rules may ask for it."""
        if self.pulls is not None:
            self.pulls.note(name, str(reference) if isinstance(reference, Digest) else reference)

    # Repositories

    async def create_repository(
        self, principal: Principal, name: RepositoryName, images: Sequence[AnnouncedImage] = ()
    ) -> None:
        """Make sure that the repository is there, and add to its image list."""
        now = self.clock.seconds()
        await self.metadata.repositories.create(name, principal.name, now)
        if images:
            await self.metadata.images.announce(name, principal.name, images, now)

    async def delete_repository(self, name: RepositoryName) -> None:
        """:raises NameUnknown: there is no such repository."""
        await self.metadata.repositories.delete(name, self.clock.seconds())

    async def list_images(self, name: RepositoryName) -> Sequence[AnnouncedImage]:
        """:raises NameUnknown: there is no such repository."""
        return await self.metadata.images.list_images(name)

    async def get_repository(self, name: RepositoryName) -> RepositoryRecord:
        """:raises NameUnknown: there is no such repository."""
        return await self.metadata.repositories.get(name)

    async def set_private(self, name: RepositoryName, private: bool) -> None:
        """:raises NameUnknown: there is no such repository."""
        await self.metadata.repositories.set_private(name, private)

    # Tags

    async def list_tags(self, name: RepositoryName) -> Sequence[TagRecord]:
        """:raises NameUnknown: there is no such repository."""
        return await self.metadata.repositories.list_tags(name)

    async def get_tag(self, name: RepositoryName, tag: Tag) -> TagRecord:
        """:raises NameUnknown: there is no such repository. :raises TagUnknown: it has no such tag."""
        return await self.metadata.repositories.get_tag(name, tag)

    async def delete_tag(self, name: RepositoryName, tag: Tag) -> None:
        """:raises NameUnknown: there is no such repository. :raises TagUnknown: it has no such tag."""
        await self.metadata.repositories.delete_tag(name, tag, self.clock.seconds())

    async def tag_names(self, name: RepositoryName, after: str, limit: int) -> Sequence[Tag]:
        """A page of the tags that have manifests. :raises NameUnknown: there is no such repository."""
        return await self.metadata.repositories.tag_names(name, after, limit)

    # Search

    async def catalog(self, principal: Principal, after: str, limit: int) -> Sequence[RepositoryName]:
        """At most ``limit`` repositories with manifests that ``principal`` may pull from, after the text ``after``."""
        found: list[RepositoryName] = []
        principal = principal.for_lists
        batch = limit
        while len(found) < limit:
            batch = min(batch, _SEARCH_BATCH)
            records = await self.metadata.repositories.listed(after, batch)
            shown = [record for record in records if record.name.in_oci]
            found += [each.name for each in await self.authorizer.granted_among(principal, Action.PULL, shown)]
            if len(records) < batch:
                break
            after, batch = records[-1].name.value, 2 * batch
        return found[:limit]

    async def search(self, principal: Principal, term: str, page: int, page_size: int) -> SearchPage:
        """
        The repositories that ``principal`` may pull from and whose name or description contains ``term``.

        Private ones are shown to those they belong to only: who may read everything is not shown everything.
        """
        first = (page - 1) * page_size
        total = 0
        results: list[RepositoryRecord] = []
        after: RepositoryName | None = None
        while batch := await self.metadata.repositories.search(term, after, _SEARCH_BATCH):
            records = [record for record in batch if _may_be_shown(principal, record)]
            shown = await self.authorizer.granted_among(principal, Action.PULL, records)
            results += shown[max(0, first - total) : max(0, first + page_size - total)]
            total += len(shown)
            after = batch[-1].name
        return SearchPage(total, results)

    # Blobs

    def most_in_rows(self) -> int:
        """Blobs of so many bytes at most are kept in the metadata now; none while its disk is short of room."""
        return self.small_bytes if self.room is None or self.room.has_rows() else 0

    async def find_blob(self, name: RepositoryName, digest: Digest) -> Blob:
        """
        A blob of a repository.

        :raises BlobUnknown: the repository does not have it. :raises BlobLost: its bytes are lost.
        """
        blob = await self.metadata.blobs.find_in(name, digest)
        if blob is None:
            raise BlobUnknown(str(digest))
        await self.soundness.require(blob)
        return blob

    async def told_blob(self, principal: Principal, name: RepositoryName, digest: Digest) -> Blob:
        """
        A blob of a repository, for who wants to know whether it is there. If he may push, he relies on it: it gets a lease.

        Raises what :meth:`find_blob` raises.
        """
        blob = await self.find_blob(name, digest)
        if await self.may(principal, Action.PUSH, name) and not await self.leases.keep_blob(name, digest):
            # It was collected in this very moment.
            raise BlobUnknown(str(digest))
        return blob

    async def read_blob(self, name: RepositoryName, digest: Digest, limit: int) -> bytes:
        """
        The bytes of a small blob of a repository.

        :raises BlobUnknown: the repository does not have it, or it has more than ``limit`` bytes.
        """
        blob = await self.find_blob(name, digest)
        if blob.size > limit:
            raise BlobUnknown(str(digest))
        reader = await self.open_blob(blob)
        parts = []
        try:
            while part := await reader.read(_READ_BYTES):
                parts.append(part)
        finally:
            reader.close()
        return b"".join(parts)

    async def read_manifest(self, content: bytes, content_type: str | None, algorithm: str = "sha256") -> Manifest:
        """
        What a manifest refers to. A large one is read in a thread.

        :raises ManifestInvalid: as :func:`.parse_manifest`.
        """
        if len(content) <= _SMALL_BYTES:
            return _parse_small(content, content_type, algorithm)
        return await self.in_thread(parse_manifest, content, content_type, algorithm)

    async def open_blob(self, blob: Blob, start: int = 0, *, whole: bool = True) -> IBlobReader:
        """See :meth:`.Soundness.open_blob`."""
        return await self.soundness.open_blob(blob, start, whole=whole)

    async def store_blob(self, content: bytes, name: RepositoryName, *, link: bool = True) -> StoredBlob:
        """
        Record a small document as a blob, for a repository; what that has already is leased again.

        :param link: make it part of the repository. Otherwise the repository need not be there yet.
        :raises NameUnknown: there is no such repository.
        """
        return await shielded(self._store_blob(content, name, partial(self._record, name if link else None)))

    async def _store_blob(
        self, content: bytes, name: RepositoryName, record: Callable[[StoredBlob], Awaitable[StoredBlob]]
    ) -> StoredBlob:
        digest = Digest.sha256(content)
        # What only others have is written again: to pass over it would tell that they have it.
        known = await self.metadata.blobs.find_in(name, digest)
        if isinstance(known, StoredBlob) and known.lost is None and await self.leases.keep_blob(name, digest):
            return known
        upload: IUpload = await self.blobs.start_upload()
        try:
            committed = await upload.commit(digest, [content], None, self.most_in_rows())
        finally:
            await upload.abort()
        return await self.keep_blob(committed, record)

    async def _record(self, name: RepositoryName | None, blob: StoredBlob) -> StoredBlob:
        if name is None:
            return await self.metadata.blobs.record(blob, None, self.lease_end())
        now, lease = self.clock.seconds(), self.lease_end()
        return await self.metadata.blobs.record_in(name, blob, None, None, now, lease, create=False)

    async def keep_blob(
        self,
        committed: StoredBlob,
        record: Callable[[StoredBlob], Awaitable[StoredBlob]],
        upload_id: str | None = None,
    ) -> StoredBlob:
        """
        Record a committed object, and drop it when the metadata does not name it in the end.

        When the metadata store has no room or does not answer, it is made the upload session ``upload_id`` again.

        Not to be cancelled: whether a transaction that was under way took place would not be known.

        :param record: records the object, or finds another one for the same digest, and returns what is recorded.
        """
        try:
            known = await self.metadata.blobs.find(committed.digest)
        except Exception:
            # Nobody has begun to record it.
            await (self._drop(committed) if upload_id is None else self.blobs.reopen(committed, upload_id))
            raise
        try:
            recorded = await record(committed)
        except Exception as problem:
            await self.not_recorded(committed, problem, upload_id)
            raise
        lost = known if known is not None and known.lost is not None and known != committed else None
        self.recorded(committed, Recorded(recorded, lost))
        return recorded

    async def not_recorded(self, committed: StoredBlob, problem: Exception, upload_id: str | None) -> None:
        """What is to be done for :meth:`keep_blob` when recording an object failed."""
        # The database may have committed and failed to say so. If it can not even be asked, the note that the commit left
        # is settled at the next start.
        if not await self.metadata.blobs.is_recorded(committed):
            if upload_id is not None and isinstance(problem, StorageFull | StoreUnavailable):
                await self.blobs.reopen(committed, upload_id)
            else:
                await self._drop(committed)

    def recorded(self, committed: StoredBlob, found: Recorded) -> None:
        """What is to be done for :meth:`keep_blob` when an object was recorded, or another one found."""
        # Not awaited: the time of the answer would tell whether somebody else has pushed the same bytes. A note that the
        # commit left is settled at the next start if this comes to nothing.
        detached(self._drop(committed) if found.blob != committed else self._kept(committed, found.before))

    async def _kept(self, committed: StoredBlob, before: StoredBlob | None) -> None:
        await self.blobs.confirm(committed)
        if before is not None:
            log.info("blob {digest} was pushed again, and is well", digest=committed.digest)
            # Damaged bytes may still be of use to somebody who looks for the reason.
            await self.blobs.quarantine(before)

    async def _drop(self, committed: StoredBlob) -> None:
        await self.blobs.delete(committed)
        await self.blobs.confirm(committed)

    def lease_end(self) -> float:
        """Until when a blob that was just pushed is safe from collection."""
        return self.leases.end()


def _may_be_shown(principal: Principal, record: RepositoryRecord) -> bool:
    return principal.admin or not record.private or (record.owner is not None and principal.name is not None)


@implementer(IImageList)
@define(eq=False)
class AnnouncedImages:
    """The image lists of a registry that is its own index."""

    metadata: IMetadataStore

    async def allows(self, principal: Principal, repository: RepositoryName, image_id: ImageID) -> bool:
        """Whether the image was announced to the repository, or is held by it."""
        return await self.metadata.images.is_listed(repository, image_id)
