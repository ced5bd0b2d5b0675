"""What is known of a stored blob."""

from attrs import field, frozen

from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest

#: Begins the generation of an object that is kept in the metadata; in no name that is made at random.
IN_METADATA = "="


@frozen
class StoredBlob:
    """
    One stored object: the bytes of a blob, in one generation.

    When a blob was collected or lost and its bytes are pushed again, a new generation is stored, so that removing the
    old object can not remove the new one.

    ``lost`` is what is known to be wrong with its bytes, None when nothing is. ``content`` are the bytes of one that is to be
    kept in the metadata, as long as it is not recorded there; None for any other.
    """

    digest: Digest
    generation: str
    size: int
    lost: Condition | None = field(default=None, eq=False)
    content: bytes | None = field(default=None, eq=False, repr=False)

    @property
    def in_metadata(self) -> bool:
        """Whether its bytes are kept in the row that names it, and not in the blob store."""
        return self.generation.startswith(IN_METADATA)


@frozen
class DerivedBlob:
    """A blob without bytes of its own: they are the decompressed bytes of ``source``. ``size`` counts them."""

    digest: Digest
    size: int
    source: StoredBlob

    @property
    def lost(self) -> Condition | None:
        """What is known to be wrong with the bytes of its source."""
        return self.source.lost


def object_of(blob: "Blob") -> StoredBlob:
    """The object that the bytes of a blob are made of."""
    return blob if isinstance(blob, StoredBlob) else blob.source


@frozen
class Recorded:
    """What the metadata names after an object was recorded; ``before`` is one that was lost, and whose place it took."""

    blob: StoredBlob
    before: StoredBlob | None = None


@frozen
class LostBlob:
    """A blob whose bytes are not what they should be, and when that was found."""

    blob: StoredBlob
    condition: Condition
    noted_at: float


#: Whatever can be read as a blob.
Blob = StoredBlob | DerivedBlob


@frozen
class Received:
    """What a suspended upload holds: so many bytes, of this digest (None: no bytes yet, or not known)."""

    size: int
    digest: Digest | None


NOTHING_RECEIVED = Received(0, None)
