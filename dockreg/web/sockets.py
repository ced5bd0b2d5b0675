"""What a transport has still to send. Reads Twisted's buffers, which have no public name."""

import fcntl
import struct
import termios
from typing import Any


def _lowest(transport: Any) -> Any:
    # TLS and PROXY protocol wrappers are transports that have a transport.
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport


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
