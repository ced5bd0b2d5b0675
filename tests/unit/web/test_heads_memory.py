"""What the heads of requests that are kept take of memory."""

import tracemalloc
from collections.abc import Callable
from string import ascii_lowercase, digits

from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.fields import KnownFields
from dockreg.web.heads import KnownHeads
from tests.unit.web.test_fields import BodyServed
from tests.unit.web.test_heads import Served
from tests.unit.web.wire import head


class MemoryTests(SynchronousTestCase):
    """Heads that were made to take much of it."""

    def test_memory(self) -> None:
        """However many parts a head is made of, all of them take no more memory than they may."""
        short = [a + b for a in ascii_lowercase for b in ascii_lowercase + digits]
        kinds: dict[str, Callable[[int], bytes]] = {
            "headers": lambda number: head("GET /a", f"n: {number}", *(f"{each}: cd" for each in short[:450])),
            "cookies": lambda number: head("GET /a", f"n: {number}", f"Cookie: {'=cd;'.join(short[:600])}"),
            "arguments": lambda number: head(f"GET /a?{'=cd&'.join(short[:600])}", f"n: {number}"),
            "values": lambda number: head(f"GET /a?{'a=cd&' * 780}", f"n: {number}"),
            "agent": lambda number: head("GET /a", f"User-Agent: {number}").replace(b": ", b": " + b"\xff" * 3900, 1),
            "path": lambda number: head(f"GET /{'a' * 3900}", f"n: {number}"),
        }
        for kind, made in kinds.items():
            served = Served(keeps=True)
            served.channel.dataReceived(made(0))
            most_bytes = 300_000
            served.site.heads = KnownHeads(most_bytes)
            served.records.clear()
            tracemalloc.start(1)
            self.addCleanup(tracemalloc.stop)
            for number in range(1, 25):
                served.channel.dataReceived(made(number))
                served.transport.clear()
                served.records.clear()
            taken, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertGreater(len(served.site.heads), 1, kind)
            self.assertLess(taken, most_bytes * 1.1, kind)

    def test_fields(self) -> None:
        """Nor do the fields of requests with a body, however often they are looked at."""
        short = [a + b for a in ascii_lowercase for b in ascii_lowercase + digits]
        kinds: dict[str, Callable[[int], bytes]] = {
            "headers": lambda number: head("PUT /v2/", f"n: {number}", *(f"{each}: cd" for each in short[:450])),
            "cookies": lambda number: head("PUT /v2/", f"n: {number}", f"Cookie: {'=cd;'.join(short[:600])}"),
            "agent": lambda number: head("PUT /v2/", f"User-Agent: {number}").replace(
                b"Agent: ", b"Agent: " + b"\xff" * 3900
            ),
            "few": lambda number: head("PUT /v2/", f"n: {number}"),
        }
        for kind, made in kinds.items():
            served = BodyServed(keeps=True)
            served.channel.dataReceived(made(0))
            most_bytes = 300_000
            served.site.fields = KnownFields(served.site.limits.header_bytes, most_bytes)
            served.site.heads = KnownHeads(0)
            served.records.clear()
            tracemalloc.start(1)
            self.addCleanup(tracemalloc.stop)
            for number in range(1, 200 if kind == "few" else 25):
                for _ in range(4):
                    served.channel.dataReceived(made(number))
                served.transport.clear()
                served.records.clear()
            taken, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.assertGreater(len(served.site.fields), 1, kind)
            self.assertLess(taken, most_bytes * 1.1, kind)
