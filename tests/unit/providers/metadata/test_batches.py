"""Writes that are committed together."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import NameUnknown, StoreUnavailable
from dockreg.model.names import RepositoryName
from dockreg.providers.metadata import transactions
from dockreg.providers.metadata.bare import BareConnection
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.together import Together
from tests.unit.providers.blobs.threads import Threads

_REFUSED = sqlite3.SQLITE_IOERR_FSYNC


class BatchCase(SynchronousTestCase):
    """A database whose thread runs when the test says so."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.path = f"{self.mktemp()}/dockreg.sqlite"
        self.store = SQLMetadataStore(f"sqlite:///{self.path}?timeout=0", self.threads.in_thread)
        self.now(self.store.open())
        self.addCleanup(lambda: self.now(self.store.close()))
        self.commits: list[BareConnection] = []
        commit = BareConnection.commit

        def note(connection: BareConnection) -> None:
            self.commits.append(connection)
            commit(connection)

        self.patch(BareConnection, "commit", note)

    def now(self, work: Any) -> Any:
        """The result of a coroutine."""
        done = Deferred.fromCoroutine(work)
        self.threads.run_all()
        return self.successResultOf(done)

    def begin(self, change: Any, *, durable: bool = True) -> "Deferred[Any]":
        """Start a write."""
        database = self.store._database
        return Deferred.fromCoroutine(database.write(change) if durable else database.note(change))

    def create(self, name: str) -> "Deferred[Any]":
        """Start to create a repository."""
        return Deferred.fromCoroutine(self.store.repositories.create(RepositoryName(name), None, 1.0))

    def names(self) -> list[str]:
        """The repositories that are there."""

        def query(connection: Connection) -> list[str]:
            return [row.name for row in connection.execute(text("SELECT name FROM repositories ORDER BY name"))]

        found: list[str] = self.now(self.store._database.read(query))
        return found


