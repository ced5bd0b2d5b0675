"""What lasts while others write, and what ends it."""

import contextlib
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from attrs import define, evolve
from sqlalchemy import Connection, text

from dockreg.errors import RegistryError
from dockreg.interfaces import IRepositoryStore
from dockreg.interfaces_access import IAccountStore, IKeyStore
from dockreg.interfaces_rights import IRightsStore
from dockreg.model.access import EVERYTHING, Action
from dockreg.model.accounts import SigningKey
from dockreg.model.blobs import NOTHING_RECEIVED
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.repositories import Sparse
from dockreg.model.rights import AUTHENTICATED, Member, Role, Standing, Subject
from dockreg.model.uploads import UploadSession
from dockreg.model.v1 import LayerFacts, TagClient
from dockreg.providers import metadata as package
from dockreg.providers.metadata.near import NearReads
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables_lasting import CHANGES
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import push, some_id, some_manifest
from tests.unit.providers.metadata.test_sqlite import SQLiteCase

HERS, OTHERS = RepositoryName("alice/app"), RepositoryName("team/app")
ALICE, BOB, TEAM = Subject.account("alice"), Subject.account("bob"), Subject.group("team")
LAYER, CONFIG = some_blob(), some_blob(b"config")
MANIFEST, VIEW = some_manifest([LAYER.digest]), some_manifest([Digest.sha256(b"of v1")])
SESSION = UploadSession("a" * 32, HERS, "alice", "sha256", NOTHING_RECEIVED, 2.0)
#: Rows whose coming or going changes no answer that is kept, and why.
_HARMLESS = {
    ("INSERT", "blobs"): "what a blob of a repository is made of was there before that was found",
    ("DELETE", "blobs"): "it is part of no repository any more",
    ("INSERT", "repository_blobs"): "that there is no such blob does not last",
    (
        "INSERT",
        "manifests",
    ): "that there is no such manifest does not last, and it is no image of v1 before that is noted",
    ("INSERT", "v1_images"): "it is no manifest before that is noted",
    ("DELETE", "v1_images"): "it is no manifest any more",
}


@define
class Change:
    """Something that a store does, and the interface that has it, where all of its methods are to be tried."""

    interface: Any
    method: str
    work: Callable[[SQLMetadataStore], Awaitable[object]]


def _of(interface: Any, method: str, part: str, *args: Any, **kwargs: Any) -> Change:
    return Change(interface, method, lambda store: getattr(getattr(store, part), method)(*args, **kwargs))


def _rights(method: str, *args: Any) -> Change:
    return _of(IRightsStore, method, "rights", *args)


def _account(method: str, *args: Any, **kwargs: Any) -> Change:
    return _of(IAccountStore, method, "accounts", *args, **kwargs)


def _repository(method: str, *args: Any) -> Change:
    return _of(IRepositoryStore, method, "repositories", *args)


def _blob(method: str, *args: Any, **kwargs: Any) -> Change:
    return _of(None, method, "blobs", *args, **kwargs)


async def _tag_image(store: SQLMetadataStore) -> None:
    image = await push(store, some_id(1), repositories=[HERS], content=b"of v1")
    await store.blobs.record(CONFIG, None, 100.0)
    await store.repositories.tag_image(HERS, Tag("v1"), image, VIEW, TagClient(), 1.0)


