"""
The composition root: it, :mod:`dockreg.tokens`, :mod:`dockreg.identity`, :mod:`dockreg.checkers`, :mod:`dockreg.foreign`
and :mod:`dockreg.providing` alone name concrete providers.

:func:`make_registry_service` is all of dockreg as a service, ports included. :func:`registry_resource` is a resource for
a site that an application has. Constructors touch no disk and open nothing; services do, when they start.
"""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import attrs
from attrs import frozen
from twisted.application.service import IService, IServiceCollection
from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.interfaces import IReactorCore, IReactorFDSet, IReactorTime
from twisted.logger import globalLogPublisher
from twisted.web.resource import IResource

from dockreg.checkers import Means
from dockreg.collector import Collector
from dockreg.config import Config, LogSettings
from dockreg.configured import door_settings, image_limits, make_monitoring, make_uploads, platform_of, worker_count
from dockreg.identity import (
    everybody_pushes,
    judge_for,
    make_access_tokens,
    make_accounts,
    make_attempts,
    make_hasher,
    make_identity,
)
from dockreg.interfaces_access import IAuthenticator
from dockreg.interfaces_people import IAuditLog
from dockreg.keeping import Keeping, make_keeping, watch
from dockreg.lifecycle import Job, Plan, RegistryService
from dockreg.manifests import Manifests
from dockreg.model.repositories import Sparse
from dockreg.providers.audit import AuditLines
from dockreg.providers.blobs.observing import Helpers
from dockreg.providers.descriptors import AdoptingReactor
from dockreg.providers.logs import JSONLog, LineLog, LogFile
from dockreg.providers.systemd import SystemdNotifier
from dockreg.providers.threads import Workers
from dockreg.providing import IRegistryReactor, make_blob_store, make_collector, make_metadata_store, make_room, new_id
from dockreg.registry import Registry
from dockreg.room import Room
from dockreg.scrub import Scrub
from dockreg.scrubbing import make_scrub, scrub_jobs
from dockreg.sites import Sites
from dockreg.tokens import make_tokens
from dockreg.v1images import V1Images
from dockreg.v1views import V1Views
from dockreg.web.accesslog import AccessLog
from dockreg.web.app import RegistryResource
from dockreg.web.assembly import Core, make_resource
from dockreg.web.exchange import API
from dockreg.web.inflow import Inflows
from dockreg.web.kernel import KernelSender
from dockreg.web.monitoring import Metrics
from dockreg.web.mounting import MountedResource
from dockreg.web.records import RequestRecord

if TYPE_CHECKING:
    from dockreg.workers import Order, Supervisor

#: Threads at most for the bytes of layers and for the database, however many requests there are.
_BYTES_THREADS = 16
_DATABASE_THREADS = 8
#: Clients that the kernel sends to at the same time; the others take turns.
_SENDING_THREADS = 16
#: For what only computes, so that it does not keep bytes from moving.
_WORK_THREADS = 4
_EXPIRY_SECONDS = 600.0
_ATTEMPTS_SECONDS = 60.0
_FIGURES_SECONDS = 5.0
_ROOM_SECONDS = 30.0


@frozen
class Threads:
    """The pools of one registry."""

    digests: Helpers
    bytes: Workers
    work: Workers
    database: Workers
    hashing: Workers
    sending: Workers
    asking: Workers
    logs: Workers

    @classmethod
    def make(cls, config: Config, reactor: IRegistryReactor) -> "Threads":
        """Pools of the sizes that the configuration asks for."""
        return cls(
            digests=Helpers(),
            bytes=Workers("bytes", _BYTES_THREADS, reactor),
            work=Workers("work", _WORK_THREADS, reactor),
            database=Workers("database", _DATABASE_THREADS, reactor),
            hashing=Workers("hashing", config.auth.hash_workers, reactor),
            sending=Workers("sending", _SENDING_THREADS, reactor),
            asking=Workers("asking", config.auth.ldap.connections, reactor),
            logs=Workers("logs", 1, reactor),
        )

    def all(self) -> Sequence[IService]:
        """Each of them; the first is stopped last, for those that move bytes use it."""
        return (self.digests, self.bytes, self.work, self.database, self.hashing, self.sending, self.asking, self.logs)


