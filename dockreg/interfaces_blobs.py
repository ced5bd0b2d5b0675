"""What providers promise of reading blobs, and of those that are lost. :mod:`dockreg.interfaces` says what holds for all."""

from collections.abc import Sequence

from zope.interface import Attribute, Interface

from dockreg.model.blobs import LostBlob, StoredBlob
from dockreg.model.conditions import Condition, ScrubState
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
