"""
Readiness and liveness for systemd: sd_notify(3), a few bytes in a datagram.

Own lines, for the protocol is one ``sendto``, and a library would bring no more than that.
"""

import os
import socket
from collections.abc import Mapping

from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

log = Logger()

_MICROSECONDS = 1_000_000


def notify_address(environ: Mapping[str, str]) -> str | None:
    """The socket that systemd listens on, as a socket address, or None (sd_notify(3), ``NOTIFY_SOCKET``)."""
    text = environ.get("NOTIFY_SOCKET", "")
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """After which silence systemd gives us up, or None (sd_watchdog_enabled(3))."""
    text = environ.get("WATCHDOG_USEC", "")
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(text) / _MICROSECONDS


class SystemdNotifier(MultiService):
    """
    Tells systemd when the service is ready, that it is alive, and that it is about to stop.

    The signs of life are sent from the reactor: a reactor that hangs falls silent.
    """

    def __init__(self, environ: Mapping[str, str], clock: IReactorTime) -> None:
        super().__init__()
        self.setName("systemd")
        self._address = notify_address(environ)
        seconds = watchdog_seconds(environ, os.getpid())
        if self._address is not None and seconds is not None:
            # Twice as often as needed, as sd_watchdog_enabled(3) advises.
            timer = TimerService(seconds / 2, self.notify, "WATCHDOG=1")
            timer.clock = clock
            timer.setServiceParent(self)

    def ready(self, status: str) -> None:
        """Everything is open; ``status`` is shown by ``systemctl status``."""
        self.notify("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """No new requests are taken from now on."""
        self.notify("STOPPING=1", f"STATUS={status}")

    def notify(self, *assignments: str) -> None:
        """Send assignments of sd_notify(3). Nobody is told of a failure but the log: it is not the clients' affair."""
        if self._address is None:
            return
        message = "\n".join(each.replace("\n", " ") for each in assignments).encode("utf-8")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message, self._address)
        except OSError as error:
            log.warn("systemd was not told {message}: {error}", message=message, error=str(error))
