"""What a transport has still to send. Reads Twisted's buffers, which have no public name."""

import fcntl
import os
import struct
import termios
from typing import Any, cast

from twisted.internet.interfaces import ISSLTransport, ITCPTransport

#: What Twisted takes from a socket at once. Reads of a request without a large body need no more.
READ_BYTES = 64 * 1024
#: What one read may take while bodies arrive, divided among those that do.
_SHARED_BYTES = 4 * 1024 * 1024


class ReadSizes:
    """
    How much is read from a socket at once while a large body comes from it.

    What a read costs depends little on how much it brings. The memory of all reads stays bounded: each may take its share.

    :param most_bytes: what one may take at most.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bodies = 0

    def begin(self, transport: object, length: int | None) -> bool:
        """A body comes, of an unknown length if it is None. Returns whether it is large: then its :meth:`end` is awaited."""
        if length is not None and length <= READ_BYTES:
            return False
        self._bodies += 1
        size = min(self._most_bytes, _SHARED_BYTES // self._bodies)
        _set_read_size(transport, max(READ_BYTES, size))
        return True

    def end(self, transport: object) -> None:
        """A large body has come, or comes no more."""
        self._bodies -= 1
        _set_read_size(transport, READ_BYTES)


def _set_read_size(transport: object, size: int) -> None:
    lowest = _lowest(transport)
    # Of the transports that are sockets (twisted.internet.abstract.FileDescriptor); others have their own way.
    if hasattr(lowest, "bufferSize"):
        lowest.bufferSize = size


def _lowest(transport: Any) -> Any:
    # TLS and PROXY protocol wrappers are transports that have a transport.
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport


def plain_descriptor(transport: Any) -> int | None:
    """The socket that carries just what is written to ``transport`` and read from it; None when something wraps it."""
    is_tcp = ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(transport)
    if not is_tcp or getattr(transport, "transport", None) is not None:
        return None
    descriptor: int = cast("Any", transport).fileno()
    return None if descriptor < 0 else descriptor


def duplicate(descriptor: int) -> int | None:
    """Another descriptor of the same; None when the process has none left."""
    try:
        return os.dup(descriptor)
    except OSError:
        return None


def unsent_bytes(transport: Any) -> int:
    """Bytes that were written to ``transport`` and not yet given to the kernel; 0 where that cannot be known."""
    waiting = 0
    while transport is not None:
        waiting += sum(map(len, getattr(transport, "_appSendBuffer", ())))
        waiting += len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
        waiting += getattr(transport, "_tempDataLen", 0)
        transport = getattr(transport, "transport", None)
    return waiting


def unacknowledged_bytes(transport: Any) -> int:
    """Bytes that the kernel holds and the client has not acknowledged (Linux ``SIOCOUTQ``); 0 where not known."""
    try:
        answer = fcntl.ioctl(_lowest(transport).fileno(), termios.TIOCOUTQ, bytes(4))
    except (AttributeError, OSError):
        return 0
    return int(struct.unpack("@i", answer)[0])
