"""What the ``User-Agent`` of a request tells of the program that has sent it."""

import re
from functools import lru_cache

from attrs import frozen
from twisted.web.server import Request

#: There are few programs. What is longer than any of them sends is not kept.
_MOST_KNOWN = 256
_USUAL_BYTES = 512

# Engines before 1.6 would push to a v2 that they can not finish with. A released engine 1.5 asks with the bare
# User-Agent of the Go it was built with, which no program of today has.
_OLD_ENGINE = re.compile(r"docker/(?:0\.|1\.[0-5](?![0-9]))|Go 1\.1 package http", re.ASCII)
# Engines that put the Location of an answer into their next request as it is.
_WANTS_ABSOLUTE = re.compile(r"docker/1\.[67](?![0-9])", re.ASCII)
# What these push are layers whose manifests, of schema1, do not tell what is in them.
_SCHEMA1_ENGINE = re.compile(r"docker/1\.[6-9](?![0-9])", re.ASCII)


@frozen
class Agent:
    """One program."""

    #: Whether it must not learn that there is a v2.
    hides_v2: bool = False
    #: Whether it needs a ``Location`` with scheme and host.
    wants_absolute: bool = False
    pushes_schema1: bool = False


def agent_of(request: Request) -> Agent:
    """The program that has sent ``request``, by the last of its headers."""
    values = request.requestHeaders.getRawHeaders(b"user-agent")
    if not values:
        return _NOBODY
    return _known(values[-1]) if len(values[-1]) <= _USUAL_BYTES else parse_agent(values[-1])


def parse_agent(value: bytes) -> Agent:
    """What this header tells."""
    text = value.decode("ascii", "replace").strip()
    return Agent(*(each.match(text) is not None for each in (_OLD_ENGINE, _WANTS_ABSOLUTE, _SCHEMA1_ENGINE)))


_NOBODY = Agent()
_known = lru_cache(maxsize=_MOST_KNOWN)(parse_agent)
