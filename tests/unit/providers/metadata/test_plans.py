"""
How SQLite finds what the lists and lookups of v2 ask for: by an index, whatever there is beside it.

The statements are those that the store sends. A plan is what ``EXPLAIN QUERY PLAN`` tells of one (SQLite documentation,
"EXPLAIN QUERY PLAN").
"""

import sqlite3
from collections.abc import Coroutine
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.access import Action
from dockreg.model.attempts import Limit
from dockreg.model.blobs import NOTHING_RECEIVED
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_MANIFEST
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.repositories import Sparse
from dockreg.model.rights import ANYBODY, AUTHENTICATED, Subject
from dockreg.model.uploads import UploadSession
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.providers.metadata.tables import blobs, manifests, repositories, repository_blobs, tags
from dockreg.providers.metadata.tables_access import account_group_members, grants, namespace_members, namespaces
from dockreg.providers.metadata.tables_people import login_attempts
from dockreg.testing.contracts_metadata import some_blob
from dockreg.testing.contracts_repositories import some_manifest
from tests.unit.providers.blobs.threads import at_once
from tests.unit.statements import statements

MANY_TAGS, MANY_REPOSITORIES = 5000, 1000
LAYER, CONFIG = Digest.sha256(b"layer"), Digest.sha256(b"config")
SUBJECT = Digest.sha256(b"subject")
MANIFEST = some_manifest([LAYER])
LARGE = RepositoryName("r/large")
#: The database outlives a test, which may be run again.
_numbers = count()
#: Steps that are no search, and look at one row whatever there is.
_OF_ONE_ROW = ("SCAN CONSTANT ROW", "SCAN quota_state", "SCAN one")
_IGNORED = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA", "INSERT")


