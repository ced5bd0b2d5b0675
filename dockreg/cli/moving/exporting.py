"""What is exported: tags, what they refer to, what refers to them, and what nobody refers to."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from attrs import define, field, frozen

from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.names import parse_repository
from dockreg.cli.moving.stores import Stores
from dockreg.cli.progress import Meter
from dockreg.errors import BlobUnknown, ManifestUnknown, NameUnknown
from dockreg.interfaces_blobs import IBlobReader
from dockreg.model.blobs import Blob
from dockreg.model.digest import Digest, Hasher
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
    """
    What was done: tags by repository, how many manifests and blobs, how many bytes, and what was left out and why;
    ``lost`` names the images that were left out because the registry has lost blobs of them.
    """

    repositories: dict[str, list[str]] = field(factory=dict)
    manifests: int = 0
    blobs: int = 0
    bytes: int = 0
    left_out: list[str] = field(factory=list)
    lost: list[str] = field(factory=list)

    def lose(self, name: RepositoryName, reference: Tag | Digest, problem: BlobUnknown) -> None:
        """Note an image that is left out because a blob of it is lost."""
        self.lost.append(_named(name, reference))
        self.left_out.append(f"{self.lost[-1]}: the registry has lost blob {problem.digest}")


class Export(Protocol):
    """An archive of some format, while it is made."""

    #: Whether it takes what has no tag.
    takes_untagged: bool
    done: Exported

    async def repository(self, record: RepositoryRecord) -> None:
        """What follows is of this repository."""

    async def add(self, name: RepositoryName, tag: Tag | None, manifest: StoredManifest) -> None:
        """
        Take a manifest with all that belongs to it, or note in ``done`` why not.

        :raises ManifestUnknown: it was deleted meanwhile. :raises NameUnknown: so was its repository.
        """

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
    Export ``wanted``, or (None) everything. What is deleted while it runs is left out, and noted.

    :raises RegistryError: something that was named is not there.
    """
    try:
        if wanted is None:
            async for record in everything(stores):
                await into.repository(record)
                await _whole(stores, record.name, into)
        else:
            records = [await _found(stores, each) for each in wanted]
            for each, record in zip(wanted, records, strict=True):
                await into.repository(record)
                if each.reference is None:
                    await _whole(stores, each.repository, into)
                else:
                    await _one(stores, each.repository, each.reference, into)
        await into.publish()
    finally:
        await into.discard()
    return into.done


async def _found(stores: Stores, wanted: Wanted) -> RepositoryRecord:
    """The repository of what was named. :raises RegistryError: that is not there."""
    name, reference = wanted.repository, wanted.reference
    record = await stores.registry.get_repository(name)
    if isinstance(reference, Tag) and (await stores.registry.get_tag(name, reference)).digest is None:
        raise CommandFailed(_v1_only(name, reference))
    if reference is not None:
        await stores.registry.metadata.manifests.get(name, reference)
    return record


async def _one(stores: Stores, name: RepositoryName, reference: Tag | Digest, into: Export) -> None:
    tag = reference if isinstance(reference, Tag) else None
    try:
        await into.add(name, tag, await stores.registry.metadata.manifests.get(name, reference))
    except (ManifestUnknown, NameUnknown):
        into.done.left_out.append(f"{_named(name, reference)} was deleted meanwhile")


async def _whole(stores: Stores, name: RepositoryName, into: Export) -> None:
    try:
        for record in await stores.registry.list_tags(name):
            if record.digest is None:
                into.done.left_out.append(_v1_only(name, record.tag))
            else:
                await _one(stores, name, record.tag, into)
        after = ""
        while into.takes_untagged and (page := await stores.registry.metadata.manifests.pushed(name, after, _PAGE)):
            for digest in page:
                await _one(stores, name, digest, into)
            after = str(page[-1])
    except NameUnknown:
        into.done.left_out.append(f"{name} was deleted meanwhile")


def _named(name: RepositoryName, reference: Tag | Digest) -> str:
    return f"{name}:{reference}" if isinstance(reference, Tag) else f"{name}@{reference}"


def _v1_only(name: RepositoryName, tag: Tag) -> str:
    return f"{name}:{tag} is a v1 image with a layer that is no tar, which has no manifest: dockreg v1 pull gets it"


async def require_bytes(stores: Stores, blob: Blob) -> None:
    """See that the bytes of a blob are there, without reading them. :raises BlobLost: they are not."""
    await stores.registry.soundness.require(blob)
    (await stores.registry.open_blob(blob)).close()


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
