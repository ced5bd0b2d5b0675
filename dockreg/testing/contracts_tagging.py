"""What every metadata store promises of a tag that is added to a manifest which is there, as tests."""

from attrs import evolve

from dockreg.errors import NameUnknown, ReferencesUnknown
from dockreg.model.names import Tag
from dockreg.testing.contracts_manifests import LAYER, STABLE, ManifestContract
from dockreg.testing.contracts_repositories import BUSYBOX, LATEST, OTHER, some_manifest


class TaggingContract(ManifestContract):
    """It is the same as if the manifest had been pushed with it, for which providers may have a shorter way."""

    async def test_same(self) -> None:
        """Tags are the same, whether they come with their manifest, together, or one after the other."""
        metadata = await self.with_blobs()
        manifest = some_manifest([LAYER])
        tags = [Tag(f"tag{number}") for number in range(6)]
        for some in ([tags[0]], [tags[1]], tags[2:4], [tags[4]], [tags[5]]):
            await self.put(metadata, manifest, some)
        records = await metadata.repositories.list_tags(BUSYBOX)
        self.assertEqual(tags, [each.tag for each in records])
        self.assertEqual({evolve(records[0], tag=LATEST)}, {evolve(each, tag=LATEST) for each in records})
        self.assertEqual(manifest.digest, records[0].digest)

    async def test_moved(self) -> None:
        """A tag of another manifest is moved to one that is there, and pushed again it stays."""
        metadata = await self.with_blobs()
        first, second = some_manifest([LAYER]), some_manifest([])
        await self.put(metadata, first, [LATEST])
        await self.put(metadata, second, [STABLE])
        for _ in range(2):
            await self.put(metadata, second, [LATEST])
            self.assertEqual(second.digest, (await metadata.repositories.get_tag(BUSYBOX, LATEST)).digest)

    async def test_damaged(self) -> None:
        """Bytes that are not what they were are stored again with another tag."""
        metadata = await self.with_blobs()
        manifest = some_manifest([LAYER])
        await self.put(metadata, evolve(manifest, content=b"damaged"), [LATEST])
        await self.put(metadata, manifest, [STABLE])
        for tag in (LATEST, STABLE):
            self.assertEqual(manifest.content, (await metadata.manifests.get(BUSYBOX, tag)).content)

    async def test_derived(self) -> None:
        """A form that the registry has made is one that was pushed, once it is pushed."""
        metadata = await self.with_blobs()
        manifest, view = some_manifest([LAYER]), some_manifest([])
        await self.put(metadata, manifest)
        await metadata.manifests.add_view(BUSYBOX, manifest.digest, view, 1.0)
        await self.put(metadata, view, [LATEST])
        self.assertFalse((await metadata.manifests.get(BUSYBOX, LATEST)).derived)

    async def test_elsewhere(self) -> None:
        """What another repository has, or one that was deleted, is not there."""
        metadata = await self.with_blobs()
        manifest = some_manifest([LAYER])
        await self.put(metadata, manifest, [LATEST])
        await self.raises(ReferencesUnknown, self.put(metadata, manifest, [LATEST], name=OTHER))
        await metadata.repositories.delete(BUSYBOX, 2.0)
        await self.raises(ReferencesUnknown, self.put(metadata, manifest, [STABLE]))
        for name in (BUSYBOX, OTHER):
            await self.raises(NameUnknown, metadata.manifests.get(name, STABLE))
