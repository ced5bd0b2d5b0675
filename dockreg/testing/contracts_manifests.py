"""What every metadata store promises of manifests and of what they are in v1, as tests."""

from collections.abc import Collection, Sequence

from attrs import evolve
from zope.interface.verify import verifyObject

from dockreg.errors import BlobUnknown, Denied, ImageConflict, ManifestUnknown, NameUnknown, ReferencesUnknown
from dockreg.interfaces import IManifestStore, IMetadataStore
from dockreg.model.blobs import DerivedBlob
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.manifest import BlobReference, Child, Manifest, Role
from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST, SCHEMA1_SIGNED, SCHEMA2_MANIFEST
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Referrer, Sparse
from dockreg.model.v1 import LayerFacts, MadeImage, TagClient, V1Image
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, LATEST, OTHER, push, some_id, some_manifest

LAYER, CONFIG, TAR = (Digest.sha256(content) for content in (b"layer", b"config", b"tar"))
STABLE = Tag("stable")


def some_index(children: Sequence[Descriptor], content: bytes = b"index") -> Manifest:
    """An index with these children."""
    return Manifest(OCI_INDEX, content, Digest.sha256(content), (), [Child(child) for child in children])


def described(manifest: Manifest) -> Descriptor:
    """The descriptor of a manifest."""
    return Descriptor(manifest.media_type, manifest.digest, len(manifest.content))


def made(number: int, layer: Digest = LAYER, unpacked: Descriptor | None = None) -> MadeImage:
    """An image that is made of a manifest."""
    return MadeImage(some_id(number), b'{"made":%d}' % number, layer, unpacked)


class ManifestContract(MetadataContract):
    """What tests of manifests need."""

    async def with_blobs(self, name: RepositoryName = BUSYBOX) -> IMetadataStore:
        """A store whose repository has a layer and a config."""
        metadata = await self.opened()
        for content in (b"layer", b"config"):
            await metadata.blobs.record_in(name, some_blob(content), None, None, 1.0, 100.0)
        return metadata

    async def put(
        self,
        metadata: IMetadataStore,
        manifest: Manifest,
        tags: Collection[Tag] = (),
        *,
        name: RepositoryName = BUSYBOX,
        sparse: Sparse = Sparse.NONE,
        overwrite: bool = True,
    ) -> None:
        """Push a manifest."""
        await metadata.manifests.put(name, manifest, tags, "alice", 1.0, sparse, overwrite)


