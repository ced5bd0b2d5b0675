"""
What providers promise. Read this first, then :mod:`dockreg.interfaces_v1`, :mod:`dockreg.interfaces_access` and
:mod:`dockreg.interfaces_rights`.

Every method that is ``async`` may wait for a disk, a database or a network. Unless its docstring says otherwise it may
be repeated without harm, and what it has reported as done survives a crash of the process and of the machine.
Times are seconds since 1970 as a float, sizes are bytes.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence

from zope.interface import Attribute, Interface

from dockreg.callables import ByteObserver
from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.interfaces_blobs import IBlobOpener, IConditionStore, IReferenceStore, IUpload
from dockreg.interfaces_collection import ICollection, ILeaseStore
from dockreg.interfaces_listing import IManifestList
from dockreg.interfaces_moments import IMoments
from dockreg.interfaces_people import IAccessTokenStore, IAttemptStore, IInvitationStore
from dockreg.interfaces_quotas import IQuotaStore
from dockreg.interfaces_retention import IRetentionStore
from dockreg.interfaces_rights import IRightsStore
from dockreg.interfaces_uploads import IUploadStore
from dockreg.interfaces_v1 import IV1ImageStore
from dockreg.model.blobs import Blob, Received, Recorded, StoredBlob
from dockreg.model.collection import Page
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Referrer, RepositoryRecord, Sparse, StoredManifest, TagRecord
from dockreg.model.v1 import LayerFacts, TagClient, V1Image

# Blobs


class IBlobStore(IBlobOpener):
    """Immutable bytes by digest and generation, shared by every repository and every process."""

    async def start_upload(observers: Sequence[ByteObserver] = (), algorithm: str = "sha256") -> IUpload:
        """
        A new, empty upload. Each of ``observers`` sees every byte in a worker thread.

        :param algorithm: that of the blob's digest, ``sha256`` or ``sha512``.
        :raises StorageFull: there is no room to begin.
        """

    async def resume_upload(
        upload_id: str,
        received: Received,
        observers: Sequence[ByteObserver] = (),
        algorithm: str = "sha256",
        later: bool = False,
    ) -> IUpload:
        """
        Go on with a suspended upload; its ``size`` is the number of bytes that are there, which after a crash may be
        more than was suspended.

        Bytes that this process has not digested itself are digested when the first new ones are written, or at the
        commit when ``received`` does not tell their digest.

        :param received: what was suspended; with no bytes, an upload that is not there begins empty.
        :param observers: see the bytes that are written from now on.
        :param later: an upload of which nothing was suspended may be begun by the first method that is called, which then
            raises what is raised here; its ``size`` is 0 until then. Together that costs less.
        :raises UploadUnknown: there is no such upload, or it has fewer bytes than were suspended.
        :raises UploadBusy: another request, here or in another process, is writing to it.
        """

    async def upload_size(upload_id: str) -> int:
        """The number of bytes that an upload has now; 0 when it is not there."""

    async def drop_upload(upload_id: str) -> None:
        """
        Remove what a suspended upload holds; harmless when it is gone.

        :raises UploadBusy: somebody is writing to it.
        """

    async def confirm(blob: StoredBlob) -> None:
        """The metadata now names this object: forget the note that its commit left."""

    async def reopen(blob: StoredBlob, upload_id: str) -> None:
        """Make an object that could not be recorded the suspended upload again that it was; else remove it."""

    async def free() -> int | None:
        """How many more bytes there is room for; None when the store can not tell."""

    async def delete(blob: StoredBlob) -> None:
        """Remove the object; harmless when it is gone."""

    async def examine(blob: StoredBlob, passed: Callable[[int], Awaitable[object]]) -> None:
        """
        Read an object from where it is kept, and see that it is whole.

        :param passed: told of bytes as they have been read, and waited for.
        :raises BlobLost: the object is not there, has another size or digest, or can not be read.
        :raises StoreUnavailable: the store does not work now, which says nothing about the object.
        """

    async def quarantine(blob: StoredBlob) -> None:
        """Put an object where nothing but an operator will find it; harmless when it is gone."""

    async def stored(after: str, limit: int) -> Page:
        """
        About ``limit`` objects, in an order of the store's own, without those whose commit is not confirmed.

        :param after: where to go on, as the last page told it; empty for the beginning.
        """

    async def recover(
        is_recorded: Callable[[StoredBlob], Awaitable[bool]], is_resumable: Callable[[str], Awaitable[bool]]
    ) -> int:
        """
        Settle what processes that are gone left behind: uploads without a writer are dropped unless the metadata knows
        them (``is_resumable``, given the upload id, and asked while nobody else can open the upload), committed objects that the metadata does not name (``is_recorded``)
        are removed. What other living processes are writing is not touched. Return how many were dropped or removed.
        """

    async def check() -> None:
        """:raises StoreUnavailable: blobs can not be written and read now."""

    async def close() -> None:
        """
        Leave nothing for recovery that is settled, when nothing more is to be stored. Harmless at any other time, and more
        than once: uploads that go on are not touched, and others may begin.
        """


# Metadata


class IBlobIndex(Interface):
    """The rows of blobs: which object holds a digest, and until when it must not be collected."""

    async def find(digest: Digest) -> StoredBlob | None:
        """The object that holds ``digest``, if one is recorded."""

    async def find_in(name: RepositoryName, digest: Digest) -> Blob | None:
        """The blob, if it is part of the repository."""

    async def holders(digest: Digest, limit: int) -> Sequence[RepositoryName]:
        """At most ``limit`` repositories that a blob is part of, the oldest first."""

    async def mount(
        name: RepositoryName, source: RepositoryName, digest: Digest, owner: str | None, now: float, leased_until: float
    ) -> Blob | None:
        """
        Make a blob of ``source`` part of ``name`` too, which is created if it is not there, and lease it.

        :return: None when ``source`` does not have it, or its bytes are lost; nothing is changed then.
        :raises BlobUnknown: ``source`` lost it in this very moment; nothing is changed then.
        """

    async def record_in(
        name: RepositoryName,
        blob: StoredBlob,
        facts: LayerFacts | None,
        owner: str | None,
        now: float,
        leased_until: float,
        upload_id: str | None = None,
        create: bool = True,
    ) -> StoredBlob:
        """
        As :meth:`record`, and make the blob part of a repository. The upload session ``upload_id`` ends in the same
        transaction.

        :param create: whether the repository is created if it is not there.
        :raises NameUnknown: it is not, and ``create`` is False.
        :raises UploadUnknown: another request has ended the session, whose id proves itself; nothing is changed. If it has
            expired meanwhile the blob is recorded all the same.
        """

    def recorder(
        name: RepositoryName,
        facts: LayerFacts | None,
        owner: str | None,
        now: float,
        leased_until: float,
        upload_id: str | None = None,
    ) -> Callable[[StoredBlob], Recorded]:
        """
        What does the work of :meth:`record_in` where it is called, in any thread but the reactor's, and blocks until it is
        durable. It raises what :meth:`record_in` raises.
        """

    async def unlink(name: RepositoryName, digest: Digest) -> None:
        """
        Make a blob no longer part of a repository.

        :raises BlobUnknown: it is not, or there is no such repository.
        :raises BlobInUse: a manifest or a v1 image of the repository refers to it.
        """

    async def learn(digest: Digest, facts: LayerFacts) -> None:
        """Keep what was found out about a layer after it had been recorded; harmless when the blob is gone."""

    async def facts(digest: Digest) -> LayerFacts | None:
        """What is known of a blob as a layer; None when nobody has looked."""

    async def content(blob: StoredBlob) -> bytes | None:
        """
        The bytes of an object that was recorded with its :attr:`~.StoredBlob.content`; None when the metadata does not name
        it, or has no bytes of it.
        """

    async def is_recorded(blob: StoredBlob) -> bool:
        """Whether the metadata names exactly this object (digest and generation)."""

    async def record(blob: StoredBlob, facts: LayerFacts | None, leased_until: float) -> StoredBlob:
        """
        Record a committed object, or renew the lease of the one that is recorded under its digest already and not lost.

        The bytes of one that has its :attr:`~.StoredBlob.content` are recorded with it, and go with its row, or when another
        object is recorded in its place.

        :return: the object that is recorded now; when it is not ``blob``, the caller deletes ``blob``.
        """


class IRepositoryStore(Interface):
    """Repositories, their tags and manifests."""

    async def get(name: RepositoryName) -> RepositoryRecord:
        """:raises NameUnknown: there is no such repository, or it was deleted."""

    async def create(name: RepositoryName, owner: str | None, now: float) -> RepositoryRecord:
        """
        The repository, created if it is not there. One that was deleted comes back: with the images it held if its
        owner is the same, without them otherwise. What a robot creates is owned by the account that the robot belongs to.
        """

    async def delete(name: RepositoryName, now: float) -> None:
        """
        Remove its tags, manifests and announcements. Its images stay for a re-push by the same owner, and can not be
        reached meanwhile.

        :raises NameUnknown: there is no such repository.
        """

    async def set_private(name: RepositoryName, private: bool) -> None:
        """:raises NameUnknown: there is no such repository."""

    async def search(term: str, after: RepositoryName | None, limit: int) -> Sequence[RepositoryRecord]:
        """
        At most ``limit`` repositories whose v1 name or description contains ``term`` (ASCII case does not matter),
        in the order of their names, after ``after``.
        """

    async def list_tags(name: RepositoryName) -> Sequence[TagRecord]:
        """All tags, in ASCII order. :raises NameUnknown: there is no such repository."""

    async def get_tag(name: RepositoryName, tag: Tag) -> TagRecord:
        """:raises NameUnknown: there is no such repository. :raises TagUnknown: it has no such tag."""

    async def tag_image(
        name: RepositoryName,
        tag: Tag,
        image: V1Image,
        manifest: Manifest | None,
        client: TagClient,
        now: float,
        overwrite: bool = True,
    ) -> None:
        """
        Make a v1 image and its ancestors part of the repository, and point ``tag`` to it: all or nothing. A tag that is
        this image already keeps its manifest.

        :param manifest: its schema2 view, whose config blob is recorded already; None when a layer is no tar.
        :raises NameUnknown: there is no such repository.
        :raises ImageUnknown: the image is gone. :raises BlobUnknown: a blob of the manifest is.
        :raises ImageConflict: the repository holds other content under the id of the image or of an ancestor.
        :raises Denied: the tag would have to be moved, and ``overwrite`` is False.
        """

    async def delete_tag(name: RepositoryName, tag: Tag, now: float) -> None:
        """:raises NameUnknown: there is no such repository. :raises TagUnknown: it has no such tag."""

    async def tag_names(name: RepositoryName, after: str, limit: int) -> Sequence[Tag]:
        """
        At most ``limit`` tags that have a manifest and come after the text ``after``, in ASCII order.

        :raises NameUnknown: there is no such repository.
        """

    async def listed(after: str, limit: int) -> Sequence[RepositoryRecord]:
        """At most ``limit`` repositories that hold a manifest and come after the text ``after``, in ASCII order."""


class IManifestStore(IManifestList):
    """The manifests of repositories, byte for byte."""

    async def put(
        name: RepositoryName,
        manifest: Manifest,
        tags: Collection[Tag],
        pushed_by: str | None,
        now: float,
        sparse: Sparse,
        overwrite: bool,
        image: V1Image | None = None,
        only_if: Collection[str] | None = None,
        signed: Digest | None = None,
    ) -> None:
        """
        Keep a manifest and point ``tags`` to it: all or nothing. The repository is created if it is not there.

        :param overwrite: whether tags that point elsewhere may be moved.
        :param image: a v1 image with the same config that the caller may read. It is what the manifest is in v1 if its
            layers have the content of the manifest's; otherwise it is passed over.
        :param signed: the schema1 manifest of the repository that the tags are pushed with; ``manifest`` was made from it.
        :param only_if: the digests that the tags may point to now, ``*`` for any; when empty, they must not be there.
        :raises ReferencesUnknown: it refers to what the repository does not have, and ``sparse`` does not allow that.
        :raises Denied: a tag would have to be moved. :raises TagChanged: a tag is not what ``only_if`` says.
        """

    async def get(name: RepositoryName, reference: Tag | Digest) -> StoredManifest:
        """
        :raises NameUnknown: there is no such repository.
        :raises ManifestUnknown: it has no such tag or digest, or the tag is of an image without a manifest.
        """

    async def signed_form(name: RepositoryName, tag: Tag) -> StoredManifest | None:
        """The schema1 manifest that a tag was pushed with; None when it was pushed as something else."""

    async def add_view(name: RepositoryName, digest: Digest, view: Manifest, now: float) -> None:
        """
        Keep another form of the image that the manifest ``digest`` is; it goes when that goes, unless it is pushed.

        :raises ManifestUnknown: the repository has no manifest ``digest``.
        """

    async def delete(name: RepositoryName, digest: Digest) -> None:
        """
        Remove a manifest with all other forms of its image, the tags that point to them, and the v1 images that the
        repository holds for their sake only.

        :raises NameUnknown: there is no such repository. :raises ManifestUnknown: it has no such manifest.
        """

    async def list_referrers(
        name: RepositoryName, subject: Digest, artifact_type: str | None, after: str, limit: int
    ) -> Sequence[Referrer]:
        """
        At most ``limit`` manifests whose subject is ``subject`` and whose digest comes after the text ``after``, in the
        order of their digests; none when there is no such repository.
        """

    async def origins(config: Digest) -> Sequence[tuple[RepositoryName, V1Image]]:
        """
        The v1 images whose manifests have this config, and the repositories that hold them; the latest first.

        Only as long as nobody has changed any of that, nor who may read which repository, may it be the same object again.
        """


class IMetadataStore(IMoments):
    """Everything but the bytes of blobs. Every method of its parts is one transaction."""

    blobs: IBlobIndex = Attribute("The rows of blobs.")
    conditions: IConditionStore = Attribute("Blobs whose bytes are lost.")
    references: IReferenceStore = Attribute("What refers to what.")
    repositories: IRepositoryStore = Attribute("Repositories, tags, manifests.")
    manifests: IManifestStore = Attribute("Manifests and referrers.")
    uploads: IUploadStore = Attribute("Upload sessions.")
    images: IV1ImageStore = Attribute("v1 images.")
    accounts: IAccountStore = Attribute("Stored logins.")
    keys: IKeyStore = Attribute("Keys that the registry made.")
    access_tokens: IAccessTokenStore = Attribute("Access tokens of accounts.")
    rights: IRightsStore = Attribute("Groups, namespaces and grants.")
    invitations: IInvitationStore = Attribute("Invitations to make accounts.")
    attempts: IAttemptStore = Attribute("Failed attempts to log in.")
    retention: IRetentionStore = Attribute("Pulls, and what goes by the rules.")
    leases: ILeaseStore = Attribute("Leases of blobs, manifests and images.")
    collection: ICollection = Attribute("What may be garbage.")
    quotas: IQuotaStore = Attribute("What namespaces take up, and may.")

    async def open() -> None:
        """
        Bring the schema up to date, under one lock; several processes may do so at once.

        :raises StoreUnavailable: the database can not be reached, or is newer than this program.
        """

    async def close() -> None:
        """Release the database. Harmless when it is not open."""

    async def check() -> None:
        """:raises StoreUnavailable: the database does not answer."""
