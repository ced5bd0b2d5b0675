"""What every metadata store promises of blobs and of itself, as tests."""

from zope.interface.verify import verifyObject

from dockreg.errors import StoreUnavailable
from dockreg.interfaces import IBlobIndex, IMetadataStore, IRepositoryStore
from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.interfaces_people import IAccessTokenStore, IAttemptStore, IInvitationStore
from dockreg.interfaces_quotas import IQuotaStore
from dockreg.interfaces_retention import IRetentionStore
from dockreg.interfaces_rights import IRightsStore
from dockreg.interfaces_v1 import IV1ImageStore
from dockreg.model.access import Action
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Subject
from dockreg.model.v1 import LayerFacts
from dockreg.testing.contracts import Contract


def some_blob(content: bytes = b"layer", generation: str = "first") -> StoredBlob:
    """An object with ``content``."""
    return StoredBlob(Digest.sha256(content), generation, len(content))


class MetadataContract(Contract):
    """Subclass this with one of the contracts below, and say how to make a store."""

    def make_metadata_store(self) -> IMetadataStore:
        """A store with an empty database that was not opened yet."""
        raise NotImplementedError

    async def opened(self) -> IMetadataStore:
        """A store that is open until the end of the test."""
        metadata = self.make_metadata_store()
        await metadata.open()
        self.addCleanup(metadata.close)
        return metadata


class MetadataStoreContract(MetadataContract):
    """What every IMetadataStore promises."""

    def test_interfaces(self) -> None:
        """The store and its parts have all that their interfaces declare."""
        metadata = self.make_metadata_store()
        verifyObject(IMetadataStore, metadata)
        verifyObject(IBlobIndex, metadata.blobs)
        verifyObject(IRepositoryStore, metadata.repositories)
        verifyObject(IV1ImageStore, metadata.images)
        verifyObject(IAccountStore, metadata.accounts)
        verifyObject(IKeyStore, metadata.keys)
        verifyObject(IRightsStore, metadata.rights)
        verifyObject(IAccessTokenStore, metadata.access_tokens)
        verifyObject(IInvitationStore, metadata.invitations)
        verifyObject(IAttemptStore, metadata.attempts)
        verifyObject(IQuotaStore, metadata.quotas)
        verifyObject(IRetentionStore, metadata.retention)

    async def test_open_again(self) -> None:
        """What was stored is there when the store was closed and is opened again."""
        metadata = await self.opened()
        await metadata.blobs.record(some_blob(), None, 1.0)
        await metadata.close()
        await metadata.open()
        self.assertEqual(some_blob(), await metadata.blobs.find(some_blob().digest))

    async def test_deleted_account(self) -> None:
        """Nothing that was given to an account, or to its robots, is left for who has the name later, but repositories."""
        metadata = await self.opened()
        accounts, rights, name = metadata.accounts, metadata.rights, RepositoryName("anna/app")
        for each in ("anna", "berta"):
            await accounts.create(each, "x", "", admin=False, now=1.0)
            await accounts.create_robot(f"{each}+ci", each, 2.0)
        await rights.create_group("dev", 3.0)
        subjects = [Subject.account(each) for each in ("anna", "anna+ci", "berta", "berta+ci")]
        await rights.create_namespace("team", subjects, False, 3.0)
        for subject in subjects:
            await rights.add_to_group("dev", subject.name)
            await rights.grant(subject, RepositoryPattern("x/*"), frozenset({Action.PULL}), 3.0)
        await metadata.repositories.create(name, "anna", 4.0)
        await accounts.delete("anna", 5.0)
        kept = ["berta", "berta+ci"]
        self.assertEqual(kept, list((await rights.get_group("dev")).members))
        self.assertEqual(kept, [each.subject.name for each in (await rights.get_namespace("team")).members])
        self.assertEqual(kept, [each.subject.name for each in await rights.list_grants(None)])
        self.assertEqual("anna", (await metadata.repositories.get(name)).owner)

    async def owners(self, metadata: IMetadataStore) -> list[str | None]:
        """Who owns the repositories of :meth:`owned`."""
        names = ("app", "robots", "other")
        return [(await metadata.repositories.get(RepositoryName(f"x/{each}"))).owner for each in names]

    async def owned(self) -> IMetadataStore:
        """A store with a repository of an account, one of its robot, and one of another account."""
        metadata = await self.opened()
        for each in ("anna", "berta"):
            await metadata.accounts.create(each, "x", "", admin=False, now=1.0)
        await metadata.accounts.create_robot("anna+ci", "anna", 1.0)
        for each, owner in (("app", "anna"), ("robots", "anna+ci"), ("other", "berta")):
            await metadata.repositories.create(RepositoryName(f"x/{each}"), owner, 2.0)
        return metadata

    async def test_heir(self) -> None:
        """The repositories of an account that is deleted, and of its robots, may be given to another one."""
        metadata = await self.owned()
        await metadata.accounts.delete("anna", 3.0, heir="berta")
        self.assertEqual(["berta"] * 3, await self.owners(metadata))

    async def test_no_heir(self) -> None:
        """Without an heir they bear the name of the person, which nobody takes."""
        metadata = await self.owned()
        await metadata.accounts.delete("anna", 3.0)
        self.assertEqual(["anna", "anna", "berta"], await self.owners(metadata))

    async def test_robots_repositories(self) -> None:
        """What a robot owned is its owner's when the robot alone is deleted."""
        metadata = await self.owned()
        await metadata.accounts.delete("anna+ci", 3.0)
        self.assertEqual(["anna", "anna", "berta"], await self.owners(metadata))

    async def test_close_again(self) -> None:
        """Closing is harmless when the store is not open."""
        metadata = self.make_metadata_store()
        await metadata.close()
        await metadata.open()
        await metadata.close()
        await metadata.close()

    async def test_not_open(self) -> None:
        """A store that is not open is unavailable."""
        metadata = self.make_metadata_store()
        await self.raises(StoreUnavailable, metadata.check())
        await self.raises(StoreUnavailable, metadata.accounts.list_all())

    async def test_moment(self) -> None:
        """Within a moment what the store has written is there; to end one that is over, or was not begun, is harmless."""
        metadata = await self.opened()
        metadata.end_moment()
        metadata.begin_moment()
        self.assertIsNone(await metadata.blobs.find(some_blob().digest))
        await metadata.blobs.record(some_blob(), None, 0.0)
        self.assertEqual(some_blob(), await metadata.blobs.find(some_blob().digest))
        metadata.end_moment()
        metadata.end_moment()
        self.assertEqual(some_blob(), await metadata.blobs.find(some_blob().digest))

    async def test_version(self) -> None:
        """What is stored has a version that is the same while it is open and nothing is written, if the store can tell at all."""
        metadata = await self.opened()
        before = metadata.version()
        self.assertIs(before, metadata.version())
        self.assertIsNone(await metadata.blobs.find(some_blob().digest))
        self.assertIs(before, metadata.version())
        await metadata.blobs.record(some_blob(), None, 0.0)
        after = metadata.version()
        self.assertTrue(after is None or after is not before)
        lasting = metadata.lasting_version()
        metadata.begin_moment()
        self.assertIs(after, metadata.version())
        await metadata.close()
        self.assertEqual((None, None), (metadata.version(), metadata.lasting_version()))
        # Whoever has written meanwhile has told nobody.
        await metadata.open()
        self.assertTrue(after is None or metadata.version() is not after)
        self.assertTrue(lasting is None or metadata.lasting_version() is not lasting)

    async def test_check(self) -> None:
        """An open store passes its check."""
        metadata = await self.opened()
        await metadata.check()


