"""Quotas when many push at once: several stores, as several processes have, with threads, on SQLite and PostgreSQL."""

from random import Random  # seeded
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from dockreg.errors_quotas import QuotaExceeded
from dockreg.model.names import RepositoryName
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.testing import contracts_quotas
from dockreg.testing.contracts_metadata import some_blob
from tests.integration import test_postgresql
from tests.integration.postgresql import made_database
from tests.quotacase import DEEDS, World

_STORES, _PEOPLE, _STEPS = 3, 6, 25


class SQLiteQuotaRaceTests(TestCase):
    """On one file."""

    timeout = 240

    async def opened(self) -> list[SQLMetadataStore]:
        """Stores of one database."""
        url = self.url()
        stores = [SQLMetadataStore(url, deferToThread) for _ in range(_STORES)]
        for store in stores:
            await store.open()
            self.addCleanup(store.close)
        return stores

    def url(self) -> str:
        """An empty database."""
        return f"sqlite:///{self.mktemp()}/metadata.sqlite3"

    async def test_truth(self) -> None:
        """Whatever many do at once, what is noted is what a new count says."""
        stores = await self.opened()
        worlds = [World(store, "race") for store in stores]
        for namespace, quota in zip(worlds[0].namespaces, (20, 40), strict=True):
            await stores[0].quotas.set_quota(namespace, quota)

        async def live(number: int) -> None:
            choice = Random(number)
            for _ in range(_STEPS):
                await worlds[number % _STORES].do(choice.choice(DEEDS), *(choice.randrange(8) for _ in range(3)))

        await gatherResults([Deferred.fromCoroutine(live(number)) for number in range(_PEOPLE)], consumeErrors=True)
        self.assertEqual([], await worlds[0].wrong())
        for namespace, quota in zip(worlds[0].namespaces, (20, 40), strict=True):
            usage = await stores[0].quotas.usage(namespace)
            self.assertLessEqual(usage.used + usage.reserved, quota)

    async def test_no_overshoot(self) -> None:
        """Of blobs that fit one by one, and not together, exactly those are taken that fit."""
        stores = await self.opened()
        await stores[0].quotas.set_quota("team", 35)

        async def push(number: int) -> bool:
            blob = some_blob(b"%010d" % number)
            store, name = stores[number % _STORES], RepositoryName(f"team/r{number}")
            try:
                await store.blobs.record_in(name, blob, None, None, 1.0, 2.0)
            except QuotaExceeded:
                return False
            return True

        pushing: list[Any] = [Deferred.fromCoroutine(push(number)) for number in range(12)]
        self.assertEqual(3, sum(await gatherResults(pushing, consumeErrors=True)))
        self.assertEqual(30, (await stores[0].quotas.usage("team")).used)

    async def test_begun_meanwhile(self) -> None:
        """A count that begins while others push misses none of what they push."""
        stores = await self.opened()

        async def push(number: int) -> None:
            name = RepositoryName(f"team/r{number % 4}")
            await stores[number % _STORES].blobs.record_in(name, some_blob(b"%04d" % number), None, None, 1.0, 2.0)

        work = [push(number) for number in range(30)]
        work.insert(10, self.begin(stores[1]))
        await gatherResults([Deferred.fromCoroutine(each) for each in work], consumeErrors=True)
        self.assertEqual(120, (await stores[0].quotas.usage("team")).used)
        self.assertEqual([], await World(stores[0], "race").wrong())

    async def begin(self, store: SQLMetadataStore) -> None:
        """Set the first quota."""
        await store.quotas.set_quota("team", 10_000)


class PostgreSQLQuotaRaceTests(SQLiteQuotaRaceTests):
    """On a server."""

    def url(self) -> str:
        """An empty database."""
        return made_database()


class PostgreSQLQuotaStoreTests(test_postgresql._OnPostgreSQL, contracts_quotas.QuotaStoreContract):
    """The promises about what is used."""


class PostgreSQLReservationTests(test_postgresql._OnPostgreSQL, contracts_quotas.ReservationContract):
    """The promises about what is reserved."""