#: In this order. Every method of some interfaces that changes something is there.
CHANGES_TO_TRY = (
    _of(IKeyStore, "add", "keys", "v1", SigningKey("one", b"secret", 1.0)),
    _account("create", "alice", "hash", "alice@example.org", False, 1.0),
    _account("create", "bob", "hash", "", False, 1.0),
    _account("change", "bob", admin=True),
    _account("change", "bob", password_hash="another"),
    _account("create_robot", "alice+ci", "alice", 1.0),
    _repository("create", HERS, "alice", 2.0),
    _repository("create", OTHERS, None, 2.0),
    _repository("set_private", HERS, True),
    _rights("create_group", "team", 3.0),
    _rights("add_to_group", "team", "alice"),
    _rights("create_namespace", "team", [ALICE], None, 4.0),
    _rights("set_new_private", "team", True),
    _rights("set_member", "team", Member(TEAM, Role.WRITER)),
    _rights("remove_member", "team", ALICE),
    _rights("grant", TEAM, RepositoryPattern("team/*"), [Action.PULL], 5.0),
    _rights("grant", BOB, RepositoryPattern("alice/app"), EVERYTHING, 5.0),
    _rights("revoke", BOB, RepositoryPattern("alice/app"), [Action.DELETE]),
    _rights("remove_from_group", "team", "alice"),
    _rights("add_to_group", "team", "bob"),
    _rights("delete_group", "team"),
    _rights("delete_namespace", "team"),
    _blob("record_in", HERS, LAYER, None, "alice", 6.0, 100.0),
    _blob("record_in", OTHERS, LAYER, None, None, 6.0, 100.0),
    _blob("record", CONFIG, None, 100.0),
    _blob("learn", LAYER.digest, LayerFacts("gzip", None, None, None)),
    _of(None, "note", "conditions", LAYER, Condition.MISSING, 7.0),
    _blob("record_in", HERS, some_blob(generation="second"), None, "alice", 8.0, 100.0),
    _blob("unlink", OTHERS, LAYER.digest),
    _of(None, "set_quota", "quotas", "alice", 1 << 30),
    _of(None, "set_quota", "quotas", "alice", None),
    _of(None, "settle", "quotas"),
    _of(IKeyStore, "add", "keys", "v1", SigningKey("two", b"secret", 2.0)),
    _of(IKeyStore, "remove", "keys", "v1", "one"),
    _of(None, "expire", "uploads", 9.0, 10),
    _of(None, "put", "manifests", HERS, MANIFEST, [Tag("new")], "alice", 9.0, Sparse.ALL, True),
    _of(None, "put", "manifests", HERS, evolve(MANIFEST, content=b"mended"), (), "alice", 9.0, Sparse.ALL, True),
    _of(None, "set_imageless", "images", HERS, MANIFEST.digest),
    Change(IRepositoryStore, "tag_image", _tag_image),
    _repository("delete_tag", HERS, Tag("v1"), 10.0),
    _of(None, "delete", "manifests", HERS, VIEW.digest),
    _repository("delete", HERS, 11.0),
    _repository("create", HERS, "alice", 12.0),
    _account("delete", "alice", 13.0, "bob"),
    _account("create", "alice", "hash", "", False, 14.0, again=True),
)
#: What changes nothing; ``get`` of keys makes the first one.
_READING = {
    IRightsStore: {"get_group", "list_groups", "get_namespace", "list_namespaces", "list_grants", "find", "find_each"}
    | {"find_all"},
    IAccountStore: {"get", "list_all", "list_robots"},
    IRepositoryStore: {"get", "search", "list_tags", "get_tag", "tag_names", "listed"},
    IKeyStore: {"get", "list_all"},
}


