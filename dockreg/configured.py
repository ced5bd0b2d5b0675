"""From the configuration to what the layers call these settings."""

import os

import attrs
from twisted.internet.interfaces import IReactorTime

from dockreg.callables import IdentifierFactory
from dockreg.config import Config
from dockreg.interfaces import IBlobStore, IMetadataStore
from dockreg.model.networks import Networks
from dockreg.model.platforms import Platform
from dockreg.model.uploads import UploadLimits
from dockreg.providers.listening import Proxying
from dockreg.registry import Registry
from dockreg.uploadids import UploadIDs
from dockreg.uploads import Uploads
from dockreg.v1images import ImageLimits
from dockreg.web.assembly import DoorSettings
from dockreg.web.exchange import Role
from dockreg.web.limits import Limits
from dockreg.web.monitoring import Metrics, Monitoring
from dockreg.web.proxies import Proxies

#: The lists of files that tools ask for are made in memory.
_MAX_LISTED_FILES = 200_000


def connection_limits(config: Config) -> Limits:
    """``[http]``."""
    settings = attrs.asdict(config.http)
    settings["exempt_addresses"] = Networks.parse(config.http.exempt_addresses)
    for name in ("trusted_proxies", "proxy_headers", "cors_origins", "name_characters"):
        del settings[name]
    return Limits(**settings)


def trusted_proxies(config: Config) -> Proxies:
    """Who is believed when it speaks for others."""
    return Proxies(Networks.parse(config.http.trusted_proxies), config.http.proxy_headers)


def proxying(config: Config, clock: IReactorTime) -> Proxying:
    """Who may connect to endpoints of the PROXY protocol."""
    return Proxying(Networks.parse(config.http.trusted_proxies), config.http.header_seconds, clock)


def image_limits(config: Config) -> ImageLimits:
    """What of ``[v1]`` bounds a push."""
    return ImageLimits(
        max_layer=config.v1.max_layer_bytes,
        max_uncompressed=config.v1.max_uncompressed_bytes,
        max_entries=config.v1.max_layer_entries,
        max_ancestry=config.v1.max_ancestry,
        staging_seconds=config.v1.staging_seconds,
        announcement_seconds=config.v1.announcement_seconds,
    )


def upload_limits(config: Config) -> UploadLimits:
    """What of ``[v2]`` bounds an upload."""
    return UploadLimits(
        max_blob=config.v2.max_blob_bytes,
        session_seconds=config.v2.session_seconds,
        max_uncompressed=config.v1.max_uncompressed_bytes,
        max_entries=config.v1.max_layer_entries,
    )


def make_uploads(config: Config, registry: Registry, new_id: IdentifierFactory) -> Uploads:
    """The upload sessions of a registry."""
    ids = UploadIDs(registry.metadata.keys, registry.clock, new_id, os.urandom)
    return Uploads(registry, ids, upload_limits(config))


def platform_of(config: Config) -> Platform:
    """The platform that clients get which know no index."""
    return Platform(*config.v2.platform.split("/"))


def door_settings(config: Config) -> DoorSettings:
    """What of ``[v1]`` and ``[v2]`` the doors are told."""
    return DoorSettings(
        role=Role(config.role),
        endpoints=config.v1.endpoints,
        max_json_bytes=config.v1.max_json_bytes,
        max_list_bytes=config.v1.max_list_bytes,
        max_list_entries=config.v1.max_list_entries,
        max_uncompressed_bytes=config.v1.max_uncompressed_bytes,
        max_listed_files=_MAX_LISTED_FILES,
        max_manifest_bytes=config.v2.max_manifest_bytes,
        max_list_page=config.v2.max_list_entries,
        max_referrers_page=config.v2.max_referrers,
        base_url=config.v2.base_url.rstrip("/"),
        proxies=trusted_proxies(config),
        audit_reads=config.log.audit_reads,
        name_characters=config.http.name_characters,
        sends_to_bearers=config.auth.challenge == "bearer",
        anonymous_search=config.auth.anonymous_search,
    )


def worker_count(config: Config) -> int:
    """How many processes serve."""
    if config.workers == "auto":
        return len(os.sched_getaffinity(0))
    return int(config.workers)


def make_monitoring(
    config: Config, metadata: IMetadataStore, blobs: IBlobStore, clock: IReactorTime, figures: Metrics | None
) -> Monitoring:
    """
    The answers to who watches over a registry that does not serve yet.

    :param figures: what is counted, if that was decided; where it has a listener of its own, somebody will look.
    """
    counted = figures or Metrics(at_once=bool(config.metrics.listen))
    return Monitoring(metadata, blobs, counted, clock, closed="the registry is starting")
