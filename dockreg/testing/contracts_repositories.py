"""What every metadata store promises of repositories and tags, as tests."""

import json
from collections.abc import Collection, Sequence

from dockreg.errors import BlobUnknown, ImageConflict, ImageUnknown, NameUnknown, TagUnknown
from dockreg.interfaces import IMetadataStore
from dockreg.model.digest import Digest
from dockreg.model.manifest import SCHEMA2_CONFIG, SCHEMA2_MANIFEST, BlobReference, Descriptor, Manifest, Role
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import RepositoryRecord, TagRecord
from dockreg.model.v1 import (
    AnnouncedImage,
    Checksums,
    ImageID,
    ImageJSON,
    LayerFacts,
    PushScope,
    StagedLayer,
    TagClient,
    V1Image,
)
from dockreg.testing.contracts_metadata import MetadataContract, some_blob

BUSYBOX, OTHER = RepositoryName("busybox"), RepositoryName("alice/app")
LATEST = Tag("latest")


def some_id(number: int) -> ImageID:
    """An image id."""
    return ImageID(f"{number:064x}")


def some_json(image_id: ImageID, parent: V1Image | None = None, comment: str = "") -> ImageJSON:
    """An image json; ``comment`` makes others of the same id."""
    members = {"id": image_id.value, "comment": comment}
    if parent is not None:
        members["parent"] = parent.image_id.value
    return ImageJSON.parse(json.dumps(members).encode())


def some_manifest(layers: Sequence[Digest], config: bytes = b"config") -> Manifest:
    """A manifest with this config and these layers."""
    references = [BlobReference(Role.CONFIG, Descriptor(SCHEMA2_CONFIG, Digest.sha256(config), len(config)))]
    references += [BlobReference(Role.LAYER, Descriptor("application/octet-stream", layer, 5)) for layer in layers]
    content = json.dumps([str(reference.descriptor.digest) for reference in references]).encode()
    return Manifest(SCHEMA2_MANIFEST, content, Digest.sha256(content), references)


async def stage(
    metadata: IMetadataStore,
    scope: PushScope,
    document: ImageJSON,
    parent: V1Image | None = None,
    *,
    content: bytes = b"layer",
    facts: LayerFacts | None = None,
    now: float = 1.0,
) -> StagedLayer:
    """
    An image that only lacks its completion.

    Raises:
        ImageUnknown: if somebody completed the same push meanwhile, as the service says to who comes last.
    """
    await metadata.images.stage_json(scope, document, parent, now)
    images = await metadata.images.staged(scope, document.image_id)
    staged = next((image for image in images if image.json == document.content), None)
    if staged is None:
        raise ImageUnknown(document.image_id.value)
    checksums = Checksums("sha256:" + "0" * 64, frozenset({"tarsum+sha256:b", "tarsum+sha256:a"}))
    known = facts if facts is not None else LayerFacts("none", Digest.sha256(content), len(content), 1)
    await metadata.images.stage_layer(some_blob(content), known, [(staged, checksums)], now, now + 100)
    layers = await metadata.images.staged_layers(scope, document.image_id)
    for layer in layers:
        if layer.image_key == staged.key and layer.blob == some_blob(content):
            return layer
    raise ImageUnknown(document.image_id.value)


async def push(
    metadata: IMetadataStore,
    image_id: ImageID,
    parent: V1Image | None = None,
    *,
    repositories: Collection[RepositoryName] = (BUSYBOX,),
    content: bytes = b"layer",
    principal: str | None = None,
    comment: str = "",
    facts: LayerFacts | None = None,
) -> V1Image:
    """A complete image."""
    scope = PushScope(next(iter(repositories), None), principal)
    layer = await stage(metadata, scope, some_json(image_id, parent, comment), parent, content=content, facts=facts)
    return await metadata.images.complete(layer, image_id, scope, repositories, 2.0)


