"""Addresses of the Internet, and lists of those that are treated in a way of their own."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import field, frozen

#: Stands for the address of peers that have none, such as those of a unix socket.
NO_ADDRESS = "-"
#: How a list of networks names them.
UNIX = "unix"

Network = IPv4Network | IPv6Network


def canonical_address(text: str) -> str | None:
    """
    The one way in which the address ``text`` is written here; None when it is none.

    An IPv4 address that is written as an IPv6 one (RFC 4291 2.5.5.2) is the IPv4 address; a zone is left out.
    """
    address = _parsed(text)
    return None if address is None else str(address)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def host_of(peer: object) -> str:
    """
    The address of a peer as text, :data:`NO_ADDRESS` for one on this machine without any.

    An IPv4 address that is written as an IPv6 one, as a socket for both has it, is the IPv4 address.

    :param peer: an ``IAddress`` of Twisted, or None.
    """
    host = getattr(peer, "host", None)
    if not isinstance(host, str):
        return NO_ADDRESS
    return (canonical_address(host) or host) if ":" in host else host


def neighbourhood(host: str) -> str:
    """
    What counts as one address: an IPv4 address, or the /64 that an IPv6 host can choose its addresses from.

    An IPv4 address that is written as an IPv6 one (RFC 4291 2.5.5.2) is the IPv4 address.
    """
    address = _parsed(host) if ":" in host else None
    if address is None:
        return host
    return str(address) if isinstance(address, IPv4Address) else f"{int(address) >> 64:x}::/64"


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address of this machine for itself."""
    address = _parsed(host)
    return address is not None and address.is_loopback


def _written(network: Network) -> Network:
    # As with addresses: what is written in the IPv6 form of IPv4 is IPv4.
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), network.prefixlen - 96))
    return network


@frozen
class Networks:
    """Some addresses and networks, and perhaps the unix sockets. ``host in networks`` is quick for what is listed."""

    networks: frozenset[Network] = frozenset()
    unix: bool = False
    _hosts: frozenset[str] = field(init=False)
    _wide: tuple[Network, ...] = field(init=False)

    @_hosts.default
    def _single_hosts(self) -> frozenset[str]:
        return frozenset(str(each.network_address) for each in self.networks if each.num_addresses == 1)

    @_wide.default
    def _wide_networks(self) -> tuple[Network, ...]:
        return tuple(each for each in self.networks if each.num_addresses > 1)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Networks":
        """
        Addresses, networks as ``address/bits``, and the word ``unix`` for peers of unix sockets.

        :raises ValueError: one of them is none of these; the message says which.
        """
        words = list(texts)
        return cls(frozenset(_networks(words)), UNIX in words)

    def __bool__(self) -> bool:
        return self.unix or bool(self.networks)

    def __contains__(self, host: object) -> bool:
        if host == NO_ADDRESS:
            return self.unix
        if host in self._hosts:
            return True
        if not isinstance(host, str) or not self:
            return False
        address = _parsed(host)
        return address is not None and (
            str(address) in self._hosts
            or any(address in each for each in self._wide if each.version == address.version)
        )


def _networks(words: Iterable[str]) -> Iterator[Network]:
    for word in words:
        if word == UNIX:
            continue
        try:
            yield _written(ip_network(word))
        except ValueError as error:
            reason = "has bits behind the network" if "host bits" in str(error) else "is no IP address and no network"
            raise ValueError(f"{word!r} {reason}; names are not looked up") from None
