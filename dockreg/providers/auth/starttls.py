"""The question of StartTLS (RFC 4511 4.14), asked on a socket before anything else is."""

import socket
from collections.abc import Callable

#: LDAPMessage 1: ExtendedRequest 1.3.6.1.4.1.1466.20037.
_QUESTION = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"
_MESSAGE, _INTEGER, _ENUMERATED, _EXTENDED_RESPONSE = 0x30, 0x02, 0x0A, 0x78
_MAX_BYTES = 4096
_LONG_FORM, _LENGTH_BITS, _MAX_LENGTH_BYTES = 0x80, 0x7F, 4


class StartTLSFailed(Exception):
    """The server does not begin with TLS."""


def ask_for_tls(connection: socket.socket, left: Callable[[], float]) -> None:
    """
    Have the server expect TLS.

    Not a byte is read beyond its answer: what somebody puts behind it in plain text becomes a broken handshake.

    :param left: seconds until the answer has to be there; raises TimeoutError when there are none.
    :raises StartTLSFailed: the server refuses, or answers something else.
    :raises OSError: as sockets do.
    """
    connection.settimeout(left())
    connection.sendall(_QUESTION)
    code = _result(_read_message(connection, left))
    if code != 0:
        raise StartTLSFailed(f"it refuses StartTLS with result {code}")


def _read_message(connection: socket.socket, left: Callable[[], float]) -> bytes:
    head = _read(connection, 2, left)
    if head[0] != _MESSAGE:
        raise StartTLSFailed("it speaks no LDAP")
    length = head[1]
    if length & _LONG_FORM:
        size = length & _LENGTH_BITS
        if not 0 < size <= _MAX_LENGTH_BYTES:
            raise StartTLSFailed("it speaks no LDAP")
        length = int.from_bytes(_read(connection, size, left), "big")
    if length > _MAX_BYTES:
        raise StartTLSFailed("its answer is too long")
    return _read(connection, length, left)


def _read(connection: socket.socket, size: int, left: Callable[[], float]) -> bytes:
    data = b""
    while len(data) < size:
        connection.settimeout(left())
        more = connection.recv(size - len(data))
        if not more:
            raise StartTLSFailed("it ended the connection")
        data += more
    return data


def _result(message: bytes) -> int:
    number, rest = _element(message, _INTEGER)
    response, _ = _element(rest, _EXTENDED_RESPONSE)
    code, _ = _element(response, _ENUMERATED)
    if int.from_bytes(number, "big") != 1 or not code:
        raise StartTLSFailed("it answers something else")
    return int.from_bytes(code, "big")


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, which has this tag, and what stands behind it."""
    if len(data) < 2 or data[0] != tag:  # a tag and a length
        raise StartTLSFailed("it answers something else")
    length, begin = data[1], 2
    if length & _LONG_FORM:
        begin += length & _LENGTH_BITS
        length = int.from_bytes(data[2:begin], "big")
    if begin + length > len(data):
        raise StartTLSFailed("it answers something else")
    return data[begin : begin + length], data[begin + length :]
