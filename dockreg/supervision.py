"""Several processes that serve one registry, put together as the configuration says."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence

from attrs import evolve
from prometheus_client.multiprocess import mark_process_dead

from dockreg.config import Config
from dockreg.identity import judge_for
from dockreg.lifecycle import Announcer
from dockreg.providers.listening import without_proxy
from dockreg.providing import IRegistryReactor
from dockreg.sites import held_listeners
from dockreg.workers import Order, Supervisor

#: prometheus_client looks for it when it is imported.
_FIGURES = "PROMETHEUS_MULTIPROC_DIR"


def make_supervisor(
    config: Config, reactor: IRegistryReactor, count: int, announcers: Sequence[Announcer]
) -> Supervisor:
    """What opens the ports, and starts and ends the processes that serve them."""
    return Supervisor(
        held_listeners(config, judge_for(config), reactor),
        count,
        _Orders(_for_worker(config)),
        reactor,
        config.grace_seconds,
        announcers,
    )


class _Orders:
    """What workers are told, and the folder where they put their figures."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._figures = ""

    def begin(self) -> None:
        """Make the folder."""
        self._figures = tempfile.mkdtemp(prefix="dockreg-figures-")

    def end(self) -> None:
        """Remove it."""
        shutil.rmtree(self._figures, ignore_errors=True)

    def order(self, number: int, descriptors: Sequence[int]) -> Order:
        """The order for a worker."""
        return Order(self._config, descriptors, number, self._figures)

    def environ(self) -> Mapping[str, str]:
        """The environment of a worker."""
        return {**_without_systemd(), _FIGURES: self._figures}

    def died(self, pid: int) -> None:
        """Forget what was true of a process while it lived."""
        mark_process_dead(pid, self._figures)


def _for_worker(config: Config) -> Config:
    """The configuration of one process: what is the parent's is left out, and ports are passed in their order."""
    return evolve(
        config,
        workers=1,
        listen=_passed(config.listen),
        tls=evolve(config.tls, listen=_passed(config.tls.listen)),
        v1=evolve(config.v1, listen=_passed(config.v1.listen)),
        v2=evolve(config.v2, listen=_passed(config.v2.listen)),
        metrics=evolve(config.metrics, listen=_passed(config.metrics.listen)),
        log=evolve(config.log, json=""),
    )


def _passed(listen: Sequence[str]) -> tuple[str, ...]:
    # systemd's sockets are looked up by numbers that are this process's own; any kind of endpoint takes what is passed.
    return tuple(_any_kind(each) for each in listen)


def _any_kind(description: str) -> str:
    place, proxied = without_proxy(description)
    if not place.lower().startswith("systemd:"):
        return description
    return "haproxy:tcp:0" if proxied else "tcp:0"


def _without_systemd() -> dict[str, str]:
    own = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
    return {name: value for name, value in os.environ.items() if name not in own}
