"""An examination of a registry to which something has happened, and its repair."""

from typing import Any

from sqlalchemy import Connection, delete, update
from twisted.internet.defer import Deferred

from dockreg.fsck import Examination, Finding, Outcome
from dockreg.model.blobs import StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.providers.blobs.staging import Folders
from dockreg.providers.metadata.tables import manifest_blobs, manifests, repository_blobs
from tests.unit.test_soundness import CONTENT, DIGEST, LostCase
from tests.unit.v1case import ONE, TWO, A, document, payload, tar_layer, token
from tests.unit.v2case import JOE, make_image

FOUND, LOST, REPAIRED = Outcome.FOUND, Outcome.LOST, Outcome.REPAIRED


class FsckCase(LostCase):
    """A registry with a blob in two repositories, and an image in one."""

    def setUp(self) -> None:
        super().setUp()
        self.image = make_image("fsck")
        self.push_image(self.image, "latest")

    def examination(self, **options: Any) -> Examination:
        registry = self.registry
        return Examination(self.metadata, registry.blobs, registry.soundness, registry.in_thread, **options)

    def examine(self, **options: Any) -> list[Finding]:
        async def all_of_it() -> list[Finding]:
            return [finding async for finding in self.examination(**options).run()]

        return list(self.result(all_of_it()))

    def outcomes(self, **options: Any) -> list[tuple[str, Outcome]]:
        return [(each.kind, each.outcome) for each in self.examine(**options)]

    def change(self, statement: Any) -> None:
        """Do something to the rows that the registry never does."""

        def work(connection: Connection) -> None:
            self.assertGreater(connection.execute(statement).rowcount, 0)

        self.result(self.metadata._database.write(work))

    def check_repaired(self) -> None:
        """All is well, by every kind of examination."""
        for options in ({}, {"quick": True}, {"repair": True}):
            self.assertEqual([], self.examine(**options))


class SoundTests(FsckCase):
    """Of a registry with which nothing is wrong nothing is said."""

    def test_sound(self) -> None:
        """Everything is looked at."""
        self.check_repaired()
        examination = self.examination()

        async def all_of_it() -> list[Finding]:
            return [finding async for finding in examination.run()]

        self.result(all_of_it())
        self.assertEqual((3, 1), (examination.tally.blobs, examination.tally.manifests))
        self.assertGreater(examination.tally.bytes, len(CONTENT))

    def test_progress(self) -> None:
        """It is told what is read."""
        read: list[int] = []
        self.examine(progress=lambda _what, size: read.append(size))
        self.assertGreater(sum(read), len(CONTENT))


class BlobTests(FsckCase):
    """Objects that are not what they were."""

    def test_damaged(self) -> None:
        """A damaged one is told with the push that repairs it; with repair it is out of the way and known to be lost."""
        before = self.path()
        self.damage()
        self.assertEqual([], self.examine(quick=True))
        (finding,) = self.examine()
        self.assertEqual(("blob", str(DIGEST), FOUND), (finding.kind, finding.subject, finding.outcome))
        self.assertIn("is damaged: a push of it to demo/one or demo/two repairs it", finding.sentence)
        self.assertIsNone(self.stored().lost)
        self.assertEqual([("blob", LOST)], self.outcomes(repair=True))
        self.check_lost(Condition.DAMAGED)
        self.assertTrue((self.folder / "quarantine" / before.name).exists())
        self.result(self.bring(TWO, CONTENT))
        self.check_repaired()

    def test_missing(self) -> None:
        """So is one that is not there, at a quick look as well."""
        self.path().unlink()
        for quick in (True, False):
            self.assertEqual([("blob", FOUND)], self.outcomes(quick=quick))
        self.assertEqual([("blob", LOST)], self.outcomes(repair=True, quick=True))
        self.check_lost(Condition.MISSING)

    def test_unreadable(self) -> None:
        """One that can not be opened is told, and the examination goes on to the others; it is not held to be lost."""
        self.block()
        for options in ({}, {"quick": True}, {"repair": True}):
            (finding,) = self.examine(**options)
            self.assertEqual(("blob", str(DIGEST), FOUND), (finding.kind, finding.subject, finding.outcome))
            self.assertIn("can not be looked at: the blob store does not work now", finding.sentence)
        self.assertIsNone(self.stored().lost)

    def test_well_again(self) -> None:
        """One that was held to be damaged, and is whole, is well again."""
        self.result(self.registry.soundness.report(self.stored(), Condition.DAMAGED))
        self.assertEqual([("blob", FOUND)], self.outcomes())
        self.assertEqual([("blob", FOUND)], self.outcomes(quick=True))
        self.assertEqual([("blob", REPAIRED)], self.outcomes(repair=True))
        self.check_repaired()

    def test_replaced_meanwhile(self) -> None:
        """One that is pushed again, or collected, while it is looked at was right to go."""
        old = self.stored()
        self.path().unlink()
        self.result(self.registry.soundness.report(old, Condition.MISSING))
        self.result(self.bring(ONE, CONTENT))
        examination = self.examination()
        done = Deferred.fromCoroutine(examination._blob(old))
        self.threads.run_all()
        self.assertIsNone(self.successResultOf(done))

    def test_unnamed(self) -> None:
        """An object that belongs to no blob is told, and goes to the quarantine; one whose row has just gone is left alone."""
        stray = Folders(self.folder).object_path(StoredBlob(DIGEST, "generation-stray", len(CONTENT)))
        stray.parent.mkdir()
        stray.write_bytes(CONTENT)
        (finding,) = self.examine()
        self.assertEqual(("object", str(DIGEST), FOUND), (finding.kind, finding.subject, finding.outcome))

        async def removed_meanwhile() -> None:
            stray.unlink()

        self.assertEqual([], self.examine(pause=removed_meanwhile))
        stray.write_bytes(CONTENT)
        self.assertEqual([("object", REPAIRED)], self.outcomes(repair=True))
        self.assertTrue((self.folder / "quarantine" / stray.name).exists())
        self.check_repaired()

    def test_unfinished(self) -> None:
        """What others are writing is left alone; what is left of processes that are gone goes."""
        upload_id = self.start()
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.result(part.write([CONTENT]))
        (self.folder / "staging" / "left-behind-0000").write_bytes(b"x")
        self.assertEqual([("staging", REPAIRED)], self.outcomes(repair=True))
        self.result(part.commit(DIGEST))
        self.check_repaired()


