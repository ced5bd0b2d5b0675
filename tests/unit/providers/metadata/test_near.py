"""Point reads without a thread."""

import sqlite3
from contextlib import closing
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, text

from dockreg.errors import NameUnknown
from dockreg.model.names import RepositoryName
from dockreg.model.rights import Subject
from dockreg.model.v1 import V1Image
from dockreg.providers.metadata import near
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing import contracts_repositories as samples
from dockreg.testing.contracts_metadata import some_blob
from tests.unit.providers.metadata.test_sqlite import SQLiteCase


class NearCase(SQLiteCase):
    """A database, and a query that counts how often it runs."""

    def setUp(self) -> None:
        super().setUp()
        self.queries = 0

    def count(self, connection: Connection, name: str) -> tuple[Any, ...]:
        """The repositories of this name."""
        self.queries += 1
        rows = connection.execute(text("SELECT name, description FROM repositories WHERE name = :name"), {"name": name})
        return tuple(map(tuple, rows))

    async def found(self, store: SQLMetadataStore, name: str = "busybox") -> tuple[Any, ...]:
        """What the query finds."""
        return await store._database.find(self.count, name)


class CoherenceTests(NearCase):
    """What is remembered is never older than the question."""

    async def test_remembered(self) -> None:
        """A question that was answered is not asked again while nobody writes."""
        store = await self.opened()
        for _ in range(3):
            self.assertEqual((), await self.found(store))
        self.assertEqual(1, self.queries)

    async def test_look(self) -> None:
        """What must not tell by its time whether it was asked before is asked each time."""
        store = await self.opened()
        for _ in range(3):
            self.assertEqual((), await store._database.look(self.count, "busybox"))
        self.assertEqual(3, self.queries)
        await store.repositories.create(samples.BUSYBOX, None, 1.0)
        self.assertEqual((("busybox", ""),), await store._database.look(self.count, "busybox"))

    async def test_own_write(self) -> None:
        """What this store writes is seen by its next read."""
        store = await self.opened()
        await self.found(store)
        await store.repositories.create(samples.BUSYBOX, None, 1.0)
        self.assertEqual((("busybox", ""),), await self.found(store))
        await store.repositories.delete(samples.BUSYBOX, 2.0)
        with self.assertRaises(NameUnknown):
            await store.repositories.get(samples.BUSYBOX)

    async def test_write_of_another_store(self) -> None:
        """So is what another store on the same file writes."""
        one, other = await self.opened(), await self.opened()
        self.assertEqual((), await self.found(one))
        await other.repositories.create(samples.BUSYBOX, None, 1.0)
        self.assertEqual((("busybox", ""),), await self.found(one))

    async def test_write_of_another_program(self) -> None:
        """So is what any program writes."""
        store = await self.opened()
        await store.repositories.create(samples.BUSYBOX, None, 1.0)
        await self.found(store)
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("UPDATE repositories SET description = 'new'")
            connection.commit()
        self.assertEqual((("busybox", "new"),), await self.found(store))

    async def test_rolled_back(self) -> None:
        """A write that is not committed is not seen, and what is known stays known."""
        store = await self.opened()
        await self.found(store)
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("DELETE FROM accounts")
            self.assertEqual((), await self.found(store))
            connection.rollback()
        self.assertEqual((), await self.found(store))
        self.assertEqual(1, self.queries)

    async def test_leaves_no_transaction(self) -> None:
        """A read leaves nothing open that would keep the log of the database from being emptied."""
        store = await self.opened()
        await self.found(store)
        await store.repositories.create(samples.BUSYBOX, None, 1.0)
        with closing(sqlite3.connect(self.path)) as connection:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self.assertEqual(0, busy)


