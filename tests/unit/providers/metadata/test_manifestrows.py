"""What a manifest that is pushed costs of questions to SQLite, and that each thing it refers to is asked for."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import BlobInUse, ReferencesUnknown
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.manifest import BlobReference, Manifest, Role
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Sparse
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import some_manifest
from tests.unit.providers.blobs.threads import at_once
from tests.unit.statements import statements

NAME = RepositoryName("r/app")
LAYERS = [Digest.sha256(b"layer %d" % number) for number in range(20)]
MANIFEST = some_manifest(LAYERS)
_IGNORED = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")


class PushedManifestTests(SynchronousTestCase):
    """A repository with a config and twenty layers."""

    def setUp(self) -> None:
        self.store = SQLMetadataStore(f"sqlite:///{Path(self.mktemp()).absolute()}", at_once)
        self.result(self.store.open())
        self.addCleanup(lambda: self.result(self.store.close()))
        for content in (b"config", *(b"layer %d" % number for number in range(20))):
            self.result(self.store.blobs.record_in(NAME, some_blob(content), None, None, 1.0, 100.0))

    def result(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def put(self, manifest: Manifest, tag: str) -> Coroutine[Any, Any, None]:
        return self.store.manifests.put(NAME, manifest, [Tag(tag)], None, 1.0, Sparse.NONE, overwrite=True)

    def asked(self, tag: str, manifest: Manifest) -> list[str]:
        with statements() as every:
            self.result(self.put(manifest, tag))
        return [text for text, _ in every if not text.startswith(_IGNORED)]

    def test_known(self) -> None:
        """Another tag of a manifest that is there takes one statement."""
        self.result(self.put(MANIFEST, "first"))
        asked = self.asked("second", MANIFEST)
        self.assertEqual(1, len(asked), asked)

    def test_new(self) -> None:
        """What a new manifest refers to is asked for by one statement, and written by another."""
        self.assertEqual(8, len(self.asked("first", MANIFEST)))

    def test_many(self) -> None:
        """Of hundreds of references each is looked for: the last that is missing is named, and one that is there is held."""
        missing = [Digest.sha256(b"missing %d" % number) for number in range(600)]
        absent = [BlobReference(Role.LAYER, Descriptor("a/b", each, 5), required=False) for each in missing]
        many = evolve(MANIFEST, references=[*absent, *MANIFEST.references])
        self.result(self.put(many, "many"))
        for layer in LAYERS:
            self.failureResultOf(Deferred.fromCoroutine(self.store.blobs.unlink(NAME, layer)), BlobInUse)
        last = max(missing, key=str)
        required = [evolve(each, required=each.descriptor.digest == last) for each in absent]
        other = evolve(some_manifest(LAYERS[:1]), references=[*required, *MANIFEST.references])
        error = self.failureResultOf(Deferred.fromCoroutine(self.put(other, "other")), ReferencesUnknown).value
        self.assertEqual((str(last),), error.digests)