class ReferenceTests(FsckCase):
    """Rows that do not say what they should."""

    def test_manifest(self) -> None:
        """A manifest whose bytes have changed is told, and a push of it repairs it."""
        self.change(update(manifests).values(content=b"{}"))
        (finding,) = self.examine(repair=True)
        self.assertEqual(("manifest", str(self.image.digest), FOUND), (finding.kind, finding.subject, finding.outcome))
        self.put(self.image.manifest, "latest", media_type=self.image.media_type)
        self.check_repaired()
        self.assertEqual(self.image.manifest, self.pull().content)

    def test_rows(self) -> None:
        """References that are missing from the rows of a manifest are written again."""
        self.change(delete(manifest_blobs).where(manifest_blobs.c.position == 0))
        self.assertEqual([("reference", FOUND)], self.outcomes())
        self.assertEqual([("reference", REPAIRED)], self.outcomes(repair=True))
        self.check_repaired()

    def test_not_held(self) -> None:
        """A blob that a manifest does not keep from collection is kept again."""
        self.change(update(manifest_blobs).values(held_digest=None))
        self.assertEqual([("reference", FOUND)] * 2, self.outcomes())
        self.assertEqual([("reference", REPAIRED)] * 2, self.outcomes(repair=True))
        self.check_repaired()

    def test_not_linked(self) -> None:
        """A blob that a manifest of the repository needs is part of it again."""
        digest = str(Digest.sha256(self.image.config))
        self.change(delete(repository_blobs).where(repository_blobs.c.digest == digest))
        (finding,) = self.examine()
        self.assertIn("is not part of the repository", finding.sentence)
        self.assertEqual([("reference", REPAIRED)], self.outcomes(repair=True))
        self.check_repaired()

    def test_gap(self) -> None:
        """A blob that is nowhere is told with the push that repairs it, unless the registry allows that."""
        config = Digest.sha256(self.image.config)
        self.change(update(manifest_blobs).where(manifest_blobs.c.digest == str(config)).values(held_digest=None))
        self.change(delete(repository_blobs).where(repository_blobs.c.digest == str(config)))
        (finding,) = self.examine(repair=True)
        self.assertEqual(
            f"manifest {self.image.digest} of demo/one needs config {config}, which is not there: a push of "
            "it to demo/one repairs it",
            finding.sentence,
        )
        self.assertEqual([], self.examine(allows_gaps=True))
        self.result(self.bring(ONE, self.image.config))
        self.check_repaired()

    def test_v1(self) -> None:
        """The layer of an image of v1 is part of its repository again."""
        caller, content, layer = token(ONE, "joe"), document(A), tar_layer("file")
        self.announce(caller, ONE, A)
        self.result(self.images.put_json(caller, A, content))
        self.result(self.put_layer(caller, A, layer))
        self.result(self.images.put_checksum(caller, A, payload(content, layer)))
        self.change(delete(repository_blobs).where(repository_blobs.c.digest == str(Digest.sha256(layer))))
        self.assertEqual([("reference", FOUND)], self.outcomes())
        self.assertEqual([("reference", REPAIRED)], self.outcomes(repair=True))
        self.check_repaired()
