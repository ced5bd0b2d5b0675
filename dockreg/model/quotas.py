"""What namespaces take up, and how much they may."""

import re

from attrs import frozen

from dockreg.errors_rights import RightsInvalid

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?(?:([KMGTP])(?:i?B)?|B)?", re.ASCII | re.IGNORECASE)


@frozen
class Usage:
    """
    What the repositories of a namespace take up, in bytes.

    ``used`` is the size of their blobs, each counted once; ``reserved`` what uploads that are under way may need.

    :param own: what the namespace may have, 0 for any amount; None: what others may have, too.
    :param limit: which of both counts; 0 for none.
    """

    namespace: str
    used: int
    reserved: int
    own: int | None
    limit: int


@frozen
class Recounted:
    """What was noted of a namespace, and what it is."""

    namespace: str
    used: int
    reserved: int
    real_used: int
    real_reserved: int

    @property
    def is_right(self) -> bool:
        """Whether both are the same."""
        return (self.used, self.reserved) == (self.real_used, self.real_reserved)


def parse_size(text: str) -> int:
    """
    A number of bytes as people write it: ``500``, ``10GiB``, ``1.5T``; K, M, G, T and P are powers of 1024.

    :raises RightsInvalid: it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise RightsInvalid(f"{text[:40]!r} is no size: write a number of bytes, or one with K, M, G, T or P behind it")
    unit = (match[2] or "").upper()
    power = "KMGTP".index(unit) + 1 if unit else 0
    size = int(float(match[1]) * 1024**power) if "." in match[1] else int(match[1]) * 1024**power
    if size >= 2**63:
        raise RightsInvalid(f"{text[:40]!r} is more than can be counted")
    return size


def shown_size(size: int) -> str:
    """A number of bytes as people read it: ``10.5 GiB``."""
    amount = float(size)
    for unit in _UNITS:
        if abs(amount) < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
