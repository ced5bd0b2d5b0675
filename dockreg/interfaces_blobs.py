"""
What providers promise of blobs that are read or written, and of those that are lost.

:mod:`dockreg.interfaces` says what holds for all.
"""

from collections.abc import Callable, Sequence

from zope.interface import Attribute, Interface

from dockreg.callables import Ending, Piece
from dockreg.model.blobs import LostBlob, Received, StoredBlob
from dockreg.model.conditions import Condition, ScrubState
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest
from dockreg.model.references import BrokenReference, ImagePage, KeptManifest, ManifestPage


class IBlobReader(Interface):
    """An open blob, positioned somewhere in it."""

    size: int = Attribute("Length of the whole blob, in bytes.")

    async def read(limit: int) -> bytes:
        """The next 1 to ``limit`` bytes; ``b""`` once the end is reached."""

    def close() -> None:
        """Release the blob. Safe to call more than once, and while a read is under way."""


class IBlobOpener(Interface):
    """Opens blobs."""

    async def open(blob: StoredBlob, start: int = 0) -> IBlobReader:
        """
        Open a blob for reading.

        :param start: the first byte wanted, counted from 0; ``blob.size`` is allowed.
        :raises BlobLost: the object is not there, or not of the size that the metadata recorded.
        :raises RangeInvalid: ``start`` lies beyond the end.
        """


class IUpload(Interface):
    """Bytes on their way to becoming a blob. One writer at a time."""

    upload_id: str = Attribute("Unguessable and safe in a URL.")
    size: int = Attribute("Bytes accepted so far.")

    async def write(chunks: Sequence[Piece]) -> None:
        """
        Append ``chunks`` in order.

        :raises StorageFull: there was no room for all of them (or StoreUnavailable: the disk failed); :attr:`size`
            tells how many bytes were taken. After any other error the upload can only be aborted.
        """

    async def receive(fetch: Callable[[], Piece], ending: Ending | None = None) -> StoredBlob | None:
        """
        Append what ``fetch`` returns until that is nothing; each piece is there until the second call after its own.

        :param ending: if so many bytes came as it tells, :meth:`commit` with what else it tells, at once.
        :return: the blob; None where there is no ``ending``, or other than those bytes came.

        :param fetch: called where it may take a while, and not once the upload has ended. Where its attribute ``decrypts`` is
            true, calls are work for a processor, and are better made beside the other work; its pieces are there until
            the third call. Where it has a method ``reuse``, a store calls it that from then on needs each of them until the
            next call only. Where it has a method ``align``, a store may call that before the first of them, with the number
            of bytes that the upload has: from then on each byte that is handed out as a view lies in memory as in a file,
            with the same remainder of its place by 4096 bytes; and where much comes, all but the last piece end with such a block.
        :raises StorageFull: as for :meth:`write`, or for :meth:`commit`. :raises DigestInvalid: as for :meth:`commit`.
        """

    async def suspend(then: Callable[[Received], object] | None = None, last: Sequence[Piece] = ()) -> Received:
        """
        Make the bytes durable and let go of them, so that :meth:`.IBlobStore.resume_upload` can go on, in any process.

        :param last: what is written before; together that costs less. What finds no room is left out: all else is done, and
            then StorageFull is raised, or StoreUnavailable; :attr:`size` tells how many bytes there are.
        :param then: is called in between, in the thread that made them durable if the store has any, and may block there.
            It raises nothing.

        This object is of no use afterwards; :meth:`abort` is harmless then and drops nothing.

        :raises StorageFull: there was no room (or StoreUnavailable): what was suspended before is there, and no more.
        """

    async def commit(
        expected: Digest | None = None,
        last: Sequence[Piece] = (),
        then: Callable[[StoredBlob], bool] | None = None,
        small_bytes: int = 0,
    ) -> StoredBlob:
        """
        Make the bytes, and their name, durable as a new generation, and end the upload.

        :param last: what is written before; together with the commit that costs less.
        :param then: is called with the durable object, in the thread that made it so if the store has any, and may block
            there. It raises nothing, and says whether the object is to be confirmed there and then, for the upload has ended
            for everybody: what another one has begun under its id meanwhile may be dropped. Once it was called the object is
            in the hands of who passed it, also when that is cancelled.

        :param small_bytes: where all bytes are in ``last``, and they are so many at most (0: never), the object is left to whoever records it:
            it has its :attr:`~.StoredBlob.content`, its generation says that it is kept in the metadata, and nothing else is
            kept. Recorded, it is durable.

        Bytes are read again only when nobody has digested them by the algorithm of ``expected`` as they passed.

        The object is kept for good once :meth:`.IBlobStore.confirm` was called for it. Until then a crash leaves a note
        of it that :meth:`.IBlobStore.recover` settles.

        :raises DigestInvalid: the bytes hash to something else than ``expected``; nothing is kept.
        :raises StorageFull: there was no room (or StoreUnavailable): there is no object, and the upload may be suspended.
        """

    async def abort() -> None:
        """Drop the bytes and end the upload. Harmless after :meth:`commit`, and more than once."""


class IConditionStore(Interface):
    """
    What is known of the bytes of blobs.

    A blob that is known to be lost is one that nobody has, for everybody and at once: :attr:`.StoredBlob.lost` is set
    wherever it is found. A push of its bytes makes a new object, and the blob is well in every repository that has it.
    """

    async def note(blob: StoredBlob, condition: Condition | None, now: float) -> bool:
        """
        Note what has become of an object, None when it is well.

        :return: whether that was not known; False as well when the metadata does not name this object any more.
        """

    async def list_lost(after: str, limit: int) -> Sequence[LostBlob]:
        """At most ``limit`` blobs that are lost and whose digest comes after the text ``after``, in ASCII order."""

    async def count_lost() -> int:
        """How many blobs are lost."""

    async def list_objects(after: str, limit: int) -> Sequence[StoredBlob]:
        """At most ``limit`` objects that the metadata names and whose digest comes after ``after``, in ASCII order."""

    async def scrub_state() -> ScrubState:
        """How far the scrub is, whoever does it."""

    async def hold_scrub(holder: str, now: float, hold_seconds: float) -> ScrubState | None:
        """
        Become, or stay, the one process that looks at blobs; for ``hold_seconds``.

        :return: how far it is; None when another process does it.
        """

    async def note_scrub(holder: str, state: ScrubState, held_until: float) -> None:
        """Note how far it is, unless another process does it by now. It may be undone by a failure of power."""


class IReferenceStore(Interface):
    """References between rows, for who sees whether they are what they should be."""

    async def look_at_manifests(after: int, limit: int) -> ManifestPage:
        """At most ``limit`` manifests whose key is larger than ``after``."""

    async def look_at_images(after: int, limit: int) -> ImagePage:
        """Look at ``limit`` v1 images at most whose key is larger than ``after``."""

    async def mend(broken: BrokenReference) -> bool:
        """Make a reference what it should be, if that can be known; whether it is so now."""

    async def write_references(kept: KeptManifest, manifest: Manifest) -> bool:
        """Make the rows of a manifest say what it refers to; False when it is gone."""