class PlanCase(SynchronousTestCase):
    """A large database, made once, and the plans of what is asked of it."""

    _database: ClassVar[Path | None] = None

    def setUp(self) -> None:
        path = type(self)._database
        if path is None:
            path = type(self)._database = Path(self.mktemp()).absolute() / "metadata.sqlite3"
        made = path.exists()
        self.store = SQLMetadataStore(f"sqlite:///{path}", at_once)
        self.result(self.store.open())
        self.addCleanup(lambda: self.result(self.store.close()))
        if not made:
            self.fill(path)

    def result(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fill(self, path: Path) -> None:
        """Put much into a database that is open."""
        raise NotImplementedError

    def plans(self, work: Coroutine[Any, Any, Any]) -> list[list[str]]:
        """The plan of each statement that ``work`` executes."""
        with statements() as every:
            self.result(work)
        seen = [(statement, values) for statement, values in every if not statement.startswith(_IGNORED)]
        path = type(self)._database
        assert path is not None
        database = sqlite3.connect(path)
        try:
            return [
                [
                    row[3]
                    for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", values)
                    if row[3] not in _OF_ONE_ROW
                ]
                for statement, values in seen
            ]
        finally:
            database.close()

    def check(self, work: Coroutine[Any, Any, Any], *expected: str) -> None:
        """Each step is a search, none is a sort, and the last statement searches by what is expected."""
        plans = self.plans(work)
        for step in (step for plan in plans for step in plan):
            self.assertNotIn("SCAN", step)
            self.assertNotIn("TEMP B-TREE", step, "what is found is sorted")
        searches = "\n".join(plans[-1])
        for part in expected:
            self.assertIn(part, searches)


class PlanTests(PlanCase):
    """The plans of a database with many tags in one repository, and many repositories."""

    _database: ClassVar[Path | None] = None

    def fill(self, path: Path) -> None:
        """One repository through the store; the others, and its tags, are copies of its rows."""
        for content in (b"layer", b"config"):
            self.result(self.store.blobs.record_in(LARGE, some_blob(content), None, None, 1.0, 2.0))
        for tag in ("latest", "other"):
            self.result(self.store.manifests.put(LARGE, MANIFEST, [Tag(tag)], None, 1.0, Sparse.NONE, True))
        referrer = evolve(
            some_manifest([]), subject=Descriptor(OCI_MANIFEST, SUBJECT, 7), artifact_type="application/x"
        )
        self.result(self.store.manifests.put(LARGE, referrer, (), None, 1.0, Sparse.NONE, True))
        for number in range(20):
            session = UploadSession(f"session-{number:010}", LARGE, None, "sha256", NOTHING_RECEIVED, 1.0)
            self.result(self.store.uploads.start(session, 10.0 * number))
        database = sqlite3.connect(path)
        with database:
            _copy(database, repositories.name, MANY_REPOSITORIES, "1", key="NULL", name="'r/' || printf('%06d', n)")
            for table in (repository_blobs, manifests):
                _copy_for_all(database, table.name, [column.name for column in table.columns])
            _copy(database, tags.name, MANY_TAGS, "name = 'latest'", name="printf('v%06d', n)")
            # What is there without anybody to ask for it.
            generation, digest = "printf('generation-%06d', n)", "printf('sha256:%064d', n)"
            _copy(database, blobs.name, 2000, f"digest = '{LAYER}'", digest=digest, generation=generation)
            _copy(database, manifests.name, 2000, f"digest = '{MANIFEST.digest}'", key="NULL", digest=digest)
        database.close()

    def test_filled(self) -> None:
        """There is as much as the tests say."""
        names = self.result(self.store.repositories.listed("", 2 * MANY_REPOSITORIES))
        self.assertEqual(MANY_REPOSITORIES + 1, len(names))
        self.assertEqual(MANY_TAGS + 2, len(self.result(self.store.repositories.tag_names(LARGE, "", 2 * MANY_TAGS))))
        self.assertEqual(1, len(self.result(self.store.manifests.list_referrers(LARGE, SUBJECT, None, "", 10))))

    def test_shown(self) -> None:
        """A statement that has to read a whole table, or to sort, would be seen."""
        self.assertIn("SCAN accounts", str(self.plans(self.store.accounts.list_all())))
        self.assertRaises(self.failureException, self.check, self.store.accounts.list_all())

    def test_tag_names(self) -> None:
        """A page of tags begins at its first one."""
        for after in ("", "v004900"):
            self.check(self.store.repositories.tag_names(LARGE, after, 100), "tags USING", "name>?")

    def test_names(self) -> None:
        """A page of repositories begins at its first one, and each is looked up among the manifests."""
        for after in ("", "r/000900"):
            self.check(
                self.store.repositories.listed(after, 100), "(name>?)", "SEARCH manifests USING", "(repository_key=?)"
            )

    def test_referrers(self) -> None:
        """Referrers are found by their subject, and come in order, not by a look at all manifests of the repository."""
        for artifact_type in (None, "application/x"):
            found = self.store.manifests.list_referrers(LARGE, SUBJECT, artifact_type, "", 10)
            self.check(found, "(repository_key=? AND subject=? AND digest>?)")

    def test_manifest(self) -> None:
        """A manifest is found by tag, and by digest."""
        get = self.store.manifests.get
        self.check(get(LARGE, Tag("v002000")), "(name=?)", "(repository_key=? AND name=?)", "PRIMARY KEY (rowid=?)")
        self.check(get(LARGE, MANIFEST.digest), "(name=?)", "(repository_key=? AND digest=?)")

    def test_tag(self) -> None:
        """A tag is found by its name."""
        self.check(self.store.repositories.get_tag(LARGE, Tag("v002000")), "(repository_key=? AND name=?)")

    def test_blob(self) -> None:
        """A blob of a repository is found by both."""
        self.check(self.store.blobs.find_in(LARGE, LAYER), "(name=?)", "(repository_key=? AND digest=?)")

    def test_holders(self) -> None:
        """The first few repositories that hold a blob are found without a look at all that do."""
        self.check(self.store.blobs.holders(LAYER, 100), "repository_blobs USING", "(digest=?")

    def test_with_config(self) -> None:
        """Manifests are found by their config."""
        self.check(self.store.images.with_config(CONFIG), "(config_digest=?)")

    def test_origins(self) -> None:
        """So are the v1 images that have it, of which the latest are kept."""
        plans = self.plans(self.store.manifests.origins(CONFIG))
        self.assertNotIn("SCAN", str(plans))
        self.assertIn("(config_digest=?)", str(plans))

    def test_sessions(self) -> None:
        """An upload session is found by its id, and those that are over by their lease."""
        self.check(self.store.uploads.get(LARGE, "session-0000000019"), "(upload_id=?)")
        plans = self.plans(self.store.uploads.expire(15.0, 10))
        self.assertIn("(leased_until<?)", "".join(plans[0]))
        self.assertNotIn("TEMP B-TREE", str(plans))
        self.assertNotIn("SCAN", str(plans))

    def test_push(self) -> None:
        """A push and a deletion look at nothing that is not theirs."""
        other = some_manifest([], b"layer")
        tag = [Tag("pushed")]
        self.check(self.store.manifests.put(LARGE, other, tag, None, 1.0, Sparse.NONE, True))
        self.check(self.store.repositories.delete_tag(LARGE, tag[0], 9.0), "manifests USING INTEGER PRIMARY KEY")
        self.assertNotIn("SCAN", str(self.plans(self.store.manifests.delete(LARGE, other.digest))))

    def test_link(self) -> None:
        """To make a blob part of a repository takes no look at the manifests of others that refer to it."""
        name = RepositoryName(f"r/new-{next(_numbers)}")
        plans = self.plans(self.store.blobs.mount(name, LARGE, LAYER, None, 1.0, 2.0))
        self.assertNotIn("SCAN", str(plans))
        (held,) = [plan for plan in plans if "manifest_blobs" in str(plan)]
        self.assertNotIn("ix_manifest_blobs_digest ", str(held), "finds all that refer to the blob, held or not")
        self.assertNotIn("LIST SUBQUERY", str(held), "lists all manifests of the repository")


class StandingPlanTests(PlanCase):
    """The plans of what is asked about rights, where many have many."""

    ANNA: ClassVar = Subject.account("anna")
    _database: ClassVar[Path | None] = None

    def fill(self, path: Path) -> None:
        rights = self.store.rights
        for name in ("dev", "ops"):
            self.result(rights.create_group(name, 1.0))
            self.result(rights.add_to_group(name, "anna"))
        self.result(rights.create_namespace("r", [self.ANNA, Subject.group("dev")], False, 1.0))
        for subject, pattern in ((self.ANNA, "r/large"), (Subject.group("dev"), "r/**"), (ANYBODY, "r/large")):
            self.result(rights.grant(subject, RepositoryPattern(pattern), {Action.PULL}, 1.0))
        database = sqlite3.connect(path)
        with database:
            of_anna, of_many = "subject = 'anna'", "printf('u%06d', n)"
            _copy(database, grants.name, 5000, of_anna, pattern="printf('r/%06d', n)")
            _copy(database, grants.name, 5000, "wild", subject=of_many)
            _copy(database, namespaces.name, 1000, "name = 'r'", name="printf('n%06d', n)")
            _copy(database, namespace_members.name, 5000, of_anna, subject=of_many)
            _copy(database, account_group_members.name, 5000, "group_name = 'dev'", account=of_many)
        database.close()

    def test_standing(self) -> None:
        """What concerns somebody and a few repositories is found by both, in one statement."""
        subjects = {self.ANNA, AUTHENTICATED, ANYBODY}
        rights = self.store.rights
        names = [LARGE, RepositoryName("r/000007"), RepositoryName("busybox")]
        for work in (rights.find(subjects, LARGE), rights.find_each(subjects, names)):
            (plan,) = self.plans(work)
            self.assertNotIn("SCAN", str(plan))
            self.assertIn("SEARCH grants USING INDEX sqlite_autoindex_grants_1 (subject=? AND pattern=?)", plan)
            self.assertIn("SEARCH grants USING INDEX ix_grants_subject_wild (subject=? AND wild=?)", plan)
            self.assertIn("(account=?)", str(plan))
            self.assertIn("(namespace=? AND subject=?)", str(plan))

    def test_everywhere(self) -> None:
        """So is all that concerns somebody."""
        (plan,) = self.plans(self.store.rights.find_all({self.ANNA, ANYBODY}))
        self.assertNotIn("SCAN", str(plan))


class AttemptPlanTests(PlanCase):
    """The plans of what every login asks, where many have failed."""

    _database: ClassVar[Path | None] = None
    LIMITS: ClassVar = {bytes([number]) * 32: Limit(3, 1.0, 8.0, 100.0) for number in range(3)}

    def fill(self, path: Path) -> None:
        self.result(self.store.attempts.fail(self.LIMITS, 1000.0))
        database = sqlite3.connect(path)
        with database:
            _copy(database, login_attempts.name, 5000, "failures = 1", key="randomblob(32)", expires_at="1100 + n")
        database.close()

    def test_keys(self) -> None:
        """Counts are found by their keys."""
        attempts = self.store.attempts
        for work in (
            attempts.find(tuple(self.LIMITS)),
            attempts.begin(self.LIMITS, 1001.0),
            attempts.fail(self.LIMITS, 1001.0),
            attempts.succeed(bytes(32), 1001.0, 2000.0),
        ):
            self.check(work, "SEARCH login_attempts USING", "(key=?)")

    def test_expired(self) -> None:
        """What is over is found by when."""
        plans = self.plans(self.store.attempts.expire(900.0, 1_000_000))
        self.assertIn("SEARCH login_attempts USING INDEX ix_login_attempts_expires_at (expires_at<?)", plans[0])


def _copy(database: sqlite3.Connection, table: str, count: int, where: str, **changed: str) -> None:
    """Insert so many copies of a row; ``n`` counts them in the expressions for columns that differ."""
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(changed.get(column, f'"{column}"') for column in columns)
    database.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
        f"INSERT INTO {table} SELECT {values} FROM numbers, (SELECT * FROM {table} WHERE {where} LIMIT 1)"
    )


def _copy_for_all(database: sqlite3.Connection, table: str, columns: list[str]) -> None:
    """Give each repository that was made of the first one what that has of a table."""
    changed = {"key": "NULL", "repository_key": "repositories.key"}
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(changed.get(column, f'{table}."{column}"') for column in columns)
    database.execute(
        f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}, repositories "
        f"WHERE {table}.repository_key = 1 AND repositories.key > 1"
    )
