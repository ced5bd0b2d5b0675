"""What is known of a stored blob."""

from attrs import frozen

from dockreg.model.digest import Digest


@frozen
class StoredBlob:
    """
    One stored object: the bytes of a blob, in one generation.

    When a blob was collected and its bytes are pushed again, a new generation is stored, so that removing the old
    object can not remove the new one.
    """

    digest: Digest
    generation: str
    size: int


@frozen
class DerivedBlob:
    """A blob without bytes of its own: they are the decompressed bytes of ``source``. ``size`` counts them."""

    digest: Digest
    size: int
    source: StoredBlob


#: Whatever can be read as a blob.
Blob = StoredBlob | DerivedBlob


@frozen
class Received:
    """What a suspended upload holds: so many bytes, of this digest (None: no bytes yet, or not known)."""

    size: int
    digest: Digest | None


NOTHING_RECEIVED = Received(0, None)
