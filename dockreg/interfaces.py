"""
What providers promise. Read this first.

Every method that is ``async`` may wait for a disk, a database or a network. Unless its docstring says otherwise it may
be repeated without harm, and what it has reported as done survives a crash of the process and of the machine.
Times are seconds since 1970 as a float, sizes are bytes.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence

from twisted.cred.credentials import IUsernamePassword
from zope.interface import Attribute, Interface

from dockreg.callables import ByteObserver
from dockreg.model.access import Access, Action, Challenge, Principal
from dockreg.model.accounts import Account, SigningKey
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import RepositoryRecord, TagRecord
from dockreg.model.v1 import (
    AnnouncedImage,
    Checksums,
    ImageID,
    ImageJSON,
    LayerFacts,
    PushScope,
    ReachableImage,
    StagedImage,
    StagedLayer,
    TagClient,
    V1Image,
)

# Blobs


class IBlobReader(Interface):
    """An open blob, positioned somewhere in it."""

    size: int = Attribute("Length of the whole blob, in bytes.")

    async def read(limit: int) -> bytes:
        """The next 1 to ``limit`` bytes; ``b""`` once the end is reached."""

    def close() -> None:
        """Release the blob. Safe to call more than once, and while a read is under way."""


class IUpload(Interface):
    """Bytes on their way to becoming a blob. One writer at a time."""

    upload_id: str = Attribute("Unguessable and safe in a URL.")
    size: int = Attribute("Bytes accepted so far.")

    async def write(chunks: Sequence[bytes]) -> None:
        """
        Append ``chunks`` in order.

        :raises StorageFull: there was no room; the upload can only be aborted.
        """

    async def commit(expected: Digest | None = None) -> StoredBlob:
        """
        Make the bytes, and their name, durable as a new generation, and end the upload.

        The object is kept for good once :meth:`IBlobStore.confirm` was called for it. Until then a crash leaves a note
        of it that :meth:`IBlobStore.recover` settles.

        :raises DigestInvalid: the bytes hash to something else than ``expected``; nothing is kept.
        :raises StorageFull: there was no room; nothing is kept.
        """

    async def abort() -> None:
        """Drop the bytes and end the upload. Harmless after :meth:`commit`, and more than once."""


class IBlobStore(Interface):
    """Immutable bytes by digest and generation, shared by every repository and every process."""

    async def start_upload(observers: Sequence[ByteObserver] = ()) -> IUpload:
        """
        A new, empty upload. Each of ``observers`` sees every byte in a worker thread.

        :raises StorageFull: there is no room to begin.
        """

    async def confirm(blob: StoredBlob) -> None:
        """The metadata now names this object: forget the note that its commit left."""

    async def open(blob: StoredBlob, start: int = 0) -> IBlobReader:
        """
        Open a blob for reading.

        :param start: the first byte wanted, counted from 0; ``blob.size`` is allowed.
        :raises BlobUnknown: the object is not there, or not of the size that the metadata recorded.
        :raises RangeInvalid: ``start`` lies beyond the end.
        """

    async def delete(blob: StoredBlob) -> None:
        """Remove the object; harmless when it is gone."""

    async def recover(is_recorded: Callable[[StoredBlob], Awaitable[bool]]) -> int:
        """
        Settle what processes that are gone left behind: uploads without a writer are dropped, committed objects that
        the metadata does not name (``is_recorded``) are removed. What other living processes are writing is not
        touched. Return how many were dropped or removed.
        """

    async def check() -> None:
        """:raises StoreUnavailable: blobs can not be written and read now."""


# Metadata


class IBlobIndex(Interface):
    """The rows of blobs: which object holds a digest, and until when it must not be collected."""

    async def find(digest: Digest) -> StoredBlob | None:
        """The object that holds ``digest``, if one is recorded."""

    async def is_recorded(blob: StoredBlob) -> bool:
        """Whether the metadata names exactly this object (digest and generation)."""

    async def record(blob: StoredBlob, facts: LayerFacts | None, leased_until: float) -> StoredBlob:
        """
        Record a committed object, or renew the lease of the one that is recorded under its digest already.

        :return: the object that is recorded now; when it is not ``blob``, the caller deletes ``blob``.
        """


class IRepositoryStore(Interface):
    """Repositories, their tags and manifests."""

    async def get(name: RepositoryName) -> RepositoryRecord:
        """:raises NameUnknown: there is no such repository, or it was deleted."""

    async def create(name: RepositoryName, owner: str | None, now: float) -> RepositoryRecord:
        """
        The repository, created if it is not there. One that was deleted comes back: with the images it held if its
        owner is the same, without them otherwise.
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
    ) -> None:
        """
        Make a v1 image and its ancestors part of the repository, and point ``tag`` to it: all or nothing.

        :param manifest: its schema2 view, whose config blob is recorded already; None when a layer is no tar.
        :raises NameUnknown: there is no such repository.
        :raises ImageUnknown: the image is gone. :raises BlobUnknown: a blob of the manifest is.
        :raises ImageConflict: the repository holds other content under the id of the image or of an ancestor.
        """

    async def delete_tag(name: RepositoryName, tag: Tag) -> None:
        """:raises NameUnknown: there is no such repository. :raises TagUnknown: it has no such tag."""