class ManifestStoreContract(ManifestContract):
    """What every IManifestStore promises."""

    def test_interface(self) -> None:
        """It has all that IManifestStore declares."""
        verifyObject(IManifestStore, self.make_metadata_store().manifests)

    async def test_put(self) -> None:
        """A manifest is found by digest and by each of its tags, byte for byte."""
        metadata = await self.with_blobs()
        manifest = some_manifest([LAYER])
        await self.put(metadata, manifest, [LATEST, STABLE])
        for reference in (manifest.digest, LATEST, STABLE):
            found = await metadata.manifests.get(BUSYBOX, reference)
            self.assertEqual(
                (SCHEMA2_MANIFEST, manifest.content, manifest.digest, False),
                (found.media_type, found.content, found.digest, found.derived),
            )

    async def test_unknown(self) -> None:
        """A repository or a manifest that is not there is told apart."""
        metadata = await self.with_blobs()
        await self.raises(NameUnknown, metadata.manifests.get(OTHER, LATEST))
        for promise in (
            metadata.manifests.get(BUSYBOX, LATEST),
            metadata.manifests.get(BUSYBOX, LAYER),
            metadata.manifests.delete(BUSYBOX, LAYER),
            metadata.manifests.add_view(BUSYBOX, LAYER, some_manifest([]), 1.0),
        ):
            await self.raises(ManifestUnknown, promise)

    async def test_references(self) -> None:
        """A manifest whose blobs are not all there is refused, with the digests that are missing; nothing is changed."""
        metadata = await self.with_blobs()
        missing = Digest.sha256(b"missing")
        error = await self.raises(ReferencesUnknown, self.put(metadata, some_manifest([LAYER, missing]), [LATEST]))
        self.assertEqual((str(missing),), error.digests)
        await self.raises(ManifestUnknown, metadata.manifests.get(BUSYBOX, LATEST))
        await self.raises(ReferencesUnknown, self.put(metadata, some_manifest([LAYER]), name=OTHER))

    async def test_sparse(self) -> None:
        """What may be missing depends on the rule: nothing, manifests of an index, or anything; foreign layers always."""
        metadata = await self.with_blobs()
        index = some_index([Descriptor(OCI_MANIFEST, Digest.sha256(b"absent"), 6)])
        await self.raises(ReferencesUnknown, self.put(metadata, index))
        await self.put(metadata, index, sparse=Sparse.INDEXES)
        absent = Descriptor("application/octet-stream", Digest.sha256(b"absent layer"), 6)
        sparse = evolve(some_manifest([]), references=[BlobReference(Role.LAYER, absent)])
        await self.raises(ReferencesUnknown, self.put(metadata, sparse, sparse=Sparse.INDEXES))
        await self.put(metadata, sparse, sparse=Sparse.ALL)
        foreign = [BlobReference(Role.LAYER, absent, required=False)]
        await self.put(metadata, Manifest(OCI_MANIFEST, b"foreign", Digest.sha256(b"foreign"), foreign))

    async def test_late_layer(self) -> None:
        """A layer that arrives after its manifest is held by it from then on."""
        metadata = await self.with_blobs()
        manifest = some_manifest([Digest.sha256(b"late")])
        await self.put(metadata, manifest, sparse=Sparse.ALL)
        await metadata.blobs.record_in(BUSYBOX, some_blob(b"late"), None, None, 1.0, 100.0)
        error = await self.raises(Exception, metadata.blobs.unlink(BUSYBOX, Digest.sha256(b"late")))
        self.assertIn(str(manifest.digest), str(error))

    async def test_index_of_blobs(self) -> None:
        """A child of an index that is a blob must be there, and is held."""
        metadata = await self.with_blobs()
        index = some_index([Descriptor("application/vnd.buildkit.cacheconfig.v0", CONFIG, 6)])
        await self.put(metadata, index)
        await self.raises(Exception, metadata.blobs.unlink(BUSYBOX, CONFIG))

    async def test_overwrite(self) -> None:
        """Without the right to overwrite a tag is not moved, and the manifest is not stored; the same again is fine."""
        metadata = await self.with_blobs()
        first, second = some_manifest([LAYER]), some_manifest([])
        await self.put(metadata, first, [LATEST], overwrite=False)
        await self.put(metadata, first, [LATEST, STABLE], overwrite=False)
        await self.raises(Denied, self.put(metadata, second, [LATEST], overwrite=False))
        self.assertEqual(first.digest, (await metadata.manifests.get(BUSYBOX, LATEST)).digest)
        await self.raises(ManifestUnknown, metadata.manifests.get(BUSYBOX, second.digest))
        await self.put(metadata, second, [LATEST])
        self.assertEqual(second.digest, (await metadata.manifests.get(BUSYBOX, LATEST)).digest)

    async def test_delete(self) -> None:
        """With a manifest go its tags, and the other forms of its image, whichever of them is deleted."""
        metadata = await self.with_blobs()
        manifest, view = some_manifest([LAYER]), some_manifest([])
        for deleted in (manifest, view):
            await self.put(metadata, manifest, [LATEST])
            await metadata.manifests.add_view(BUSYBOX, manifest.digest, evolve(view, media_type=OCI_MANIFEST), 1.0)
            await metadata.manifests.delete(BUSYBOX, deleted.digest)
            for reference in (manifest.digest, view.digest, LATEST):
                await self.raises(ManifestUnknown, metadata.manifests.get(BUSYBOX, reference))

    async def test_view(self) -> None:
        """Another form of an image is found by its digest; one that is there is not kept twice."""
        metadata = await self.with_blobs()
        manifest = some_manifest([LAYER])
        view = evolve(some_manifest([]), media_type=OCI_MANIFEST)
        await self.put(metadata, manifest)
        for _ in range(2):
            await metadata.manifests.add_view(BUSYBOX, manifest.digest, view, 1.0)
        found = await metadata.manifests.get(BUSYBOX, view.digest)
        self.assertEqual((view.content, OCI_MANIFEST, True), (found.content, found.media_type, found.derived))

    async def test_pushed_view(self) -> None:
        """A form that the registry had made, and that somebody pushes, does not go with what it was made from."""
        metadata = await self.with_blobs()
        manifest = some_manifest([LAYER])
        view = evolve(some_manifest([]), media_type=OCI_MANIFEST)
        await self.put(metadata, manifest)
        await metadata.manifests.add_view(BUSYBOX, manifest.digest, view, 1.0)
        await self.put(metadata, view, [STABLE])
        await metadata.manifests.delete(BUSYBOX, manifest.digest)
        self.assertEqual(view.digest, (await metadata.manifests.get(BUSYBOX, STABLE)).digest)

    async def test_signed(self) -> None:
        """A tag knows the schema1 manifest that it was pushed with; each of several goes with its own tag."""
        metadata = await self.with_blobs()
        made_form = some_manifest([LAYER])
        image = await push(metadata, some_id(1), content=b"layer")
        signed = [
            evolve(some_manifest([LAYER], config), media_type=SCHEMA1_SIGNED, references=[])
            for config in (b"first", b"second")
        ]
        for manifest, tag in zip(signed, (LATEST, STABLE), strict=True):
            await self.put(metadata, manifest)
            await metadata.images.add_images(BUSYBOX, manifest.digest, [_pushed(image)], None, 1.0)
            await metadata.manifests.put(
                BUSYBOX, made_form, [tag], None, 1.0, Sparse.NONE, True, image, signed=manifest.digest
            )
        for manifest, tag in zip(signed, (LATEST, STABLE), strict=True):
            form = await metadata.manifests.signed_form(BUSYBOX, tag)
            assert form is not None
            self.assertEqual((manifest.digest, made_form.digest),
                             (form.digest, (await metadata.manifests.get(BUSYBOX, tag)).digest))  # fmt: skip
        await metadata.manifests.delete(BUSYBOX, signed[1].digest)
        await self.raises(ManifestUnknown, metadata.manifests.get(BUSYBOX, STABLE))
        self.assertEqual(made_form.digest, (await metadata.manifests.get(BUSYBOX, LATEST)).digest)
        await metadata.manifests.delete(BUSYBOX, signed[0].digest)
        for reference in (LATEST, made_form.digest, signed[0].digest):
            await self.raises(ManifestUnknown, metadata.manifests.get(BUSYBOX, reference))

    async def test_lists(self) -> None:
        """Tags and repositories with manifests are listed in ASCII order, page by page."""
        metadata = await self.with_blobs()
        tags = [Tag(text) for text in ("a", "B", "_", "a.b", "1")]
        await self.put(metadata, some_manifest([LAYER]), tags)
        await metadata.blobs.record_in(OTHER, some_blob(), None, None, 1.0, 100.0)
        repositories = metadata.repositories
        self.assertEqual(["1", "B"], [str(tag) for tag in await repositories.tag_names(BUSYBOX, "", 2)])
        self.assertEqual(["_", "a", "a.b"], [str(tag) for tag in await repositories.tag_names(BUSYBOX, "B", 9)])
        await self.raises(NameUnknown, repositories.tag_names(RepositoryName("none"), "", 9))
        self.assertEqual([await repositories.get(BUSYBOX)], list(await repositories.listed("", 9)))
        self.assertEqual([], list(await repositories.listed("busybox", 9)))

    async def test_referrers(self) -> None:
        """Manifests are listed by their subject, by digest, page by page, and by their artifact type if one is asked for."""
        metadata = await self.with_blobs()
        subject = Descriptor(OCI_MANIFEST, Digest.sha256(b"subject"), 7)
        found = []
        for number in range(3):
            content = b"referrer %d" % number
            kind = "application/x" if number else "application/y"
            notes = {"number": str(number)}
            digest = Digest.sha256(content)
            await self.put(metadata, Manifest(OCI_MANIFEST, content, digest, (), (), subject, kind, notes))
            found.append(Referrer(OCI_MANIFEST, digest, len(content), kind, notes))
        found.sort(key=lambda each: str(each.digest))
        listed = metadata.manifests.list_referrers
        self.assertEqual(found, list(await listed(BUSYBOX, subject.digest, None, "", 9)))
        self.assertEqual(found[1:2], list(await listed(BUSYBOX, subject.digest, None, str(found[0].digest), 1)))
        only = [each for each in found if each.artifact_type == "application/x"]
        self.assertEqual(only, list(await listed(BUSYBOX, subject.digest, "application/x", "", 9)))
        self.assertEqual([], list(await listed(OTHER, subject.digest, None, "", 9)))


