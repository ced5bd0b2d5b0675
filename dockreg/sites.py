"""The sites of a registry: what is served on which listeners, under which rules."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen
from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory

from dockreg.callables import InThread
from dockreg.config import Config
from dockreg.configured import connection_limits, proxying, trusted_proxies
from dockreg.lifecycle import Listener, Reloadable
from dockreg.providers.listening import Judge, allow_all, without_proxy
from dockreg.web.app import RegistryResource
from dockreg.web.browsers import BrowserHeaders, CrossOrigin, Upgrade
from dockreg.web.entrance import Entrance
from dockreg.web.exchange import API
from dockreg.web.monitoring import Metrics, Monitoring, MonitoringResource
from dockreg.web.rates import RateLimit
from dockreg.web.records import RequestRecord
from dockreg.web.site import Site

if TYPE_CHECKING:
    # Imported when there are such listeners.
    from dockreg.providers.tls import ServerTLS, TLSFiles


def tls_files(config: Config) -> "TLSFiles":
    """The files that ``[tls]`` names."""
    from dockreg.providers.tls import TLSFiles

    settings = config.tls
    return TLSFiles(
        certificate=Path(settings.certificate),
        key=Path(settings.key or settings.certificate),
        client_ca=Path(settings.client_ca) if settings.client_ca else None,
        minimum=settings.minimum,
    )


def make_tls(config: Config, in_thread: InThread, clock: IReactorTime) -> "ServerTLS | None":
    """The TLS side of listeners, if there are any."""
    if not config.tls.listen:
        return None
    from dockreg.providers.tls import ServerTLS

    return ServerTLS(tls_files(config), in_thread, clock)


def make_upgrade(config: Config) -> Upgrade | None:
    """Where browsers should rather go than to a plain listener; None when there is no such place."""
    base_url = config.v2.base_url.rstrip("/")
    return Upgrade(base_url) if config.tls.listen or base_url.startswith("https://") else None


def make_entrance(config: Config, clock: IReactorTime) -> Entrance:
    """What the requests of all sites come through; a client is counted once for all of them."""
    limits = config.http
    rates = RateLimit(limits.requests_per_second, limits.request_burst, clock) if limits.requests_per_second else None
    return Entrance(limits.url_bytes, rates, CrossOrigin(frozenset(limits.cors_origins)))


def held_listeners(config: Config, judge: Judge, clock: IReactorTime) -> Sequence[Listener]:
    """The listeners of :meth:`Sites.listeners`, in their order, for a process that opens the ports and serves nothing."""
    believed, nothing = proxying(config, clock), Factory()
    nothing.noisy = False
    serving = [*config.listen, *config.tls.listen, *config.v1.listen, *config.v2.listen]
    return [
        *(Listener(each, nothing, judge, believed) for each in serving),
        *(Listener(each, nothing, allow_all, believed) for each in config.metrics.listen),
    ]


@frozen
class Offer:
    """One site, the endpoints at which it is offered, and what is put around it there."""

    site: Site
    listen: Sequence[str]
    around: Callable[[IProtocolFactory], IProtocolFactory] | None = None


@frozen
class Sites:
    """The sites of one registry, which open and close together."""

    monitoring: Monitoring
    #: Those of clients.
    serving: Sequence[Offer]
    #: The site of those who watch.
    watchers: Site
    tls: "ServerTLS | None"
    upgrade: Upgrade | None

    @classmethod
    def make(
        cls,
        config: Config,
        resource: RegistryResource,
        monitoring: Monitoring,
        clock: IReactorTime,
        record: Callable[[RequestRecord], None],
        in_thread: InThread,
    ) -> "Sites":
        """
        The sites that the configuration asks for.

        :param record: told of each request of a client.
        :param in_thread: reads certificates.
        """
        limits, proxies = connection_limits(config), trusted_proxies(config)
        tls = make_tls(config, in_thread, clock)
        upgrade = make_upgrade(config)
        plain = make_entrance(config, clock)
        offered = [
            (resource, config.listen, evolve(plain, upgrade=upgrade), None),
            (
                resource,
                config.tls.listen,
                evolve(plain, browsers=BrowserHeaders(config.tls.hsts_seconds)),
                None if tls is None else tls.around,
            ),
            (resource.limited_to({API.V1}), config.v1.listen, evolve(plain, upgrade=upgrade), None),
            (resource.limited_to({API.V2}), config.v2.listen, evolve(plain, upgrade=upgrade), None),
        ]
        serving = [
            Offer(Site(each, clock, limits, record, proxies, entrance), listen, around)
            for each, listen, entrance, around in offered
            if listen
        ]
        watchers = Site(MonitoringResource(monitoring), clock, limits, None, proxies, plain)
        sites = cls(monitoring, serving, watchers, tls, upgrade)
        for site in sites.all:
            site.noisy = False
        _watch([each.site for each in serving], monitoring.figures)
        if tls is not None:
            ends = "When the certificate of TLS ends, in seconds since the epoch."
            monitoring.figures.watch("tls_certificate_expires_seconds", ends, lambda: tls.expires_at, least=True)
        return sites

    @property
    def all(self) -> Sequence[Site]:
        """Each of them."""
        return (*(each.site for each in self.serving), self.watchers)

    @property
    def reloads(self) -> Sequence[Reloadable]:
        """What of them can be read again."""
        return [] if self.tls is None else [self.tls]

    def set_closed(self, reason: str | None) -> None:
        """Take requests (None), or none for this reason."""
        self.monitoring.closed = reason
        if self.upgrade is not None:
            self.upgrade.closed()
        for site in self.all:
            site.draining = reason is not None

    def listeners(self, config: Config, judge: Judge, clock: IReactorTime) -> Sequence[Listener]:
        """
        Where they listen.

        :param judge: says where clients may be served.
        """
        believed = proxying(config, clock)
        listeners = [
            Listener(each, offer.site, judge, believed, offer.around, self._told(each, offer))
            for offer in self.serving
            for each in offer.listen
        ]
        # Nobody can push there.
        return listeners + [Listener(each, self.watchers, allow_all, believed) for each in config.metrics.listen]

    def _told(self, description: str, offer: Offer) -> Callable[[IAddress], None] | None:
        # Who is told where a listener is. Where clients reach one behind a proxy, only the proxy knows.
        if offer.around is None or self.upgrade is None or without_proxy(description)[1]:
            return None
        return self.upgrade.opened


def _watch(sites: Sequence[Site], figures: Metrics) -> None:
    half_read = "Requests whose body is on its way: uploads, mostly."
    figures.watch("open_connections", "Connections of clients.", lambda: sum(each.open_connections for each in sites))
    in_flight = "Requests that are being handled."
    figures.watch("requests_in_flight", in_flight, lambda: sum(each.requests_in_flight for each in sites))
    figures.watch("half_read_requests", half_read, lambda: sum(each.half_read.total for each in sites))