@frozen
class OpenRegistry:
    """One registry, put together; a service opens and closes it."""

    config: Config
    reactor: IRegistryReactor
    threads: Threads
    core: Core
    resource: RegistryResource
    room: Room
    scrub: Scrub
    logs: Mapping[str, LogFile]
    collector: Collector
    keeping: Keeping
    jobs: Sequence[Job] = ()
    openers: Sequence[Callable[[], Any]] = ()
    closers: Sequence[Callable[[], Any]] = ()

    def plan(self, *, periodic: bool = True, **further: Any) -> Plan:
        """
        How to open and close it.

        :param periodic: whether it does the work that one of several processes does for all.
        """
        folder = self.config.data_dir
        return Plan(
            metadata=self.core.registry.metadata,
            blobs=self.core.registry.blobs,
            prepare=partial(self.threads.bytes.in_thread, folder.mkdir, 0o700, parents=True, exist_ok=True),
            grace_seconds=self.config.grace_seconds,
            jobs=[
                *(self._periodic() if periodic else ()),
                Job("the look at free room", _ROOM_SECONDS, self.room.look),
                Job("the look at lost blobs", _ROOM_SECONDS, self.core.registry.soundness.count),
                *self.keeping.jobs_of_each,
                Job("the exchange of figures", _FIGURES_SECONDS, self.core.monitoring.figures.share),
            ],
            lasts=self.keeping.lasts,
            openers=self.openers,
            closers=self.closers,
            **further,
        )

    def _periodic(self) -> Sequence[Job]:
        return [
            Job("the expiry of unfinished pushes", _EXPIRY_SECONDS, self.core.images.expire),
            Job("the expiry of upload sessions", _EXPIRY_SECONDS, self.core.uploads.expire),
            *self.keeping.jobs,
            *self._collection(),
            *scrub_jobs(self.config, self.scrub),
            *self.jobs,
        ]

    def _collection(self) -> Sequence[Job]:
        settings = self.config.collection
        if not settings.enabled or self.config.role == "index":
            return []
        return [Job("the collection of garbage", settings.interval_seconds, self.collector.tick)]


# The whole


def open_registry(
    config: Config,
    reactor: IReactorCore,
    authenticator: IAuthenticator | ICredentialsChecker | None = None,
    figures: Metrics | None = None,
    audit: IAuditLog | None = None,
) -> OpenRegistry:
    """
    The parts of a registry, put together and not yet opened.

    :param audit: where it is written down who did what, instead of the configured file.
    :raises ConfigError: as for its stores.
    """
    full = cast("IRegistryReactor", reactor)
    threads = Threads.make(config, full)
    logs = _make_logs(config, threads, full)
    if audit is None and "audit" in logs:
        audit = AuditLines(logs["audit"].lines.write, full)
    metadata = make_metadata_store(config, threads.database.in_thread, full)
    blobs = make_blob_store(config, metadata, threads.bytes.in_thread, full, threads.digests)
    hasher = make_hasher(config, threads.hashing.in_thread)
    means = Means(
        metadata.accounts, hasher, threads.work.in_thread, threads.asking.in_thread, full, secrets.token_bytes
    )
    attempts = make_attempts(config, metadata, full)
    access = make_identity(config, metadata, means, full, authenticator, attempts)
    keeping = make_keeping(config, metadata, full, new_id, audit)
    room = make_room(config, blobs, threads.bytes.in_thread, full)
    work, lease_seconds, verify = threads.work.in_thread, config.collection.lease_seconds, config.blobs.verify_reads
    registry = Registry(
        metadata, blobs, access.authorizer, full, work, lease_seconds, room, verify, keeping.pulls, keeping.quotas
    )
    registry.small_bytes = config.blobs.small_bytes
    tokens = make_tokens(config, metadata, access, means)
    views = V1Views(registry, platform_of(config), config.v1.max_uncompressed_bytes)
    core = Core(
        registry=registry,
        images=V1Images(registry, access.image_list, views, image_limits(config)),
        manifests=Manifests(registry, views, Sparse(config.v2.sparse)),
        uploads=make_uploads(config, registry, new_id),
        accounts=make_accounts(config, metadata, hasher, full, authenticator, attempts),
        access_tokens=make_access_tokens(metadata, full),
        authenticator=access.authenticator,
        image_list=access.image_list,
        tokens=access.tokens,
        monitoring=make_monitoring(config, metadata, blobs, full, figures),
        bearers=tokens.bearers,
        token_service=tokens.service,
        audit=audit,
        takes_certificates=access.takes_certificates,
        settled_tokens=access.settled_tokens,
        let_in=access.let_in,
    )
    watch(keeping, metadata, core.monitoring.figures)
    collector = make_collector(config, metadata, blobs, full)
    core.monitoring.figures.watch_collection(collector.figures)
    scrub = make_scrub(config, registry, core.monitoring, full, new_id)
    resource = make_resource(core, door_settings(config), full, new_id)
    openers = [*access.openers, *tokens.openers, keeping.quotas.begin]
    closers = [*access.closers, *tokens.closers]
    core.monitoring.figures.watch(
        "lost_blobs", "Blobs whose bytes are missing or damaged.", lambda: registry.soundness.lost, least=True
    )
    core.monitoring.figures.watch(
        "blobs_free_bytes", "Bytes that are free where blobs are.", lambda: room.free, least=True
    )
    jobs = [*tokens.jobs, Job("the expiry of failed logins", _ATTEMPTS_SECONDS, attempts.expire)]
    return OpenRegistry(
        config, full, threads, core, resource, room, scrub, logs, collector, keeping, jobs, openers, closers
    )


