"""A registry that speaks v2, with everything in memory or in a folder of the test, and the words to push with."""

import gzip
import json
from collections.abc import Coroutine, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from attrs import frozen
from sqlalchemy import select
from twisted.internet.defer import Deferred

from dockreg.bridge.negotiation import parse_accept
from dockreg.interfaces import IBlobStore
from dockreg.manifests import Manifests, PushedManifest
from dockreg.model.access import Principal
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    SCHEMA2_CONFIG,
    SCHEMA2_LAYER_GZIP,
)
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import StoredManifest
from dockreg.model.schema1 import new_schema1_key, sign_schema1
from dockreg.model.uploads import UploadLimits
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providers.metadata import tables
from dockreg.testing.samples import V1Image, make_tar
from dockreg.uploadids import UploadIDs
from dockreg.uploads import Uploads
from tests.unit.providers.blobs.threads import Threads
from tests.unit.statements import statements
from tests.unit.v1case import ONE, V1ImagesTestCase

CONTENT = b"0123456789"
DIGEST = Digest.sha256(CONTENT)
JOE, JANE, NOBODY = Principal("joe"), Principal("jane"), Principal(None)
ENGINE_1_9 = "docker/1.9.1 go/go1.4.2"


@frozen
class Image:
    """The blobs of an image, and its manifest."""

    layers: Sequence[bytes]
    config: bytes
    manifest: bytes
    media_type: str

    @property
    def digest(self) -> Digest:
        """The digest of the manifest."""
        return Digest.sha256(self.manifest)


def encoded(document: object) -> bytes:
    """A JSON document."""
    return json.dumps(document).encode()


def described(media_type: str, content: bytes, **more: object) -> dict[str, object]:
    """A descriptor."""
    return {"mediaType": media_type, "digest": str(Digest.sha256(content)), "size": len(content), **more}


def make_image(seed: str, media_type: str = OCI_MANIFEST, config: bytes | None = None, **descriptor: Any) -> Image:
    """An image of one layer. ``descriptor`` replaces members of the descriptor of its config."""
    tar = make_tar({seed: seed.encode()})
    layer = gzip.compress(tar, mtime=0)
    if config is None:
        rootfs = {"type": "layers", "diff_ids": [str(Digest.sha256(tar))]}
        config = encoded({"architecture": "amd64", "os": "linux", "author": seed, "rootfs": rootfs})
    oci = media_type == OCI_MANIFEST
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": described(OCI_CONFIG if oci else SCHEMA2_CONFIG, config, **descriptor),
        "layers": [described(OCI_LAYER_GZIP if oci else SCHEMA2_LAYER_GZIP, layer)],
    }
    return Image([layer], config, encoded(manifest), media_type)


def make_index(*children: bytes, media_type: str = OCI_MANIFEST, architecture: str | None = "amd64") -> bytes:
    """An index of manifests that are all for one platform, or for none that is said."""
    platform = {} if architecture is None else {"platform": {"os": "linux", "architecture": architecture}}
    manifests = [described(media_type, child, **platform) for child in children]
    return encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def make_schema1(images: Sequence[V1Image], layers: Sequence[bytes], tag: str = "latest") -> bytes:
    """What an engine pushes: signed, of images base first."""
    payload = {
        "schemaVersion": 1,
        "name": str(ONE),
        "tag": tag,
        "architecture": "amd64",
        "fsLayers": [{"blobSum": str(Digest.sha256(layer))} for layer in reversed(layers)],
        "history": [{"v1Compatibility": image.json.decode()} for image in reversed(images)],
    }
    return sign_schema1(json.dumps(payload, indent=3).encode(), new_schema1_key())