class TogetherTests(BatchCase):
    """What waits together is committed together."""

    def test_one_commit(self) -> None:
        """Those who wait share a commit."""
        writes = [self.create(name) for name in "abcde"]
        self.threads.run_all()
        for each in writes:
            self.successResultOf(each)
        self.assertEqual(1, len(self.commits))
        self.assertEqual(list("abcde"), self.names())

    def test_bound(self) -> None:
        """A commit has a bounded number of changes."""
        writes = [self.create(f"r{number:03}") for number in range(130)]
        self.threads.run_all()
        for each in writes:
            self.successResultOf(each)
        self.assertEqual(3, len(self.commits))

    def test_one_fails(self) -> None:
        """A change that is refused is undone, and takes none of the others with it."""

        def refused(connection: Connection) -> None:
            connection.execute(text("UPDATE repositories SET description = 'lost'"))
            raise NameUnknown("x")

        writes = [self.create("a"), self.create("b"), self.begin(refused), self.create("c")]
        self.threads.run_all()
        self.failureResultOf(writes[2], NameUnknown)
        for each in (writes[0], writes[1], writes[3]):
            self.successResultOf(each)
        self.assertEqual(["a", "b", "c"], self.names())
        lost = self.now(
            self.store._database.read(lambda c: c.execute(text("SELECT max(description) FROM repositories")).scalar())
        )
        self.assertEqual("", lost)

    def test_database_fails_at_one(self) -> None:
        """Where the database fails at one change, each is made by itself, and that one alone fails."""

        def broken(connection: Connection) -> None:
            connection.execute(text("SELECT no_such_function()"))

        writes = [self.create("a"), self.create("b"), self.begin(broken), self.create("c")]
        self.threads.run_all()
        self.failureResultOf(writes[2], OperationalError)
        for each in (writes[0], writes[1], writes[3]):
            self.successResultOf(each)
        self.assertEqual(["a", "b", "c"], self.names())

    def refuse_flush(self) -> None:
        """The disk refuses the flush of the next commit, and tells it this once."""
        commit = BareConnection.commit

        def refuse(connection: BareConnection) -> None:
            self.patch(BareConnection, "commit", commit)
            connection.rollback()
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = _REFUSED
            raise DBAPIError.instance("COMMIT", None, error, sqlite3.Error)

        self.patch(BareConnection, "commit", refuse)

    def test_flush_refused(self) -> None:
        """
        What is committed after the disk has refused a flush does not depend on what it has lost then.

        That may be a note that was committed before, and not flushed yet; later, the power fails.
        """
        log = Path(f"{self.path}-wal")
        first = log.stat().st_size
        noted = self.begin(lambda each: each.execute(text("UPDATE collection_state SET seen_at = 5")), durable=False)
        self.threads.run_all()
        self.successResultOf(noted)
        lost = log.read_bytes()[first:]
        self.assertNotEqual(b"", lost)
        self.refuse_flush()
        refused = self.create("a")
        self.threads.run_all()
        self.failureResultOf(refused, StoreUnavailable)
        # As long as somebody reads what was before, the log can not be begun again.
        reader = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(reader.close)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM repositories").fetchall()
        blocked = self.create("b")
        self.threads.run_all()
        self.failureResultOf(blocked, StoreUnavailable)
        reader.execute("ROLLBACK")
        kept = self.create("c")
        self.threads.run_all()
        self.successResultOf(kept)
        self.assertIn(("c",), self.after_power_loss(first, lost))
        self.assertEqual(["c"], self.names())

    def after_power_loss(self, first: int, lost: bytes) -> list[Any]:
        """The repositories that are found, when ``lost`` was never written behind the first bytes of the log."""
        content = Path(f"{self.path}-wal").read_bytes()
        if content[first:].startswith(lost):
            content = content[:first] + bytes(len(lost)) + content[first + len(lost) :]
        after = Path(f"{self.path}-after")
        after.write_bytes(Path(self.path).read_bytes())
        Path(f"{after}-wal").write_bytes(content)
        connection = sqlite3.connect(after)
        self.addCleanup(connection.close)
        return connection.execute("SELECT name FROM repositories").fetchall()

    def test_locked(self) -> None:
        """While another process writes those who wait together wait once, and not each by itself after that."""
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        writer: Any = self.store._database._writer
        pauses: list[float] = []
        writer._pause, writer._wait_seconds = pauses.append, 0.1
        writes = [self.create(f"r{number}") for number in range(10)]
        self.threads.run_all()
        for each in writes:
            self.failureResultOf(each, StoreUnavailable)
        # The first one, and all others.
        self.assertLess(sum(pauses), 2 * 0.13)
        other.execute("ROLLBACK")
        self.now(self.store.repositories.create(RepositoryName("a"), None, 1.0))
        self.assertEqual(["a"], self.names())

    def test_commit_fails(self) -> None:
        """When the commit itself fails, nobody is told that his change was made."""
        writes = [self.create(name) for name in "abc"]

        class Broken(Together):
            """Commits nothing."""

            def run(self) -> Any:
                case.patch(BareConnection, "commit", fail)
                return super().run()

        def fail(connection: BareConnection) -> None:
            raise OperationalError("COMMIT", None, Exception("disk I/O error"))

        case = self
        self.patch(transactions, "Together", Broken)
        self.threads.run_all()
        for each in writes:
            self.failureResultOf(each, StoreUnavailable)

    def test_cancelled(self) -> None:
        """Who goes away while others wait with him has his change made all the same."""
        writes = [self.create(name) for name in "abc"]
        writes[1].cancel()
        self.failureResultOf(writes[1], CancelledError)
        self.threads.run_all()
        self.assertEqual(["a", "b", "c"], self.names())
        self.successResultOf(writes[2])


def synchronous(connection: Connection) -> int:
    """How the transaction will be flushed."""
    found: int = connection.execute(text("PRAGMA synchronous")).scalar_one()
    return found


