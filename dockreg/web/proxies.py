"""Where a request comes from."""

from twisted.web.server import Request

from dockreg.model.networks import host_of


def client_address(request: Request) -> str:
    """The address of the client of ``request``."""
    return host_of(request.getClientAddress())
