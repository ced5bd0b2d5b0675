"""Export into OCI image layouts: manifests as they were pushed, with what they refer to and what refers to them."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from dockreg.bridge.mediatypes import oci_view
from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.exporting import Exported, copy, require_bytes
from dockreg.cli.moving.layouts import Layout, documents
from dockreg.cli.moving.names import IMAGE_NAME, REF_NAME, REPOSITORY, TAG, VIEW_OF, full_name
from dockreg.cli.moving.stores import Stores
from dockreg.cli.progress import Meter, Reporter
from dockreg.errors import BlobUnknown, ManifestUnknown, NameUnknown
from dockreg.model.blobs import Blob
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest
from dockreg.model.mediatypes import SCHEMA1_TYPES, SCHEMA2_MANIFEST
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import RepositoryRecord, StoredManifest

_PAGE = 500


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
    # Everything in the layout, and what was looked at of the repository: what was taken of it, and what is lost.
    _written: set[Digest] = field(factory=set, init=False)
    _seen: set[Digest] = field(factory=set, init=False)
    _lost: set[Digest] = field(factory=set, init=False)
    _schema1: dict[RepositoryName, int] = field(factory=dict, init=False)
    _meter: Meter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._meter = self._reporter.meter("blobs", None)

    async def repository(self, record: RepositoryRecord) -> None:
        """See :class:`.Export`."""
        facts = {"name": record.name.value, "owner": record.owner, "private": record.private}
        if facts not in self._records:
            self._records.append(facts)
        self._seen, self._lost = set(), set()
        self.done.repositories.setdefault(record.name.value, [])

    async def add(self, name: RepositoryName, tag: Tag | None, manifest: StoredManifest) -> None:
        """See :class:`.Export`."""
        if tag is None and (manifest.digest in self._seen or manifest.digest in self._lost):
            return
        if manifest.media_type in SCHEMA1_TYPES:
            # Its digest is that of a part of its bytes, so a layout can not hold it.
            if tag is not None:
                self.done.left_out.append(f"{name}:{tag} is a schema1 manifest, which an OCI layout can not hold")
            else:
                self._schema1[name] = self._schema1.get(name, 0) + 1
            return
        subjects = await self._image(name, tag, manifest)
        if subjects is None:
            return
        view = await self._view(manifest) if tag is not None else None
        self._index.append(self._entry(name, tag, manifest, view=view))
        if tag is not None:
            self.done.repositories[name.value].append(tag.value)
            self._reporter.say(f"{name}:{tag}")
        while subjects:
            subjects += await self._referrers(name, subjects.pop())

    async def publish(self) -> None:
        """See :class:`.Export`."""
        for name, count in self._schema1.items():
            # Tags that were pushed as such are there in the newer form that the registry made of them.
            self.done.left_out.append(f"{name}: {count} schema1 manifests, which an OCI layout can not hold")
        if self.done.lost and not self._index:
            raise CommandFailed("there is no image to export: " + "; ".join(self.done.left_out))
        await self._stores.registry.in_thread(self._layout.publish, documents(self._index, self._records))

    async def discard(self) -> None:
        """See :class:`.Export`."""
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

    async def _image(self, name: RepositoryName, tag: Tag | None, top: StoredManifest) -> list[Digest] | None:
        """
        Write a manifest, its children and their blobs, if all of them are there.

        :return: the digests of the manifests that were not there before; None when blobs are lost, and it is left out.
        :raises ManifestUnknown: it was deleted meanwhile.
        """
        registry = self._stores.registry
        try:
            family = await self._family(name, top)
            for _, blobs in family:
                for blob in blobs:
                    await self._blob(blob)
        except BlobUnknown as problem:
            # Of what was deleted in this moment the blobs go, too.
            await registry.metadata.manifests.get(name, top.digest)
            self._lost.add(top.digest)
            self.done.lose(name, top.digest if tag is None else tag, problem)
            return None
        for stored, _ in family:
            self._seen.add(stored.digest)
            if stored.digest not in self._written:
                self._written.add(stored.digest)
                await registry.in_thread(self._write, stored)
                self.done.manifests += 1
        return [stored.digest for stored, _ in family]

    async def _family(
        self, name: RepositoryName, top: StoredManifest
    ) -> Sequence[tuple[StoredManifest, Sequence[Blob]]]:
        """
        A manifest and its children that were not seen yet, and the blobs of each that are to be written.

        :raises BlobLost: one of them is lost.
        """
        registry = self._stores.registry
        family: dict[Digest, tuple[StoredManifest, Sequence[Blob]]] = {}
        pending = [top]
        while pending:
            stored = pending.pop()
            if stored.digest in self._seen or stored.digest in family:
                continue
            manifest = await registry.read_manifest(stored.content, stored.media_type, stored.digest.algorithm)
            family[stored.digest] = stored, await self._blobs(name, manifest)
            for child in manifest.children:
                digest = child.descriptor.digest
                if child.is_manifest:
                    try:
                        pending.append(await registry.metadata.manifests.get(name, digest))
                    except (ManifestUnknown, NameUnknown):
                        self.done.left_out.append(f"{name}: {digest}, listed by index {stored.digest}, is not in it")
        return list(family.values())

    async def _blobs(self, name: RepositoryName, manifest: Manifest) -> Sequence[Blob]:
        wanted = [child.descriptor.digest for child in manifest.children if not child.is_manifest]
        wanted += [reference.descriptor.digest for reference in manifest.references]
        metadata, found = self._stores.registry.metadata, []
        for digest in wanted:
            if digest in self._written:
                continue
            blob = await metadata.blobs.find_in(name, digest)
            if blob is None:
                await metadata.manifests.get(name, manifest.digest)  # or both were deleted meanwhile
                # Layers that may not be given away, and those of manifests that were pushed without them.
                self.done.left_out.append(f"{name}: blob {digest} of manifest {manifest.digest} is not in it")
                continue
            await require_bytes(self._stores, blob)
            found.append(blob)
        return found

    async def _blob(self, blob: Blob) -> None:
        if blob.digest in self._written:
            return
        registry = self._stores.registry
        reader = await registry.open_blob(blob)
        await registry.in_thread(self._layout.begin, blob.digest, blob.size)
        self.done.bytes += await copy(self._stores, reader, blob.digest, self._layout.write, self._meter)
        await registry.in_thread(self._layout.end)
        self._written.add(blob.digest)
        self.done.blobs += 1

    def _write(self, stored: StoredManifest) -> None:
        self._layout.begin(stored.digest, len(stored.content))
        self._layout.write(stored.content)
        self._layout.end()

    async def _referrers(self, name: RepositoryName, subject: Digest) -> Sequence[Digest]:
        """Write what refers to a manifest; return the digests of the manifests that were not there before."""
        manifests = self._stores.registry.metadata.manifests
        new: list[Digest] = []
        after = ""
        while page := await manifests.list_referrers(name, subject, None, after, _PAGE):
            for each in page:
                if each.digest in self._seen or each.digest in self._lost:
                    continue
                try:
                    stored = await manifests.get(name, each.digest)
                    written = await self._image(name, None, stored)
                except (ManifestUnknown, NameUnknown):
                    self.done.left_out.append(f"{name}@{each.digest} was deleted meanwhile")
                    continue
                if written is not None:
                    self._index.append(self._entry(name, None, stored, each.artifact_type))
                    new += written
            after = str(page[-1].digest)
        return new

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