class LastingCase(SQLiteCase):
    """Questions whose answers last, asked of stores on one file."""

    async def answers(self, store: SQLMetadataStore) -> dict[str, object]:
        """What a store says of everything that lasts."""
        robot = Subject.account("alice+ci")
        people: list[list[Subject]] = [[ALICE, AUTHENTICATED], [BOB, AUTHENTICATED], [robot, AUTHENTICATED], []]
        names = (HERS, OTHERS)
        questions: dict[str, Awaitable[object]] = {
            **{f"{who} in {name}": store.rights.find(who, name) for who in people for name in names},
            **{f"{who} anywhere": store.rights.find_all(who) for who in people},
            **{f"account {name}": store.accounts.get(name) for name in ("alice", "bob", "alice+ci")},
            **{f"repository {name}": store.repositories.get(name) for name in names},
            **{f"blob of {name}": store.blobs.find_in(name, LAYER.digest) for name in names},
            "keys": store.keys.get("other", lambda: SigningKey("first", b"secret", 1.0)),
            "keys of v1": self.keys(store),
            **{f"{each.digest}": store.manifests.get(HERS, each.digest) for each in (MANIFEST, VIEW)},
            "origins": store.manifests.origins(CONFIG.digest),
            "quotas": store.quotas.is_counting(),
            "horizon": store.uploads.begins_after(),
        }
        return {text: await self.answer(question) for text, question in questions.items()}

    async def keys(self, store: SQLMetadataStore) -> object:
        """The keys of a purpose, of which ``get`` would make one."""
        with contextlib.suppress(ZeroDivisionError):
            return await store.keys.get("v1", lambda: 1 // 0)  # type: ignore[arg-type,return-value]
        return []

    async def answer(self, question: Awaitable[object]) -> object:
        """What was found, or the error."""
        try:
            found = await question
        except RegistryError as problem:
            return repr(problem)
        return [*found] if isinstance(found, Iterable) and not isinstance(found, Standing) else found

    async def unremembered(self) -> SQLMetadataStore:
        """A store that asks each time."""
        store = await self.opened()
        store._database.near.close()
        return store


class ChangeTests(LastingCase):
    """Whatever changes an answer is seen at once, by whoever has kept the one before."""

    async def test_changes(self) -> None:
        """Each change by another store, and by the store itself, is seen in each answer."""
        for own in (False, True):
            self.path = Path(self.mktemp()) / "dockreg.sqlite"
            keeping, other, asking = await self.opened(), await self.opened(), await self.unremembered()
            before = await self.answers(keeping)
            seen = 0
            for change in CHANGES_TO_TRY:
                await change.work(keeping if own else other)
                now = await self.answers(asking)
                self.assertEqual(now, await self.answers(keeping), change.method)
                seen += now != before
                before = now
            # Tags come and go without a change, so do a quota beside others and a blob of no repository.
            self.assertGreater(seen, len(CHANGES_TO_TRY) - 9)

    def test_all(self) -> None:
        """Each method that changes rights, accounts, keys or repositories is tried."""
        for interface, reading in _READING.items():
            tried = {change.method for change in CHANGES_TO_TRY if change.interface is interface}
            self.assertEqual(set(interface.names()) - reading, tried)

    async def test_another_program(self) -> None:
        """So is what is written with no program of ours."""
        store = await self.opened()
        await store.repositories.create(HERS, None, 1.0)
        await store.repositories.get(HERS)
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.execute("UPDATE repositories SET private = 1")
            connection.commit()
        self.assertTrue((await store.repositories.get(HERS)).private)

    async def test_within_a_moment(self) -> None:
        """A moment may end before a change, or after it; never is an answer kept that is neither."""
        one, other = await self.opened(), await self.opened()
        await one.repositories.create(HERS, None, 1.0)
        await one.repositories.get(HERS)
        one.begin_moment()
        self.assertFalse((await one.repositories.get(HERS)).private)
        await other.repositories.set_private(HERS, True)
        self.assertFalse((await one.repositories.get(HERS)).private)
        one.end_moment()
        self.assertTrue((await one.repositories.get(HERS)).private)


class DependenceTests(LastingCase):
    """What the answers depend on is what ends them."""

    async def test_read(self) -> None:
        """All tables and columns that are read for answers that last have triggers, but for what changes none."""
        store = await self.opened()
        for change in CHANGES_TO_TRY[:23]:
            await change.work(store)
        await _tag_image(store)
        read: set[tuple[str, str]] = set()
        queries: set[str] = set()
        cursor = store._database.near._cursor
        assert cursor is not None
        driver = cursor.connection

        def note(action: int, table: str | None, column: str | None, _database: object, _trigger: object) -> int:
            if action == sqlite3.SQLITE_READ and table != "lasting_version":
                read.add((str(table), str(column)))
            return sqlite3.SQLITE_OK

        def look(reads: NearReads, query: Callable[..., Any], args: tuple[Any, ...]) -> Any:
            queries.add(f"{query.__module__}.{query.__name__}")
            return looked(reads, query, args)

        looked = NearReads.look
        self.patch(NearReads, "look", look)
        driver.set_authorizer(note)
        await self.answers(store)
        driver.set_authorizer(None)
        self.assertEqual(_asked_for(), queries)
        for table, column in sorted(read):
            changes = CHANGES[table]
            for kind in ("INSERT", "DELETE"):
                self.assertTrue(kind in changes or (kind, table) in _HARMLESS, (kind, table))
            columns = next(change for change in changes if change.startswith("UPDATE")).removeprefix("UPDATE")
            self.assertTrue(not columns or not column or column in re.findall(r"\w+", columns), (table, column))


class LastTests(LastingCase):
    """What is written all the time ends nothing."""

    async def test_lasts(self) -> None:
        """Blobs, sessions, leases, manifests and tags come, and nothing is asked again."""
        store = await self.opened()
        await store.repositories.create(HERS, "alice", 1.0)
        await store.blobs.record_in(HERS, LAYER, None, "alice", 1.0, 100.0)
        await store.accounts.create("alice", "hash", "", False, 1.0)
        await store.keys.add("v1", SigningKey("one", b"secret", 1.0))
        await store.blobs.record_in(HERS, CONFIG, None, "alice", 1.0, 100.0)
        await store.manifests.put(HERS, VIEW, (), "alice", 1.0, Sparse.ALL, True)
        asked: list[str] = []

        def look(reads: NearReads, query: Callable[..., Any], args: tuple[Any, ...]) -> Any:
            asked.append(query.__name__)
            return looked(reads, query, args)

        looked = NearReads.look
        await self.wanted(store)
        self.patch(NearReads, "look", look)
        writes: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: store.blobs.record_in(HERS, some_blob(b"new"), None, "alice", 2.0, 200.0),
            lambda: store.blobs.record_in(HERS, LAYER, None, "alice", 2.0, 300.0),
            lambda: store.manifests.put(HERS, MANIFEST, [Tag("new")], "alice", 2.0, Sparse.NONE, True),
            lambda: store.manifests.put(HERS, MANIFEST, [Tag("newer")], "alice", 2.0, Sparse.NONE, True),
            lambda: store.uploads.start(SESSION, 200.0),
        )
        for write in writes:
            await write()
            await self.wanted(store)
        self.assertEqual([], asked)

    async def wanted(self, store: SQLMetadataStore) -> None:
        """What a push asks for."""
        await store.rights.find([ALICE], HERS)
        await store.accounts.get("alice")
        await store.repositories.get(HERS)
        await store.keys.get("v1", lambda: SigningKey("no", b"", 1.0))
        await store.blobs.find_in(HERS, LAYER.digest)
        await store.quotas.is_counting()
        await store.manifests.origins(CONFIG.digest)
        await store.manifests.get(HERS, VIEW.digest)
        await store.uploads.begins_after()

    async def test_nothing(self) -> None:
        """That there is no such blob does not last: it may come at any time."""
        one, other = await self.opened(), await self.opened()
        self.assertIsNone(await one.blobs.find_in(HERS, LAYER.digest))
        await other.repositories.create(HERS, None, 1.0)
        self.assertIsNone(await one.blobs.find_in(HERS, LAYER.digest))
        await other.blobs.record_in(HERS, LAYER, None, None, 1.0, 100.0)
        self.assertEqual(LAYER, await one.blobs.find_in(HERS, LAYER.digest))

    async def test_same(self) -> None:
        """A standing that was kept is the same object, so that nobody need judge it again."""
        store = await self.opened()
        await store.repositories.create(HERS, None, 1.0)
        first = await store.rights.find([ALICE], HERS)
        await store.blobs.record_in(HERS, LAYER, None, None, 1.0, 100.0)
        self.assertIs(first, await store.rights.find([ALICE], HERS))
        await store.repositories.set_private(HERS, True)
        self.assertIsNot(first, await store.rights.find([ALICE], HERS))

    async def test_rolled_back(self) -> None:
        """A change that did not take place ends nothing either."""
        store = await self.opened()
        await store.repositories.create(HERS, None, 1.0)
        first = await store.repositories.get(HERS)

        def fail(connection: Connection) -> None:
            connection.execute(text("UPDATE repositories SET private = 1"))
            raise ZeroDivisionError

        await self.raises(ZeroDivisionError, store._database.write(fail))
        self.assertIs(first, await store.repositories.get(HERS))


def _asked_for() -> set[str]:
    """The queries whose answers last, by the sources of the package."""
    found = set()
    for path in Path(str(package.__file__)).parent.glob("*.py"):
        for query in re.findall(r"find_lasting\((\w+(?:\.\w+)?)", path.read_text()):
            if query != "self":
                module, _, name = query.rpartition(".")
                found.add(f"{package.__name__}.{module or path.stem}.{name}")
    return found
