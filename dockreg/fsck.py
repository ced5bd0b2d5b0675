"""
An examination of all that a registry has, beside processes that serve, and the repair of what can be repaired.

What others are changing in this moment is looked at again before it is called wrong, and whatever is put out of the way
is kept. Nothing is changed without ``repair``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import Enum

from attrs import define, field, frozen

from dockreg.callables import InThread
from dockreg.errors import ManifestInvalid, RegistryError, StoreUnavailable
from dockreg.errors_blobs import BlobLost
from dockreg.interfaces import IBlobStore, IMetadataStore
from dockreg.model.blobs import StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.manifest import Manifest, Role, parse_manifest
from dockreg.model.references import BrokenReference, Fault, KeptManifest
from dockreg.soundness import Soundness

_PAGE = 100
_MOST_NAMED = 5

_SENTENCES = {
    Fault.BLOB_NOT_LINKED: "manifest {holder} of {repository} needs blob {target}, which is not part of the repository",
    Fault.BLOB_NOT_HELD: "manifest {holder} of {repository} does not keep blob {target} from being collected",
    Fault.LAYER_NOT_LINKED: "image {holder} of {repository} needs layer {target}, which is not part of the repository",
    Fault.PARENT_NOT_LINKED: "image {holder} of {repository} has the parent {target}, which is not part of the repository",
    Fault.TAG_ASTRAY: "tag {holder} of {repository} points to manifest {target} of another repository",
}


class Outcome(Enum):
    """What became of a finding."""

    #: It is as it should be now.
    REPAIRED = "repaired"
    #: It is out of the way, and only a push brings it back.
    LOST = "lost"
    #: It is as it was found.
    FOUND = "found"


@frozen
class Finding:
    """Something that is not as it should be: of what kind, what about, in words, and what became of it."""

    kind: str
    subject: str
    sentence: str
    outcome: Outcome


@define
class Tally:
    """What was looked at."""

    blobs: int = 0
    bytes: int = 0
    manifests: int = 0
    images: int = 0


async def _no_pause() -> None:
    """Where nobody else is at work."""


@define(eq=False)
class Examination:
    """
    One examination.

    :param quick: bytes are not read: a file is whole when it has its size.
    :param allows_gaps: whether manifests may refer to what their repository does not have.
    :param progress: told what is being looked at, and how many bytes were read.
    """

    metadata: IMetadataStore
    store: IBlobStore
    soundness: Soundness
    in_thread: InThread
    repair: bool = False
    quick: bool = False
    allows_gaps: bool = False
    progress: Callable[[str, int], None] = lambda _what, _size: None
    #: Waits until what others do to objects in this moment is over.
    pause: Callable[[], Awaitable[object]] = field(default=_no_pause)
    tally: Tally = field(factory=Tally)

    async def run(self) -> AsyncIterator[Finding]:
        """All of it. :raises StoreUnavailable: a store does not work now."""
        for part in (self.blobs, self.strays, self.manifests, self.images):
            async for finding in part():
                yield finding

    # Blobs

    async def blobs(self) -> AsyncIterator[Finding]:
        """Whether each object that the metadata names is there, and is what its digest says."""
        after = ""
        while page := await self.metadata.conditions.list_objects(after, _PAGE):
            for blob in page:
                finding = await self._blob(blob)
                self.tally.blobs += 1
                self.tally.bytes += blob.size
                if finding is not None:
                    yield finding
            after = str(page[-1].digest)

    async def _blob(self, blob: StoredBlob) -> Finding | None:
        try:
            await self._look_at(blob)
        except BlobLost as problem:
            # One that was collected, or pushed again, meanwhile was right to go.
            if not await self.metadata.blobs.is_recorded(blob):
                return None
            return await self._lost(blob, problem.condition)
        except StoreUnavailable as problem:
            # When it is not the whole store, it is this object.
            await self.store.check()
            sentence = f"blob {blob.digest} can not be looked at: {problem}"
            return Finding("blob", str(blob.digest), sentence, Outcome.FOUND)
        if blob.lost is None or (self.quick and blob.lost is Condition.DAMAGED):
            return None if blob.lost is None else await self._lost(blob, blob.lost)
        if self.repair:
            await self.soundness.report(blob, None)
        outcome = Outcome.REPAIRED if self.repair else Outcome.FOUND
        return Finding("blob", str(blob.digest), f"blob {blob.digest} was {blob.lost.value}, and is whole", outcome)

    async def _look_at(self, blob: StoredBlob) -> None:
        if self.quick:
            (await self.store.open(blob)).close()
            self.progress(str(blob.digest), blob.size)
            return

        async def passed(size: int) -> None:
            self.progress(str(blob.digest), size)

        await self.store.examine(blob, passed)

    async def _lost(self, blob: StoredBlob, condition: Condition) -> Finding:
        holders = await self.metadata.blobs.holders(blob.digest, _MOST_NAMED)
        names = " or ".join(map(str, holders))
        what = "is not there" if condition is Condition.MISSING else "is damaged"
        sentence = f"blob {blob.digest} {what}: " + (
            f"a push of it to {names} repairs it" if names else "no repository needs it"
        )
        outcome = Outcome.FOUND
        if self.repair:
            await self.soundness.report(blob, condition)
            if condition is Condition.DAMAGED:
                await self.store.quarantine(blob)
            outcome = Outcome.LOST
        return Finding("blob", str(blob.digest), sentence, outcome)

    # Files

    async def strays(self) -> AsyncIterator[Finding]:
        """Objects that the metadata does not name, and what processes that are gone have left unfinished."""
        unnamed: list[StoredBlob] = []
        after: str | None = ""
        while after is not None:
            page = await self.store.stored(after, _PAGE)
            unnamed += await self.metadata.collection.orphans(list(page.objects))
            self.progress("files without a blob", 0)
            after = page.after
        for blob in await self._still_unnamed(unnamed):
            if self.repair:
                await self.store.quarantine(blob)
            sentence = f"object {blob.digest} of generation {blob.generation} belongs to no blob"
            yield Finding("object", str(blob.digest), sentence, Outcome.REPAIRED if self.repair else Outcome.FOUND)
        if self.repair:
            blobs, uploads = self.metadata.blobs, self.metadata.uploads
            settled = await self.store.recover(blobs.is_recorded, uploads.is_known)
            if settled:
                sentence = f"{settled} files were left unfinished by processes that are gone"
                yield Finding("staging", "", sentence, Outcome.REPAIRED)

    async def _still_unnamed(self, unnamed: Sequence[StoredBlob]) -> Sequence[StoredBlob]:
        """Those that are there after a while: whoever collects removes an object after its row."""
        if not unnamed:
            return ()
        await self.pause()
        removing: set[StoredBlob] = set()
        after: StoredBlob | None = None
        while page := await self.metadata.collection.removed_objects(after, _PAGE):
            removing |= set(page)
            after = page[-1]
        left = [blob for blob in await self.metadata.collection.orphans(unnamed) if blob not in removing]
        return [blob for blob in left if await self._is_there(blob)]

    async def _is_there(self, blob: StoredBlob) -> bool:
        try:
            (await self.store.open(blob)).close()
        except BlobLost:
            return False
        except StoreUnavailable:
            await self.store.check()
        return True

    # References

    async def manifests(self) -> AsyncIterator[Finding]:
        """Whether each manifest has its digest, and its rows say what it says."""
        after = 0
        while True:
            page = await self.metadata.references.look_at_manifests(after, _PAGE)
            if not page.manifests:
                return
            for kept in page.manifests:
                self.progress(f"manifests of {kept.repository}", 0)
                self.tally.manifests += 1
                async for finding in self._manifest(kept):
                    yield finding
            for broken in page.broken:
                yield await self._broken(broken)
            after = page.manifests[-1].key

    async def _manifest(self, kept: KeptManifest) -> AsyncIterator[Finding]:
        stored, name = kept.manifest, kept.repository
        what = f"manifest {stored.digest} of {name}"
        manifest: Manifest | None
        try:
            algorithm = stored.digest.algorithm
            manifest = await self.in_thread(parse_manifest, stored.content, stored.media_type, algorithm)
        except ManifestInvalid:
            manifest = None
        if manifest is None or manifest.digest != stored.digest:
            sentence = f"{what} is damaged: a push of it to {name} repairs it"
            yield Finding("manifest", str(stored.digest), sentence, Outcome.FOUND)
            return
        named = {str(each.descriptor.digest) for each in manifest.references}
        named |= {str(each.descriptor.digest) for each in manifest.children}
        if named != kept.references:
            done = self.repair and await self.metadata.references.write_references(kept, manifest)
            sentence = f"{what} refers to other things than its rows say"
            yield Finding("reference", str(stored.digest), sentence, Outcome.REPAIRED if done else Outcome.FOUND)
        if not self.allows_gaps:
            async for finding in self._gaps(kept, manifest, what):
                yield finding

    async def _gaps(self, kept: KeptManifest, manifest: Manifest, what: str) -> AsyncIterator[Finding]:
        for each in manifest.references:
            digest = each.descriptor.digest
            if not each.required or await self.metadata.blobs.find_in(kept.repository, digest) is not None:
                continue
            if await self._is_reparable(kept, str(digest)):
                continue
            role = "config" if each.role is Role.CONFIG else "blob"
            sentence = f"{what} needs {role} {digest}, which is not there: a push of it to {kept.repository} repairs it"
            yield Finding("reference", str(digest), sentence, Outcome.FOUND)

    async def _is_reparable(self, kept: KeptManifest, digest: str) -> bool:
        """Whether the blob is there and is only not part of the repository, which is told, and mended, by itself."""
        page = await self.metadata.references.look_at_manifests(kept.key - 1, 1)
        return any(each.fault is Fault.BLOB_NOT_LINKED and each.target == digest for each in page.broken)

    async def images(self) -> AsyncIterator[Finding]:
        """Whether what v1 images need is part of their repositories."""
        after: int | None = 0
        while after is not None:
            page = await self.metadata.references.look_at_images(after, _PAGE)
            self.progress("images of v1", 0)
            for broken in page.broken:
                yield await self._broken(broken)
            after = page.after

    async def _broken(self, broken: BrokenReference) -> Finding:
        sentence = _SENTENCES[broken.fault].format(
            holder=broken.holder, repository=broken.repository, target=broken.target
        )
        outcome = Outcome.FOUND
        if self.repair:
            try:
                mended = await self.metadata.references.mend(broken)
            except RegistryError as problem:
                sentence = f"{sentence} ({problem})"
            else:
                outcome = Outcome.REPAIRED if mended else Outcome.FOUND
        return Finding("reference", broken.target, sentence, outcome)
