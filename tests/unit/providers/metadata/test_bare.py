"""Statements that the driver of SQLite executes without SQLAlchemy."""

from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    create_engine,
    delete,
    exc,
    insert,
    select,
    text,
    update,
)
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.metadata.bare import BareConnection, Found, Statements, statements_of

THINGS = Table(
    "things",
    MetaData(),
    Column("key", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("content", LargeBinary),
    Column("good", Boolean),
)
ALL = select(THINGS).order_by(THINGS.c.key)
BY_NAME = select(THINGS.c.key, THINGS.c.good).where(THINGS.c.name == bindparam("wanted"))
AMONG = select(THINGS.c.name).where(THINGS.c.name.in_(bindparam("names", expanding=True))).order_by(THINGS.c.name)
FIRST = select(THINGS.c.name).order_by(THINGS.c.name).limit(1)
ADD = insert(THINGS)
RENAME = update(THINGS).where(THINGS.c.name == bindparam("old"))
REMOVE = delete(THINGS).where(THINGS.c.name == bindparam("wanted"))
SHARED = select(THINGS.c.key)
ROWS = [{"name": "a", "content": b"x", "good": True}, {"name": "b", "content": None, "good": None}]


class BareConnectionTests(SynchronousTestCase):
    """The same comes of a statement whoever executes it."""

    def setUp(self) -> None:
        engine = create_engine(f"sqlite:///{Path(self.mktemp())}")
        self.addCleanup(engine.dispose)
        self.pooled = engine.connect()
        self.addCleanup(self.pooled.close)
        driver: Any = self.pooled.connection.driver_connection
        driver.isolation_level = None
        THINGS.create(self.pooled)
        self.pooled.commit()
        self.statements = Statements(engine.dialect)
        self.connection = BareConnection(self.pooled, self.statements)
        self.connection.run("BEGIN")
        self.addCleanup(self.connection.rollback)

    def twice(self, statement: Any, parameters: Any = None) -> list[list[tuple[Any, ...]]]:
        """What a query finds the first time, which is SQLAlchemy's, and then the driver's."""
        found = [self.connection.execute(statement, parameters) for _ in range(2)]
        self.assertEqual([False, True], [isinstance(each, Found) for each in found])
        return [[tuple(row) for row in each] for each in found]

    def fill(self) -> None:
        self.connection.execute(ADD, ROWS)

    def test_rows(self) -> None:
        """Rows have the same values, of the same types, under the same names."""
        self.fill()
        first, second = self.twice(ALL)
        self.assertEqual([(1, "a", b"x", True), (2, "b", None, None)], first)
        self.assertEqual(first, second)
        self.assertIs(True, second[0][3])
        row = self.connection.execute(ALL).first()
        self.assertEqual((1, "a", b"x", True), (row.key, row.name, row.content, row.good))

    def test_parameters(self) -> None:
        """Parameters are found by their names; one without a value is our mistake."""
        self.fill()
        self.assertEqual([[(1, True)], [(1, True)]], self.twice(BY_NAME, {"wanted": "a"}))
        self.assertRaises(exc.InvalidRequestError, self.connection.execute, BY_NAME, {"unwanted": "a"})
        self.assertEqual([[("a",)], [("a",)]], self.twice(FIRST))

    def test_insert(self) -> None:
        """One row has the key that it got; several are inserted at once; each set of columns is a statement of its own."""
        for number, name in enumerate(("c", "d", "e"), 1):
            added = self.connection.execute(ADD, {"name": name})
            self.assertEqual(number, added.inserted_primary_key[0])
        self.assertIsInstance(added, Found)
        for first in (10, 20):
            rows = [{"key": first + each, "name": f"{first}{each}", "good": False} for each in range(2)]
            self.connection.execute(ADD, rows)
        self.assertEqual(
            ["c", "d", "e", "100", "101", "200", "201"], [row.name for row in self.connection.execute(ALL)]
        )

    def test_changes(self) -> None:
        """Updates and deletions tell how many rows they were about."""
        self.fill()
        counts = [self.connection.execute(RENAME, {"old": name, "name": "z"}).rowcount for name in ("a", "x", "z")]
        self.assertEqual([1, 0, 1], counts)
        self.assertEqual([1, 0], [self.connection.execute(REMOVE, {"wanted": "z"}).rowcount for _ in range(2)])

    def test_lists(self) -> None:
        """A parameter that stands for several is left to SQLAlchemy, in the same transaction."""
        self.fill()
        for names in (["a"], ["a", "b"], []):
            self.assertEqual(names, list(self.connection.execute(AMONG, {"names": names}).scalars()))
        self.connection.rollback()
        self.connection.run("BEGIN")
        self.assertEqual([], self.connection.execute(AMONG, {"names": ["a", "b"]}).all())

    def test_results(self) -> None:
        """Each way to take a result is that of SQLAlchemy, what it refuses included."""
        self.fill()
        for _ in range(2):
            named = {name: self.connection.execute(BY_NAME, {"wanted": name}) for name in ("a", "none")}
            self.assertEqual([1, None], [each.scalar_one_or_none() for each in named.values()])
            every = [self.connection.execute(ALL) for _ in range(5)]
            self.assertEqual(([1, 2], 1, 2), (every[0].scalars().all(), every[1].scalar(), len(every[2].all())))
            self.assertRaises(exc.MultipleResultsFound, every[3].one_or_none)
            self.assertRaises(exc.MultipleResultsFound, every[4].scalar_one)
            none = [self.connection.execute(BY_NAME, {"wanted": "none"}) for _ in range(5)]
            self.assertEqual(
                (None, None, [], None), (none[0].first(), none[1].scalar(), list(none[2].all()), none[3].one_or_none())
            )
            self.assertRaises(exc.NoResultFound, none[4].one)

    def test_errors(self) -> None:
        """What the driver complains about is named as SQLAlchemy names it, without the values."""
        for _ in range(3):
            self.connection.execute(ADD, {"name": "a"}) if not self.connection.execute(ALL).all() else None
            caught = self.assertRaises(exc.IntegrityError, self.connection.execute, ADD, {"name": "a"})
            self.assertNotIn("'a'", str(caught))
        self.assertRaises(exc.OperationalError, self.connection.run, "NONSENSE")

    def test_transactions(self) -> None:
        """Both are in one transaction: its end is the end of what both have done."""
        self.fill()
        self.connection.execute(text("UPDATE things SET name = 'x' WHERE name = 'a'"))
        self.connection.rollback()
        self.connection.run("BEGIN")
        self.assertEqual([], self.connection.execute(ALL).all())
        for _ in range(2):
            part = self.connection.begin_nested()
            self.fill()
            part.rollback()
        part = self.connection.begin_nested()
        self.fill()
        part.commit()
        self.connection.commit()
        self.connection.run("BEGIN")
        self.assertEqual(["a", "b"], [row.name for row in self.connection.execute(ALL)])

    def test_only_again(self) -> None:
        """A statement that is executed once, and gone then, is not remembered."""
        for number in range(10):
            self.connection.execute(select(THINGS).where(THINGS.c.key == number))
        self.assertLess(len(self.statements._seen), 10)

    def test_shared(self) -> None:
        """What was made of a statement for one database serves the others of the process."""
        first, second = (create_engine(f"sqlite:///{self.mktemp()}") for _ in range(2))
        for engine, is_prepared in ((first, False), (first, True), (second, True)):
            with engine.connect() as pooled:
                THINGS.create(pooled, checkfirst=True)
                connection = BareConnection(pooled, statements_of(engine.dialect))
                connection.execute(ADD, {"name": "a"})
                found = connection.execute(SHARED)
                self.assertEqual((is_prepared, [(1,)]), (isinstance(found, Found), [tuple(row) for row in found][:1]))
            engine.dispose()
