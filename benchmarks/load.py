"""
The load: scripts, each on a connection of its own, played by one thread.

It shares the machine with the servers, so it does next to nothing: files are sent by the kernel, answers are read into
one buffer that all connections share, and only their heads are looked at.
"""

import gc
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.connection import BOTH, READ, STALLED_SECONDS, Connection, Played, Target
from benchmarks.messages import LoadFailed, Script

_BUFFER_BYTES = 256 * 1024


def play(target: Target, scripts: Sequence[Script], *, connected: bool = True) -> Played:
    """
    Play all scripts at once, until each has ended.

    :param connected: the connections are there before the time begins to count.
    :raises LoadFailed: an answer is not what its request expects, or nothing moves any more.
    """
    played = Played()
    buffer = bytearray(_BUFFER_BYTES)
    connections: list[Connection] = []
    try:
        if connected:
            connections += [Connection(target, script, played, buffer) for script in scripts]
            for connection in connections:
                connection.wait_until_ready()
        with _measured(played):
            if not connected:
                connections += [Connection(target, script, played, buffer) for script in scripts]
            _Player(connections).run()
    finally:
        for connection in connections:
            connection.close()
    return played


@contextmanager
def _measured(played: Played) -> Iterator[None]:
    gc.collect()
    gc.disable()
    began, used = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        played.seconds = time.perf_counter() - began
        played.cpu_seconds = time.process_time() - used
        gc.enable()


class _Player:
    """Waits for all connections at once."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = connections
        self._live: dict[int, Connection] = {}
        self._writing: set[int] = set()

    def run(self) -> None:
        """Until the last script has ended."""
        with select.epoll() as self._poller:
            for connection in self._connections:
                connection.start()
                self._watch(connection)
            while self._live:
                events = self._poller.poll(STALLED_SECONDS)
                if not events:
                    raise LoadFailed(f"nothing moved for {STALLED_SECONDS:.0f} seconds")
                for number, event in events:
                    connection = self._live[number]
                    connection.ready(event)
                    if connection.over or connection.socket.fileno() != number:
                        self._forget(number)
                    self._watch(connection)

    def _forget(self, number: int) -> None:
        # The kernel forgets a socket that is closed by itself.
        del self._live[number]
        self._writing.discard(number)

    def _watch(self, connection: Connection) -> None:
        if connection.over:
            return
        number, wants = connection.socket.fileno(), connection.wants_to_write
        if number not in self._live:
            self._live[number] = connection
            self._poller.register(number, BOTH if wants else READ)
        elif wants != (number in self._writing):
            self._poller.modify(number, BOTH if wants else READ)
        (self._writing.add if wants else self._writing.discard)(number)
