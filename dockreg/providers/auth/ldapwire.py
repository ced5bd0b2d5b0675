"""
Connections to a directory that end when their time is up.

libldap waits without end for a server that takes a connection and then says nothing of TLS; nothing but the end of the
connection wakes it. So connections are made here, TLS too, and libldap is given one end of a pair of sockets, between
which and the server a thread hands on what comes. That thread closes both when the time is up, whatever libldap does.

All of this blocks.
"""

import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from threading import Thread

from attrs import define, evolve, field, frozen

from dockreg.model.ldapserver import LDAPServer
from dockreg.providers.auth.starttls import StartTLSFailed, ask_for_tls

_CHUNK_BYTES = 65536


class DirectoryTrouble(Exception):
    """A directory that can not be asked now; the sentence is for an operator."""


@frozen
class Deadline:
    """A point in time, and how far it is away."""

    at: float
    _seconds: Callable[[], float]

    @classmethod
    def after(cls, delay: float, seconds: Callable[[], float]) -> "Deadline":
        """A point ``delay`` seconds from now; ``seconds`` is asked from threads."""
        return cls(seconds() + delay, seconds)

    def left(self) -> float:
        """Seconds until then. :raises TimeoutError: there are none."""
        left = self.at - self._seconds()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left

    def share(self, parts: int) -> "Deadline":
        """The end of the first of as many equal parts of what is left."""
        return evolve(self, at=self.at - self.left() * (parts - 1) / parts)


@frozen
class Dialling:
    """
    How to reach a directory: its servers, the first that answers.

    :param ca_file: who may have issued the certificates of servers, in PEM; those that the system trusts when empty.
    """

    servers: Sequence[LDAPServer]
    start_tls: bool = False
    ca_file: str = ""

    def trust(self) -> ssl.SSLContext | None:
        """What makes TLS connections, if there are to be any. :raises DirectoryTrouble: ``ca_file`` can not be used."""
        if not self.start_tls and all(each.scheme != "ldaps" for each in self.servers):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise DirectoryTrouble(f"{self.ca_file} can not be used: {error.strerror or 'no certificate'}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def dial(self, deadline: Deadline) -> "Wire":
        """A connection to the first server that answers. :raises DirectoryTrouble: none does."""
        trust = self.trust()
        problems = []
        for number, server in enumerate(self.servers):
            try:
                share = deadline.share(len(self.servers) - number)
                return Wire(self._connect(server, trust, share), deadline)
            except (OSError, StartTLSFailed) as error:
                problems.append(f"{server}: {_reason(error)}")
        raise DirectoryTrouble("; ".join(problems))

    def _connect(self, server: LDAPServer, trust: ssl.SSLContext | None, deadline: Deadline) -> socket.socket:
        connection = _opened(server, deadline)
        try:
            if self.start_tls:
                ask_for_tls(connection, deadline.left)
            if trust is not None and (self.start_tls or server.scheme == "ldaps"):
                connection.settimeout(deadline.left())
                # From here on the plain socket is the TLS one's, which closes it when the handshake fails.
                return trust.wrap_socket(connection, server_hostname=server.host)
        except BaseException:
            connection.close()
            raise
        return connection


def _opened(server: LDAPServer, deadline: Deadline) -> socket.socket:
    if server.scheme == "ldapi":
        return _connected(socket.AF_UNIX, server.host, deadline)
    last: OSError = OSError("it has no address")
    for family, _kind, _protocol, _name, address in socket.getaddrinfo(
        server.host, server.port, type=socket.SOCK_STREAM
    ):
        try:
            return _connected(family, address, deadline)
        except OSError as error:
            last = error
    raise last


def _connected(family: int, address: object, deadline: Deadline) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(deadline.left())
        connection.connect(address)  # type: ignore[arg-type]  # what getaddrinfo gave
    except BaseException:
        connection.close()
        raise
    return connection


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


@define(eq=False)
class Wire:
    """A connection, and :attr:`end`, the socket on which to speak with the server in plain LDAP."""

    _server: socket.socket
    _deadline: Deadline
    end: socket.socket = field(init=False)
    #: Why the connection ended, if that was not our wish.
    problem: str = field(init=False, default="")
    _inner: socket.socket = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._inner, self.end = socket.socketpair()
        Thread(target=self._hand_on, name="dockreg ldap relay", daemon=True).start()

    def _hand_on(self) -> None:
        server, inner = self._server, self._inner
        with selectors.DefaultSelector() as selector, server, inner:
            selector.register(server, selectors.EVENT_READ, inner)
            selector.register(inner, selectors.EVENT_READ, server)
            try:
                while self._step(selector):
                    pass
            except OSError as error:
                self.problem = self.problem or _reason(error)

    def _step(self, selector: selectors.BaseSelector) -> bool:
        """Hand on what has come; False when one of the two ends has ended."""
        if isinstance(self._server, ssl.SSLSocket) and self._server.pending():
            return self._move(self._server, self._inner)
        ready = selector.select(self._deadline.left())
        return all(self._move(key.fileobj, key.data) for key, _ in ready)

    def _move(self, source: object, target: socket.socket) -> bool:
        assert isinstance(source, socket.socket)
        for each in (source, target):
            each.settimeout(self._deadline.left())
        data = source.recv(_CHUNK_BYTES)
        if data:
            target.sendall(data)
        elif source is self._server:
            self.problem = "it ended the connection"
        return bool(data)
