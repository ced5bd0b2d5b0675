"""
The PROXY protocol, versions 1 and 2: a header before the first byte of a connection that tells who the client is.

Twisted has a reader too. It takes any text for an address, and fails on a header that comes in two pieces.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
#: The longest line of version 1, its end included (proxy-protocol.txt 2.1).
_MAX_LINE = 107
#: What a header of version 2 may have: addresses, and what proxies like to add to them.
_MAX_BLOCK = 4096
_MAX_PORT = 65535
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_VERSIONS = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}


class HeaderInvalid(ValueError):
    """What came is no header of the PROXY protocol."""


@frozen
class Endpoint:
    """One end of a connection of TCP."""

    host: str
    port: int


@frozen
class ProxyHeader:
    """A header: the two ends of the client's connection, None when they are those of the proxy's own, and its length."""

    length: int
    client: Endpoint | None = None
    server: Endpoint | None = None

    @classmethod
    def parse(cls, data: bytes) -> "ProxyHeader | None":
        """
        The header at the beginning of ``data``; None as long as more is needed.

        :raises HeaderInvalid: it is none.
        """
        if data.startswith(_SIGNATURE):
            return _parse_block(data)
        if _SIGNATURE.startswith(data):
            return None
        if data.startswith(b"PROXY "):
            return _parse_line(data)
        if b"PROXY ".startswith(data):
            return None
        raise HeaderInvalid("it does not begin as one")


def _parse_line(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:_MAX_LINE].partition(b"\r\n")
    if not end:
        if len(data) >= _MAX_LINE:
            raise HeaderInvalid("the line does not end")
        return None
    length = len(line) + len(end)
    words = line.split(b" ")
    if words[1:2] == [b"UNKNOWN"]:
        return ProxyHeader(length)
    if len(words) != 6 or words[1] not in _VERSIONS:
        raise HeaderInvalid("the line is not PROXY, TCP4 or TCP6, two addresses and two ports")
    version = _VERSIONS[words[1]]
    try:
        hosts = [str(version(word.decode("ascii"))) for word in words[2:4]]
    except ValueError:
        raise HeaderInvalid("an address is none of its kind") from None
    return ProxyHeader(length, Endpoint(hosts[0], _port(words[4])), Endpoint(hosts[1], _port(words[5])))


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or int(word) > _MAX_PORT:
        raise HeaderInvalid("a port is none")
    return int(word)


def _parse_block(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    command, family, size = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    if command not in (_LOCAL, _PROXY):
        raise HeaderInvalid("it has another version or command")
    if size > _MAX_BLOCK:
        raise HeaderInvalid("it is too long")
    length = 16 + size
    if len(data) < length:
        return None
    # What came to the proxy by a unix socket has no address that means anything here.
    if command == _LOCAL or family in (_UNSPECIFIED, _UNIX):
        return ProxyHeader(length)
    if family not in (_TCP4, _TCP6):
        raise HeaderInvalid("it is not about a connection of TCP")
    version, width = (IPv4Address, 4) if family == _TCP4 else (IPv6Address, 16)
    if size < 2 * width + 4:
        raise HeaderInvalid("it is too short for its addresses")
    source, destination, *ports = struct.unpack_from(f"!{width}s{width}sHH", data, 16)
    hosts = [str(version(packed)) for packed in (source, destination)]
    return ProxyHeader(length, Endpoint(hosts[0], ports[0]), Endpoint(hosts[1], ports[1]))