class RepositoryStoreContract(MetadataContract):
    """What every IRepositoryStore promises of repositories."""

    async def test_create(self) -> None:
        """A new repository is public and has no description."""
        repositories = (await self.opened()).repositories
        created = await repositories.create(OTHER, "alice", 1.5)
        expected = RepositoryRecord(OTHER, "alice", private=False, description="", created_at=1.5)
        self.assertEqual((expected, expected), (created, await repositories.get(OTHER)))

    async def test_create_again(self) -> None:
        """A repository that is there stays as it is, whoever asks for it."""
        repositories = (await self.opened()).repositories
        first = await repositories.create(BUSYBOX, None, 1.0)
        self.assertEqual(first, await repositories.create(BUSYBOX, "alice", 2.0))

    async def test_unknown(self) -> None:
        """Everything that needs a repository says when there is none."""
        metadata = await self.opened()
        await metadata.repositories.create(OTHER, None, 1.0)
        image = await push(metadata, some_id(1), repositories=[OTHER])
        repositories = metadata.repositories
        for promise in (
            repositories.get(BUSYBOX),
            repositories.delete(BUSYBOX, 1.0),
            repositories.set_private(BUSYBOX, True),
            repositories.list_tags(BUSYBOX),
            repositories.get_tag(BUSYBOX, LATEST),
            repositories.delete_tag(BUSYBOX, LATEST, 9.0),
            repositories.tag_image(BUSYBOX, LATEST, image, None, TagClient(), 1.0),
            metadata.images.announce(BUSYBOX, None, [], 1.0),
            metadata.images.list_images(BUSYBOX),
        ):
            self.assertEqual("busybox", (await self.raises(NameUnknown, promise)).name)

    async def test_set_private(self) -> None:
        """A repository can be made private and public again."""
        repositories = (await self.opened()).repositories
        await repositories.create(BUSYBOX, None, 1.0)
        for private in (True, False):
            await repositories.set_private(BUSYBOX, private)
            self.assertEqual(private, (await repositories.get(BUSYBOX)).private)

    async def test_search(self) -> None:
        """Repositories are found by any part of their v1 name, in the order of their names."""
        repositories = (await self.opened()).repositories
        for name in ("busybox", "alice/box_1", "alice/boxa1", "zebra"):
            await repositories.create(RepositoryName(name), None, 1.0)
        for term, expected in (
            ("", ["alice/box_1", "alice/boxa1", "busybox", "zebra"]),
            ("BOX", ["alice/box_1", "alice/boxa1", "busybox"]),
            ("library/", ["busybox", "zebra"]),
            ("x_1", ["alice/box_1"]),
            ("%", []),
            ("!", []),
            ("\0", []),
            ("\ud800", []),
            ("x" * 100_000, []),
        ):
            found = await repositories.search(term, None, 10)
            self.assertEqual(expected, [record.name.value for record in found], term[:9])

    async def test_search_in_parts(self) -> None:
        """A search goes on after a name, with at most the wanted number."""
        repositories = (await self.opened()).repositories
        for name in ("a", "b", "b/c", "b-c", "d"):
            await repositories.create(RepositoryName(name), None, 1.0)
        found = await repositories.search("", RepositoryName("a"), 3)
        self.assertEqual(["b", "b-c", "b/c"], [record.name.value for record in found])
        self.assertEqual(["d"], [record.name.value for record in await repositories.search("", found[-1].name, 3)])

    async def test_deleted(self) -> None:
        """A deleted repository is gone for everything, its images included."""
        metadata = await self.opened()
        await metadata.repositories.create(BUSYBOX, "alice", 1.0)
        await metadata.images.announce(BUSYBOX, "alice", [AnnouncedImage(some_id(1))], 1.0)
        await push(metadata, some_id(1))
        await metadata.repositories.delete(BUSYBOX, 2.0)
        await self.raises(NameUnknown, metadata.repositories.get(BUSYBOX))
        await self.raises(NameUnknown, metadata.repositories.delete(BUSYBOX, 2.0))
        self.assertEqual([], list(await metadata.repositories.search("", None, 10)))
        self.assertEqual([], list(await metadata.images.holders(some_id(1))))
        self.assertIsNone(await metadata.images.find_in(BUSYBOX, some_id(1)))
        self.assertFalse(await metadata.images.is_listed(BUSYBOX, some_id(1)))
        self.assertEqual([], list(await metadata.images.announced_by("alice", some_id(1), 0.0)))

    async def test_back_with_same_owner(self) -> None:
        """A repository that comes back to its owner holds its images; tags and announcements are gone."""
        metadata = await self.opened()
        await metadata.repositories.create(BUSYBOX, "alice", 1.0)
        announced = [AnnouncedImage(some_id(9), "old"), AnnouncedImage(some_id(1))]
        await metadata.images.announce(BUSYBOX, "alice", announced, 1.0)
        image = await push(metadata, some_id(1))
        await metadata.repositories.tag_image(BUSYBOX, LATEST, image, None, TagClient(), 1.0)
        await metadata.repositories.delete(BUSYBOX, 2.0)
        await metadata.repositories.create(BUSYBOX, "alice", 3.0)
        self.assertEqual(image, await metadata.images.find_in(BUSYBOX, some_id(1)))
        self.assertEqual([], list(await metadata.repositories.list_tags(BUSYBOX)))
        self.assertTrue(await metadata.images.is_listed(BUSYBOX, some_id(1)))
        self.assertFalse(await metadata.images.is_listed(BUSYBOX, some_id(9)))
        listed = await metadata.images.list_images(BUSYBOX)
        self.assertEqual([AnnouncedImage(some_id(1), "tarsum+sha256:a")], list(listed))

    async def test_back_with_other_owner(self) -> None:
        """A repository that comes back to somebody else is public and holds nothing."""
        metadata = await self.opened()
        await metadata.repositories.create(BUSYBOX, "alice", 1.0)
        await metadata.repositories.set_private(BUSYBOX, True)
        await push(metadata, some_id(1))
        await metadata.repositories.delete(BUSYBOX, 2.0)
        record = await metadata.repositories.create(BUSYBOX, None, 3.0)
        self.assertEqual((None, False), (record.owner, record.private))
        self.assertIsNone(await metadata.images.find_in(BUSYBOX, some_id(1)))
        self.assertEqual([], list(await metadata.images.list_images(BUSYBOX)))