class V2TestCase(V1ImagesTestCase):
    """With a real store of metadata, and blobs in memory."""

    def setUp(self) -> None:
        super().setUp()
        numbers = count(1)
        ids = UploadIDs(self.metadata.keys, self.clock, lambda: "key", lambda size: next(numbers).to_bytes(size))
        self.uploads = Uploads(self.registry, ids, UploadLimits())
        self.manifests = Manifests(self.registry, self.views)

    def use(self, blobs: IBlobStore) -> None:
        """Keep blobs elsewhere."""
        self.registry.blobs = blobs

    def shrink(self, room: int) -> None:
        """Keep blobs where there is room for so many bytes."""
        self.use(MemoryBlobStore(room=room))

    # Blobs

    async def bring(self, name: RepositoryName, content: bytes, principal: Principal = JOE) -> None:
        """A blob in one request, as the door takes it."""
        digest = Digest.sha256(content)
        part = await self.uploads.begin(principal, name, digest)
        try:
            await part.write([content[:3], content[3:]])
            await part.commit(digest)
        finally:
            await part.release()

    async def append(
        self,
        name: RepositoryName,
        upload_id: str,
        content: bytes,
        principal: Principal = JOE,
        offset: int | None = None,
    ) -> None:
        """The next bytes of a session, as the door takes them."""
        part = await self.uploads.resume(principal, name, upload_id, offset)
        try:
            await part.write([content])
            await part.pause()
        finally:
            await part.release()

    async def finish(
        self, name: RepositoryName, upload_id: str, content: bytes, digest: Digest, principal: Principal = JOE
    ) -> None:
        """The last bytes of a session, as the door takes them."""
        part = await self.uploads.resume(principal, name, upload_id, None, digest)
        try:
            await part.write([content])
            await part.commit(digest)
        finally:
            await part.release()

    def start(self, name: RepositoryName = ONE, principal: Principal = JOE) -> str:
        """A new session."""
        return self.result(self.uploads.start(principal, name)).session.upload_id

    def content(self, name: RepositoryName, digest: Digest) -> bytes:
        """The bytes of a blob of a repository."""
        return self.result(self.registry.read_blob(name, digest, 1 << 30))

    # Manifests

    def put(
        self,
        content: bytes,
        *tags: str,
        name: RepositoryName = ONE,
        principal: Principal = JOE,
        media_type: str | None = None,
    ) -> PushedManifest:
        """A manifest, by its first tag, else by its digest; the other tags as a client asks for them beside that."""
        return self.result(self.putting(content, *tags, name=name, principal=principal, media_type=media_type))

    def putting(
        self,
        content: bytes,
        *tags: str,
        name: RepositoryName = ONE,
        principal: Principal = JOE,
        media_type: str | None = None,
    ) -> Coroutine[Any, Any, PushedManifest]:
        """As :meth:`put`, for tests that expect a refusal."""
        reference: Tag | Digest = Tag(tags[0]) if tags else Digest.sha256(content)
        rest = [Tag(tag) for tag in tags[1:]]
        return self.manifests.put(principal, name, reference, content, media_type, rest)

    def push_image(self, image: Image, *tags: str, name: RepositoryName = ONE, principal: Principal = JOE) -> Digest:
        """A whole image."""
        for content in (*image.layers, image.config):
            self.result(self.bring(name, content, principal))
        return self.put(image.manifest, *tags, name=name, principal=principal, media_type=image.media_type).digest

    def pull(
        self, tag: str = "latest", accept: Sequence[str] = (), agent: str = "", requested: str | None = None
    ) -> StoredManifest:
        """What a client gets by tag."""
        return self.result(self.pulling(tag, accept, agent, requested))

    def forms(self, media_type: str) -> list[str]:
        """The digests of what the registry has made of this type, and keeps."""
        query = select(tables.manifests.c.digest).where(
            tables.manifests.c.media_type == media_type, tables.manifests.c.derived
        )
        return list(
            self.result(self.metadata._database.read(lambda connection: connection.execute(query).scalars().all()))
        )

    def writes(self, work: Coroutine[Any, Any, object]) -> int:
        """How many transactions ``work`` writes in."""
        with statements() as seen:
            self.result(work)
        return [statement for statement, _ in seen].count("BEGIN IMMEDIATE")

    def pulling(
        self, tag: str = "latest", accept: Sequence[str] = (), agent: str = "", requested: str | None = None
    ) -> Coroutine[Any, Any, StoredManifest]:
        """What a client asks for by tag."""
        return self.manifests.get(ONE, Tag(tag), parse_accept(accept, agent), requested or str(ONE))

    def image_id(self, tag: str = "latest", name: RepositoryName = ONE) -> str | None:
        """What a tag is in v1."""
        self.result(self.views.complete(name))
        found = self.result(self.registry.get_tag(name, Tag(tag))).image_id
        return None if found is None else found.value


class ThreadedTestCase(V2TestCase):
    """With blobs in files, whose jobs the test runs one by one, as those of the database."""

    def setUp(self) -> None:
        self.threads = Threads()
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        numbers = count(1)
        self.use(FilesystemBlobStore(self.folder, self.threads.in_thread, lambda: f"generation-{next(numbers):06}"))
        self.metadata._database._in_thread = self.threads.in_thread

    def result(self, work: Coroutine[Any, Any, Any]) -> Any:
        done = Deferred.fromCoroutine(work)
        self.threads.run_all()
        return self.successResultOf(done)

    def refused(self, kind: Any, work: Coroutine[Any, Any, object]) -> str:
        done = Deferred.fromCoroutine(work)
        self.threads.run_all()
        return str(self.failureResultOf(done, kind).value)

    def cancelled_after(self, jobs: int, work: Coroutine[Any, Any, object]) -> bool:
        """Run so many jobs of ``work``, then cancel it; all jobs end. Return whether it had not ended before."""
        outcomes: list[object] = []
        done = Deferred.fromCoroutine(work).addBoth(outcomes.append)
        for _ in range(jobs):
            if outcomes:
                return False
            self.threads.run()()
        if outcomes:
            return False
        done.cancel()
        self.threads.run_all()
        self.assertEqual(1, len(outcomes))
        return True

    def files(self) -> list[str]:
        """What is unfinished in the folder of blobs."""
        return sorted(path.name for path in (self.folder / "staging").glob("*"))


class RecordingTestCase(ThreadedTestCase):
    """With others who record blobs in the threads of the blob store, who are as many before each test as behind it."""

    #: How many they are.
    others = 0

    def setUp(self) -> None:
        super().setUp()
        self.registry.recording_here = self.others
        self.addCleanup(lambda: self.assertEqual(self.others, self.registry.recording_here))

    def find(self, digest: Digest = DIGEST) -> StoredBlob:
        """The object that is recorded."""
        found = self.result(self.metadata.blobs.find(digest))
        assert isinstance(found, StoredBlob)
        return found
