"""The open stores behind the commands, and the rules of changing them: those of the doors, for one who may do everything."""

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen
from zope.interface import implementer

from dockreg.cli.failures import CommandFailed
from dockreg.cli.people import database_file
from dockreg.cli.running import threads_of
from dockreg.config import Config
from dockreg.configured import image_limits, make_uploads, platform_of
from dockreg.interfaces_access import IAuthorizer
from dockreg.manifests import Manifests
from dockreg.model.access import Access, Action, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.repositories import RepositoryRecord, Sparse
from dockreg.providing import make_blob_store, make_metadata_store, make_room, new_id
from dockreg.registry import AnnouncedImages, Registry
from dockreg.uploads import Uploads
from dockreg.v1images import V1Images
from dockreg.v1views import V1Views

T = TypeVar("T")


@implementer(IAuthorizer)
class Operator:
    """Who can open the files of a registry may do everything in it."""

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """See :class:`.IAuthorizer`."""
        return wanted.actions

    async def granted_each(
        self, principal: Principal, action: Action, names: Sequence[RepositoryName]
    ) -> Sequence[RepositoryName]:
        """See :class:`.IAuthorizer`."""
        return names

    async def granted_among(
        self, principal: Principal, action: Action, records: Sequence[RepositoryRecord]
    ) -> Sequence[RepositoryRecord]:
        """See :class:`.IAuthorizer`."""
        return records


@frozen
class Stores:
    """What is stored, and the rules of changing it."""

    registry: Registry
    manifests: Manifests
    uploads: Uploads
    images: V1Images
    views: V1Views


async def with_stores(
    config: Config, reactor: Any, act: Callable[[Stores], Awaitable[T]], *, may_make: bool = False
) -> T:
    """
    Open the stores of ``config``, ``act`` on them, and close them. A daemon may serve them meanwhile.

    :param may_make: whether stores that are not there are made.
    :raises CommandFailed: they are not there, or are not this user's.
    """
    if config.role == "index":
        raise CommandFailed("an index holds no images: say it to the registry beside it")
    require_owner(config.data_dir)
    file = database_file(config)
    if file is not None and not may_make and not file.exists():
        raise CommandFailed(f"there is no registry here, {file} does not exist: name its --data-dir")
    in_thread = threads_of(reactor)
    if may_make:
        await in_thread(config.data_dir.mkdir, 0o700, parents=True, exist_ok=True)
    metadata = make_metadata_store(config, in_thread, reactor)
    blobs = make_blob_store(config, metadata, in_thread, reactor)
    await metadata.open()
    try:
        room = make_room(config, blobs, in_thread, reactor)
        lease_seconds, small = config.collection.lease_seconds, config.blobs.small_bytes
        registry = Registry(metadata, blobs, Operator(), reactor, in_thread, lease_seconds, room, small_bytes=small)
        views = V1Views(registry, platform_of(config), config.v1.max_uncompressed_bytes)
        return await act(
            Stores(
                registry,
                Manifests(registry, views, Sparse(config.v2.sparse)),
                make_uploads(config, registry, new_id),
                V1Images(registry, AnnouncedImages(metadata), views, image_limits(config)),
                views,
            )
        )
    finally:
        try:
            await blobs.close()
        finally:
            await metadata.close()


def require_owner(folder: Path) -> None:
    """
    Refuse what would leave files that the daemon can not read.

    :raises CommandFailed: the folder belongs to another user, and root would write to it.
    """
    if os.geteuid() or not folder.exists():
        return
    owner = folder.stat().st_uid
    if owner:
        raise CommandFailed(
            f"{folder} belongs to user {owner}: be that user (sudo -u \\#{owner} dockreg …), for the daemon could not read"
            " what root writes there"
        )
