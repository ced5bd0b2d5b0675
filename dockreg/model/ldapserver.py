"""Where a directory is."""

from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from attrs import frozen

_PORTS = {"ldap": 389, "ldaps": 636}


@frozen
class LDAPServer:
    """One server. ``host`` is a path when ``scheme`` is ``ldapi``."""

    scheme: str
    host: str
    port: int = 0

    @classmethod
    def parse(cls, url: str) -> "LDAPServer":
        """
        What ``ldap://``, ``ldaps://`` and ``ldapi://`` say (RFC 4516, without what is to be searched for).

        :raises ValueError: it is none, with the rest of a sentence.
        """
        try:
            parts = urlsplit(url)
            port = parts.port if parts.scheme in _PORTS else None
        except ValueError:
            raise ValueError("is no URL") from None
        if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("has more in it than a server")
        if parts.scheme == "ldapi":
            path = unquote(parts.netloc)
            if not path.startswith("/"):
                raise ValueError("names no socket: write its path as ldapi://%2Frun%2Fslapd%2Fldapi")
            return cls("ldapi", path)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("is not of the form ldap://host, ldaps://host or ldapi://path")
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])

    @property
    def is_here(self) -> bool:
        """Whether what is sent there can not be seen outside this machine."""
        if self.scheme == "ldapi" or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.scheme == "ldapi":
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
