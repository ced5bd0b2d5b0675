"""The sites of a registry: what is served on which listeners, under which rules."""

from collections.abc import Callable, Sequence

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from dockreg.config import Config
from dockreg.configured import connection_limits, proxying, trusted_proxies
from dockreg.lifecycle import Listener
from dockreg.providers.listening import Judge, allow_all
from dockreg.web.app import RegistryResource
from dockreg.web.exchange import API
from dockreg.web.monitoring import Metrics, Monitoring, MonitoringResource
from dockreg.web.records import RequestRecord
from dockreg.web.site import Site


@frozen
class Sites:
    """The sites of one registry, which open and close together."""

    monitoring: Monitoring
    #: Sites of clients, each with its endpoints.
    serving: Sequence[tuple[Site, Sequence[str]]]
    #: The site of those who watch.
    watchers: Site

    @classmethod
    def make(
        cls,
        config: Config,
        resource: RegistryResource,
        monitoring: Monitoring,
        clock: IReactorTime,
        record: Callable[[RequestRecord], None],
    ) -> "Sites":
        """
        The sites that the configuration asks for.

        :param record: told of each request of a client.
        """
        limits, proxies = connection_limits(config), trusted_proxies(config)
        offered = [
            (resource, config.listen),
            (resource.limited_to({API.V1}), config.v1.listen),
            (resource.limited_to({API.V2}), config.v2.listen),
        ]
        serving = [(Site(each, clock, limits, record, proxies), listen) for each, listen in offered if listen]
        sites = cls(monitoring, serving, Site(MonitoringResource(monitoring), clock, limits, None, proxies))
        for site in sites.all:
            site.noisy = False
        _watch([site for site, _ in serving], monitoring.figures)
        return sites

    @property
    def all(self) -> Sequence[Site]:
        """Each of them."""
        return (*(site for site, _ in self.serving), self.watchers)

    def set_closed(self, reason: str | None) -> None:
        """Take requests (None), or none for this reason."""
        self.monitoring.closed = reason
        for site in self.all:
            site.draining = reason is not None

    def listeners(self, config: Config, judge: Judge, clock: IReactorTime) -> Sequence[Listener]:
        """
        Where they listen.

        :param judge: says where clients may be served.
        """
        believed = proxying(config, clock)
        listeners = [Listener(each, site, judge, believed) for site, listen in self.serving for each in listen]
        # Nobody can push there.
        return listeners + [Listener(each, self.watchers, allow_all, believed) for each in config.metrics.listen]


def _watch(sites: Sequence[Site], figures: Metrics) -> None:
    half_read = "Requests whose body is on its way: uploads, mostly."
    figures.watch("open_connections", "Connections of clients.", lambda: sum(each.open_connections for each in sites))
    in_flight = "Requests that are being handled."
    figures.watch("requests_in_flight", in_flight, lambda: sum(each.requests_in_flight for each in sites))
    figures.watch("half_read_requests", half_read, lambda: sum(each.half_read.total for each in sites))
