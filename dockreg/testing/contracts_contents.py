"""What every metadata store promises of the bytes of small blobs, as tests."""

from attrs import evolve

from dockreg.model.blobs import IN_METADATA, DerivedBlob, Recorded, StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import LayerFacts, TagClient
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import BUSYBOX, LATEST, push, some_id, some_manifest

ONE, TWO = RepositoryName("small/one"), RepositoryName("small/two")
#: More than fits into a page of any database.
LARGE = bytes(range(256)) * 256


def small_blob(content: bytes = b"small", name: str = "one") -> StoredBlob:
    """An object that is recorded with its bytes."""
    return StoredBlob(Digest.sha256(content), f"{IN_METADATA}{name}", len(content), content=content)


class ContentContract(MetadataContract):
    """What every IBlobIndex promises of bytes that are recorded with their blob."""

    async def test_kept(self) -> None:
        """They are there as long as the object is recorded, byte for byte; who finds the blob does not get them with it."""
        blobs = (await self.opened()).blobs
        facts = LayerFacts("gzip", Digest.sha256(b"tar"), 10, 1)
        for number, content in enumerate((b"", b"\0\xff", LARGE)):
            blob = small_blob(content, str(number))
            self.assertIsNone(await blobs.content(blob))
            self.assertEqual(blob, await blobs.record(blob, facts if number else None, 10.0))
            self.assertEqual(content, await blobs.content(evolve(blob, content=None)))
            found = await blobs.find(blob.digest)
            self.assertEqual((blob, None), (found, found and found.content))

    async def test_other_ways(self) -> None:
        """So they are by whatever way the object is recorded."""
        blobs = (await self.opened()).blobs
        first, second = small_blob(b"first"), small_blob(b"second")
        self.assertEqual(first, await blobs.record_in(ONE, first, None, None, 1.0, 10.0))
        self.assertEqual(b"first", await blobs.content(first))
        await blobs.record_in(ONE, second, LayerFacts("none"), None, 1.0, 10.0)
        self.assertEqual(b"second", await blobs.content(second))

    async def test_another_object(self) -> None:
        """Of an object that is not recorded there are none, and those that came with it are not kept."""
        blobs = (await self.opened()).blobs
        await blobs.record(small_blob(), None, 10.0)
        other = small_blob(name="other")
        self.assertEqual(small_blob(), await blobs.record_in(ONE, other, None, None, 1.0, 10.0))
        self.assertEqual((b"small", None), (await blobs.content(small_blob()), await blobs.content(other)))
        elsewhere = some_blob()
        await blobs.record(elsewhere, None, 10.0)
        self.assertIsNone(await blobs.content(elsewhere))
        self.assertEqual(elsewhere, await blobs.record(small_blob(b"layer"), None, 10.0))
        self.assertIsNone(await blobs.content(small_blob(b"layer")))

    async def test_lost(self) -> None:
        """They are replaced when the object is lost and recorded again, here or elsewhere."""
        metadata = await self.opened()
        blobs = metadata.blobs
        await blobs.record_in(ONE, small_blob(), None, None, 1.0, 10.0)
        await metadata.conditions.note(small_blob(), Condition.DAMAGED, 2.0)
        again = small_blob(name="again")
        self.assertEqual(again, await blobs.record_in(ONE, again, None, None, 1.0, 10.0))
        self.assertEqual((None, b"small"), (await blobs.content(small_blob()), await blobs.content(again)))
        await metadata.conditions.note(again, Condition.DAMAGED, 3.0)
        elsewhere = some_blob(b"small")
        await blobs.record(elsewhere, None, 10.0)
        self.assertEqual((None, None), (await blobs.content(again), await blobs.content(elsewhere)))
        await metadata.conditions.note(elsewhere, Condition.MISSING, 4.0)
        await blobs.record(small_blob(name="last"), None, 10.0)
        self.assertEqual(b"small", await blobs.content(small_blob(name="last")))
        found = await blobs.find(again.digest)
        self.assertEqual((small_blob(name="last"), None), (found, found and found.lost))

    async def test_derived(self) -> None:
        """They take the place of what was uncompressed from another blob."""
        metadata = await self.opened()
        await metadata.repositories.create(BUSYBOX, None, 1.0)
        await metadata.blobs.record(some_blob(b"config"), None, 1000.0)
        facts = LayerFacts("xz", Digest.sha256(b"tar"), 3, 1)
        image = await push(metadata, some_id(2), content=b"tar.xz", facts=facts)
        manifest = some_manifest([Digest.sha256(b"tar")])
        await metadata.repositories.tag_image(BUSYBOX, LATEST, image, manifest, TagClient(), 5.0)
        blob = small_blob(b"tar")
        self.assertIsInstance(await metadata.blobs.find_in(BUSYBOX, blob.digest), DerivedBlob)
        self.assertEqual(blob, await metadata.blobs.record_in(BUSYBOX, blob, None, None, 2.0, 50.0))
        self.assertEqual(blob, await metadata.blobs.find_in(BUSYBOX, blob.digest))
        self.assertEqual(b"tar", await metadata.blobs.content(blob))

    async def test_lease(self) -> None:
        """They stay when something else of the row changes."""
        metadata = await self.opened()
        blob = small_blob(LARGE)
        await metadata.blobs.record_in(ONE, blob, None, None, 1.0, 10.0)
        await metadata.blobs.record_in(TWO, blob, None, None, 1.0, 20.5)
        await metadata.blobs.learn(blob.digest, LayerFacts("gzip", Digest.sha256(b"tar"), 10, 1))
        await metadata.conditions.note(blob, Condition.DAMAGED, 3.0)
        await metadata.conditions.note(blob, None, 4.0)
        self.assertEqual(blob, await metadata.blobs.mount(RepositoryName("x"), ONE, blob.digest, None, 1.0, 30.0))
        self.assertEqual(LARGE, await metadata.blobs.content(blob))

    async def test_recorded_here(self) -> None:
        """What records where it is called records them, too."""
        metadata = await self.opened()
        record = metadata.blobs.recorder(ONE, None, None, 1.0, 10.0)
        blob, other = small_blob(), small_blob(name="other")
        self.assertEqual(Recorded(blob), record(blob))
        self.assertEqual(Recorded(blob), record(other))
        self.assertEqual((b"small", None), (await metadata.blobs.content(blob), await metadata.blobs.content(other)))
