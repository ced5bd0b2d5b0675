"""What every metadata store promises to who goes through all manifests, as tests."""

from zope.interface.verify import verifyObject

from dockreg.errors import NameUnknown
from dockreg.interfaces_listing import IManifestList
from dockreg.model.repositories import Sparse
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, LATEST, OTHER, some_manifest


class ManifestListContract(MetadataContract):
    """What every IManifestList promises."""

    def test_interface(self) -> None:
        """It has all that IManifestList declares."""
        verifyObject(IManifestList, self.make_metadata_store().manifests)

    async def test_pages(self) -> None:
        """What was pushed comes in the order of the digests, in pages, with tags and without; views do not."""
        metadata = await self.opened()
        for content in (b"layer", b"config"):
            await metadata.blobs.record_in(BUSYBOX, some_blob(content), None, None, 1.0, 100.0)
        layer = some_blob(b"layer").digest
        pushed = [some_manifest([layer] * count) for count in range(5)]
        for number, manifest in enumerate(pushed):
            tags = [LATEST] if number == 0 else []
            await metadata.manifests.put(BUSYBOX, manifest, tags, "alice", 1.0, Sparse.NONE, True)
        await metadata.manifests.add_view(BUSYBOX, pushed[0].digest, some_manifest([layer] * 9), 1.0)
        expected = sorted((manifest.digest for manifest in pushed), key=str)
        first = await metadata.manifests.pushed(BUSYBOX, "", 3)
        self.assertEqual(expected[:3], list(first))
        self.assertEqual(expected[3:], list(await metadata.manifests.pushed(BUSYBOX, str(first[-1]), 3)))
        self.assertEqual([], list(await metadata.manifests.pushed(BUSYBOX, str(expected[-1]), 3)))

    async def test_unknown(self) -> None:
        """A repository that is not there has no list."""
        metadata = await self.opened()
        await self.raises(NameUnknown, metadata.manifests.pushed(OTHER, "", 3))