class DurabilityTests(BatchCase):
    """What is flushed before it is reported."""

    def levels(self, *durable: bool) -> list[int]:
        """How each of these writes, begun together, is flushed: 1 soon, 2 before it is reported (PRAGMA synchronous)."""
        writes = [self.begin(synchronous, durable=each) for each in durable]
        self.threads.run_all()
        return [self.successResultOf(each) for each in writes]

    def test_note(self) -> None:
        """A note does not wait for the disk; a write does, and so does a note that is committed with one."""
        self.assertEqual([1], self.levels(False))
        self.assertEqual([2], self.levels(True))
        self.assertEqual([1, 1], self.levels(False, False))
        self.assertEqual([2, 2, 2], self.levels(False, True, False))

    def test_while_another_process_writes(self) -> None:
        """Who comes while it is waited for another process shares that commit; not who has to be on the disk, with notes."""
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        writer: Any = self.store._database._writer
        writer._wait_seconds = 15
        late: list[Deferred[Any]] = []

        def pause(_seconds: float) -> None:
            late.extend(self.begin(synchronous, durable=durable) for durable in (False, True, False))
            other.execute("ROLLBACK")

        writer._pause = pause
        first = self.begin(synchronous, durable=False)
        self.threads.run_all()
        self.assertEqual([1, 1, 2, 2], [self.successResultOf(each) for each in (first, *late)])
        self.assertEqual(2, len(self.commits))

    def test_closed(self) -> None:
        """After the store was closed nothing is written."""
        self.now(self.store.close())
        failing = self.create("a")
        self.threads.run_all()
        self.failureResultOf(failing, StoreUnavailable)
        self.now(self.store.open())


class KeptTests(BatchCase):
    """The connection that writes."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[str] = []
        run = BareConnection.run

        def note(connection: BareConnection, told: str) -> None:
            self.told.append(told)
            run(connection, told)

        self.patch(BareConnection, "run", note)

    def settings(self) -> list[str]:
        """How commits were to be flushed, each time that it was told."""
        return [told for told in self.told if told.startswith("PRAGMA synchronous")]

    def connections(self) -> list[object]:
        """What the driver was asked to commit."""
        return [connection._driver for connection in self.commits]

    def test_kept(self) -> None:
        """All writes take the same connection, which is told only what is new to it."""
        for name in "abc":
            self.now(self.store.repositories.create(RepositoryName(name), None, 1.0))
        self.assertEqual(1, len({*map(id, self.connections())}))
        self.assertEqual(["PRAGMA synchronous=FULL"], self.settings())

    def test_durability_changes(self) -> None:
        """A write that has to be durable is so after one that did not have to be, and the other way round."""
        for durable in (True, False, False, True):
            writing = self.begin(lambda connection: connection.execute(text("SELECT 1")), durable=durable)
            self.threads.run_all()
            self.successResultOf(writing)
        expected = [f"PRAGMA synchronous={each}" for each in ("FULL", "NORMAL", "FULL")]
        self.assertEqual(expected, self.settings())

    def test_database_fails(self) -> None:
        """After the database has failed nothing is left of the transaction, and the connection is told everything anew."""

        def broken(connection: Connection) -> None:
            connection.execute(text("UPDATE repositories SET name = 'half'"))
            raise OperationalError("", None, Exception("disk I/O error"))

        self.now(self.store.repositories.create(RepositoryName("a"), None, 1.0))
        failing = self.begin(broken)
        self.threads.run_all()
        self.failureResultOf(failing, StoreUnavailable)
        self.now(self.store.repositories.create(RepositoryName("b"), None, 1.0))
        self.assertEqual(["a", "b"], self.names())
        self.assertEqual(["PRAGMA synchronous=FULL"] * 2, self.settings())

    def test_closed(self) -> None:
        """A transaction that comes when the store is being closed is not made."""
        writer = self.store._database._writer
        assert writer is not None
        writer.close()
        refused = self.begin(lambda connection: connection.execute(text("SELECT 1")))
        self.threads.run_all()
        self.failureResultOf(refused, StoreUnavailable)
