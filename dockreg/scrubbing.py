"""The scrub of one registry, as its configuration wants it."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from dockreg.config import Config
from dockreg.lifecycle import Job
from dockreg.registry import Registry
from dockreg.scrub import Scrub, ScrubLimits
from dockreg.web.monitoring import Monitoring

_SECONDS = 10.0


def make_scrub(
    config: Config, registry: Registry, monitoring: Monitoring, clock: IReactorTime, new_id: Callable[[], str]
) -> Scrub:
    """The scrub, with its figures."""

    def stopping() -> bool:
        return monitoring.closed is not None

    limits = ScrubLimits(config.scrub.bytes_per_second, config.scrub.every_seconds)
    scrub = Scrub(registry.metadata, registry.blobs, registry.soundness, clock, limits, new_id(), stopping)
    figures = monitoring.figures
    figures.watch("scrubbed_blobs", "Blobs that the scrub has read since the start.", lambda: scrub.blobs)
    figures.watch("scrubbed_bytes", "Bytes that the scrub has read since the start.", lambda: scrub.bytes)
    figures.watch("scrub_losses", "Lost blobs that the scrub has found since the start.", lambda: scrub.lost)
    figures.watch(
        "scrub_finished_seconds", "When all blobs had been read, in seconds since 1970.", lambda: scrub.finished_at
    )
    return scrub


def scrub_jobs(config: Config, scrub: Scrub) -> list[Job]:
    """What is to be done again and again by one of several processes."""
    return [Job("the scrub", _SECONDS, scrub.round)] if config.scrub.enabled and config.role != "index" else []