class BlobIndexContract(MetadataContract):
    """What every IBlobIndex promises."""

    async def test_unknown(self) -> None:
        """A digest that was never recorded is not found."""
        blobs = (await self.opened()).blobs
        self.assertIsNone(await blobs.find(some_blob().digest))
        self.assertFalse(await blobs.is_recorded(some_blob()))

    async def test_record(self) -> None:
        """A recorded object is found under its digest."""
        blobs = (await self.opened()).blobs
        facts = LayerFacts("gzip", Digest.sha256(b"tar"), 1 << 40, 7)
        self.assertEqual(some_blob(), await blobs.record(some_blob(), facts, 10.0))
        self.assertEqual(some_blob(), await blobs.find(some_blob().digest))
        self.assertTrue(await blobs.is_recorded(some_blob()))

    async def test_record_same(self) -> None:
        """Recording an object again changes nothing."""
        blobs = (await self.opened()).blobs
        await blobs.record(some_blob(), None, 10.0)
        self.assertEqual(some_blob(), await blobs.record(some_blob(), None, 5.0))

    async def test_record_other_generation(self) -> None:
        """The first object that was recorded under a digest stays; the caller of the second is told so."""
        blobs = (await self.opened()).blobs
        await blobs.record(some_blob(), None, 10.0)
        second = some_blob(generation="second")
        self.assertEqual(some_blob(), await blobs.record(second, None, 20.0))
        self.assertEqual(some_blob(), await blobs.find(second.digest))
        self.assertFalse(await blobs.is_recorded(second))

    async def test_large(self) -> None:
        """Sizes beyond 32 bits are kept."""
        blobs = (await self.opened()).blobs
        blob = StoredBlob(Digest.sha256(b"large"), "first", 5 << 40)
        await blobs.record(blob, None, 1.7e9)
        self.assertEqual(blob, await blobs.find(blob.digest))
