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