def make_registry_service(
    config: Config, reactor: IReactorCore, environ: Mapping[str, str] | None = None
) -> RegistryService:
    """
    All of dockreg as one service, for twistd and for other Twisted applications.

    It is this process that serves, whatever ``workers`` says: see :func:`make_daemon_service`.

    :param environ: where systemd left its wishes (sd_notify(3)); only the main program of a unit answers them.
    :raises ConfigError: a provider of others can not be imported or made.
    """
    return _serving(open_registry(config, reactor), reactor, _notifiers(reactor, environ))


def make_daemon_service(
    config: Config, reactor: IReactorCore, environ: Mapping[str, str] | None = None
) -> "RegistryService | Supervisor":
    """
    The same with as many processes as ``workers`` says, all of them started by this one where there are several.

    :raises ConfigError: as :func:`make_registry_service`, which is asked in any case: before there are processes.
    """
    alone, count = make_registry_service(config, reactor, environ), worker_count(config)
    if count == 1:
        return alone
    from dockreg.supervision import make_supervisor

    clock = cast("IRegistryReactor", reactor)
    threads, notifiers = Workers("logs", 1, clock), _notifiers(reactor, environ)
    supervisor = make_supervisor(config, clock, count, notifiers)
    logs = [JSONLog(LineLog(config.log.json, threads.in_thread), clock, globalLogPublisher)] if config.log.json else []
    for child in (threads, *notifiers, *logs):
        child.setServiceParent(supervisor)
    return supervisor


def _notifiers(reactor: IReactorCore, environ: Mapping[str, str] | None) -> list[SystemdNotifier]:
    return [] if environ is None else [SystemdNotifier(environ, cast("IRegistryReactor", reactor))]


def make_worker_service(order: "Order", reactor: IReactorCore) -> RegistryService:
    """One of the processes that a :class:`.Supervisor` starts. :raises ConfigError: as above."""
    soon = partial(cast("IReactorTime", reactor).callLater, 0)
    opened = open_registry(order.config, reactor, figures=Metrics(folder=order.figures, soon=soon))
    return _serving(opened, AdoptingReactor(reactor, order.descriptors), [], periodic=order.number == 0)


