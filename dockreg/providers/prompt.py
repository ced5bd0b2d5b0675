"""
Connections that send what is small at once.

Twisted keeps what is written until its reactor has asked the kernel whether the socket takes anything, and asks it to be
told no more when all has gone: three system calls and a turn of the reactor for each answer. A socket on which nothing waits
takes a small answer nearly always, so it is offered to it right away. What the socket does not take goes the way of Twisted,
as does every error: it meets it again there, and says what it always says.

The only module that looks into Twisted's buffers for sending to write past them; ``tests/unit/providers/test_prompt.py`` fails
when Twisted changes them.
"""

from collections.abc import Iterable

from twisted.internet.interfaces import IListeningPort
from twisted.internet.tcp import Port, Server

#: More is not sent at once: a client that takes much has the others wait, and waits for its producer.
_MOST_BYTES = 64 * 1024


class PromptServer(Server):
    """One connection of a client."""

    def write(self, data: bytes) -> None:
        """See :class:`twisted.internet.interfaces.ITransport`."""
        size = len(data)
        if size > _MOST_BYTES or not self._is_free():
            super().write(data)
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            sent = 0
        if sent < size:
            super().write(data[sent:] if sent else data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """See :class:`twisted.internet.interfaces.ITransport`."""
        pieces = list(iovec)
        if sum(map(len, pieces)) <= _MOST_BYTES and self._is_free():
            self.write(b"".join(pieces))
        else:
            super().writeSequence(pieces)

    def _is_free(self) -> bool:
        """Whether nothing waits to be sent, and nobody waits to be told that something was."""
        return (
            not self._tempDataLen
            and not self.dataBuffer
            and bool(self.connected)
            and not self._writeDisconnected
            and not self.TLS
            and (self.producer is None or self.streamingProducer)
        )


def send_at_once(port: IListeningPort) -> None:
    """Have the connections of a port be such ones, if they are plain sockets of TCP."""
    if isinstance(port, Port) and port.transport is Server:
        port.transport = PromptServer
