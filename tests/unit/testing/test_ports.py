"""Tests of :mod:`dockreg.testing.ports`."""

import secrets
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.testing import ports


class PortTests(SynchronousTestCase):
    """Ports that are free."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.patch(ports, "_RANGE", self.file)
        self.addCleanup(ports._ports.cache_clear)
        ports._ports.cache_clear()

    def test_free(self) -> None:
        """One that somebody has is not given."""
        with socket.socket() as free, socket.socket() as taken:
            for each in (free, taken):
                each.bind(("127.0.0.1", 0))
            numbers = [each.getsockname()[1] for each in (free, taken)]
            free.close()
            self.patch(ports, "_ports", lambda: numbers)
            self.patch(secrets, "choice", list.pop)
            self.assertEqual(numbers[0], ports.free_port())

    def test_range(self) -> None:
        """None is given that a connection may have."""
        self.file.write_text("10003\t65532\n")
        self.assertEqual([10000, 10001, 10002, 65533, 65534, 65535], ports._ports())

    def test_no_others(self) -> None:
        """Where the kernel may give all to connections, any will do."""
        self.file.write_text("1024\t65535\n")
        self.assertEqual(range(10000, 65536), ports._ports())

    def test_elsewhere(self) -> None:
        """Where the range can not be read it is the usual one."""
        self.assertEqual([*range(10000, 49152)], ports._ports())
