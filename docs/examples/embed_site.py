"""
A web application with a site of its own, and a registry in it.

    twistd --nodaemon --pidfile= --python docs/examples/embed_site.py

Everything of the application stays where it is; the registry has ``/v1``, ``/v2``, ``/_ping`` and ``/_status``.
"""

import os
from pathlib import Path

from twisted.application import service, strports
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet import reactor  # noqa: TID251  # twistd has installed it
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from dockreg.config import Config
from dockreg.service import registry_resource


class Front(Resource):
    """What the application is really about."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Say hello."""
        return b"the application: " + request.path


listen = os.environ.get("EXAMPLE_LISTEN", "tcp:8080:interface=127.0.0.1")
application = service.Application("application with a registry")

# The people of the application are the people of the registry: any checker of twisted.cred will do.
people = InMemoryUsernamePasswordDatabaseDontUse(anna=b"a secret of anna")

# Database, threads and timers start and stop with this service, which is the application's.
everything = service.MultiService()
everything.setServiceParent(application)
registry = registry_resource(Config(data_dir=Path("registry-data")), reactor, everything, people)

root = Resource()
root.putChild(b"", Front())
root.putChild(b"shop", Front())
for segment in (b"v1", b"v2", b"_ping", b"_status"):
    root.putChild(segment, registry)
strports.service(listen, Site(root), reactor).setServiceParent(application)
