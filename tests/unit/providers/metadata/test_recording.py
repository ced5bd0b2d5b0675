"""What a blob that is pushed costs of questions to SQLite, and that what only some pushes need is done for those."""

import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import UploadUnknown
from dockreg.model.blobs import NOTHING_RECEIVED, Recorded, StoredBlob
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Sparse
from dockreg.model.uploads import UploadSession, first_proven
from dockreg.model.v1 import LayerFacts
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import some_manifest
from tests.unit.providers.blobs.threads import at_once
from tests.unit.statements import statements

NAME, OTHER = RepositoryName("r/app"), RepositoryName("r/other")
ABOUT_TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")
FACTS = LayerFacts("gzip", Digest.sha256(b"tar"), 10240, 3)


class RecordingTests(SynchronousTestCase):
    """Two repositories that are there."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.store = SQLMetadataStore(f"sqlite:///{self.path}", at_once)
        self.result(self.store.open())
        self.addCleanup(lambda: self.result(self.store.close()))
        for name in (NAME, OTHER):
            self.record(some_blob(b"config"), name=name)

    def result(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def record(
        self,
        blob: StoredBlob,
        upload_id: str | None = None,
        facts: LayerFacts | None = None,
        lease: float = 100.0,
        name: RepositoryName = NAME,
    ) -> Recorded:
        return self.store.blobs.recorder(name, facts, None, 1.0, lease, upload_id)(blob)

    def asked(self, blob: StoredBlob, upload_id: str) -> list[tuple[str, Any]]:
        with statements() as every:
            self.record(blob, upload_id)
        return [(text, values) for text, values in every if not text.startswith(ABOUT_TRANSACTIONS)]

    def session(self, number: int) -> UploadSession:
        return UploadSession(f"{first_proven(1000)}2{number:036d}", NAME, None, "sha256", NOTHING_RECEIVED, 1.0)

    def test_new(self) -> None:
        """A new blob that comes with the end of a session takes five statements, none of which looks through a table."""
        asked = self.asked(some_blob(b"one"), self.session(1).upload_id)
        self.assertEqual(5, len(asked), asked)
        database = sqlite3.connect(self.path)
        self.addCleanup(database.close)
        for text, values in self.asked(some_blob(b"two"), self.session(2).upload_id):
            plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {text}", values)]
            self.assertEqual([], [step for step in plan if "SCAN" in step and step != "SCAN quota_state"])

    def test_known(self) -> None:
        """One that is there already takes as many, so that nobody learns by the time that somebody else has it."""
        self.record(some_blob(b"one"), name=OTHER)
        self.assertEqual(5, len(self.asked(evolve(some_blob(b"one"), generation="another"), self.session(1).upload_id)))

    def test_content(self) -> None:
        """With bytes that are kept in its row it is no statement more, whether the blob is new or known, or known elsewhere."""
        for number, (first, second) in enumerate(((None, b"one"), (b"two", b"two"), (b"three", None), (None, None))):
            blob = evolve(some_blob(b"%d" % number), content=first)
            before = self.asked(blob, self.session(2 * number).upload_id)
            again = evolve(blob, generation="another", content=second)
            after = self.asked(again, self.session(2 * number + 1).upload_id)
            self.assertEqual([5, 5], [len(before), len(after)])
            self.assertEqual([text for text, _ in before], [text for text, _ in after])

    def test_row_of_session(self) -> None:
        """A session that has a row has none afterwards, and has ended in any case."""
        for number, has_row in enumerate((True, False)):
            session = self.session(number)
            if has_row:
                self.result(self.store.uploads.start(session, 1000.0))
            self.record(some_blob(b"%d" % number), session.upload_id)
            self.assertFalse(self.result(self.store.uploads.is_known(session.upload_id)))
            work = self.store.uploads.get(NAME, session.upload_id, session)
            self.failureResultOf(Deferred.fromCoroutine(work), UploadUnknown)

    def test_missed(self) -> None:
        """A manifest of the repository that was pushed before the blob holds it; it takes a statement more there alone."""
        blob = some_blob(b"late")
        work = self.store.manifests.put(NAME, some_manifest([blob.digest]), [Tag("t")], None, 1.0, Sparse.ALL, True)
        self.result(work)
        self.record(blob, name=OTHER)
        self.assertIn(str(blob.digest), self.missing())
        self.assertEqual(6, len(self.asked(blob, self.session(1).upload_id)))
        self.assertNotIn(str(blob.digest), self.missing())

    def missing(self) -> list[str]:
        database = sqlite3.connect(self.path)
        try:
            found = database.execute("SELECT digest FROM manifest_blobs WHERE held_digest IS NULL").fetchall()
        finally:
            database.close()
        return [digest for (digest,) in found]

    def test_lease(self) -> None:
        """A lease is extended, and never shortened."""
        blob = some_blob(b"one")
        for lease in (100.0, 300.0, 200.0):
            self.assertEqual(Recorded(blob), self.record(blob, lease=lease))
        database = sqlite3.connect(self.path)
        self.addCleanup(database.close)
        query = "SELECT leased_until FROM blobs WHERE digest = ?"
        self.assertEqual((300.0,), database.execute(query, (str(blob.digest),)).fetchone())

    def test_facts(self) -> None:
        """What is known of a layer is noted with it, or later, and stays."""
        new, old = some_blob(b"new"), some_blob(b"old")
        self.record(old)
        for blob in (new, old):
            self.assertEqual(blob, self.record(blob, facts=FACTS).blob)
            self.assertEqual(FACTS, self.result(self.store.blobs.facts(blob.digest)))
            self.record(blob, facts=evolve(FACTS, compression="zstd"))
            self.record(blob)
            self.assertEqual(FACTS, self.result(self.store.blobs.facts(blob.digest)))

    def test_lost(self) -> None:
        """A lost blob gets the new bytes; one that is well keeps those that it has."""
        first = some_blob(b"one")
        again = evolve(first, generation="another")
        self.record(first)
        self.assertEqual(Recorded(first), self.record(again))
        self.result(self.store.conditions.note(first, Condition.DAMAGED, 2.0))
        lost = evolve(first, lost=Condition.DAMAGED)
        self.assertEqual(Recorded(lost), self.record(first))
        self.assertEqual(Recorded(again, lost), self.record(again))
        self.assertEqual(Recorded(again), self.record(first))
