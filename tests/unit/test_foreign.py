"""Tests of :mod:`dockreg.foreign`."""

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.interface import Method

from dockreg.config import ConfigError
from dockreg.errors import StorageFull, StoreUnavailable
from dockreg.foreign import METADATA_PARTS, ForeignBlobStore, require
from dockreg.interfaces import IBlobStore, IMetadataStore, IRepositoryStore
from dockreg.interfaces_blobs import IUpload
from dockreg.interfaces_people import IAuditLog
from dockreg.model.blobs import StoredBlob
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.providers.metadata.sql import SQLMetadataStore


class RequireTests(SynchronousTestCase):
    """What is refused, and how that is said."""

    def refused(self, *arguments: Any, **more: Any) -> str:
        """The reason."""
        error = self.assertRaises(ConfigError, require, "some.key", "some.path", *arguments, **more)
        self.assertEqual("some.key", error.key)
        prefix = "some.path does not provide what it should: "
        self.assertTrue(error.reason.startswith(prefix), error.reason)
        return str(error.reason.removeprefix(prefix))

    def test_own(self) -> None:
        """The store of dockreg itself has all, in all its parts."""
        require("", "", IMetadataStore, SQLMetadataStore("sqlite://", maybeDeferred), METADATA_PARTS)

    def test_parts(self) -> None:
        """Each attribute of the interface is a part that is looked at, but for what are methods."""
        attributes = {name for name in IMetadataStore.names(all=True) if not isinstance(IMetadataStore[name], Method)}
        self.assertEqual(attributes, set(METADATA_PARTS))

    def test_part_is_missing(self) -> None:
        """Of a part that is not there it is said once that it is not."""
        store: Any = SQLMetadataStore("sqlite://", maybeDeferred)
        del store.quotas
        reason = self.refused(IMetadataStore, store, METADATA_PARTS)
        self.assertEqual("quotas is missing (What namespaces take up, and may)", reason)

    def test_in_a_part(self) -> None:
        """What is missing in a part is told with its name, and with what the interface says where that says no more."""
        store: Any = SQLMetadataStore("sqlite://", maybeDeferred)
        names = [name for name in IRepositoryStore.names(all=True) if name != "get"]
        store.repositories = SimpleNamespace(**{name: getattr(store.repositories, name) for name in names})
        reason = self.refused(IMetadataStore, store, METADATA_PARTS)
        self.assertEqual("repositories.get(name) is missing (Repositories, their tags and manifests)", reason)

    def test_much_is_missing(self) -> None:
        """Some is told, and the rest is counted."""
        store: Any = SQLMetadataStore("sqlite://", maybeDeferred)
        store.keys, store.leases = object(), object()
        self.assertRegex(
            self.refused(IMetadataStore, store, METADATA_PARTS),
            r"^keys.get\(purpose, make\) is missing \(.*, and keys.add.*, and keys.remove.*, and 3 more$",
        )

    def test_called_otherwise(self) -> None:
        """A method that can not be called as it will be is refused; one that takes more, which it need not be given, is not."""

        class Wrong:
            def record(self) -> None:
                raise AssertionError

        class Right:
            def record(self, event: object, more: int = 0) -> None:
                raise AssertionError

        require("", "", IAuditLog, Right(), declared=False)
        self.assertEqual(
            "record(event) can not be called so, for it doesn't allow enough arguments (Keep the event)",
            self.refused(IAuditLog, Wrong(), declared=False),
        )
        self.assertEqual("it does not say that it is an IAuditLog", self.refused(IAuditLog, Right()))


@implementer(IBlobStore)
class _Blobs(MemoryBlobStore):
    """Its uploads are what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.recovered = 0
        self.begun: list[Any] = []
        self.make: Any = super().start_upload

    async def start_upload(self, *_arguments: Any) -> Any:
        """What was told."""
        self.begun.append(await self.make())
        return self.begun[-1]

    async def recover(self, *_arguments: Any) -> int:
        """Seven."""
        self.recovered += 1
        return 7


class ForeignBlobStoreTests(SynchronousTestCase):
    """A store of somebody else when it starts."""

    def setUp(self) -> None:
        self.blobs = _Blobs()
        self.store = ForeignBlobStore(self.blobs, _never, "blobs.provider", "acme.Blobs")

    def recover(self) -> Any:
        """What a start does."""
        return Deferred.fromCoroutine(self.store.recover(_never, _never))

    def test_good(self) -> None:
        """One whose uploads are good is recovered, and nothing is left of the one that was looked at."""
        self.assertEqual(7, self.successResultOf(self.recover()))
        (upload,) = self.blobs.begun
        self.assertEqual(0, self.successResultOf(Deferred.fromCoroutine(self.blobs.upload_size(upload.upload_id))))
        self.failureResultOf(Deferred.fromCoroutine(upload.write([b"more"])))

    def test_lacks_something(self) -> None:
        """One whose uploads lack something is refused before it is recovered; what can be ended is ended."""
        for missing in ("commit", "abort"):
            ended: list[str] = []
            members: dict[str, Any] = dict.fromkeys(IUpload.names(all=True), lambda *_arguments, **_more: None)

            async def abort(ended: list[str] = ended) -> None:
                ended.append("it")

            members["abort"] = abort
            del members[missing]
            make = SimpleNamespace

            async def start(members: Any = members, make: Any = make) -> Any:
                return make(**members)

            self.blobs.make = start
            error: Any = self.failureResultOf(self.recover(), ConfigError).value
            self.assertRegex(str(error), rf"^blobs.provider: acme.Blobs does not .*: {missing}\(.*\) is missing \(")
            self.assertEqual([] if missing == "abort" else ["it"], ended)
        self.assertEqual(0, self.blobs.recovered)

    def test_no_room(self) -> None:
        """One that can not begin an upload now may serve what it has."""
        for problem in (StorageFull(), StoreUnavailable("not now")):

            async def fail(problem: Exception = problem) -> Any:
                raise problem

            self.blobs.make = fail
            self.assertEqual(7, self.successResultOf(self.recover()))


async def _never(_blob: StoredBlob | str) -> Any:
    raise AssertionError
