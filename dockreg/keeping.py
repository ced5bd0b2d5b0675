"""Retention and quotas, made as the configuration says."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from dockreg.callables import IdentifierFactory
from dockreg.config import Config
from dockreg.foreign import require
from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_people import IAuditLog
from dockreg.lifecycle import Job
from dockreg.pulls import Pulls
from dockreg.quotas import Quotas
from dockreg.web.monitoring import Metrics

if TYPE_CHECKING:
    from dockreg.retention import Retention

#: How long a pull may be known to its process alone.
_NOTES_SECONDS = 30.0
#: How long it may take until room is reserved for uploads after the first quota was set.
_LOOK_SECONDS = 10.0


@frozen
class Keeping:
    """What is to be done for quotas, and for the rules of a registry; nothing where there are none."""

    quotas: Quotas
    pulls: Pulls | None = None
    retention: "Retention | None" = None

    @property
    def jobs(self) -> Sequence[Job]:
        """What one of several processes does for all."""
        if self.retention is None:
            return ()
        # More often than the rules are applied: the store says whose turn it is.
        return [Job("the application of retention rules", self.retention.interval_seconds, self.retention.run)]

    @property
    def jobs_of_each(self) -> Sequence[Job]:
        """What each of several processes does."""
        return [Job("the look at quotas", _LOOK_SECONDS, self.quotas.look), *self.lasts]

    @property
    def lasts(self) -> Sequence[Job]:
        """What each of them does a last time when it stops."""
        return () if self.pulls is None else [Job("the writing down of pulls", _NOTES_SECONDS, self.pulls.write_down)]


def make_keeping(
    config: Config,
    metadata: IMetadataStore,
    clock: IReactorTime,
    new_id: IdentifierFactory,
    audit: IAuditLog | None,
) -> Keeping:
    """
    Keep what the rules say; without rules nothing is noted, and nothing is removed.

    :raises ConfigError: ``audit`` lacks something.
    """
    if audit is not None:
        require("audit", type(audit).__name__, IAuditLog, audit, declared=False)
    quotas = Quotas(metadata, clock, new_id)
    if not config.retention.rules:
        return Keeping(quotas)
    from dockreg.retention import audited  # noqa: PLC0415

    retention = make_retention(config, metadata, clock)
    retention.told = None if audit is None else audited(audit)
    return Keeping(quotas, Pulls(metadata.retention, clock), retention)


def make_retention(config: Config, metadata: IMetadataStore, clock: IReactorTime) -> "Retention":
    """The rules alone."""
    from dockreg.retention import Retention  # noqa: PLC0415  # few registries have rules

    settings = config.retention
    return Retention(metadata.retention, clock, settings.parsed(), settings.interval_seconds, settings.most_per_run)


def watch(keeping: Keeping, metadata: IMetadataStore, figures: Metrics) -> None:
    """Add what retention rules and quotas do to the figures."""
    refused = "Pushes that a quota had no room for."
    figures.watch("quota_refusals", refused, lambda: metadata.quotas.refused)
    retention = keeping.retention
    if retention is None:
        return
    figures.watch("retention_removed_tags", "Tags that went by a retention rule.", lambda: retention.removed_tags)
    figures.watch(
        "retention_removed_manifests", "Manifests that went by a retention rule.", lambda: retention.removed_manifests
    )
    spared = "What was to go by a retention rule, and was pushed, moved or pulled in that moment."
    figures.watch("retention_spared", spared, lambda: retention.spared)
    figures.watch(
        "retention_last_run_seconds", "When the last run of retention rules ended.", lambda: retention.last_run
    )