class MomentTests(NearCase):
    """Questions that are answered as of one moment."""

    async def test_one_moment(self) -> None:
        """Within a moment others' writes may not be seen; behind it, and in the next one, they are."""
        one, other = await self.opened(), await self.opened()
        one.begin_moment()
        self.assertEqual((), await self.found(one))
        await other.repositories.create(samples.BUSYBOX, None, 1.0)
        self.assertEqual((), await self.found(one))
        one.end_moment()
        self.assertEqual((("busybox", ""),), await self.found(one))

    async def test_begun_anew(self) -> None:
        """A moment that begins within another one is a new one."""
        one, other = await self.opened(), await self.opened()
        one.begin_moment()
        await self.found(one)
        await other.repositories.create(samples.BUSYBOX, None, 1.0)
        one.begin_moment()
        self.assertEqual((("busybox", ""),), await self.found(one))
        one.end_moment()

    async def test_first_question(self) -> None:
        """What was written before the first question of a moment is seen."""
        one, other = await self.opened(), await self.opened()
        self.assertEqual((), await self.found(one))
        one.begin_moment()
        await other.repositories.create(samples.BUSYBOX, None, 1.0)
        self.assertEqual((("busybox", ""),), await self.found(one))
        one.end_moment()

    async def test_own_write(self) -> None:
        """What the store itself writes is seen within the moment."""
        store = await self.opened()
        store.begin_moment()
        self.assertEqual((), await self.found(store))
        await store.repositories.create(samples.BUSYBOX, None, 1.0)
        self.assertEqual((("busybox", ""),), await self.found(store))
        store.end_moment()


class VersionTests(NearCase):
    """Whether anybody has written."""

    async def test_same(self) -> None:
        """It is the same object until somebody writes, in whichever store, and for no two writes the same."""
        one, other = await self.opened(), await self.opened()
        versions = [one.version(), one.version()]
        self.assertIs(versions[0], versions[1])
        for number, store in enumerate((one, other, one, other)):
            await store.repositories.create(RepositoryName(f"a{number}"), None, 1.0)
            versions.append(one.version())
            self.assertIs(versions[-1], one.version())
        self.assertEqual(5, len({id(each) for each in versions}))
        self.assertNotIn(None, versions)

    async def test_moment(self) -> None:
        """Within a moment it is that of the moment; behind it, it is another one if somebody has written."""
        one, other = await self.opened(), await self.opened()
        one.begin_moment()
        before = one.version()
        self.assertEqual((), await self.found(one))
        await other.repositories.create(samples.BUSYBOX, None, 1.0)
        self.assertIs(before, one.version())
        one.end_moment()
        self.assertIsNot(before, one.version())

    async def test_questions(self) -> None:
        """What was found before it was asked for the version, within a moment, is as of that."""
        one, other = await self.opened(), await self.opened()
        one.begin_moment()
        self.assertEqual((), await self.found(one))
        await other.repositories.create(samples.BUSYBOX, None, 1.0)
        version = one.version()
        one.end_moment()
        self.assertIsNot(version, one.version())

    async def test_lasting(self) -> None:
        """What lasts has a version of its own, which only who changes some of it changes, in whichever store."""
        one, other = await self.opened(), await self.opened()
        await one.repositories.create(samples.BUSYBOX, None, 1.0)
        seen = {one.lasting_version()}
        for number, store in enumerate((one, other)):
            versions = (one.version(), one.lasting_version())
            await store.blobs.record_in(samples.BUSYBOX, some_blob(b"%d" % number), None, None, 1.0, 100.0)
            self.assertIsNot(versions[0], one.version())
            self.assertIs(versions[1], one.lasting_version())
        for store in (one, other):
            for private in (True, False):
                await store.repositories.set_private(samples.BUSYBOX, private)
                self.assertIs(one.lasting_version(), one.lasting_version())
                seen.add(one.lasting_version())
        self.assertEqual(5, len(seen))
        self.assertNotIn(None, seen)

    async def test_lasting_moment(self) -> None:
        """Within a moment it is that of the moment, too."""
        one, other = await self.opened(), await self.opened()
        one.begin_moment()
        before = one.lasting_version()
        await other.repositories.create(samples.BUSYBOX, None, 1.0)
        self.assertIs(before, one.lasting_version())
        one.end_moment()
        self.assertIsNot(before, one.lasting_version())

    async def test_not_open(self) -> None:
        """A store that is not open does not tell."""
        store = await self.opened()
        await store.close()
        self.assertEqual((None, None), (store.version(), store.lasting_version()))


