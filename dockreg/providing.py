"""Stores and other providers, made as the configuration says; those that are not configured are not imported."""

import pkgutil
import secrets
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IReactorTime
from zope.interface.interface import InterfaceClass

from dockreg.callables import InThread
from dockreg.collector import Collector, CollectorLimits
from dockreg.config import Config, ConfigError
from dockreg.foreign import METADATA_PARTS, ForeignBlobStore, require
from dockreg.interfaces import IBlobStore, IMetadataStore
from dockreg.providers.threads import IThreadReactor
from dockreg.room import Room

if TYPE_CHECKING:
    from dockreg.providers.blobs.observing import Helpers
    from dockreg.providers.metadata.copying import MetadataCopies

#: Makes text that nobody can guess.
new_id = partial(secrets.token_urlsafe, 18)


class IRegistryReactor(IThreadReactor, IReactorTime):
    """What dockreg uses of a reactor, apart from what its endpoints use; every reactor of Twisted has it."""


def make_metadata_store(config: Config, in_thread: InThread, clock: IReactorTime) -> IMetadataStore:
    """The configured metadata store. :raises ConfigError: it is a provider of others that can not be made."""
    settings, private = config.metadata, config.auth.new_repositories == "private"
    if settings.provider != "sql":
        arguments = {**settings.options, "in_thread": in_thread, "clock": clock}
        if private:
            arguments["private"] = True
        if config.quotas.default_bytes:
            arguments["quota"] = config.quotas.default_bytes
        path = settings.provider
        return cast("IMetadataStore", made("metadata.provider", path, IMetadataStore, arguments, METADATA_PARTS))
    from dockreg.providers.metadata.sql import SQLMetadataStore

    return SQLMetadataStore(config.metadata_url, in_thread, private=private, quota=config.quotas.default_bytes)


def make_metadata_copies(config: Config, in_thread: InThread) -> "MetadataCopies":
    """What copies the configured database. :raises ConfigError: the metadata are in a provider of others."""
    if config.metadata.provider != "sql":
        raise ConfigError("", "metadata.provider", "only the database of dockreg itself is backed up by this command")
    from dockreg.providers.metadata.copying import MetadataCopies

    return MetadataCopies(config.metadata_url, in_thread)


def make_blob_store(
    config: Config, metadata: IMetadataStore, in_thread: InThread, clock: IReactorTime, beside: "Helpers | None" = None
) -> IBlobStore:
    """
    The configured blob store, and what is kept of blobs in ``metadata``.

    :param beside: for digests beside that of a blob, and for flushes.
    :raises ConfigError: it is a provider of others that can not be made.
    """
    from dockreg.providers.blobs.remembering import RememberingBlobStore
    from dockreg.providers.blobs.small import DividedBlobStore

    settings = config.blobs
    if settings.provider != "files":
        arguments = {**settings.options, "in_thread": in_thread, "clock": clock}
        store = cast("IBlobStore", made("blobs.provider", settings.provider, IBlobStore, arguments))
        return ForeignBlobStore(store, metadata.blobs.content, "blobs.provider", settings.provider)
    from dockreg.providers.blobs.direct import DirectIO
    from dockreg.providers.blobs.filesystem import FilesystemBlobStore

    begin = None if beside is None else beside.begin
    direct = DirectIO(beside.writers, clock.seconds) if beside is not None and settings.direct_io else None
    store = FilesystemBlobStore(config.blob_folder, in_thread, new_id, beside, begin, direct)
    return RememberingBlobStore(DividedBlobStore(store, metadata.blobs.content))


def make_room(config: Config, blobs: IBlobStore, in_thread: InThread, clock: IReactorTime) -> Room:
    """What blobs leave free, on their own disk and on that of a database of SQLite."""
    free_for_rows = None
    if config.metadata.provider == "sql":
        from dockreg.providers.blobs.disk import told_free_bytes
        from dockreg.providers.metadata.databasefile import path_of

        path = path_of(config.metadata_url)
        if path is not None:
            free_for_rows = partial(in_thread, told_free_bytes, path)
    return Room(blobs, clock, config.blobs.reserve_bytes, free_for_rows)


def make_collector(config: Config, metadata: IMetadataStore, blobs: IBlobStore, clock: IReactorTime) -> Collector:
    """What collects garbage as the configuration says."""
    settings = config.collection
    limits = CollectorLimits(settings.interval_seconds, settings.batch_items, settings.tick_items)
    return Collector(metadata.collection, blobs, clock, settings.policy, new_id(), limits)


def made(
    key: str,
    path: str,
    interface: InterfaceClass,
    arguments: Mapping[str, Any],
    parts: Mapping[str, InterfaceClass] | None = None,
) -> Any:
    """
    What the third-party factory at ``path`` returns.

    :raises ConfigError: it can not be called, or what it returns lacks something; see :func:`.require`.
    """
    try:
        made = pkgutil.resolve_name(path)(**arguments)
    except (ImportError, AttributeError) as error:
        raise ConfigError("", key, f"{path} can not be imported: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError("", key, f"{path} does not take these options: {error}") from error
    require(key, path, interface, made, parts)
    return made
