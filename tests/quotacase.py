"""What namespaces take up, after anything that anybody may do: it is what a new count says."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

from attrs import field, frozen
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from dockreg.errors import RegistryError
from dockreg.interfaces import IMetadataStore
from dockreg.model.blobs import Received, StoredBlob
from dockreg.model.collection import CollectionPolicy
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Sparse
from dockreg.model.v1 import TagClient
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import push, some_id, some_manifest
from dockreg.testing.contracts_v2 import some_session

CONTENTS = [b"a" * 5, b"b" * 7, b"c" * 11, b"config"]
_names = count()


@frozen
class World:
    """Some repositories in two namespaces that no other test has, and people who do things there."""

    metadata: IMetadataStore
    prefix: str
    #: The latest of each repository, ended or not.
    sessions: dict[int, str] = field(factory=dict)

    @classmethod
    def make(cls, metadata: IMetadataStore) -> "World":
        """A new one."""
        return cls(metadata, f"n{next(_names)}")

    @property
    def namespaces(self) -> tuple[str, str]:
        """Their names."""
        return f"{self.prefix}x", f"{self.prefix}y"

    def name(self, number: int) -> RepositoryName:
        """One of four repositories, two in each namespace."""
        return RepositoryName(f"{self.namespaces[number % 2]}/r{number}")

    async def do(self, deed: str, one: int, other: int, content: int) -> None:
        """Something; what can not be done is told, and changes nothing."""
        act: Callable[..., Awaitable[object]] = getattr(self, deed)
        with suppress(RegistryError):
            await act(one % 4, other % 4, content % len(CONTENTS))

    async def link(self, one: int, _other: int, content: int) -> None:
        """A blob is pushed in one request."""
        await self.metadata.blobs.record_in(self.name(one), self._blob(content), None, "anna", 1.0, 2.0)

    async def mount(self, one: int, other: int, content: int) -> None:
        """A blob is mounted."""
        digest = self._blob(content).digest
        await self.metadata.blobs.mount(self.name(one), self.name(other), digest, "anna", 1.0, 2.0)

    async def unlink(self, one: int, _other: int, content: int) -> None:
        """A blob is deleted."""
        await self.metadata.blobs.unlink(self.name(one), self._blob(content).digest)

    async def put(self, one: int, _other: int, content: int) -> None:
        """A manifest is pushed."""
        await self.metadata.manifests.put(
            self.name(one), self._manifest(content), [Tag("latest")], "anna", 1.0, Sparse.NONE, overwrite=True
        )

    async def delete_manifest(self, one: int, _other: int, content: int) -> None:
        """A manifest is deleted."""
        await self.metadata.manifests.delete(self.name(one), self._manifest(content).digest)

    async def delete(self, one: int, _other: int, _content: int) -> None:
        """A repository is deleted."""
        await self.metadata.repositories.delete(self.name(one), 1.0)

    async def create(self, one: int, other: int, _content: int) -> None:
        """A repository is made, or comes back, whosever it was."""
        await self.metadata.repositories.create(self.name(one), ("anna", "berta")[other % 2], 1.0)

    async def image(self, one: int, other: int, content: int) -> None:
        """A v1 image is pushed to two repositories, and tagged in one."""
        names = {self.name(one), self.name(other)}
        image = await push(
            self.metadata,
            some_id(10 + content),
            repositories=sorted(names),
            content=CONTENTS[content],
            comment=self.prefix,
        )
        await self.metadata.repositories.tag_image(self.name(one), Tag("v1"), image, None, TagClient(), 1.0)

    async def start(self, one: int, other: int, content: int) -> None:
        """A session begins."""
        session = self.sessions[one] = f"{self.prefix}-{next(_names)}"
        await self.metadata.uploads.start(some_session(session, self.name(one)), 5.0 + other, content)

    async def reserve(self, one: int, other: int, content: int) -> None:
        """It needs room."""
        digest = self._blob(content).digest if other % 2 else None
        await self.metadata.uploads.reserve(self._session(one), 3 * content, 3 * content + other, digest)

    async def record(self, one: int, other: int, _content: int) -> None:
        """A request of it ends."""
        await self.metadata.uploads.record(self._session(one), Received(other, None), 1.0, 9.0, reserves=True)

    async def finish(self, one: int, _other: int, content: int) -> None:
        """It becomes a blob."""
        session, blob = self._session(one), self._blob(content)
        await self.metadata.blobs.record_in(self.name(one), blob, None, "anna", 1.0, 2.0, upload_id=session)

    async def end(self, one: int, _other: int, _content: int) -> None:
        """It is cancelled."""
        await self.metadata.uploads.end(self._session(one))

    async def expire(self, one: int, _other: int, _content: int) -> None:
        """Sessions expire."""
        await self.metadata.uploads.expire(5.0 + one, 10)

    async def collect(self, _one: int, _other: int, _content: int) -> None:
        """Garbage is collected, long after."""
        policy = CollectionPolicy(grace_seconds=0.0, lease_seconds=1.0, repush_seconds=0.0)
        for later in (1e6, 2e6):
            with suppress(IntegrityError):  # Somebody else is about to forget that object.
                await self.metadata.collection.review(policy, later, 50)
        # Here the same object comes again and again.
        removed = [some_blob(content) for content in (*CONTENTS, b"config")]
        await self.metadata.collection.forget_objects(removed)

    async def wrong(self) -> list[object]:
        """The namespaces of which something else is noted than there is."""
        return [each for each in await self.metadata.quotas.recount(None) if not each.is_right]

    def _blob(self, content: int) -> StoredBlob:
        return some_blob(CONTENTS[content])

    def _manifest(self, content: int) -> Manifest:
        return some_manifest([Digest.sha256(CONTENTS[content])])

    def _session(self, one: int) -> str:
        return self.sessions.get(one, "none")


DEEDS = [
    "link", "link", "mount", "unlink", "put", "delete_manifest", "delete", "create", "image", "start", "reserve",
    "record", "finish", "end", "expire", "collect",
]  # fmt: skip
_numbers = st.integers(0, 7)
#: Deeds in a row.
LIVES = st.lists(st.tuples(st.sampled_from(DEEDS), _numbers, _numbers, _numbers), max_size=30)
