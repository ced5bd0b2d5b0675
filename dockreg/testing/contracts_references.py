"""What every metadata store promises of references that are looked at, and of the scrub, as tests."""

from zope.interface.verify import verifyObject

from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_blobs import IReferenceStore
from dockreg.model.blobs import StoredBlob
from dockreg.model.conditions import ScrubState
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.references import BrokenReference, Fault, KeptManifest
from dockreg.model.repositories import Sparse
from dockreg.testing.contracts_metadata import MetadataContract
from dockreg.testing.contracts_repositories import some_manifest

ONE, TWO = RepositoryName("refer/one"), RepositoryName("refer/two")
LAYER = Digest.sha256(b"layer")


class ReferenceContract(MetadataContract):
    """What every IMetadataStore promises of references."""

    async def pushed(self, metadata: IMetadataStore, manifest: Manifest, name: RepositoryName = ONE) -> None:
        """Push a manifest with what it refers to."""
        for each in manifest.references:
            blob = StoredBlob(each.descriptor.digest, "first", each.descriptor.size)
            await metadata.blobs.record_in(name, blob, None, None, 1.0, 2.0)
        await metadata.manifests.put(name, manifest, [Tag("latest")], None, 3.0, Sparse.ALL, overwrite=True)

    async def test_interface(self) -> None:
        """The store has all that its interface declares."""
        verifyObject(IReferenceStore, self.make_metadata_store().references)

    async def test_manifests(self) -> None:
        """Manifests come in pages, with what their rows refer to; nothing is wrong with them."""
        metadata = await self.opened()
        manifests = [some_manifest([LAYER, Digest.sha256(b"%d" % number)]) for number in range(3)]
        for manifest in manifests:
            await self.pushed(metadata, manifest)
        kept: list[KeptManifest] = []
        after = 0
        while (page := await metadata.references.look_at_manifests(after, 2)).manifests:
            self.assertEqual([], list(page.broken))
            kept += page.manifests
            after = page.manifests[-1].key
        self.assertEqual([each.digest for each in manifests], [each.manifest.digest for each in kept])
        for each, manifest in zip(kept, manifests, strict=True):
            self.assertEqual(ONE, each.repository)
            self.assertEqual({str(ref.descriptor.digest) for ref in manifest.references}, each.references)
        self.assertIsNone((await metadata.references.look_at_images(0, 10)).after)

    async def test_write_references(self) -> None:
        """The rows of a manifest can be written again, and hold what its repository has."""
        metadata = await self.opened()
        manifest = some_manifest([LAYER])
        await self.pushed(metadata, manifest)
        (kept,) = (await metadata.references.look_at_manifests(0, 10)).manifests
        self.assertTrue(await metadata.references.write_references(kept, some_manifest([])))
        (other,) = (await metadata.references.look_at_manifests(0, 10)).manifests
        self.assertNotIn(str(LAYER), other.references)
        self.assertTrue(await metadata.references.write_references(kept, manifest))
        self.assertEqual(kept, (await metadata.references.look_at_manifests(0, 10)).manifests[0])
        await metadata.manifests.delete(ONE, manifest.digest)
        self.assertFalse(await metadata.references.write_references(kept, manifest))

    async def test_not_mendable(self) -> None:
        """What nobody can know is not mended."""
        metadata = await self.opened()
        await self.pushed(metadata, some_manifest([LAYER]))
        for fault in (Fault.TAG_ASTRAY, Fault.PARENT_NOT_LINKED):
            self.assertFalse(await metadata.references.mend(BrokenReference(fault, ONE, "latest", str(LAYER))))
        unknown = BrokenReference(Fault.BLOB_NOT_LINKED, ONE, "x", str(Digest.sha256(b"unknown")))
        self.assertFalse(await metadata.references.mend(unknown))

    async def test_linked(self) -> None:
        """A blob that is there becomes part of the repository that needs it."""
        metadata = await self.opened()
        await self.pushed(metadata, some_manifest([LAYER]))
        await metadata.repositories.create(TWO, None, 4.0)
        missing = BrokenReference(Fault.BLOB_NOT_LINKED, TWO, "x", str(LAYER))
        for _ in range(2):
            self.assertTrue(await metadata.references.mend(missing))
        self.assertIsNotNone(await metadata.blobs.find_in(TWO, LAYER))


class ScrubContract(MetadataContract):
    """What every IMetadataStore promises of the scrub."""

    async def test_one(self) -> None:
        """One process does it, until it has been silent for long enough, or its clock was wrong."""
        conditions = (await self.opened()).conditions
        nothing = ScrubState("", None, 0.0)
        self.assertEqual(nothing, await conditions.scrub_state())
        self.assertEqual(nothing, await conditions.hold_scrub("one", 100.0, 10.0))
        self.assertEqual(nothing, await conditions.hold_scrub("one", 101.0, 10.0))
        self.assertIsNone(await conditions.hold_scrub("two", 105.0, 10.0))
        state = ScrubState("sha256:ab", 100.0, 0.0)
        await conditions.note_scrub("two", state, 200.0)
        self.assertEqual(nothing, await conditions.scrub_state())
        await conditions.note_scrub("one", state, 115.0)
        self.assertEqual(state, await conditions.scrub_state())
        self.assertIsNone(await conditions.hold_scrub("two", 114.0, 10.0))
        self.assertEqual(state, await conditions.hold_scrub("two", 116.0, 10.0))
        # Held until 126; by a clock that was set back since that is further away than it can be.
        self.assertEqual(state, await conditions.hold_scrub("one", 50.0, 10.0))
