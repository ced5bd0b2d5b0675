"""How many processes serve, and what they are told."""

import os
import pickle

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.config import ConfigError, read_config
from dockreg.configured import worker_count
from dockreg.lifecycle import RegistryService
from dockreg.service import make_daemon_service
from dockreg.sites import held_listeners
from dockreg.supervision import _for_worker
from dockreg.workers import Order, Supervisor

_EVERYTHING = """
workers = 2
listen = ["tcp:1:interface=127.0.0.1", "haproxy:systemd:domain=INET:name=a", "unix:/a"]
[tls]
listen = ["systemd:domain=INET:index=0"]
certificate = "/c"
[v1]
listen = ["tcp:2"]
[v2]
listen = ["tcp:3"]
[metrics]
listen = ["tcp:4"]
[log]
json = "/l"
access = "/a"
"""


class CountTests(SynchronousTestCase):
    """``workers``."""

    def test_count(self) -> None:
        """A number is that many; ``auto`` is one for each processor that the daemon may use."""
        self.assertEqual(1, worker_count(read_config("")))
        self.assertEqual(3, worker_count(read_config("workers = 3")))
        self.assertEqual(len(os.sched_getaffinity(0)), worker_count(read_config('workers = "auto"')))

    def test_invalid(self) -> None:
        """Anything else is refused."""
        for value in ("0", "-1", "65", "1.5", '"many"', "true", "[]"):
            self.assertRaises(ConfigError, read_config, f"workers = {value}")

    def test_service(self) -> None:
        """One process serves by itself; several have a supervisor."""
        self.assertIsInstance(make_daemon_service(read_config(""), MemoryReactorClock()), RegistryService)
        self.assertIsInstance(make_daemon_service(read_config("workers = 2"), MemoryReactorClock()), Supervisor)


class OrderTests(SynchronousTestCase):
    """The configuration of a worker."""

    def test_ports(self) -> None:
        """A worker asks for its ports in the order in which the daemon opens them, and for none by systemd's names."""
        config = read_config(_EVERYTHING)
        held = held_listeners(config, lambda description, address: None, MemoryReactorClock())
        self.assertEqual(
            [
                "tcp:1:interface=127.0.0.1",
                "haproxy:systemd:domain=INET:name=a",
                "unix:/a",
                "systemd:domain=INET:index=0",
                "tcp:2",
                "tcp:3",
                "tcp:4",
            ],
            [each.description for each in held],
        )
        told = _for_worker(config)
        self.assertEqual(("tcp:1:interface=127.0.0.1", "haproxy:tcp:0", "unix:/a"), told.listen)
        self.assertEqual(("tcp:0",), told.tls.listen)
        serving = make_daemon_service(told, MemoryReactorClock())
        assert isinstance(serving, RegistryService)
        descriptions = [each.description for each in serving._plan.listeners]
        self.assertEqual(
            ["tcp:1:interface=127.0.0.1", "haproxy:tcp:0", "unix:/a", "tcp:0", "tcp:2", "tcp:3", "tcp:4"], descriptions
        )

    def test_logs(self) -> None:
        """The daemon writes the log of events; each worker writes its own lines of the access log."""
        told = _for_worker(read_config(_EVERYTHING))
        self.assertEqual((1, "", "/a"), (told.workers, told.log.json, told.log.access))

    def test_order(self) -> None:
        """An order arrives as it was given, and does not show its secrets."""
        config = read_config("metadata.url = 'postgresql+psycopg://u:secret@h/d'")
        order = Order(config, [4, 5], 1, "/figures")
        self.assertEqual(order, pickle.loads(order.dump()))
        self.assertNotIn("secret", repr(order))