class IV1ImageStore(Interface):
    """v1 images: announced, staged, complete."""

    async def announce(
        name: RepositoryName, principal: str | None, images: Sequence[AnnouncedImage], now: float
    ) -> None:
        """
        Add to the image list of a repository; entries are never removed, and a checksum is not replaced by None.

        :raises NameUnknown: there is no such repository.
        """

    async def list_images(name: RepositoryName) -> Sequence[AnnouncedImage]:
        """
        What was announced to or is held by a repository, in the order in which it came; of a complete image the checksum is
        a tarsum where there is one, else the payload checksum.

        :raises NameUnknown: there is no such repository.
        """

    async def announced_by(principal: str | None, image_id: ImageID, since: float) -> Sequence[RepositoryName]:
        """The repositories to which ``principal`` announced ``image_id`` at ``since`` or later, newest first."""

    async def is_listed(name: RepositoryName, image_id: ImageID) -> bool:
        """Whether :meth:`list_images` has ``image_id``. False when there is no such repository."""

    async def find(image_id: ImageID, owner: str | None) -> Sequence[ReachableImage]:
        """
        Each complete image of this id with each repository that holds it, and those that ``owner`` (None: anonymous)
        pushed without announcing them, oldest first.
        """

    async def find_in(name: RepositoryName, image_id: ImageID) -> V1Image | None:
        """The complete image that the repository holds under this id."""

    async def chain(image: V1Image) -> Sequence[V1Image]:
        """The image and its ancestors, base last."""

    async def ancestry(image: V1Image) -> Sequence[ImageID]:
        """Their ids alone, in the same order."""

    async def stage_json(scope: PushScope, document: ImageJSON, parent: V1Image | None, now: float) -> None:
        """Keep an image json for its layer. One with the same bytes in the same scope is the same one."""

    async def staged(scope: PushScope, image_id: ImageID, limit: int = 8) -> Sequence[StagedImage]:
        """The distinct jsons that are staged in ``scope`` under this id, newest first."""

    async def is_staged(name: RepositoryName | None, principal: str | None, image_id: ImageID) -> bool:
        """Whether the image is being pushed to the repository by anybody, or (None) by ``principal`` anywhere."""

    async def stage_layer(
        blob: StoredBlob,
        facts: LayerFacts,
        checksums: Sequence[tuple[StagedImage, Checksums]],
        now: float,
        leased_until: float,
    ) -> StoredBlob:
        """
        Record a received layer for each json that it was checked against; as :meth:`IBlobIndex.record`, in the same transaction.

        A json that is no longer staged is passed over.
        """

    async def staged_layers(scope: PushScope, image_id: ImageID) -> Sequence[StagedLayer]:
        """What could be completed now, newest first."""

    async def complete(
        layer: StagedLayer,
        image_id: ImageID,
        scope: PushScope,
        repositories: Collection[RepositoryName],
        now: float,
    ) -> V1Image:
        """
        Make a staged image complete and part of ``repositories`` (of none: its pusher's own), with its ancestors, and drop
        all that is staged in ``scope`` under this id: all or nothing.

        When one of the repositories (or, of none, the pusher) holds an image of this id meanwhile, that one is returned and
        nothing but the staging changes; the caller compares.

        :raises NameUnknown: one of the repositories is not there. :raises LayerMissing: the layer is no longer staged.
        :raises ImageConflict: a repository holds other content under the id of an ancestor.
        """

    async def expire_staged(before: float) -> int:
        """Drop what was staged before ``before`` and not completed; return how many images."""


