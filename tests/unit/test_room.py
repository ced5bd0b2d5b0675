"""Tests for dockreg.room: how often a store is asked, and what is said."""

from math import isnan

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import StorageFull
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.room import Room, in_words

GIB = 2**30


class CountedStore(MemoryBlobStore):
    """Counts how often it is asked for its room."""

    asked = 0

    async def free(self) -> int | None:
        self.asked += 1
        return await super().free()


class RoomTests(SynchronousTestCase):
    """The room of a store, asked for as seldom as may be."""

    def setUp(self) -> None:
        self.clock = Clock()

    def make(self, room: int | None, reserve: int = GIB) -> Room:
        self.store = CountedStore(room=room)
        return Room(self.store, self.clock, reserve)

    def take(self, room: Room, length: int) -> None:
        self.successResultOf(Deferred.fromCoroutine(room.take(length)))

    def refused(self, room: Room, length: int) -> str:
        return str(self.failureResultOf(Deferred.fromCoroutine(room.take(length)), StorageFull).value)

    def test_much(self) -> None:
        """Where there is much room, the store is asked once in a second."""
        room = self.make(100 * GIB)
        for _ in range(20):
            self.take(room, 1)
            self.clock.advance(0.1)
        self.assertEqual(2, self.store.asked)
        self.assertEqual(100.0 * GIB, room.free)

    def test_has_much(self) -> None:
        """Where there is much room, that is known for a second without asking; where there is little, it is asked for."""
        for reserve, size, expected in ((GIB, 100 * GIB, True), (GIB, None, True), (GIB, 8 * GIB, False), (0, 1, True)):
            room = self.make(size, reserve)
            self.assertEqual(not reserve, room.has_much())
            self.successResultOf(Deferred.fromCoroutine(room.require()))
            self.assertEqual(expected, room.has_much())
            self.clock.advance(1)
            self.assertEqual(not reserve, room.has_much())
            self.assertEqual(1 if reserve else 0, self.store.asked)

    def test_given_back(self) -> None:
        """What was not used counts as room again."""
        room = self.make(2 * GIB)
        self.assertTrue(room.is_plenty(GIB))
        self.take(room, GIB)
        self.assertFalse(room.is_plenty(1))
        room.give_back(GIB - 10)
        self.assertTrue(room.is_plenty(GIB - 10))
        self.assertFalse(room.is_plenty(GIB))
        self.take(room, GIB - 10)

    def test_no_reserve(self) -> None:
        """Where no room is kept, or none can be told, there is always plenty."""
        for room in (self.make(1, reserve=0), self.make(None)):
            self.take(room, 10)
            room.give_back(5)
            self.assertTrue(room.is_plenty(100 * GIB))

    def test_little(self) -> None:
        """Where there is little, each time that others could have taken it."""
        room = self.make(2 * GIB)
        for _ in range(20):
            self.take(room, 1)
            self.clock.advance(0.06)
        self.assertEqual(20, self.store.asked)
        self.take(room, 1)
        self.take(room, 1)
        self.assertEqual(21, self.store.asked)

    def test_own(self) -> None:
        """What is taken counts without asking."""
        room = self.make(2 * GIB)
        self.take(room, GIB - 1)
        self.take(room, 1)
        self.refused(room, 1)
        self.assertEqual(1, self.store.asked)

    def test_clock(self) -> None:
        """A clock that is set back does not keep an old answer alive."""
        self.clock.advance(1000)
        room = self.make(100 * GIB)
        self.take(room, 1)
        self.clock.rightNow = 1.0
        self.take(room, 1)
        self.assertEqual(2, self.store.asked)

    def test_unknown(self) -> None:
        """A store that can not tell refuses nothing, and neither does one without a reserve."""
        room = self.make(None)
        self.take(room, 1000 * GIB)
        self.assertTrue(isnan(room.free))
        self.take(self.make(1, reserve=0), 1000)
        self.assertEqual(0, self.store.asked)

    def test_sentences(self) -> None:
        """The client is told what is left and why; the operator once, until there is room again."""
        room = self.make(GIB + 5000)
        with capturedLogs() as events:
            sentence = self.refused(room, 20_000)
            self.refused(room, 20_000)
            self.assertEqual(1, len(events))
            self.take(room, 1)
            self.refused(room, 20_000)
        self.assertEqual(2, len(events))
        self.assertIn("19 KiB more: 5000 bytes are left for blobs, beside the 1024 MiB", sentence)

    def test_words(self) -> None:
        """Numbers are for people."""
        self.assertEqual(
            ["0 bytes", "10239 bytes", "10 KiB", "256 MiB", "11 GiB"],
            [in_words(size) for size in (0, 10_239, 10_240, 256 << 20, 12_000_000_000)],
        )


class RowsTests(RoomTests):
    """The same, where the database is on a disk of its own; and what is kept there."""

    free_for_rows = 100 * GIB

    def make(self, room: int | None, reserve: int = GIB) -> Room:
        self.store = CountedStore(room=room)

        async def free() -> int:
            return self.free_for_rows

        return Room(self.store, self.clock, reserve, free)

    def test_rows(self) -> None:
        """While that disk has less than is to stay free nothing more is kept there, and nothing is refused for that."""
        room, told = self.make(100 * GIB), []
        self.assertTrue(room.has_rows())
        for free, expected in ((GIB + 1, True), (GIB, False), (0, False), (2 * GIB, True)):
            self.free_for_rows = free
            self.clock.advance(1)
            with capturedLogs() as events:
                self.take(room, 1)
            told.append(len(events))
            self.assertEqual(expected, room.has_rows())
        # Once, and not for each blob.
        self.assertEqual([0, 1, 0, 0], told)

    def test_rows_on_the_same_disk(self) -> None:
        """Where blobs have no room either, that alone is told."""
        self.free_for_rows = GIB
        room = self.make(GIB)
        with capturedLogs() as events:
            self.refused(room, 1)
        self.assertEqual(["uploads are refused"], [each["log_format"][:19] for each in events])
        self.assertFalse(room.has_rows())

    def test_rows_without_reserve(self) -> None:
        """Where nothing is to stay free, nothing is asked."""
        self.free_for_rows = 0
        room = self.make(100 * GIB, reserve=0)
        self.take(room, 1)
        self.assertTrue(room.has_rows())
