"""
Listening sockets that one process opens and others serve.

Any endpoint of Twisted opens its port through the methods of a reactor. :class:`HoldingReactor` is a reactor to it that
opens the port and accepts nothing; :class:`AdoptingReactor`, in a worker, is one that takes the descriptors of these
ports instead of opening any. So workers serve whatever can be listened on, wrapped as its endpoint wraps it.
"""

import socket
from collections.abc import Iterator, Sequence
from typing import Any, cast

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.unix import Port as UNIXPort
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

_BACKLOG = 50


@implementer(IListeningPort)
class HeldPort:
    """A port that is open, and that this process accepts nothing from: one socket, or one for each worker."""

    def __init__(self, ports: Sequence[Any]) -> None:
        self._ports = ports
        for port in ports:
            port.stopReading()

    @property
    def socket(self) -> Any:
        """The first socket, to look at."""
        return self._ports[0].socket

    def descriptor(self, worker: int) -> int:
        """The socket of a worker, counted from 0; workers may share one."""
        return int(self._ports[worker % len(self._ports)].fileno())

    def startListening(self) -> None:
        """Nothing: it does."""

    def stopListening(self) -> Any:
        """Close it."""
        results = [port.stopListening() for port in self._ports]
        return results[0]

    def getHost(self) -> IAddress:
        """Where it listens."""
        return cast("IAddress", self._ports[0].getHost())


class HoldingReactor:
    """
    What endpoints take for a reactor, to open ports for ``workers`` others.

    The kernel spreads connections over the sockets of one TCP port (SO_REUSEPORT): with one that is shared, a worker that
    is awake takes them all.
    """

    def __init__(self, reactor: Any, workers: int) -> None:
        self._reactor = reactor
        self._workers = workers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(
        self, port: int, factory: Factory[Any], backlog: int = _BACKLOG, interface: str = ""
    ) -> IListeningPort:
        """:raises CannotListenError: the port is in use, or may not be used."""
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        try:
            # Anybody of this user could join a port by SO_REUSEPORT: whether it is free is seen without.
            with _bound(family, interface, port, socket.SO_REUSEADDR) as probe:
                bound: int = probe.getsockname()[1]
            held = []
            for _ in range(self._workers):
                with _bound(family, interface, bound, socket.SO_REUSEADDR, socket.SO_REUSEPORT) as each:
                    each.listen(backlog)
                    held.append(self._reactor.adoptStreamPort(each.fileno(), family, factory))
        except OSError as error:
            raise CannotListenError(interface, port, error) from error
        return HeldPort(held)

    def listenSSL(
        self, port: int, factory: Factory[Any], _context: object, backlog: int = _BACKLOG, interface: str = ""
    ) -> IListeningPort:
        """The port alone; TLS is the workers' affair."""
        return self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(
        self, address: str, factory: Factory[Any], backlog: int = _BACKLOG, mode: int = 0o666, wantPID: bool = False
    ) -> IListeningPort:
        """One socket, which is shared."""
        return HeldPort([self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)])

    def adoptStreamPort(self, descriptor: int, family: int, factory: Factory[Any]) -> IListeningPort:
        """One socket, which somebody else has opened."""
        return HeldPort([self._reactor.adoptStreamPort(descriptor, family, factory)])


def _bound(family: int, interface: str, port: int, *options: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind((interface, port))
    except BaseException:
        made.close()
        raise
    return made


class AdoptingReactor:
    """
    What endpoints take for a reactor, in a worker.

    :param descriptors: of the ports, in the order in which they will be asked for.
    """

    def __init__(self, reactor: Any, descriptors: Sequence[int]) -> None:
        self._reactor = reactor
        self._descriptors: Iterator[int] = iter(descriptors)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(
        self, _port: int, factory: IProtocolFactory, backlog: int = _BACKLOG, interface: str = ""
    ) -> IListeningPort:
        """The next port."""
        return self._adopt(factory)

    def listenSSL(
        self, _port: int, factory: IProtocolFactory, context: Any, backlog: int = _BACKLOG, interface: str = ""
    ) -> IListeningPort:
        """The next port, with TLS around it."""
        return self._adopt(TLSMemoryBIOFactory(context, False, factory))

    def listenUNIX(
        self,
        _address: str,
        factory: IProtocolFactory,
        backlog: int = _BACKLOG,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> IListeningPort:
        """The next port. Whoever has opened it removes its file."""
        return self._adopt(factory)

    def adoptStreamPort(self, _descriptor: int, _family: int, factory: IProtocolFactory) -> IListeningPort:
        """The next port."""
        return self._adopt(factory)

    def _adopt(self, factory: IProtocolFactory) -> IListeningPort:
        passed = socket.socket(fileno=next(self._descriptors))
        passed.setblocking(False)
        if passed.family == socket.AF_UNIX:
            return _unix_port(passed, factory, self._reactor)
        with passed:
            return cast("IListeningPort", self._reactor.adoptStreamPort(passed.fileno(), passed.family, factory))


def _unix_port(passed: socket.socket, factory: Any, reactor: Any) -> IListeningPort:
    # Twisted would change the mode of the file, and remove it at the end; it leaves alone what it takes for a name
    # without a file. There are no public ways to say that the socket is there, and in use by others; of TCP ports
    # adoptStreamPort knows both.
    port = UNIXPort(b"\0", factory, reactor=reactor)
    port._preexistingSocket = passed  # noqa: SLF001
    port._shouldShutdown = False  # noqa: SLF001
    port.startListening()
    return cast("IListeningPort", port)
