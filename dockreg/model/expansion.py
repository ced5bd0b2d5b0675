"""How far a compressed layer may expand."""

from typing import Final

from dockreg.errors import LayerTooLarge
from dockreg.model.compression import CompressionInvalid

#: Any layer may unpack to so many bytes,
_SLACK: Final = 256 * 1024**2
#: and beyond that to so many times its size. What gzip can reach is 1,032; bzip2, xz and zstd reach a million, of which
#: a few bytes would keep a processor busy for minutes.
_RATIO: Final = 1100


class Expansion:
    """
    Watches over the unpacking of one layer, which runs in a thread that nobody can interrupt.

    :param limit: the most uncompressed bytes, whatever the ratio.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._received = 0
        self._stopped = False
        #: Uncompressed bytes so far.
        self.unpacked = 0

    def receive(self, size: int) -> None:
        """So many bytes came as they were sent."""
        self._received += size

    def unpack(self, size: int) -> None:
        """
        So many bytes came out.

        :raises LayerTooLarge: they are too many.
        :raises CompressionInvalid: nobody wants them any more.
        """
        self.unpacked += size
        if self._stopped:
            raise CompressionInvalid("given up")
        if self.unpacked > self._limit:
            raise LayerTooLarge(f"the layer unpacks to more than {self._limit} bytes")
        if self.unpacked > _SLACK + _RATIO * self._received:
            raise LayerTooLarge(f"the layer unpacks to more than {_RATIO} times its size")

    def stop(self) -> None:
        """Give up at the next piece; called from another thread."""
        self._stopped = True