class IAccountStore(Interface):
    """Stored logins."""

    async def create(name: str, password_hash: str, email: str, admin: bool, now: float) -> Account:
        """:raises AccountExists: the name, or the e-mail address if not empty, is taken."""

    async def get(name: str) -> Account:
        """:raises AccountUnknown: there is none of this name."""

    async def list_all() -> Sequence[Account]:
        """Every account, in the order of their names."""

    async def change(
        name: str,
        password_hash: str | None = None,
        email: str | None = None,
        active: bool | None = None,
        admin: bool | None = None,
    ) -> Account:
        """
        Replace what is not None.

        :raises AccountUnknown: there is none of this name.
        :raises AccountExists: the e-mail address is another account's.
        """


class IKeyStore(Interface):
    """Keys that the registry makes once and keeps, shared by its processes."""

    async def get(purpose: str, make: Callable[[], SigningKey]) -> Sequence[SigningKey]:
        """
        The keys for ``purpose``, newest first; when there is none, the result of ``make`` is stored. Several processes
        that ask at once are given the same.
        """


class IMetadataStore(Interface):
    """Everything but the bytes of blobs. Every method of its parts is one transaction."""

    blobs: IBlobIndex = Attribute("The rows of blobs.")
    repositories: IRepositoryStore = Attribute("Repositories, tags, manifests.")
    images: IV1ImageStore = Attribute("v1 images.")
    accounts: IAccountStore = Attribute("Stored logins.")
    keys: IKeyStore = Attribute("Keys that the registry made.")

    async def open() -> None:
        """
        Bring the schema up to date, under one lock; several processes may do so at once.

        :raises StoreUnavailable: the database can not be reached, or is newer than this program.
        """

    async def close() -> None:
        """Release the database. Harmless when it is not open."""

    async def check() -> None:
        """:raises StoreUnavailable: the database does not answer."""


# Who, and what they may do


class IAuthenticator(Interface):
    """Who is asking? Knows credentials (``twisted.cred``) and token texts, never headers."""

    async def login(credentials: IUsernamePassword) -> Principal:
        """
        :raises Unauthorized: the name is unknown or the password is wrong; both look and take the same.
        :raises AccountInactive: the credentials are right, the account is disabled.
        :raises Busy: too many passwords are being verified already.
        """

    async def redeem(token: str) -> Principal:
        """
        The bearer of a v1 token, with its ceiling.

        :param token: what stood behind the scheme ``Token``, in any spelling that engines 0.6 to 1.12 use.
        :raises Unauthorized: not ours, changed, or expired.
        """

    def challenge(wanted: Access | None) -> Challenge:
        """How a client should present itself to obtain ``wanted``."""


class IAuthorizer(Interface):
    """May they?"""

    async def granted(principal: Principal, wanted: Access) -> frozenset[Action]:
        """
        The part of ``wanted.actions`` that is allowed now, within the ceiling; possibly empty, never an error. A
        repository that does not exist is judged as if the principal were about to create it.
        """


class ITokenIssuer(Interface):
    """Makes the v1 tokens that the index role hands out."""

    async def issue(principal: Principal, repository: RepositoryName, actions: frozenset[Action]) -> str:
        """A token for one repository, as the value of ``X-Docker-Token``: ASCII, no blanks, below 4 KB."""


class IImageList(Interface):
    """Which image ids a push may bring, when an index of its own holds the lists."""

    async def allows(principal: Principal, repository: RepositoryName, image_id: ImageID) -> bool:
        """Whether the list of ``repository`` has ``image_id``."""


class IPasswordHasher(Interface):
    """Turns passwords into what may be stored, off the reactor thread, few at a time."""

    async def hash(password: bytes) -> str:
        """A salted hash of ``password``, another one each time. :raises Busy: too many are being hashed already."""

    async def verify(stored: str, password: bytes) -> bool:
        """Whether ``stored`` was made from ``password``; False when it is no hash at all. :raises Busy: as above."""

    async def verify_nobody(password: bytes) -> None:
        """Take as long as :meth:`verify` does, for a name that is unknown. :raises Busy: as above."""
