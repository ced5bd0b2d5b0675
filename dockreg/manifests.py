"""
Manifests: pushed by tag or digest, pulled in the form that a client can use, deleted, referred to.

Bytes are kept and served as they came. There are few conversions, by tag only, and all of them for clients that list what
they accept and could not use what is stored: one platform of an index for those that do not know that kind of index;
the media types of docker for those of OCI, and the other way round; schema1 for those that know nothing newer, and for
engines that could not read the layers otherwise.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from attrs import define, field, frozen

from dockreg.bridge.mediatypes import docker_view, oci_view
from dockreg.bridge.negotiation import Accepted
from dockreg.errors import (
    BlobUnknown,
    Denied,
    DigestInvalid,
    ManifestUnknown,
    NameUnknown,
    TagUnknown,
)
from dockreg.interfaces_access import IStoredRights
from dockreg.model.access import Action, Principal
from dockreg.model.digest import Digest
from dockreg.model.manifest import Child, Manifest, Role
from dockreg.model.mediatypes import INDEX_TYPES, MANIFEST_TYPES, SCHEMA1_SIGNED, SCHEMA1_TYPES
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Referrer, Sparse, StoredManifest
from dockreg.model.v1 import V1Image
from dockreg.registry import Registry
from dockreg.v1views import V1Views

#: Of so many principals and configs it is kept which v1 image they are, and for so many bytes of json of images, or one more.
_MOST_IMAGES = 1024
_MOST_JSON = 8 * 1024 * 1024
_Origins = Sequence[tuple[RepositoryName, V1Image]]
#: So many manifests that were pushed are known when they are pushed again, which have so many bytes at most.
_MOST_PUSHED = 64
_SMALL_BYTES = 32 * 1024
#: The bytes, what they were said to be, the algorithm of the digest, the repository, who has pushed, and whether to a tag.
_PushedKey = tuple[bytes, str | None, str, str, str | None, bool]


@frozen
class PushedManifest:
    """What was stored: its digest, the tags that point to it now, and the subject that it names."""

    digest: Digest
    tags: Sequence[Tag]
    subject: Digest | None


@frozen
class _Pushed:
    """What was found when a manifest was pushed that is no image of v1."""

    #: See :meth:`.IMoments.lasting_version`: what was found is so for as long as this is the same.
    version: object
    principal: Principal
    manifest: Manifest
    overwrite: bool


@define(eq=False)
class Manifests:
    """The manifests of repositories. Who may call a method was decided at the door."""

    registry: Registry
    views: V1Views
    sparse: Sparse = Sparse.INDEXES
    # The answer of the store that an image was found by, and that image.
    _images: dict[tuple[Principal, Digest], tuple[_Origins, V1Image | None]] = field(factory=dict, init=False)
    _kept_json: int = field(default=0, init=False)
    _pushed: dict[_PushedKey, _Pushed] = field(factory=dict, init=False)

    # Pushing

    async def put(
        self,
        principal: Principal,
        name: RepositoryName,
        reference: Tag | Digest,
        content: bytes,
        content_type: str | None,
        tags: Sequence[Tag] = (),
        only_if: Collection[str] | None = None,
    ) -> PushedManifest:
        """
        Store a manifest, and point tags to it: the reference if it is a tag, and ``tags``.

        :param only_if: the digests that the tags may point to now, ``*`` for any; when empty, they must not be there.
        :raises ManifestInvalid: it can not be stored.
        :raises TagChanged: a tag is not what ``only_if`` says; nothing is stored.
        :raises DigestInvalid: the reference is a digest, and the bytes have another one.
        :raises ReferencesUnknown: it refers to what the repository does not have.
        :raises Denied: a tag would have to be moved, and the caller may not.
        """
        if isinstance(reference, Digest):
            algorithm = reference.algorithm
        else:
            algorithm, tags = "sha256", [reference, *(tag for tag in tags if tag != reference)] if tags else [reference]
        key = (content, content_type, algorithm, name.value, principal.name, bool(tags))
        version = self.registry.metadata.lasting_version()
        known = self._find_pushed(key, version, principal)
        manifest = known.manifest if known else await self.registry.read_manifest(content, content_type, algorithm)
        if isinstance(reference, Digest) and manifest.digest != reference:
            raise DigestInvalid(str(reference), f"the manifest has {manifest.digest}")
        if known is not None:
            await self._store(principal, name, manifest, tags, known.overwrite, only_if=only_if)
        elif manifest.media_type in SCHEMA1_TYPES:
            await self._put_schema1(principal, name, manifest, tags, only_if)
        else:
            image = await self._v1_image(principal, manifest)
            overwrite = bool(tags) and await self.registry.may(principal, Action.OVERWRITE, name)
            await self._store(principal, name, manifest, tags, overwrite, image, only_if)
            if image is None:
                self._keep_pushed(key, _Pushed(version, principal, manifest, overwrite))
        subject = None if manifest.subject is None else manifest.subject.digest
        return PushedManifest(manifest.digest, tags, subject)

    def _find_pushed(self, key: _PushedKey, version: object | None, principal: Principal) -> _Pushed | None:
        """What was found when the very same was pushed, if it is so still: the store judges what it has by itself."""
        known = self._pushed.get(key)
        if known is None or known.version is not version:
            return None
        return known if known.principal is principal or known.principal == principal else None

    def _keep_pushed(self, key: _PushedKey, pushed: _Pushed) -> None:
        # Others than these rights may change while the version does not.
        if pushed.version is None or not IStoredRights.providedBy(self.registry.authorizer):
            return
        if len(pushed.manifest.content) <= _SMALL_BYTES:
            if len(self._pushed) >= _MOST_PUSHED:
                self._pushed.clear()
            self._pushed[key] = pushed

    async def _put(
        self,
        principal: Principal,
        name: RepositoryName,
        manifest: Manifest,
        tags: Sequence[Tag],
        image: V1Image | None = None,
        only_if: Collection[str] | None = None,
        signed: Digest | None = None,
    ) -> None:
        overwrite = bool(tags) and await self.registry.may(principal, Action.OVERWRITE, name)
        await self._store(principal, name, manifest, tags, overwrite, image, only_if, signed)

    def _store(
        self,
        principal: Principal,
        name: RepositoryName,
        manifest: Manifest,
        tags: Sequence[Tag],
        overwrite: bool,
        image: V1Image | None = None,
        only_if: Collection[str] | None = None,
        signed: Digest | None = None,
    ) -> Awaitable[None]:
        now = self.registry.clock.seconds()
        return self.registry.metadata.manifests.put(
            name, manifest, tags, principal.name, now, self.sparse, overwrite, image, only_if, signed
        )

    async def _v1_image(self, principal: Principal, manifest: Manifest) -> V1Image | None:
        """The v1 image that this very image was pushed as, somewhere where the caller can read it."""
        config = next((each.descriptor for each in manifest.references if each.role is Role.CONFIG), None)
        if manifest.media_type not in MANIFEST_TYPES or config is None:
            return None
        origins = await self.registry.metadata.manifests.origins(config.digest)
        key = (principal, config.digest)
        known = self._images.get(key)
        # The very same answer: so nobody has changed who may read what, either. What is found for who may not read any of
        # them is kept in the same way, so that the time tells nothing.
        if known is not None and known[0] is origins and IStoredRights.providedBy(self.registry.authorizer):
            return known[1]
        images: dict[RepositoryName, V1Image] = {}
        for name, image in origins:
            images.setdefault(name, image)
        readable = await self.registry.readable(principal, list(images))
        found = images[readable[0]] if readable else None
        self._keep(key, origins, found)
        return found

    def _keep(self, key: tuple[Principal, Digest], origins: _Origins, found: V1Image | None) -> None:
        size = sum(len(image.json) for _, image in origins)
        if len(self._images) >= _MOST_IMAGES or self._kept_json + size > _MOST_JSON:
            self._images.clear()
            self._kept_json = 0
        # What it replaces is counted until all are forgotten.
        self._images[key] = (origins, found)
        self._kept_json += size

    async def _put_schema1(
        self,
        principal: Principal,
        name: RepositoryName,
        manifest: Manifest,
        tags: Sequence[Tag],
        only_if: Collection[str] | None,
    ) -> None:
        """The tags point to the schema2 form of the image, which all but old engines get, where it has one."""
        await self._require_free(principal, name, manifest, tags)
        await self._put(principal, name, manifest, ())
        made = await self.views.push_schema1(principal, name, manifest)
        if made is None:
            await self._put(principal, name, manifest, tags, only_if=only_if)
            return
        image, view = made
        await self.registry.store_blob(view.config, name)
        await self._put(principal, name, view.manifest, tags, image, only_if, manifest.digest)

    async def _require_free(
        self, principal: Principal, name: RepositoryName, manifest: Manifest, tags: Sequence[Tag]
    ) -> None:
        """Refuse before anything is stored: a tag that is there may only be pushed as what it is, or be moved."""
        if await self.registry.may(principal, Action.OVERWRITE, name):
            return
        for tag in tags:
            signed = await self.registry.metadata.manifests.signed_form(name, tag)
            if signed is not None and signed.digest == manifest.digest:
                continue
            with suppress(NameUnknown, TagUnknown):
                await self.registry.get_tag(name, tag)
                raise Denied(f"tag {tag} exists, and the caller may not move it")

    # Pulling

    async def get(
        self, name: RepositoryName, reference: Tag | Digest, accepted: Accepted, requested: str
    ) -> StoredManifest:
        """
        A manifest, in a form that the client accepts where there is one.

        By digest it is always the one of that digest. What no form fits is served as it is: a client may be able to use
        more than it says, and an existing manifest is never hidden.

        :param requested: the name of the repository as the client wrote it.
        :raises NameUnknown: there is no such repository. :raises ManifestUnknown: it has no such manifest.
        """
        stored = await self.registry.metadata.manifests.get(name, reference)
        self.registry.note_pull(name, reference)
        if isinstance(reference, Digest):
            return stored
        if _is_usable(stored.media_type, accepted):
            return await self.views.signed(stored) if accepted.only_schema1 else stored
        try:
            return await self._form(name, reference, stored, accepted, requested) or stored
        except (BlobUnknown, ManifestUnknown):
            # A part of it is not there: what can be made of it is not known.
            return stored

    async def keep(self, principal: Principal, name: RepositoryName, digest: Digest) -> None:
        """
        Who may push was told that a manifest is there, and relies on it: it gets a lease.

        :raises ManifestUnknown: it was collected in this very moment.
        """
        registry = self.registry
        if await registry.may(principal, Action.PUSH, name) and not await registry.leases.keep_manifest(name, digest):
            raise ManifestUnknown(str(name), str(digest))

    async def _form(
        self, name: RepositoryName, tag: Tag, stored: StoredManifest, accepted: Accepted, requested: str
    ) -> StoredManifest | None:
        """What the client can use instead of ``stored``; None when there is nothing."""
        found = await self.views.for_platform(name, stored)
        if found.media_type in INDEX_TYPES:
            return None
        if _is_usable(found.media_type, accepted):
            return found
        if not accepted.only_schema1:
            for made in (docker_view, oci_view):
                view = await self._view(name, found, accepted, made)
                if view is not None:
                    return view
        if accepted.only_schema1 or accepted.accepts(SCHEMA1_SIGNED):
            return await self.views.schema1_of(name, requested, tag, found)
        return found if accepted.no_index else None

    async def _view(
        self,
        name: RepositoryName,
        stored: StoredManifest,
        accepted: Accepted,
        made: Callable[[Manifest], Manifest | None],
    ) -> StoredManifest | None:
        """The same image in the words of docker or of OCI, if there are any and the client accepts them."""
        view = made(await self.registry.read_manifest(stored.content, stored.media_type))
        if view is None or not accepted.accepts(view.media_type):
            return None
        manifests = self.registry.metadata.manifests
        try:
            return await manifests.get(name, view.digest)
        except ManifestUnknown:
            await manifests.add_view(name, stored.digest, view, self.registry.clock.seconds())
            return await manifests.get(name, view.digest)

    # Deleting

    async def delete(self, name: RepositoryName, reference: Tag | Digest) -> None:
        """
        Remove a tag, or a manifest with all tags that point to it.

        :raises NameUnknown: there is no such repository. :raises ManifestUnknown: it has no such manifest.
        """
        if isinstance(reference, Digest):
            await self.registry.metadata.manifests.delete(name, reference)
            return
        try:
            await self.registry.delete_tag(name, reference)
        except TagUnknown:
            raise ManifestUnknown(str(name), str(reference)) from None

    # Referrers

    async def referrers(
        self, name: RepositoryName, subject: Digest, artifact_type: str | None, after: str, limit: int
    ) -> Sequence[Referrer]:
        """
        At most ``limit`` manifests that name ``subject``, after the digest ``after``, in the order of their digests.

        What the fallback tag lists, which clients keep up for registries without this list, is included (OCI
        Distribution specification, "Enabling the Referrers API").
        """
        listed = await self.registry.metadata.manifests.list_referrers(name, subject, artifact_type, after, limit)
        found = {str(each.digest): each for each in listed}
        for each in await self._fallback(name, subject):
            if str(each.digest) > after and artifact_type in (None, each.artifact_type):
                found.setdefault(str(each.digest), each)
        return [found[digest] for digest in sorted(found)[:limit]]

    async def _fallback(self, name: RepositoryName, subject: Digest) -> Sequence[Referrer]:
        try:
            stored = await self.registry.metadata.manifests.get(name, _fallback_tag(subject))
        except (NameUnknown, ManifestUnknown):
            return ()
        if stored.media_type not in INDEX_TYPES:
            return ()
        index = await self.registry.read_manifest(stored.content, stored.media_type)
        return [_listed(child) for child in index.children]


def _is_usable(media_type: str, accepted: Accepted) -> bool:
    if accepted.only_schema1:
        return media_type in SCHEMA1_TYPES
    return accepted.accepts(media_type)


def _fallback_tag(subject: Digest) -> Tag:
    """Where clients list referrers by themselves (OCI Distribution specification, "Referrers Tag Schema")."""
    return Tag(f"{subject.algorithm}-{subject.encoded[:64]}")


def _listed(child: Child) -> Referrer:
    descriptor = child.descriptor
    return Referrer(descriptor.media_type, descriptor.digest, descriptor.size, child.artifact_type, child.annotations)
