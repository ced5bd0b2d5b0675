"""Tests of :mod:`dockreg.providers.blobs.ahead`."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, get_ident

from twisted.trial.unittest import SynchronousTestCase

from dockreg.callables import Piece
from dockreg.providers.blobs.ahead import Ahead
from dockreg.providers.blobs.observing import Receivers
from tests.unit.providers.blobs.test_observing import Busy

_PATIENCE_SECONDS = 30
LARGE = bytes(256 * 1024)


class Source:
    """Gives pieces, and notes the threads that it gave them in."""

    def __init__(self, *pieces: Piece | Exception) -> None:
        self._pieces = list(pieces)
        self.given = [Event() for _ in range(len(pieces) + 1)]
        self.threads: list[int] = []

    def fetch(self) -> Piece:
        self.threads.append(get_ident())
        self.given[len(self.threads) - 1].set()
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece


class AheadTests(SynchronousTestCase):
    """What is fetched while something else is done."""

    def setUp(self) -> None:
        self.beside = ThreadPoolExecutor(1)
        self.addCleanup(self.beside.shutdown)

    def ahead(self, source: Source, receivers: Receivers | None = None) -> Ahead:
        """What fetches from there."""
        return Ahead(source.fetch, receivers or Receivers(2), self.beside)

    def test_meanwhile(self) -> None:
        """The piece behind the one that was given is fetched before it is asked for, all in order, and none after the end."""
        source = Source(LARGE, LARGE + b"2", LARGE + b"3")
        found = []
        with self.ahead(source) as ahead:
            for number, piece in enumerate(ahead, 1):
                found.append(piece)
                self.assertTrue(source.given[number].wait(_PATIENCE_SECONDS))
        self.assertEqual([LARGE, LARGE + b"2", LARGE + b"3"], found)
        self.assertEqual(get_ident(), source.threads[0])
        self.assertNotIn(get_ident(), source.threads[1:])
        self.assertEqual(4, len(source.threads))

    def test_little(self) -> None:
        """Of little at a time nothing is fetched before it is asked for."""
        source = Source(b"a", b"b")
        with self.ahead(source) as ahead:
            self.assertEqual([b"a", b"b"], [*ahead])
        self.assertEqual({get_ident()}, set(source.threads))

    def test_many_receive(self) -> None:
        """Where no processor is free all is fetched here."""
        source, receivers = Source(LARGE, LARGE), Receivers(2)
        with receivers, receivers, self.ahead(source, receivers) as ahead:
            self.assertEqual([LARGE, LARGE], [*ahead])
        self.assertEqual({get_ident()}, set(source.threads))

    def test_others_come(self) -> None:
        """When others receive, too, what was asked for is taken, and the rest is fetched here; until they have gone."""
        source, receivers = Source(*[LARGE] * 6), Receivers(2)
        with receivers, self.ahead(source, receivers) as ahead:
            pieces = iter(ahead)
            next(pieces)
            self.assertTrue(source.given[1].wait(_PATIENCE_SECONDS))
            with receivers:
                for _ in range(3):
                    next(pieces)
            self.assertEqual([get_ident()] * 2, source.threads[2:])
            next(pieces)
            self.assertTrue(source.given[5].wait(_PATIENCE_SECONDS))
            self.assertEqual([LARGE], [*pieces])
        self.assertNotIn(get_ident(), (source.threads[1], source.threads[5]))

    def test_no_thread_is_free(self) -> None:
        """What no thread has begun with is fetched here."""
        source = Source(LARGE, LARGE)
        with Ahead(source.fetch, Receivers(2), Busy()) as ahead:
            self.assertEqual([LARGE, LARGE], [*ahead])
        self.assertEqual({get_ident()}, set(source.threads))

    def test_failure(self) -> None:
        """What fetching raises is raised by whoever asks for it, and no thread stays at it."""
        with self.ahead(Source(LARGE, ValueError("broken"))) as ahead:
            pieces = iter(ahead)
            self.assertEqual(LARGE, next(pieces))
            self.assertRaisesRegex(ValueError, "broken", next, pieces)
        self.assertEqual(7, self.beside.submit(lambda: 7).result(_PATIENCE_SECONDS))

    def test_given_up(self) -> None:
        """Who ends before the end waits until nobody fetches; what was fetched meanwhile is lost."""
        source = Source(LARGE, LARGE, LARGE)
        with self.assertRaises(ZeroDivisionError), self.ahead(source) as ahead:
            for _ in ahead:
                self.assertTrue(source.given[1].wait(_PATIENCE_SECONDS))
                raise ZeroDivisionError
        self.assertEqual(2, len(source.threads))
        self.assertEqual(7, self.beside.submit(lambda: 7).result(_PATIENCE_SECONDS))

    def test_unused(self) -> None:
        """One that fetched nothing may end."""
        with self.ahead(Source()) as ahead:
            self.assertEqual([], [*ahead])
        with self.ahead(Source()):
            pass
