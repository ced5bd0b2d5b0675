"""Quotas in SQLite: the default, and that what is noted is what there is."""

from typing import Any

from hypothesis import given, settings
from sqlalchemy import Connection, text
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors_quotas import QuotaExceeded
from dockreg.errors_rights import RightsInvalid
from dockreg.model.names import RepositoryName
from dockreg.model.quotas import Usage, parse_size, shown_size
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing.contracts_metadata import some_blob
from tests.quotacase import LIVES, World
from tests.unit.providers.blobs.threads import at_once
from tests.unit.statements import statements


class _StoreCase(SynchronousTestCase):
    def opened(self, quota: int = 0) -> SQLMetadataStore:
        """A store that is open until the end of the test."""
        self.path = getattr(self, "path", None) or self.mktemp()
        store = SQLMetadataStore(f"sqlite:///{self.path}/metadata.sqlite3", at_once, quota=quota)
        self.result(store.open())
        self.addCleanup(lambda: self.result(store.close()))
        return store

    def result(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))


class DefaultTests(_StoreCase):
    """A quota for every namespace."""

    def test_default(self) -> None:
        """It counts where a namespace has no quota of its own; a process that has none ends the count."""
        store = self.opened(quota=6)
        self.result(store.blobs.record_in(RepositoryName("x"), some_blob(), None, None, 1.0, 2.0))
        self.assertTrue(self.result(store.quotas.settle()))
        self.assertEqual(Usage("library", 5, 0, None, 6), self.result(store.quotas.usage("library")))
        self.assertEqual(Usage("none", 0, 0, None, 6), self.result(store.quotas.usage("none")))
        second = store.blobs.record_in(RepositoryName("y"), some_blob(b"second"), None, None, 1.0, 2.0)
        self.failureResultOf(Deferred.fromCoroutine(second), QuotaExceeded)
        self.result(store.quotas.set_quota("library", 0))
        self.result(store.blobs.record_in(RepositoryName("y"), some_blob(b"second"), None, None, 1.0, 2.0))
        self.assertEqual([Usage("library", 11, 0, 0, 0)], self.result(store.quotas.list_usage()))
        self.assertFalse(self.result(self.opened().quotas.settle()))

    def test_costs_nothing(self) -> None:
        """Without quotas a push makes no statement about them, and none more than it would otherwise."""
        store = self.opened()
        with statements() as executed:
            for name in ("x", "y"):
                self.result(store.blobs.record_in(RepositoryName(name), some_blob(), None, None, 1.0, 2.0))
        seen = [statement for statement, _ in executed]
        about = [each for each in seen if "namespace_" in each and "namespaces" not in each]
        self.assertEqual([], about)
        alone = [
            each
            for each in seen
            if "quota_state" in each and "FROM repositories" not in each and "namespaces" not in each
        ]
        self.assertEqual(([], True), (alone, bool(seen)))


class TruthTests(_StoreCase):
    """Whatever is done, and in whatever order."""

    def test_truth(self) -> None:
        """What is noted of a namespace is what a new count says, and never more than the quota."""
        store = self.opened()

        @settings(max_examples=60, deadline=None)
        @given(LIVES)
        def check(life: list[tuple[str, int, int, int]]) -> None:
            world = World.make(store)
            self.result(store.quotas.set_quota(world.namespaces[0], 20))
            for deed in life:
                self.result(world.do(*deed))
            self.assertEqual([], self.result(world.wrong()))
            usage = self.result(store.quotas.usage(world.namespaces[0]))
            self.assertLessEqual(usage.used + usage.reserved, 20)
            self.assertGreaterEqual(min(usage.used, usage.reserved), 0)

        check()

    def test_repaired(self) -> None:
        """What is noted wrongly is put right."""
        store = self.opened(quota=100)
        self.result(store.quotas.settle())
        self.result(store.blobs.record_in(RepositoryName("a/x"), some_blob(), None, None, 1.0, 2.0))

        def spoil(connection: Connection) -> None:
            connection.execute(text("UPDATE namespace_usage SET used = 77, reserved = 3"))
            connection.execute(text("DELETE FROM namespace_blobs"))

        self.result(store._database.write(spoil))
        self.assertEqual([], self.result(store.quotas.recount("b")))
        (found,) = self.result(store.quotas.recount("a"))
        self.assertEqual(
            (77, 3, 5, 0, False), (found.used, found.reserved, found.real_used, found.real_reserved, found.is_right)
        )
        (again,) = self.result(store.quotas.recount(None))
        self.assertTrue(again.is_right)
        self.result(store.blobs.unlink(RepositoryName("a/x"), some_blob().digest))
        self.assertEqual(0, self.result(store.quotas.usage("a")).used)


class SizeTests(SynchronousTestCase):
    def test_parse(self) -> None:
        """Sizes are numbers with a unit; units are powers of 1024."""
        for written, size in (
            ("0", 0),
            ("500", 500),
            ("10GiB", 10 * 2**30),
            ("1.5 t", 3 * 2**39),
            ("2kb", 2048),
            ("7B", 7),
        ):
            self.assertEqual(size, parse_size(written))
        for written in ("", "x", "-1", "1 1", "1ZB", "1.1.1", "999999999999999P"):
            self.assertRaises(RightsInvalid, parse_size, written)

    def test_shown(self) -> None:
        """Sizes are shown in the unit that fits."""
        shown = ["0 B", "1023 B", "1.0 KiB", "10.5 GiB", "2048.0 PiB"]
        self.assertEqual(shown, [shown_size(size) for size in (0, 1023, 1024, int(10.5 * 2**30), 2**61)])
