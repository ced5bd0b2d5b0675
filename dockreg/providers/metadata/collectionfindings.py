"""
What keeps a thing that may be garbage.

Repositories are locked before blobs, as everywhere, and nobody is waited for: what is locked is in use.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field
from sqlalchemy import Connection, Select, select

from dockreg.model.collection import CollectionPolicy, Finding, Item, Kind, Queued
from dockreg.model.names import RepositoryName
from dockreg.providers.metadata.collectionmanifests import Relations
from dockreg.providers.metadata.deletion import doomed_with, family_of, freed_by
from dockreg.providers.metadata.rows import ALL_BUT_CONTENT, AnyRow
from dockreg.providers.metadata.tables import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifest_v1_images,
    manifests,
    repositories,
    repository_blobs,
    repository_v1_images,
    tags,
    v1_images,
    v1_staged_images,
    v1_staged_layers,
)

_links = repository_v1_images
_STAGED = "it is part of a v1 push that is not finished"
#: How long to wait for the end of something whose end is not known, at least.
_LEAST_WAIT_SECONDS = 60.0


class InUse(Exception):
    """Somebody is changing it in this moment, or what it belongs to."""


@define
class Examination:
    """
    Examines items in one transaction.

    :param lock: whether what is found is about to be removed.
    :param most: holders of each sort that are told.
    """

    connection: Connection
    policy: CollectionPolicy
    now: float
    lock: bool = False
    most: int = 1
    _kinds: Mapping[Kind, Callable[[Queued], Finding | None]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._kinds = {
            Kind.BLOB: self._blob,
            Kind.LINK: self._link,
            Kind.MANIFEST: self._manifest,
            Kind.IMAGE: self._image,
            Kind.IMAGE_LINK: self._image_link,
            Kind.REPOSITORY: self._repository,
        }

    def of(self, queued: Queued) -> Finding | None:
        """
        What is to be said about an item; None when it is not there.

        :raises InUse: it is being changed.
        """
        return self._kinds[queued.item.kind](queued)

    # Blobs

    def _blob(self, queued: Queued) -> Finding | None:
        item = queued.item
        row = self._locked_blob(item.subject)
        if row is None:
            return None
        digest = item.subject
        held = select(manifests.c.repository_key, manifests.c.key).join(
            manifest_blobs, manifest_blobs.c.manifest_key == manifests.c.key
        )
        holders = [
            *self._items(Kind.LINK, select(repository_blobs.c.repository_key).filter_by(digest=digest), digest),
            *self._keys(Kind.IMAGE, 0, select(v1_images.c.key).filter_by(layer_digest=digest)),
            *self._keys(Kind.BLOB, 0, select(blobs.c.digest).filter_by(source_digest=digest)),
            *(
                Item(Kind.MANIFEST, found.repository_key, str(found.key))
                for found in self._rows(held.where(manifest_blobs.c.held_digest == digest))
            ),
        ]
        reason, until = self._lease(row)
        if reason is None and self._any(select(v1_staged_layers.c.key).filter_by(digest=digest)):
            reason, until = _STAGED, self._some_time_later()
        frees = [] if row.source_digest is None else [Item(Kind.BLOB, 0, row.source_digest)]
        size = 0 if row.generation is None else row.size
        return Finding(item, digest, reason, until, holders, frees, size)

    def _link(self, queued: Queued) -> Finding | None:
        item = queued.item
        repository, digest = self._locked_repository(item.repository), item.subject
        blob = self._locked_blob(digest)
        this = select(repository_blobs.c.digest).filter_by(repository_key=item.repository, digest=digest)
        if repository is None or blob is None or not self._any(this):
            return None
        here = select(manifests.c.key).where(manifests.c.repository_key == item.repository)
        held = here.join(manifest_blobs, manifest_blobs.c.manifest_key == manifests.c.key)
        listed = here.join(manifest_children, manifest_children.c.manifest_key == manifests.c.key)
        images = (
            select(_links.c.image_key)
            .join(v1_images, v1_images.c.key == _links.c.image_key)
            .where(v1_images.c.layer_digest == digest, _links.c.repository_key == item.repository)
        )
        holders = [
            *self._keys(Kind.MANIFEST, item.repository, held.where(manifest_blobs.c.held_digest == digest)),
            *self._keys(Kind.MANIFEST, item.repository, listed.where(manifest_children.c.digest == digest)),
            *self._keys(Kind.IMAGE_LINK, item.repository, images),
        ]
        reason, until = self._lease(blob)
        name = f"{repository.name}@{digest}"
        return Finding(item, name, reason, until, holders, [Item(Kind.BLOB, 0, digest)])

    # Manifests

    def _manifest(self, queued: Queued) -> Finding | None:
        item = queued.item
        repository, key = self._locked_repository(item.repository), int(item.subject)
        this = select(manifests.c.digest, manifests.c.view_of).filter_by(repository_key=item.repository, key=key)
        row = self.connection.execute(this).one_or_none()
        if repository is None or row is None:
            return None
        name = f"{repository.name}@{row.digest}"
        expiry = self.policy.expiry(RepositoryName(repository.name))
        if row.view_of is not None:
            return Finding(item, name, "it is another form of a manifest")
        if expiry is None:
            return Finding(item, name, "manifests without a tag are kept in this repository")
        doomed = doomed_with(self.connection, item.repository, key)
        relations = Relations(self.connection, item.repository, expiry, self.now)
        reason, until = relations.reason(doomed, key)
        since = self.now if queued.since is None else queued.since
        if reason is None and since + expiry > self.now:
            reason, until = "it has not been without a tag for long enough", since + expiry
        # An index goes before what it lists: in another transaction somebody may be told that it is there.
        digests = select(manifests.c.digest).where(manifests.c.key.in_(family_of(doomed)))
        listing = (
            select(manifests.c.key)
            .join(manifest_children, manifest_children.c.manifest_key == manifests.c.key)
            .where(
                manifests.c.repository_key == item.repository,
                manifests.c.key.not_in(family_of(doomed)),
                manifest_children.c.digest.in_(digests),
            )
        )
        holders = self._keys(Kind.MANIFEST, item.repository, listing) if reason is None else ()
        return Finding(item, name, reason, until, holders, freed_by(self.connection, item.repository, doomed))

    # v1 images

    def _image_link(self, queued: Queued) -> Finding | None:
        item = queued.item
        repository, key = self._locked_repository(item.repository), int(item.subject)
        this = (
            select(v1_images.c.image_id, v1_images.c.parent_key, v1_images.c.layer_digest)
            .join(_links, _links.c.image_key == v1_images.c.key)
            .where(_links.c.repository_key == item.repository, _links.c.image_key == key)
        )
        row = self.connection.execute(this).one_or_none()
        if repository is None or row is None:
            return None
        name = f"{repository.name} image {row.image_id}"
        expiry = self.policy.expiry(RepositoryName(repository.name))
        if repository.deleted_at is not None:
            return Finding(item, name, "it is kept for a push by the owner of the deleted repository")
        mapped = select(manifests.c.key).join(manifest_v1_images, manifest_v1_images.c.manifest_key == manifests.c.key)
        mapped = mapped.where(manifest_v1_images.c.image_key == key, manifests.c.repository_key == item.repository)
        children = select(_links.c.image_key).join(v1_images, v1_images.c.key == _links.c.image_key)
        children = children.where(v1_images.c.parent_key == key, _links.c.repository_key == item.repository)
        holders = [
            *self._keys(Kind.MANIFEST, item.repository, mapped),
            *self._keys(Kind.IMAGE_LINK, item.repository, children),
        ]
        frees = [Item(Kind.IMAGE, 0, str(key)), Item(Kind.LINK, item.repository, row.layer_digest)]
        if row.parent_key is not None:
            frees.append(Item(Kind.IMAGE_LINK, item.repository, str(row.parent_key)))
        tag = select(tags.c.name).filter_by(repository_key=item.repository, image_key=key, manifest_key=None)
        if self._any(tag):
            return Finding(item, name, "it has a tag")
        if expiry is None:
            return Finding(item, name, "images without a tag are kept in this repository", None, holders)
        reason, until = self._lease(self._locked_blob(row.layer_digest))
        since = self.now if queued.since is None else queued.since
        if reason is None and since + expiry > self.now:
            reason, until = "it has not been without a tag for long enough", since + expiry
        return Finding(item, name, reason, until, holders, frees)

    def _image(self, queued: Queued) -> Finding | None:
        item, key = queued.item, int(queued.item.subject)
        row = self._locked(select(v1_images).where(v1_images.c.key == key), select(v1_images.c.key).filter_by(key=key))
        if row is None:
            return None
        mapped = select(manifests.c.repository_key, manifests.c.key).join(
            manifest_v1_images, manifest_v1_images.c.manifest_key == manifests.c.key
        )
        holders = [
            *self._items(Kind.IMAGE_LINK, select(_links.c.repository_key).filter_by(image_key=key), str(key)),
            *self._keys(Kind.IMAGE, 0, select(v1_images.c.key).filter_by(parent_key=key)),
            *(
                Item(Kind.MANIFEST, found.repository_key, str(found.key))
                for found in self._rows(mapped.where(manifest_v1_images.c.image_key == key))
            ),
        ]
        reason, until = self._lease(self._locked_blob(row.layer_digest))
        kept_until = row.created_at + self.policy.repush_seconds
        if reason is None and row.unannounced and kept_until > self.now:
            reason, until = "its pusher may still use it in a repository", kept_until
        if reason is None and self._any(select(v1_staged_images.c.key).filter_by(parent_key=key)):
            reason, until = _STAGED, self._some_time_later()
        if reason is None and self._any(select(tags.c.name).filter_by(image_key=key)):
            reason = "it has a tag"
        frees = [Item(Kind.BLOB, 0, row.layer_digest)]
        if row.parent_key is not None:
            frees.append(Item(Kind.IMAGE, 0, str(row.parent_key)))
        return Finding(item, f"image {row.image_id}", reason, until, holders, frees)

    # Repositories

    def _repository(self, queued: Queued) -> Finding | None:
        item = queued.item
        row = self._locked_repository(item.repository)
        if row is None:
            return None
        if row.deleted_at is None:
            return Finding(item, row.name, "it is there again")
        kept_until = row.deleted_at + self.policy.repush_seconds
        reason = "its owner may push it again" if kept_until > self.now else None
        images = select(_links.c.image_key).filter_by(repository_key=item.repository)
        digests = select(repository_blobs.c.digest).filter_by(repository_key=item.repository)
        frees = [
            *self._keys(Kind.IMAGE, 0, images),
            *self._keys(Kind.LINK, item.repository, digests),
            *self._keys(Kind.BLOB, 0, digests),
        ]
        return Finding(item, row.name, reason, kept_until if reason else None, (), frees)

    # Rows

    def _locked(self, query: Select[Any], unlocked: Select[Any]) -> AnyRow | None:
        """The row that a query finds. :raises InUse: somebody has locked it."""
        if not self.lock:
            return self.connection.execute(query).one_or_none()
        row = self.connection.execute(query.with_for_update(skip_locked=True)).one_or_none()
        if row is None and self.connection.execute(unlocked).one_or_none() is not None:
            raise InUse
        return row

    def _locked_repository(self, key: int) -> AnyRow | None:
        return self._locked(
            select(repositories).where(repositories.c.key == key), select(repositories.c.key).filter_by(key=key)
        )

    def _locked_blob(self, digest: str) -> AnyRow | None:
        return self._locked(
            select(*ALL_BUT_CONTENT).where(blobs.c.digest == digest), select(blobs.c.digest).filter_by(digest=digest)
        )

    def _lease(self, blob: AnyRow | None) -> tuple[str | None, float | None]:
        """A reason to keep what a blob's lease protects, and until when."""
        if blob is None or blob.leased_until <= self.now:
            return None, None
        # No lease is longer. What is, was given by a clock that was wrong.
        return "it has a lease", min(blob.leased_until, self.now + self.policy.lease_seconds)

    def _some_time_later(self) -> float:
        return self.now + max(self.policy.grace_seconds, _LEAST_WAIT_SECONDS)

    def _rows(self, query: Select[Any]) -> Sequence[AnyRow]:
        return self.connection.execute(query.limit(self.most)).all()

    def _any(self, query: Select[Any]) -> bool:
        return self.connection.execute(query.limit(1)).first() is not None

    def _keys(self, kind: Kind, repository: int, query: Select[Any]) -> Sequence[Item]:
        return [Item(kind, repository, str(row[0])) for row in self._rows(query)]

    def _items(self, kind: Kind, query: Select[Any], subject: str) -> Iterator[Item]:
        return (Item(kind, row[0], subject) for row in self._rows(query))
