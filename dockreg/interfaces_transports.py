"""What a connection may offer beside Twisted's interfaces, to be served with less work."""

from collections.abc import Callable

from zope.interface import Interface

#: Encrypts bytes, and returns what is to be sent in their place.
Seal = Callable[[bytes], bytes]


class ISealedTransport(Interface):
    """A TLS connection whose encryption a thread may do for a while, past the reactor."""

    def flush() -> None:
        """Encrypt now what was written and would wait for more."""

    def lend() -> Seal:
        """
        Give the right to encrypt away, until :meth:`take_back`.

        The function that is returned may be called in any thread, but not by two at once. What it returns must be sent
        in order, and behind all that the transport was given before. Meanwhile nothing else is encrypted or decrypted:
        nothing may be written, what comes from the client waits, and no end of the connection is announced to it.
        """

    def take_back() -> None:
        """
        Go on as before; in the thread of the reactor.

        Only when all that was encrypted was sent. Else the connection is to be cut, and is never taken back.
        """