def _serving(
    opened: OpenRegistry, reactor: Any, notifiers: Sequence[SystemdNotifier], *, periodic: bool = True
) -> RegistryService:
    """
    A registry with its listeners.

    :param reactor: opens the ports.
    """
    config = opened.config
    clock = opened.reactor
    monitoring = opened.core.monitoring
    records: list[Callable[[RequestRecord], object]] = [monitoring.figures.observe]
    if "access" in opened.logs:
        records.append(AccessLog(opened.logs["access"].lines.write, clock))

    def record(done: RequestRecord) -> None:
        for each in records:
            each(done)

    told = record if len(records) > 1 else monitoring.figures.observe
    sites = Sites.make(config, opened.resource, monitoring, clock, told, opened.threads.bytes.in_thread)
    kernel, writers = _kernel_sender(opened), opened.threads.bytes
    inflows = Inflows(lambda: writers.busy > _BYTES_THREADS)
    for site in sites.all:
        site.kernel, site.inflows = kernel, inflows
    plan = opened.plan(
        periodic=periodic,
        set_closed=sites.set_closed,
        listeners=sites.listeners(config, judge_for(config), clock),
        drains=sites.all,
        announcers=notifiers,
        reloads=sites.reloads,
    )
    return _service(plan, [*opened.threads.all(), *opened.logs.values(), *notifiers], clock, reactor)


def _kernel_sender(opened: OpenRegistry) -> KernelSender | None:
    if not IReactorFDSet.providedBy(opened.reactor):
        return None
    threads = opened.threads.sending
    return KernelSender(cast("IReactorFDSet", opened.reactor), threads.in_thread, lambda: threads.crowded)


def registry_resource(
    config: Config,
    reactor: IReactorCore,
    parent: IServiceCollection,
    authenticator: IAuthenticator | ICredentialsChecker | None = None,
    *,
    allow_anonymous: bool = False,
    apis: Collection[API] = frozenset(API),
    audit: IAuditLog | None = None,
) -> IResource:
    """
    A registry for a site that an application has: the root of a site, or the child under each of ``v1``, ``v2``,
    ``_ping`` and ``_status`` of its root.

    It answers 503 until ``parent`` runs and the registry is open. Database, timers and threads live and die with
    ``parent``. Listeners, connections, logs and metrics are the application's: their settings have no effect here.

    :param authenticator: who knows the people: a checker of ``twisted.cred``, or an ``IAuthenticator`` that also redeems
        the registry's tokens. Without one, people are the configuration's.
    :param allow_anonymous: everybody may do what ``auth.anonymous`` says, pushing included. Without it, and with an
        authenticator, nobody pushes without a name.
    :param apis: what it speaks.
    :param audit: where it is written down who did what.
    :raises ValueError: everybody could push, and ``allow_anonymous`` is not set.
    :raises ConfigError: a provider of others can not be imported or made, or it or an argument lacks something.
    """
    if everybody_pushes(config, authenticator) and not allow_anonymous:
        if authenticator is None:
            raise ValueError(
                "everybody could push: pass an authenticator or allow_anonymous=True, or set auth.anonymous to 'pull' or"
                " 'none' in the configuration"
            )
        config = attrs.evolve(config, auth=attrs.evolve(config.auth, anonymous="none"))
    config = attrs.evolve(config, log=LogSettings())
    opened = open_registry(config, reactor, authenticator, audit=audit)
    mounted = MountedResource(opened.resource.limited_to(apis), opened.reactor)

    def set_closed(reason: str | None) -> None:
        opened.core.monitoring.closed = reason
        mounted.set_closed(reason)

    plan = opened.plan(set_closed=set_closed, drains=[mounted])
    _service(plan, opened.threads.all(), opened.reactor, opened.reactor).setServiceParent(parent)
    return mounted


def _service(
    plan: Plan, children: Sequence[IService], clock: IRegistryReactor, reactor: IReactorCore
) -> RegistryService:
    service = RegistryService(plan, reactor, clock)
    for child in children:
        child.setServiceParent(service)
    return service


def _make_logs(config: Config, threads: Threads, clock: IReactorTime) -> dict[str, LogFile]:
    """The log files that are wanted, by their keys."""
    files = {"access": config.log.access, "audit": config.log.audit}
    logs = {key: LogFile(LineLog(path, threads.logs.in_thread), clock) for key, path in files.items() if path}
    if config.log.json:
        logs["json"] = JSONLog(LineLog(config.log.json, threads.logs.in_thread), clock, globalLogPublisher)
    return logs
