"""What an open blob may offer beside :class:`~dockreg.interfaces.IBlobReader`, to be sent with less work."""

from dockreg.interfaces_blobs import IBlobReader


class IBlobFile(IBlobReader):
    """An open blob that the kernel can send by itself."""

    def detach() -> tuple[int, int]:
        """A descriptor of the file, the caller's to close, and the position of the next byte in it."""


class IBlobInMemory(IBlobReader):
    """An open blob that is in memory already."""

    def take(length: int) -> bytes:
        """The next ``length`` bytes, fewer at the end, without waiting."""
