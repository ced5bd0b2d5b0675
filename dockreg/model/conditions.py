"""What has become of the bytes of a blob."""

from enum import Enum

from attrs import frozen


class Condition(Enum):
    """What is wrong with an object."""

    #: There is no object.
    MISSING = "missing"
    #: It has another size or another digest, or can not be read.
    DAMAGED = "damaged"


@frozen
class ScrubState:
    """
    How far the scrub is: all objects up to the digest ``position`` have been looked at since ``begun_at``, None when none
    is under way; the one before was over at ``finished_at``, 0 when there was none.
    """

    position: str
    begun_at: float | None
    finished_at: float
