"""Ports for servers that are started as programs of their own."""

import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

_FIRST = 10_000
_END = 2**16
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """
    A port of 127.0.0.1 that is free now.

    It is none of those that the kernel gives to connections, as far as it leaves others: a connection might take it before a
    server does. Who asks on such a port whether a server is there already may even be connected to himself.
    """
    while True:
        number = secrets.choice(_ports())
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", number))
            return number


@cache
def _ports() -> Sequence[int]:
    try:
        first, last = map(int, _RANGE.read_text().split())
    except OSError:  # not Linux
        first, last = 49_152, _END
    return [*range(_FIRST, first), *range(last + 1, _END)] or range(_FIRST, _END)