class LimitTests(NearCase):
    """How much is remembered, and what happens when the database does not answer at once."""

    async def test_least_recent_goes(self) -> None:
        """Memory is bounded: what was not asked for the longest is forgotten first."""
        self.patch(near, "_MOST_REMEMBERED", 32 * near._ENTRY_BYTES)
        store = await self.opened()
        for name in [str(number) for number in range(32)]:
            await self.found(store, name)
        await self.found(store, "0")
        await self.found(store, "new")
        self.assertEqual(33, self.queries)
        await self.found(store, "0")
        self.assertEqual(33, self.queries)
        await self.found(store, "1")
        self.assertEqual(34, self.queries)

    async def test_large_answer(self) -> None:
        """An answer that would take a large part of the memory is not kept."""
        self.patch(near, "_MOST_REMEMBERED", 15 * near._ENTRY_BYTES)
        store = await self.opened()
        for _ in range(2):
            await self.found(store)
        self.assertEqual(2, self.queries)

    async def test_many_groups(self) -> None:
        """What somebody is counts: who is in hundreds of groups is remembered for fewer repositories."""
        self.patch(near, "_MOST_LASTING", 64 * near._ENTRY_BYTES)
        store = await self.opened()
        for groups, is_kept in ((2, True), (100, False)):
            subjects = frozenset(Subject.group(f"group{number}") for number in range(groups))
            first, second = [await store.rights.find(subjects, samples.BUSYBOX) for _ in range(2)]
            self.assertEqual((first, is_kept), (second, first is second))

    async def test_documents(self) -> None:
        """The json of images of v1 counts, in whatever list they are: few large ones are kept, or many small ones."""
        self.patch(near, "_MOST_LASTING", 1 << 20)
        self.patch(near, "_MOST_REMEMBERED", 1 << 20)
        store = await self.opened()
        await store.repositories.create(samples.BUSYBOX, None, 1.0)
        image = await samples.push(store, samples.some_id(1))
        for size, kept in ((30 * 1024, 33), (100, 99), (100 * 1024, 0)):
            large = evolve(image, json=bytes(size))

            def answers(_connection: Connection, number: int, large: V1Image = large) -> object:
                return [large, [large], [(samples.BUSYBOX, large)]][number % 3]

            for number in range(99):
                await store._database.find(answers, number)
                await store._database.find_lasting(answers, number)
            for remembered in (store._database.near._known, store._database.near._lasting):
                found = sum(key[0] is answers for key in remembered._known)
                self.assertTrue(kept <= found <= kept + 2, (size, found))
                remembered.forget()

    async def test_locked(self) -> None:
        """While the database is locked the read is a thread's, which waits."""
        store = await self.opened()
        reads: list[str] = []

        def locked(connection: Connection, name: str) -> str:
            reads.append(name)
            if len(reads) == 1:
                connection.execute(text("SELECT no_such_function()"))
            return name

        self.assertEqual("x", await store._database.find(locked, "x"))
        self.assertEqual(["x", "x"], reads)

    async def test_look_while_locked(self) -> None:
        """What is not remembered is read in a thread as well then."""
        store = await self.opened()
        await store._database.look(self.count, "busybox")

        def refuse(*_args: object) -> None:
            raise near.NotNow

        self.patch(near.NearReads, "look", refuse)
        self.assertEqual((), await store._database.look(self.count, "busybox"))
        self.assertEqual(2, self.queries)

    async def test_closed(self) -> None:
        """After the store was closed and opened again it reads as before."""
        store = self.store()
        await store.open()
        await self.found(store)
        await store.close()
        await store.open()
        self.addCleanup(store.close)
        self.assertEqual((), await self.found(store))
