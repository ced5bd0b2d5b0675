"""What every metadata store promises of leases, as tests, and what tests of collection need."""

from collections.abc import Sequence

from attrs import evolve
from zope.interface.verify import verifyObject

from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_collection import ILeaseStore
from dockreg.model.collection import (
    CollectionPolicy,
    Item,
    Kind,
    LeaseWanted,
    Outcome,
    UntaggedRule,
    Verdict,
)
from dockreg.model.digest import Digest
from dockreg.model.manifest import Child, Descriptor, Manifest
from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.repositories import Sparse
from dockreg.testing.contracts_metadata import MetadataContract, some_blob
from dockreg.testing.contracts_repositories import (
    BUSYBOX,
    LATEST,
    OTHER,
    push,
    some_id,
    some_manifest,
)

LAYER, CONFIG = some_blob(b"layer"), some_blob(b"config")
MANIFEST = some_manifest([LAYER.digest])
DEFAULT = CollectionPolicy(grace_seconds=10.0, lease_seconds=100.0, repush_seconds=1000.0)
EXPIRING = evolve(DEFAULT, untagged=(UntaggedRule((RepositoryPattern("**"),), 50.0),))
EVERYTHING = Item(Kind.BLOB, -1, "")


def index_of(*children: Manifest, comment: str = "") -> Manifest:
    """An index of manifests."""
    listed = [Child(Descriptor(OCI_MANIFEST, each.digest, len(each.content))) for each in children]
    content = f"index {comment} {[str(each.digest) for each in children]}".encode()
    return Manifest(OCI_INDEX, content, Digest.sha256(content), (), children=listed)


def referring(subject: Manifest, comment: str = "") -> Manifest:
    """A manifest whose subject is another one."""
    descriptor = Descriptor(OCI_MANIFEST, subject.digest, len(subject.content))
    return evolve(index_of(comment=f"{comment} of {subject.digest}"), subject=descriptor)


class CollectionCase(MetadataContract):
    """A store with an image, and the words of the tests."""

    async def with_image(self, tag: bool = True) -> IMetadataStore:
        """A store with the blobs of an image in a repository, and its manifest if it has a tag; leases end at 100."""
        metadata = await self.opened()
        for blob in (LAYER, CONFIG):
            await metadata.blobs.record_in(BUSYBOX, blob, None, None, 0.0, 100.0)
        if tag:
            await self.put(metadata, MANIFEST, tag=True)
        return metadata

    async def put(
        self, metadata: IMetadataStore, manifest: Manifest, name: RepositoryName = BUSYBOX, *, tag: bool = False
    ) -> None:
        """Push a manifest."""
        tags = [LATEST] if tag else []
        await metadata.manifests.put(name, manifest, tags, None, 1.0, Sparse.ALL, overwrite=True)

    async def collect(
        self, metadata: IMetadataStore, now: float, policy: CollectionPolicy = DEFAULT
    ) -> Sequence[Verdict]:
        """All that comes of a collection; what is seen for the first time begins its grace time."""
        verdicts: list[Verdict] = []
        while found := await metadata.collection.review(policy, now, 3):
            verdicts += found
        return verdicts

    async def gone(
        self, metadata: IMetadataStore, now: float, policy: CollectionPolicy = DEFAULT
    ) -> dict[Kind, set[str]]:
        """What a collection removes: of links and blobs the contents, of others their names."""
        contents = {str(blob.digest): name for blob, name in ((LAYER, "layer"), (CONFIG, "config"))}
        removed: dict[Kind, set[str]] = {}
        for verdict in await self.collect(metadata, now, policy):
            if verdict.outcome is Outcome.REMOVED:
                name = verdict.name.partition("@")[2] if verdict.item.kind is Kind.LINK else verdict.name
                removed.setdefault(verdict.item.kind, set()).add(contents.get(name, name))
        return removed

    async def has(self, metadata: IMetadataStore, *manifests: Manifest) -> list[bool]:
        """Which of these the repository has."""
        wanted = [LeaseWanted(Kind.MANIFEST, BUSYBOX, str(each.digest)) for each in manifests]
        return [await metadata.leases.leased_until(each) is not None for each in wanted]


BOTH = {Kind.LINK: {"layer", "config"}, Kind.BLOB: {"layer", "config"}}


class LeaseStoreContract(CollectionCase):
    """What every ILeaseStore promises."""

    def wanted(self, name: RepositoryName = BUSYBOX) -> LeaseWanted:
        """The layer."""
        return LeaseWanted(Kind.BLOB, name, str(LAYER.digest))

    def test_interface(self) -> None:
        """It has all that ILeaseStore declares."""
        verifyObject(ILeaseStore, self.make_metadata_store().leases)

    async def test_lease(self) -> None:
        """A lease is extended, and never shortened; it is told when it ends."""
        leases = (await self.with_image()).leases
        self.assertEqual(100.0, await leases.leased_until(self.wanted()))
        for until, expected in ((300.0, 300.0), (200.0, 300.0)):
            self.assertEqual([True], list(await leases.lease([self.wanted()], until)))
            self.assertEqual(expected, await leases.leased_until(self.wanted()))

    async def test_absent(self) -> None:
        """What a repository does not have gets no lease, whoever else has it."""
        metadata = await self.with_image()
        await metadata.repositories.create(OTHER, None, 1.0)
        others = [
            self.wanted(OTHER),
            LeaseWanted(Kind.BLOB, BUSYBOX, str(Digest.sha256(b"none"))),
            LeaseWanted(Kind.MANIFEST, OTHER, str(MANIFEST.digest)),
            LeaseWanted(Kind.IMAGE, None, "77"),
        ]
        self.assertEqual([None] * 4, [await metadata.leases.leased_until(each) for each in others])
        answers = await metadata.leases.lease([*others, self.wanted(), self.wanted()], 500.0)
        self.assertEqual([False] * 4 + [True] * 2, list(answers))

    async def test_deleted_repository(self) -> None:
        """What only a deleted repository has can not be leased."""
        metadata = await self.with_image()
        await metadata.repositories.delete(BUSYBOX, 2.0)
        self.assertEqual([False], list(await metadata.leases.lease([self.wanted()], 500.0)))

    async def test_manifest(self) -> None:
        """A manifest has a lease of its own."""
        metadata = await self.with_image()
        wanted = LeaseWanted(Kind.MANIFEST, BUSYBOX, str(MANIFEST.digest))
        self.assertEqual(0.0, await metadata.leases.leased_until(wanted))
        self.assertEqual([True], list(await metadata.leases.lease([wanted], 70.0)))
        self.assertEqual(70.0, await metadata.leases.leased_until(wanted))

    async def test_image(self) -> None:
        """The lease of a v1 image is that of its layer."""
        metadata = await self.opened()
        await metadata.repositories.create(BUSYBOX, None, 1.0)
        image = await push(metadata, some_id(1))
        wanted = LeaseWanted(Kind.IMAGE, None, str(image.key))
        self.assertEqual([True], list(await metadata.leases.lease([wanted], 900.0)))
        self.assertEqual(900.0, await metadata.leases.leased_until(self.wanted()))
