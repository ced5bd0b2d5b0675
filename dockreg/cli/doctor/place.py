"""Where the registry is, as the person at the terminal names it, and where it sends its clients."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from attrs import frozen

from dockreg.cli.doctor.findings import Remark, fail, note, warn
from dockreg.cli.failures import CommandFailed
from dockreg.errors import RegistryError
from dockreg.model.names import RepositoryName, Tag, is_host_port

_PORTS = {"http": 80, "https": 443}
#: RFC 1918 and RFC 4193. The ``is_private`` of Python has documentation and other networks as well.
_PRIVATE = [ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
_FORM = "write [http(s)://]HOST[:PORT]"


@frozen
class Place:
    """A registry: ``authority`` is ``host`` or ``host:port`` as it was written."""

    scheme: str
    authority: str

    @classmethod
    def parse(cls, url: str) -> "Place":
        """
        Without a scheme it is https, as for clients.

        :raises CommandFailed: ``url`` names no registry; the sentence says what to change.
        """
        text = url if "://" in url else f"https://{url}"
        try:
            parts = urlsplit(text)
        except ValueError:
            raise CommandFailed(f"{url!r} is no URL: {_FORM}") from None
        if "@" in parts.netloc:
            raise CommandFailed("the URL holds a user name or password: give the name with --user")
        if parts.scheme not in _PORTS or not is_host_port(parts.netloc):
            raise CommandFailed(f"{url!r} names no registry: {_FORM}")
        if parts.path.strip("/") not in ("", "v1", "v2") or parts.query or parts.fragment:
            raise CommandFailed(
                f"{url!r} has a path, and clients find a registry at the root of its host only: {_FORM}, and name a "
                "repository with --repository"
            )
        return cls(parts.scheme, parts.netloc.lower())

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.authority}"

    @property
    def host(self) -> str:
        """The host alone, an IPv6 address without its brackets."""
        return urlsplit(self.origin).hostname or ""

    @property
    def port(self) -> int:
        """The port, the usual one where none is named."""
        return urlsplit(self.origin).port or _PORTS[self.scheme]

    @property
    def is_local(self) -> bool:
        """Whether clients take plain http there without being told: 127.0.0.0/8, ::1 and ``localhost``."""
        address = address_of(self.host)
        return self.host == "localhost" if address is None else address.is_loopback


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that ``host`` spells out; None when it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_inside(host: str) -> bool:
    """Whether ``host`` says by itself that it can be reached from inside one network or machine only."""
    address = address_of(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    private = any(address in network for network in _PRIVATE)
    return private or address.is_loopback or address.is_link_local or address.is_unspecified


def shown_url(url: str) -> str:
    """A URL that somebody sent, without what may be a credential in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = f"?({len(parts.query)} characters)" if parts.query else ""
    return f"{parts.scheme}://{host}{parts.path}{query}" if parts.netloc else f"{parts.path}{query}"


def parse_repository(text: str) -> tuple[RepositoryName, Tag | None]:
    """
    ``NAME`` or ``NAME:TAG``.

    :raises CommandFailed: it is outside the grammar.
    """
    name, colon, tag = text.partition(":")
    try:
        return RepositoryName.parse_oci(name), Tag.parse(tag) if colon else None
    except RegistryError as error:
        raise CommandFailed(str(error)) from None


def judge_destination(url: str, place: Place, what: str) -> Sequence[Remark]:
    """
    Judge an absolute URL to which the registry sends its clients.

    :param what: how to call it in a sentence.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [fail(f"The {what} is no URL: correct what the registry thinks it is called.")]
    if parts.scheme not in _PORTS or not parts.hostname:
        return [fail(f"The {what} is no http or https URL: correct what the registry thinks it is called.")]
    remarks = []
    if parts.scheme == "http" and place.scheme == "https":
        remarks.append(
            fail(
                f"The {what} is http although the registry is https, and clients refuse that. Let the proxy in front "
                "send X-Forwarded-Proto and the registry believe it (dockreg: http.trusted_proxies), or give the "
                "registry its own URL (dockreg: v2.base_url)."
            )
        )
    same_port = (port or _PORTS[parts.scheme]) == place.port
    if parts.hostname == place.host and not same_port and parts.scheme == place.scheme:
        remarks.append(
            warn(
                f"The {what} has the registry's host with another port. If nothing serves there, let the proxy hand on "
                "the Host header with its port (nginx: proxy_set_header Host $http_host)."
            )
        )
    elif parts.hostname != place.host:
        remarks.append(note(f"The {what} is on another host: every client has to reach {parts.netloc} as well."))
    own = parts.hostname == place.host and same_port
    if is_inside(parts.hostname) and not own:
        remarks.append(
            fail(
                f"The {what} is at {parts.hostname}, an address inside a network. Clients with a guard against being "
                "sent to internal services (crane, cosign and others since 2026) refuse it unless host and port are "
                "the registry's: serve it there, or under a public name."
            )
        )
    return remarks
