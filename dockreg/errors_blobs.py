"""What can go wrong with stored bytes; see :mod:`dockreg.errors`."""

from attrs import frozen

from dockreg.errors import BlobUnknown
from dockreg.model.conditions import Condition


@frozen
class BlobLost(BlobUnknown):
    """
    The bytes of a blob are gone, or are not what they were.

    To clients that is a blob which is not there: who pushes sends it again, which is its repair, and who pulls has no use
    for another attempt.
    """

    condition: Condition = Condition.MISSING

    def __str__(self) -> str:
        return f"the registry has lost the bytes of blob {self.digest}; push it again, or ask its operator to repair it"