class TagStoreContract(MetadataContract):
    """What every IRepositoryStore promises of tags."""

    async def with_image(self) -> tuple[IMetadataStore, V1Image]:
        """A store with a repository that holds an image."""
        metadata = await self.opened()
        await metadata.repositories.create(BUSYBOX, None, 1.0)
        await metadata.blobs.record(some_blob(b"config"), None, 1000.0)
        return metadata, await push(metadata, some_id(1))

    async def test_tag(self) -> None:
        """A tag tells manifest, image and client."""
        metadata, image = await self.with_image()
        client = TagClient(1400000000, "1.2.0", "go1.3", "arm", "linux", "3.13.0")
        manifest = some_manifest([image.layer.digest])
        await metadata.repositories.tag_image(BUSYBOX, LATEST, image, manifest, client, 5.0)
        expected = TagRecord(LATEST, manifest.digest, some_id(1), client)
        self.assertEqual(expected, await metadata.repositories.get_tag(BUSYBOX, LATEST))
        self.assertEqual([expected], list(await metadata.repositories.list_tags(BUSYBOX)))

    async def test_without_manifest(self) -> None:
        """A tag on an image without a manifest view has no digest, and no client values where none were given."""
        metadata, image = await self.with_image()
        await metadata.repositories.tag_image(BUSYBOX, LATEST, image, None, TagClient(), 5.0)
        expected = TagRecord(LATEST, None, some_id(1), TagClient())
        self.assertEqual(expected, await metadata.repositories.get_tag(BUSYBOX, LATEST))

    async def test_odd_client(self) -> None:
        """Whatever a client says of itself can be kept."""
        metadata, image = await self.with_image()
        client = TagClient(docker_version="1\0\ud800", arch="\0", kernel="ü")
        await metadata.repositories.tag_image(BUSYBOX, LATEST, image, None, client, 5.0)
        kept = (await metadata.repositories.get_tag(BUSYBOX, LATEST)).client
        self.assertEqual(TagClient(docker_version="1??", arch="?", kernel="ü"), kept)

    async def test_repeat(self) -> None:
        """Tagging again changes nothing."""
        metadata, image = await self.with_image()
        manifest = some_manifest([image.layer.digest])
        for _ in range(2):
            await metadata.repositories.tag_image(BUSYBOX, LATEST, image, manifest, TagClient(), 5.0)
        self.assertEqual(1, len(await metadata.repositories.list_tags(BUSYBOX)))

    async def test_move(self) -> None:
        """A tag moves to any image, forward and back."""
        metadata, base = await self.with_image()
        top = await push(metadata, some_id(2), base)
        for image in (top, base):
            await metadata.repositories.tag_image(BUSYBOX, LATEST, image, None, TagClient(), 5.0)
            self.assertEqual(image.image_id, (await metadata.repositories.get_tag(BUSYBOX, LATEST)).image_id)

    async def test_order(self) -> None:
        """Tags are listed in ASCII order."""
        metadata, image = await self.with_image()
        for tag in ("b", "_", "1.0", "B", "a-b", "a.b", "ab"):
            await metadata.repositories.tag_image(BUSYBOX, Tag(tag), image, None, TagClient(), 5.0)
        listed = [record.tag.value for record in await metadata.repositories.list_tags(BUSYBOX)]
        self.assertEqual(["1.0", "B", "_", "a-b", "a.b", "ab", "b"], listed)

    async def test_delete_tag(self) -> None:
        """A deleted tag is unknown; others and the image stay."""
        metadata, image = await self.with_image()
        for tag in (LATEST, Tag("1.0")):
            await metadata.repositories.tag_image(BUSYBOX, tag, image, None, TagClient(), 5.0)
        await metadata.repositories.delete_tag(BUSYBOX, LATEST, 9.0)
        problem = await self.raises(TagUnknown, metadata.repositories.get_tag(BUSYBOX, LATEST))
        self.assertEqual(("busybox", "latest"), (problem.name, problem.tag))
        await self.raises(TagUnknown, metadata.repositories.delete_tag(BUSYBOX, LATEST, 9.0))
        self.assertEqual(1, len(await metadata.repositories.list_tags(BUSYBOX)))
        self.assertEqual(image, await metadata.images.find_in(BUSYBOX, some_id(1)))

    async def test_links_ancestors(self) -> None:
        """Tagging an image of elsewhere makes it and its ancestors part of the repository."""
        metadata, base = await self.with_image()
        middle = await push(metadata, some_id(2), base)
        top = await push(metadata, some_id(3), middle)
        await metadata.repositories.create(OTHER, None, 1.0)
        await metadata.repositories.tag_image(OTHER, LATEST, top, None, TagClient(), 5.0)
        for image in (base, middle, top):
            self.assertEqual(image, await metadata.images.find_in(OTHER, image.image_id))
        listed = [image.image_id for image in await metadata.images.list_images(OTHER)]
        self.assertEqual([some_id(1), some_id(2), some_id(3)], listed)

    async def test_conflict(self) -> None:
        """Where other content is held under the id of the image or an ancestor, nothing changes."""
        metadata, base = await self.with_image()
        top = await push(metadata, some_id(2), base)
        await metadata.repositories.create(OTHER, None, 1.0)
        await push(metadata, some_id(1), repositories=[OTHER], comment="other")
        for image in (base, top):
            tagging = metadata.repositories.tag_image(OTHER, LATEST, image, None, TagClient(), 5.0)
            self.assertEqual(some_id(1).value, (await self.raises(ImageConflict, tagging)).image_id)
        self.assertEqual([], list(await metadata.repositories.list_tags(OTHER)))
        self.assertIsNone(await metadata.images.find_in(OTHER, some_id(2)))

    async def test_unknown_blob(self) -> None:
        """A manifest that refers to what is not there is not stored, and neither is its tag."""
        metadata, image = await self.with_image()
        manifest = some_manifest([Digest.sha256(b"missing")])
        tagging = metadata.repositories.tag_image(BUSYBOX, LATEST, image, manifest, TagClient(), 5.0)
        self.assertEqual(str(Digest.sha256(b"missing")), (await self.raises(BlobUnknown, tagging)).digest)
        await self.raises(TagUnknown, metadata.repositories.get_tag(BUSYBOX, LATEST))

    async def test_derived_layer(self) -> None:
        """A manifest may refer to the uncompressed tar of an xz layer; it has no object until it is pushed itself."""
        metadata, _ = await self.with_image()
        facts = LayerFacts("xz", Digest.sha256(b"tar"), 3, 1)
        image = await push(metadata, some_id(2), content=b"tar.xz", facts=facts)
        manifest = some_manifest([Digest.sha256(b"tar")])
        await metadata.repositories.tag_image(BUSYBOX, LATEST, image, manifest, TagClient(), 5.0)
        self.assertEqual(manifest.digest, (await metadata.repositories.get_tag(BUSYBOX, LATEST)).digest)
        self.assertIsNone(await metadata.blobs.find(Digest.sha256(b"tar")))
        pushed = some_blob(b"tar", "pushed")
        self.assertEqual(pushed, await metadata.blobs.record(pushed, None, 50.0))
        self.assertEqual(pushed, await metadata.blobs.find(pushed.digest))

    async def test_gzip_is_not_derived(self) -> None:
        """A manifest can not refer to the uncompressed tar of a gzip layer, which v2 clients read as it is."""
        metadata, _ = await self.with_image()
        facts = LayerFacts("gzip", Digest.sha256(b"tar"), 3, 1)
        image = await push(metadata, some_id(2), content=b"tar.gz", facts=facts)
        manifest = some_manifest([Digest.sha256(b"tar")])
        tagging = metadata.repositories.tag_image(BUSYBOX, LATEST, image, manifest, TagClient(), 5.0)
        await self.raises(BlobUnknown, tagging)

    async def test_delete_repository(self) -> None:
        """A repository with tagged images can be deleted, and another one's tags stay."""
        metadata, image = await self.with_image()
        manifest = some_manifest([image.layer.digest])
        await metadata.repositories.create(OTHER, None, 1.0)
        for name in (BUSYBOX, OTHER):
            await metadata.repositories.tag_image(name, LATEST, image, manifest, TagClient(), 5.0)
        await metadata.repositories.delete(BUSYBOX, 6.0)
        self.assertEqual(manifest.digest, (await metadata.repositories.get_tag(OTHER, LATEST)).digest)
