"""A registry of v1 images with everything in memory or in a folder of the test, and the words to push with."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from dockreg.errors import (
    RegistryError,
)
from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import Access, Action, Caller, Ceiling, Principal
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.platforms import Platform
from dockreg.model.v1 import AnnouncedImage, ClaimedChecksums, ImageID, TagClient
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.registry import AnnouncedImages, Registry
from dockreg.testing.authorizers import OneByOne
from dockreg.v1images import ImageLimits, V1Images
from dockreg.v1views import V1Views
from tests.databases import write_database

T = TypeVar("T")
A, B = ImageID("a" * 64), ImageID("b" * 64)
ONE, TWO = RepositoryName("demo/one"), RepositoryName("demo/two")
EVERYTHING = frozenset(Action) - {Action.ADMIN}


async def here(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Run in this thread what would run in another."""
    return function(*args, **kwargs)


@implementer(IAuthorizer)
class Policy(OneByOne):
    """Everything is allowed but what is in ``refused``."""

    def __init__(self) -> None:
        self.refused: set[tuple[str | None, Action, RepositoryName | None]] = set()

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        allowed = wanted.actions & principal.within(wanted.repository)
        return frozenset(
            action for action in allowed if (principal.name, action, wanted.repository) not in self.refused
        )


def tar_layer(name: str) -> bytes:
    """A gzip tar of one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return gzip.compress(buffer.getvalue(), mtime=0)


def document(image_id: ImageID, parent: ImageID | None = None, **members: Any) -> bytes:
    """An image json."""
    own = {"id": str(image_id), **({"parent": str(parent)} if parent else {}), **members}
    return json.dumps(own).encode()


def payload(content: bytes, layer: bytes) -> ClaimedChecksums:
    """What an engine since 0.10 claims, without its tarsum."""
    return ClaimedChecksums("sha256:" + hashlib.sha256(content + b"\n" + layer).hexdigest(), None)


def token(repository: RepositoryName, name: str | None = None) -> Caller:
    """The bearer of a token that may write."""
    ceiling = Ceiling.of(repository, frozenset({Action.PULL, Action.PUSH, Action.OVERWRITE}))
    return Caller(Principal(name, ceiling=ceiling), repository)


def basic(name: str | None) -> Caller:
    """Somebody who names no repository."""
    return Caller(Principal(name))


class V1ImagesTestCase(SynchronousTestCase):
    """With a real store of metadata, and blobs in memory."""

    limits = ImageLimits(max_uncompressed=1_000_000)

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_400_000_000)
        self.database = write_database(Path(self.mktemp()).absolute() / "metadata.sqlite3")
        self.metadata = SQLMetadataStore(f"sqlite:///{self.database}", here)
        self.result(self.metadata.open())
        self.addCleanup(lambda: self.result(self.metadata.close()))
        self.policy = Policy()
        self.blobs = MemoryBlobStore()
        self.registry = Registry(self.metadata, self.blobs, self.policy, self.clock, here)
        self.views = V1Views(self.registry, Platform("linux", "amd64"))
        self.images = V1Images(self.registry, AnnouncedImages(self.metadata), self.views, self.limits)

    def result(self, work: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def refused(self, kind: type[RegistryError], work: Coroutine[Any, Any, object]) -> str:
        failure = self.failureResultOf(Deferred.fromCoroutine(work), kind)
        return str(failure.value)

    def announce(self, caller: Caller, name: RepositoryName, *ids: ImageID) -> None:
        listed = [AnnouncedImage(image_id) for image_id in ids]
        self.result(self.registry.create_repository(caller.principal, name, listed))

    async def put_layer(self, caller: Caller, image_id: ImageID, layer: bytes) -> None:
        upload = await self.images.start_layer(caller, image_id)
        try:
            await upload.write([layer[:7], layer[7:]])
            await upload.finish()
        finally:
            await upload.abort()

    def push(self, caller: Caller, image_id: ImageID, content: bytes, layer: bytes) -> None:
        self.result(self.images.put_json(caller, image_id, content))
        self.result(self.put_layer(caller, image_id, layer))
        self.result(self.images.put_checksum(caller, image_id, payload(content, layer)))

    def read(self, caller: Caller, image_id: ImageID) -> tuple[bytes, bytes]:
        image = self.result(self.images.get(caller, image_id)).image
        reader = self.result(self.registry.open_blob(image.layer))
        content = self.result(reader.read(1_000_000)) if image.layer.size else b""
        reader.close()
        return image.json, content

    def tag(self, caller: Caller, name: RepositoryName, image_id: ImageID, tag: str = "latest") -> None:
        self.result(self.images.put_tag(caller, name, Tag(tag), image_id, TagClient()))
