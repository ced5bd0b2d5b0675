"""What a token service hands out, and takes back."""

from collections.abc import Sequence

from attrs import field, frozen

from dockreg.model.access import Access, Principal

#: Ports that a host is known without.
_USUAL_PORTS = {"http": ":80", "https": ":443"}


def service_of(origin: str) -> str:
    """The name of the token service of the registry at ``origin``: its host, with the port if that is not the usual one."""
    scheme, _, rest = origin.partition("://")
    return rest.partition("/")[0].lower().removesuffix(_USUAL_PORTS.get(scheme, "/"))


@frozen
class Bearer:
    """A token, ``granted`` being what its bearer may do now. Times are seconds since 1970."""

    token: str = field(repr=False)
    issued_at: int
    ends: int
    granted: Sequence[Access]


@frozen
class Renewal:
    """Who comes with a refresh token, and when that one ends."""

    principal: Principal
    ends: int
