"""What is exported: tags, what they refer to, what refers to them, and what nobody refers to."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

from attrs import define, field, frozen

from dockreg.bridge.mediatypes import oci_view
from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.layouts import Layout, documents
from dockreg.cli.moving.names import IMAGE_NAME, REF_NAME, REPOSITORY, TAG, VIEW_OF, full_name, parse_repository
from dockreg.cli.moving.stores import Stores
from dockreg.cli.progress import Meter, Reporter
from dockreg.errors import ManifestUnknown, NameUnknown
from dockreg.interfaces_blobs import IBlobReader
from dockreg.model.digest import Digest, Hasher
from dockreg.model.manifest import Manifest
from dockreg.model.mediatypes import SCHEMA1_TYPES, SCHEMA2_MANIFEST
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import RepositoryRecord, StoredManifest

_PAGE = 500
_PIECE = 1024 * 1024


@frozen
class Wanted:
    """A repository, or one manifest of it."""

    repository: RepositoryName
    reference: Tag | Digest | None = None

    @classmethod
    def parse(cls, text: str) -> "Wanted":
        """``REPOSITORY[:TAG|@DIGEST]``. :raises RegistryError: it is none of that."""
        name, at, digest = text.partition("@")
        if at:
            return cls(parse_repository(name), Digest.parse(digest))
        name, colon, tag = text.partition(":")
        return cls(parse_repository(name), Tag.parse(tag) if colon else None)


@define
class Exported:
    """What was done: tags by repository, how many manifests and blobs, how many bytes, and what was left out and why."""

    repositories: dict[str, list[str]] = field(factory=dict)
    manifests: int = 0
    blobs: int = 0
    bytes: int = 0
    left_out: list[str] = field(factory=list)


class Export(Protocol):
    """An archive of some format, while it is made."""

    #: Whether it takes what has no tag.
    takes_untagged: bool
    done: Exported

    async def repository(self, record: RepositoryRecord) -> None:
        """What follows is of this repository."""

    async def add(self, name: RepositoryName, tag: Tag | None, manifest: StoredManifest) -> None:
        """Take a manifest with all that belongs to it."""

    async def publish(self) -> None:
        """There is no more: complete the archive."""

    async def discard(self) -> None:
        """It comes to nothing. Harmless after :meth:`publish`."""


async def everything(stores: Stores) -> AsyncIterator[RepositoryRecord]:
    """Every repository, in the order of the names."""
    after: RepositoryName | None = None
    while page := await stores.registry.metadata.repositories.search("", after, _PAGE):
        for record in page:
            yield record
        after = page[-1].name


async def export(stores: Stores, wanted: Sequence[Wanted] | None, into: Export) -> Exported:
    """
    Export ``wanted``, or (None) everything.

    :raises RegistryError: something that was named is not there.
    """
    try:
        if wanted is None:
            async for record in everything(stores):
                await into.repository(record)
                await _whole(stores, record.name, into)
        else:
            for each in wanted:
                await into.repository(await stores.registry.get_repository(each.repository))
                await _one(stores, each, into)
        await into.publish()
    finally:
        await into.discard()
    return into.done


async def _one(stores: Stores, wanted: Wanted, into: Export) -> None:
    name, reference = wanted.repository, wanted.reference
    if reference is None:
        await _whole(stores, name, into)
        return
    if isinstance(reference, Tag) and (await stores.registry.get_tag(name, reference)).digest is None:
        raise CommandFailed(_v1_only(name, reference))
    tag = reference if isinstance(reference, Tag) else None
    await into.add(name, tag, await stores.registry.metadata.manifests.get(name, reference))


async def _whole(stores: Stores, name: RepositoryName, into: Export) -> None:
    manifests = stores.registry.metadata.manifests
    for record in await stores.registry.list_tags(name):
        if record.digest is None:
            into.done.left_out.append(_v1_only(name, record.tag))
            continue
        try:
            stored = await manifests.get(name, record.tag)
        except ManifestUnknown:
            into.done.left_out.append(f"{name}:{record.tag} was deleted meanwhile")
            continue
        await into.add(name, record.tag, stored)
    after = ""
    while into.takes_untagged and (page := await manifests.pushed(name, after, _PAGE)):
        for digest in page:
            await into.add(name, None, await manifests.get(name, digest))
        after = str(page[-1])


def _v1_only(name: RepositoryName, tag: Tag) -> str:
    return f"{name}:{tag} is a v1 image with a layer that is no tar, which has no manifest: dockreg v1 pull gets it"


async def copy(
    stores: Stores, reader: IBlobReader, digest: Digest, write: Callable[[bytes], object], meter: Meter
) -> int:
    """
    Hand a blob to ``write``, piece by piece in a thread, and close it; return its size.

    :raises CommandFailed: the stored bytes are not those of the digest.
    """
    hasher, size = Hasher(digest.algorithm), 0

    def take(data: bytes) -> None:
        hasher.update(data)
        write(data)

    try:
        while data := await reader.read(_PIECE):
            await stores.registry.in_thread(take, data)
            size += len(data)
            meter.advance(len(data))
    finally:
        reader.close()
    if hasher.digest != digest:
        raise CommandFailed(f"the stored blob {digest} is damaged: its bytes have the digest {hasher.digest}")
    return size


@define(eq=False)
class LayoutExport:
    """
    Into an OCI layout.

    :param several: whether more than one repository goes into it, so that a tag alone names nothing.
    """

    _stores: Stores
    _layout: Layout
    _reporter: Reporter
    _host: str
    _several: bool
    takes_untagged: bool = True
    done: Exported = field(factory=Exported, init=False)
    _index: list[dict[str, Any]] = field(factory=list, init=False)
    _records: list[dict[str, Any]] = field(factory=list, init=False)
    # Everything in the layout, and what was looked at of the repository.
    _written: set[Digest] = field(factory=set, init=False)
    _seen: set[Digest] = field(factory=set, init=False)
    _schema1: dict[RepositoryName, int] = field(factory=dict, init=False)
    _meter: Meter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._meter = self._reporter.meter("blobs", None)

    async def repository(self, record: RepositoryRecord) -> None:
        """See :class:`Export`."""
        facts = {"name": record.name.value, "owner": record.owner, "private": record.private}
        if facts not in self._records:
            self._records.append(facts)
        self._seen = set()
        self.done.repositories.setdefault(record.name.value, [])

    async def add(self, name: RepositoryName, tag: Tag | None, manifest: StoredManifest) -> None:
        """See :class:`Export`."""
        if tag is None and manifest.digest in self._seen:
            return
        if manifest.media_type in SCHEMA1_TYPES:
            # Its digest is that of a part of its bytes, so a layout can not hold it.
            if tag is not None:
                self.done.left_out.append(f"{name}:{tag} is a schema1 manifest, which an OCI layout can not hold")
            else:
                self._schema1[name] = self._schema1.get(name, 0) + 1
            return
        view = await self._view(manifest) if tag is not None else None
        self._index.append(self._entry(name, tag, manifest, view=view))
        if tag is not None:
            self.done.repositories[name.value].append(tag.value)
            self._reporter.say(f"{name}:{tag}")
        pending = [manifest]
        while pending:
            each = pending.pop()
            if each.digest not in self._seen:
                self._seen.add(each.digest)
                pending += await self._manifest(name, each)

    async def publish(self) -> None:
        """See :class:`Export`."""
        for name, count in self._schema1.items():
            # Tags that were pushed as such are there in the newer form that the registry made of them.
            self.done.left_out.append(f"{name}: {count} schema1 manifests, which an OCI layout can not hold")
        await self._stores.registry.in_thread(self._layout.publish, documents(self._index, self._records))

    async def discard(self) -> None:
        """See :class:`Export`."""
        await self._stores.registry.in_thread(self._layout.discard)

    async def _view(self, stored: StoredManifest) -> StoredManifest | None:
        """Write the form of OCI of one of docker: skopeo and podman find no other by its name in a layout."""
        if stored.media_type != SCHEMA2_MANIFEST:
            return None
        registry = self._stores.registry
        view = oci_view(await registry.read_manifest(stored.content, stored.media_type, stored.digest.algorithm))
        if view is None:
            return None
        made = StoredManifest(view.media_type, view.digest, view.content)
        if made.digest not in self._written:
            self._written.add(made.digest)
            await registry.in_thread(self._write, made)
        return made

    async def _manifest(self, name: RepositoryName, stored: StoredManifest) -> Sequence[StoredManifest]:
        """Write a manifest and its blobs; return the manifests that belong to it."""
        registry = self._stores.registry
        manifest = await registry.read_manifest(stored.content, stored.media_type, stored.digest.algorithm)
        further = []
        for child in manifest.children:
            digest = child.descriptor.digest
            if child.is_manifest:
                try:
                    further.append(await registry.metadata.manifests.get(name, digest))
                except (ManifestUnknown, NameUnknown):
                    self.done.left_out.append(f"{name}: {digest}, listed by index {stored.digest}, is not in it")
            else:
                await self._blob(name, manifest, digest)
        for reference in manifest.references:
            await self._blob(name, manifest, reference.descriptor.digest)
        if stored.digest not in self._written:
            self._written.add(stored.digest)
            await registry.in_thread(self._write, stored)
            self.done.manifests += 1
        return [*further, *await self._referrers(name, stored.digest)]

    def _write(self, stored: StoredManifest) -> None:
        self._layout.begin(stored.digest, len(stored.content))
        self._layout.write(stored.content)
        self._layout.end()

    async def _referrers(self, name: RepositoryName, subject: Digest) -> Sequence[StoredManifest]:
        manifests = self._stores.registry.metadata.manifests
        found, after = [], ""
        while page := await manifests.list_referrers(name, subject, None, after, _PAGE):
            for each in page:
                if each.digest not in self._seen:
                    stored = await manifests.get(name, each.digest)
                    self._index.append(self._entry(name, None, stored, each.artifact_type))
                    found.append(stored)
            after = str(page[-1].digest)
        return found

    async def _blob(self, name: RepositoryName, manifest: Manifest, digest: Digest) -> None:
        if digest in self._written:
            return
        registry = self._stores.registry
        blob = await registry.metadata.blobs.find_in(name, digest)
        if blob is None:
            # Layers that may not be given away, and those of manifests that were pushed without them.
            self.done.left_out.append(f"{name}: blob {digest} of manifest {manifest.digest} is not in it")
            return
        reader = await registry.open_blob(blob)
        await registry.in_thread(self._layout.begin, digest, blob.size)
        self.done.bytes += await copy(self._stores, reader, digest, self._layout.write, self._meter)
        await registry.in_thread(self._layout.end)
        self._written.add(digest)
        self.done.blobs += 1

    def _entry(
        self,
        name: RepositoryName,
        tag: Tag | None,
        stored: StoredManifest,
        artifact_type: str | None = None,
        *,
        view: StoredManifest | None = None,
    ) -> dict[str, Any]:
        told: dict[str, str] = {REPOSITORY: name.value}
        if tag is not None:
            short = f"{name}:{tag}" if self._several else tag.value
            told = {REF_NAME: short, IMAGE_NAME: full_name(name, tag, self._host), **told, TAG: tag.value}
        if view is not None:
            told[VIEW_OF] = str(stored.digest)
        typed = {"artifactType": artifact_type} if artifact_type is not None else {}
        return {**_described(view or stored), **typed, "annotations": told}


def _described(stored: StoredManifest) -> dict[str, Any]:
    return {"mediaType": stored.media_type, "digest": str(stored.digest), "size": len(stored.content)}
