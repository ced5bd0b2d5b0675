"""What has become of the bytes of a blob."""

from enum import Enum


class Condition(Enum):
    """What is wrong with an object."""

    #: There is no object.
    MISSING = "missing"
    #: It has another size or another digest, or can not be read.
    DAMAGED = "damaged"
