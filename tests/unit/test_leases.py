"""Tests for dockreg.leases: how often they are written, and when an answer may be given."""

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from dockreg.errors import StoreUnavailable
from dockreg.interfaces_collection import ILeaseStore
from dockreg.leases import Leases
from dockreg.model.collection import LeaseWanted
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName

NAME = RepositoryName("demo/app")
ONE, TWO, THREE = (Digest.sha256(content) for content in (b"1", b"2", b"3"))


@implementer(ILeaseStore)
class Store:
    """Leases whose writing takes as long as the test likes."""

    def __init__(self) -> None:
        self.known: dict[str, float] = {}
        self.reads = 0
        self.written: list[list[str]] = []
        self.waiting: list[Deferred[None]] = []

    async def leased_until(self, wanted: LeaseWanted) -> float | None:
        self.reads += 1
        return self.known.get(wanted.subject)

    async def lease(self, wanted: Any, leased_until: float) -> Any:
        self.written.append([each.subject for each in wanted])
        done: Deferred[None] = Deferred()
        self.waiting.append(done)
        await done
        found = [each.subject in self.known for each in wanted]
        self.known.update({each.subject: leased_until for each in wanted if each.subject in self.known})
        return found


class LeasesTests(SynchronousTestCase):
    """A lease lasts 100 seconds."""

    def setUp(self) -> None:
        self.store, self.clock = Store(), Clock()
        metadata: Any = SimpleNamespace(leases=self.store)
        self.clock.advance(1000)
        self.leases = Leases(metadata, self.clock, 100.0)

    def keep(self, digest: Digest = ONE) -> "Deferred[bool]":
        return Deferred.fromCoroutine(self.leases.keep_blob(NAME, digest))

    def written(self) -> None:
        """The next transaction is committed."""
        self.store.waiting.pop(0).callback(None)

    def test_interface(self) -> None:
        """The stand-in has all that a store of leases has."""
        verifyObject(ILeaseStore, self.store)

    def test_enough(self) -> None:
        """While half of a lease is left, nothing is written, and it is looked for once."""
        self.store.known[str(ONE)] = 1050.0
        for _ in range(3):
            self.assertTrue(self.successResultOf(self.keep()))
        self.assertEqual((1, []), (self.store.reads, self.store.written))

    def test_renewed(self) -> None:
        """When less is left the answer waits until a whole one is written, and the next ones need nothing."""
        self.store.known[str(ONE)] = 1049.0
        kept = self.keep()
        self.assertNoResult(kept)
        self.written()
        self.assertTrue(self.successResultOf(kept))
        self.assertEqual(1100.0, self.store.known[str(ONE)])
        self.clock.advance(50)
        self.assertTrue(self.successResultOf(self.keep()))
        self.assertEqual(1, len(self.store.written))
        self.clock.advance(1)
        self.assertNoResult(self.keep())

    def test_together(self) -> None:
        """Who comes while leases are written shares the next transaction; the same lease is written once in it."""
        self.store.known.update({str(each): 0.0 for each in (ONE, TWO, THREE)})
        kept = [self.keep(digest) for digest in (ONE, TWO, THREE, TWO)]
        self.written()
        self.written()
        self.assertEqual([True] * 4, [self.successResultOf(each) for each in kept])
        self.assertEqual([[str(ONE)], [str(TWO), str(THREE)]], self.store.written)

    def test_absent(self) -> None:
        """What is not there has no lease, also when it goes in this very moment; it is not remembered."""
        self.assertFalse(self.successResultOf(self.keep()))
        self.store.known[str(ONE)] = 0.0
        kept = self.keep()
        del self.store.known[str(ONE)]
        self.written()
        self.assertFalse(self.successResultOf(kept))
        self.assertFalse(self.successResultOf(self.keep()))

    def test_pushed_again(self) -> None:
        """A manifest that was deleted and pushed again gets a lease of its own, though the one before had enough."""
        self.store.known[str(ONE)] = 1100.0
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(self.leases.keep_manifest(NAME, ONE))))
        self.assertEqual([], self.store.written)
        self.store.known[str(ONE)] = 0.0
        kept = Deferred.fromCoroutine(self.leases.keep_manifest(NAME, ONE))
        self.assertNoResult(kept)
        self.written()
        self.assertTrue(self.successResultOf(kept))
        self.assertEqual(1100.0, self.store.known[str(ONE)])

    def test_wrong_clock(self) -> None:
        """A lease that is longer than it can be is not relied upon."""
        self.store.known[str(ONE)] = 5000.0
        self.assertNoResult(self.keep())
        self.assertEqual([[str(ONE)]], self.store.written)

    def test_clock_set_back(self) -> None:
        """What this process remembers counts as little when its clock was set back."""
        self.store.known[str(ONE)] = 1100.0
        self.assertTrue(self.successResultOf(self.keep()))
        self.leases.clock = Clock()
        self.assertNoResult(self.keep())

    def test_failure(self) -> None:
        """When the database fails, everybody who waits is told, and the next one is written again."""
        self.store.known[str(ONE)] = 0.0
        kept = [self.keep(), self.keep()]
        self.store.waiting.pop(0).errback(StoreUnavailable("down"))
        self.failureResultOf(kept[0], StoreUnavailable)
        self.store.waiting.pop(0).errback(StoreUnavailable("down"))
        self.failureResultOf(kept[1], StoreUnavailable)
        again = self.keep()
        self.written()
        self.assertTrue(self.successResultOf(again))

    def test_cancelled(self) -> None:
        """Who goes away does not keep the lease of others from being written."""
        self.store.known.update({str(each): 0.0 for each in (ONE, TWO)})
        kept = [self.keep(), self.keep(TWO), self.keep(TWO)]
        for each in kept[:2]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.written()
        self.written()
        self.assertTrue(self.successResultOf(kept[2]))