class ViewContract(ManifestContract):
    """What every metadata store promises of manifests as v1 images."""

    async def test_add_images(self) -> None:
        """A manifest becomes v1 images of its repository, and its tags show the topmost."""
        metadata = await self.with_blobs()
        manifest = some_manifest([LAYER, LAYER])
        await self.put(metadata, manifest, [LATEST])
        images = metadata.images
        self.assertEqual([(LATEST, manifest.digest)], list(await images.without_image(BUSYBOX)))
        self.assertEqual([(BUSYBOX, manifest.digest)], list(await images.with_config(CONFIG)))
        self.assertIsNone(await images.image_of(BUSYBOX, manifest.digest))
        top = await images.add_images(BUSYBOX, manifest.digest, [made(1), made(2)], "alice", 1.0)
        self.assertEqual([some_id(2), some_id(1)], list(await images.ancestry(top)))
        self.assertEqual(top, await images.image_of(BUSYBOX, manifest.digest))
        self.assertEqual(some_id(2), (await metadata.repositories.get_tag(BUSYBOX, LATEST)).image_id)
        self.assertEqual([], list(await images.without_image(BUSYBOX)))
        await self.put(metadata, manifest, [STABLE])
        self.assertEqual(some_id(2), (await metadata.repositories.get_tag(BUSYBOX, STABLE)).image_id)

    async def test_unpacked(self) -> None:
        """A layer that old engines can not read is the tar that comes of it: a blob of the repository without bytes."""
        metadata = await self.with_blobs()
        manifest = some_manifest([LAYER])
        await self.put(metadata, manifest)
        image = made(1, unpacked=Descriptor("", TAR, 10_240))
        top = await metadata.images.add_images(BUSYBOX, manifest.digest, [image], None, 1.0)
        expected = DerivedBlob(TAR, 10_240, some_blob())
        self.assertEqual((expected, expected), (top.layer, await metadata.blobs.find_in(BUSYBOX, TAR)))

    async def test_add_to_nothing(self) -> None:
        """Images need their manifest, and each layer in its repository."""
        metadata = await self.with_blobs()
        await self.raises(ManifestUnknown, metadata.images.add_images(BUSYBOX, LAYER, [made(1)], None, 1.0))
        manifest = some_manifest([LAYER])
        await self.put(metadata, manifest)
        images = [made(1), made(2, TAR)]
        await self.raises(BlobUnknown, metadata.images.add_images(BUSYBOX, manifest.digest, images, None, 1.0))
        self.assertIsNone(await metadata.images.find_in(BUSYBOX, some_id(1)))

    async def test_held_id(self) -> None:
        """An id that the repository has already stays what it is, if the content is the same."""
        metadata = await self.with_blobs()
        held = await push(metadata, some_id(1))
        manifest = some_manifest([LAYER])
        await self.put(metadata, manifest)
        top = await metadata.images.add_images(BUSYBOX, manifest.digest, [made(1), made(2)], None, 1.0)
        self.assertEqual(held.key, top.parent_key)

    async def test_other_content(self) -> None:
        """Content that the repository has not under an id is no image of this id: nothing is changed."""
        metadata = await self.with_blobs()
        other = await push(metadata, some_id(1), content=b"other layer")
        child = await push(metadata, some_id(3), other, content=b"layer")
        manifest = some_manifest([LAYER])
        await self.put(metadata, manifest, [LATEST])
        exact = evolve(_pushed(child), json=b"{}")
        for images in ([made(1)], [made(1), made(2)], [made(3)], [exact]):
            adding = metadata.images.add_images(BUSYBOX, manifest.digest, images, None, 1.0)
            await self.raises(ImageConflict, adding)
        self.assertIsNone(await metadata.images.image_of(BUSYBOX, manifest.digest))
        self.assertIsNone((await metadata.repositories.get_tag(BUSYBOX, LATEST)).image_id)

    async def test_same_tar(self) -> None:
        """A layer in another compression is the same content, if both were unpacked and found equal."""
        metadata = await self.with_blobs()
        held = await push(metadata, some_id(1), content=b"packed", facts=LayerFacts("gzip", TAR, 3, 1))
        manifest = some_manifest([LAYER])
        await self.put(metadata, manifest)
        adding = metadata.images.add_images(BUSYBOX, manifest.digest, [made(1)], None, 1.0)
        await self.raises(ImageConflict, adding)
        await metadata.blobs.learn(LAYER, LayerFacts("none", TAR, 3, 1))
        top = await metadata.images.add_images(BUSYBOX, manifest.digest, [made(1)], None, 1.0)
        self.assertEqual(held.key, top.key)

    async def test_set_image(self) -> None:
        """The tag of an index gets an image; a manifest that has none is remembered as such."""
        metadata = await self.with_blobs()
        manifest = some_manifest([LAYER])
        index = some_index([described(manifest)])
        await self.put(metadata, manifest)
        await self.put(metadata, index, [LATEST])
        top = await metadata.images.add_images(BUSYBOX, manifest.digest, [made(1)], None, 1.0)
        await metadata.images.set_image(BUSYBOX, LATEST, manifest.digest, top)
        self.assertIsNone((await metadata.repositories.get_tag(BUSYBOX, LATEST)).image_id)
        self.assertFalse((await metadata.manifests.get(BUSYBOX, LATEST)).imageless)
        await metadata.images.set_imageless(BUSYBOX, index.digest)
        self.assertTrue((await metadata.manifests.get(BUSYBOX, LATEST)).imageless)
        self.assertEqual([], list(await metadata.images.without_image(BUSYBOX)))
        await metadata.images.set_image(BUSYBOX, LATEST, index.digest, top)
        self.assertEqual(some_id(1), (await metadata.repositories.get_tag(BUSYBOX, LATEST)).image_id)

    async def test_delete_unlinks(self) -> None:
        """With the last manifest that is an image the image goes, and its ancestors that nothing else needs."""
        metadata = await self.with_blobs()
        first, second = some_manifest([LAYER]), some_manifest([LAYER, LAYER])
        index = some_index([described(second)])
        for manifest in (first, second):
            await self.put(metadata, manifest)
        await self.put(metadata, index, [LATEST])
        await metadata.images.add_images(BUSYBOX, first.digest, [made(1), made(2)], None, 1.0)
        top = await metadata.images.add_images(BUSYBOX, second.digest, [made(1), made(3)], None, 1.0)
        await metadata.images.set_image(BUSYBOX, LATEST, index.digest, top)
        await metadata.manifests.delete(BUSYBOX, second.digest)
        held = [await metadata.images.find_in(BUSYBOX, some_id(number)) is not None for number in (1, 2, 3)]
        self.assertEqual([True, True, False], held)
        self.assertIsNone((await metadata.repositories.get_tag(BUSYBOX, LATEST)).image_id)
        await metadata.manifests.delete(BUSYBOX, first.digest)
        self.assertIsNone(await metadata.images.find_in(BUSYBOX, some_id(1)))
        self.assertEqual([], list(await metadata.images.list_images(BUSYBOX)))

    async def test_origins(self) -> None:
        """The v1 image that an image was pushed as is found by its config, and is kept when that is pushed elsewhere."""
        metadata = await self.opened()
        await metadata.repositories.create(BUSYBOX, None, 1.0)
        image = await push(metadata, some_id(1))
        await metadata.blobs.record(some_blob(b"config"), None, 100.0)
        manifest = some_manifest([image.layer.digest])
        await metadata.repositories.tag_image(BUSYBOX, LATEST, image, manifest, TagClient(), 1.0)
        self.assertEqual([(BUSYBOX, image)], list(await metadata.manifests.origins(CONFIG)))
        for content in (b"layer", b"config"):
            await metadata.blobs.record_in(OTHER, some_blob(content), None, None, 1.0, 100.0)
        await metadata.manifests.put(OTHER, manifest, [STABLE], None, 1.0, Sparse.NONE, True, image)
        self.assertEqual(some_id(1), (await metadata.repositories.get_tag(OTHER, STABLE)).image_id)
        self.assertEqual(image, await metadata.images.find_in(OTHER, some_id(1)))

    async def test_false_origin(self) -> None:
        """A v1 image with the config of a manifest, and with other layers, is not what the manifest is in v1."""
        metadata = await self.with_blobs()
        await metadata.repositories.create(OTHER, None, 1.0)
        image = await push(metadata, some_id(1), repositories=[OTHER], content=b"of somebody else")
        manifest = some_manifest([LAYER])
        await metadata.manifests.put(BUSYBOX, manifest, [LATEST], None, 1.0, Sparse.NONE, True, image)
        self.assertIsNone(await metadata.images.image_of(BUSYBOX, manifest.digest))
        self.assertIsNone((await metadata.repositories.get_tag(BUSYBOX, LATEST)).image_id)
        self.assertIsNone(await metadata.images.find_in(BUSYBOX, some_id(1)))

    async def test_tag_keeps_its_manifest(self) -> None:
        """A tag that is set to the v1 image that it is already keeps its manifest, whatever else is this image."""
        metadata = await self.with_blobs()
        first, second = some_manifest([LAYER]), some_manifest([LAYER], b"config 2")
        await metadata.blobs.record_in(BUSYBOX, some_blob(b"config 2"), None, None, 1.0, 100.0)
        for manifest, tags in ((second, ()), (first, [LATEST])):
            await self.put(metadata, manifest, tags)
            top = await metadata.images.add_images(BUSYBOX, manifest.digest, [made(1)], None, 1.0)
        await metadata.repositories.tag_image(BUSYBOX, LATEST, top, None, TagClient(), 2.0, overwrite=False)
        self.assertEqual(first.digest, (await metadata.manifests.get(BUSYBOX, LATEST)).digest)
        other = await push(metadata, some_id(9), content=b"other layer")
        tagging = metadata.repositories.tag_image(BUSYBOX, LATEST, other, None, TagClient(), 3.0, overwrite=False)
        await self.raises(Denied, tagging)


def _pushed(image: V1Image) -> MadeImage:
    """A v1 image as a schema1 manifest has it."""
    return MadeImage(image.image_id, image.json, image.layer.digest, exact=True)
