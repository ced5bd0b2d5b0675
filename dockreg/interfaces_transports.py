"""What a connection may offer beside Twisted's interfaces, to be served with less work."""

from collections.abc import Callable

from zope.interface import Interface

#: Encrypts bytes, and gives all of them to a socket that does not block.
#: :raises BlockingIOError: it is full; the same bytes are to be given again when it has room. :raises OSError: it has broken.
SendSealed = Callable[[memoryview], None]

#: Takes from a socket that does not block, and puts what that carries into memory; returns how many bytes there are.
#: 0: nothing comes any more, or what has come is for the reactor to see.
#: :raises BlockingIOError: nothing has come. :raises OSError: the connection has broken.
Receive = Callable[[int, memoryview], int]


class ISealedTransport(Interface):
    """A TLS connection whose encryption, or decryption, a thread may do for a while, past the reactor."""

    def flush() -> None:
        """Encrypt now what was written and would wait for more."""

    def lend(descriptor: int) -> SendSealed:
        """
        Give the right to encrypt away, until :meth:`take_back`. All that the transport was given before has been sent.

        The function that is returned may be called in any thread, but not by two at once. Meanwhile nothing else is encrypted or decrypted:
        nothing may be written, what comes from the client waits, and no end of the connection is announced to it.

        :param descriptor: the socket, by a number that stays its own until the end of the loan.
        """

    def receiving_descriptor() -> int | None:
        """The socket that is received from, for :meth:`lend_receiving`; None when that can not be lent now."""

    def lend_receiving() -> Receive:
        """
        Give the right to receive away, until :meth:`take_back`. The transport is not reading.

        As for :meth:`lend`; but what is written meanwhile waits until the end of the loan.
        """

    def take_back(first: bytes = b"") -> None:
        """
        Go on as before; in the thread of the reactor.

        Only when all that was encrypted was sent. Else the connection is to be cut, and is never taken back.

        :param first: what was received, and is to come before what has not been decrypted yet.
        """
