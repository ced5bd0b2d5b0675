"""A soak: a daemon, its clients, and what must hold at the end."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, TextIO

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.faults import outside
from tests.faults.contents import Contents
from tests.faults.customer import Customer, Lost
from tests.processes import Daemon, PreparedDaemon
from tests.soak.clients import Client, EngineClient
from tests.soak.processes import MIB, Taken, children, is_running, taken
from tests.soak.requests import Connections

#: Times of collection, far shorter than those of a real registry.
INTERVAL, GRACE, LEASE, SESSION = 1.0, 2.0, 30.0, 60.0
_REPOSITORIES = 2
_ENGINES = 0.25
#: What a process may have more in the end, without clients, than after its first third, with clients.
_MORE_BYTES = 48 * MIB
_MORE_DESCRIPTORS = 8
_PATIENCE_SECONDS = 60.0


@frozen
class Plan:
    """What is asked for. Times in seconds."""

    folder: Path
    seconds: float = 120.0
    clients: int = 24
    seed: int = 0
    workers: int = 1
    #: Empty: SQLite.
    database: str = ""
    #: How many times the whole daemon is killed, and how many times one of its workers.
    kills: int = 0
    worker_kills: int = 0


@define(eq=False)
class Soak:
    """
    One run.

    :param out: where it tells how far it is.
    """

    plan: Plan
    reactor: Any
    out: TextIO = sys.stdout
    daemon: Daemon = field(init=False)
    failures: list[str] = field(factory=list)
    lost: int = 0
    killed: int = 0
    collects: bool = False
    _is_over: bool = False
    _is_down: bool = False
    _clients: Sequence[Client | EngineClient] = ()
    _began: float = 0.0
    _samples: list[list[Taken]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        kind = PreparedDaemon if self.plan.kills else Daemon
        self.daemon = kind(self.plan.folder, config=_configuration(self.plan))

    async def run(self) -> bool:
        """All of it; whether everything held."""
        connections = Connections(self.reactor, self.daemon.port, self.plan.clients)
        self._clients = self._made(connections)
        try:
            await deferToThread(self.daemon.start)
            self._samples.append(taken(self.daemon.pid))
            self._began = self.reactor.seconds()
            living = [Deferred.fromCoroutine(self._live(each)) for each in self._clients]
            killing = Deferred.fromCoroutine(self._kill())
            watching = Deferred.fromCoroutine(self._watch())
            await gatherResults([*living, killing, watching], consumeErrors=True)
            self.say(f"{connections.requests} requests, {connections.bytes / MIB:.0f} MiB")
            self.say(", ".join(f"{name}: {count}" for name, count in sorted(self._done().items())))
            if not self.failures:
                await self._end(connections)
        finally:
            await connections.close()
            await deferToThread(self.daemon.kill)
        if not self.failures:
            self.say("all of it held")
        for failure in self.failures:
            self.say(f"FAILED: {failure}")
        return not self.failures

    def say(self, text: str) -> None:
        """Tell something."""
        self.out.write(text + "\n")
        self.out.flush()

    def fail(self, what: str) -> None:
        """Something does not hold: the soak ends."""
        self.failures.append(what)
        self._is_over = True

    def _made(self, connections: Connections) -> Sequence[Client | EngineClient]:
        plan = self.plan
        contents = Contents(plan.seed)
        engines = int(plan.clients * _ENGINES)
        clients = []
        everybody: list[Customer] = []
        for number in range(plan.clients - engines):
            random = Random(f"{plan.seed} {number}")
            names = [f"soak/c{number}-{each}" for each in range(_REPOSITORIES)]
            customers = [Customer(name, connections.ask, contents, random, everybody) for name in names]
            everybody += customers
            clients.append(Client(number, random, connections, customers))
        old = [
            EngineClient.make(number, Random(f"{plan.seed} engine {number}"), self.reactor, self.daemon.port)
            for number in range(engines)
        ]
        return [*clients, *old]

    async def _live(self, client: Client | EngineClient) -> None:
        while not self._over():
            try:
                await client.act()
            except Lost as lost:
                if not self._may_be_lost():
                    self._tell(client, lost)
                    return
                self.lost += 1
                await self._again(client)
            except Exception as problem:  # noqa: BLE001  # whatever it is, it is told with what led to it
                self._tell(client, problem)
                return

    async def _again(self, client: Client | EngineClient) -> None:
        """The daemon is killed: wait for it, and look what has become of the last request."""
        while not self.failures:
            await deferLater(self.reactor, 0.05)
            if self._is_down:
                continue
            try:
                await client.settle()
            except Lost:
                continue
            except Exception as problem:  # noqa: BLE001  # as above
                self._tell(client, problem)
            return

    def _tell(self, client: Client | EngineClient, problem: Exception) -> None:
        sent = "\n".join(
            f"    {customer.name}: {each}" for customer in getattr(client, "customers", ()) for each in customer.sent
        )
        self.fail(
            f"{type(problem).__name__}: {problem}\n  seed {self.plan.seed}, after {self._passed():.1f} s, "
            f"last: {'; '.join(client.last)}\n{sent}"
        )

    def _may_be_lost(self) -> bool:
        return bool(self.plan.kills or self.plan.worker_kills)

    def _passed(self) -> float:
        seconds = self.reactor.seconds() - self._began
        assert isinstance(seconds, float)
        return seconds

    def _over(self) -> bool:
        return self._is_over or self._passed() >= self.plan.seconds

    async def _kill(self) -> None:
        plan = self.plan
        random = Random(f"{plan.seed} kills")
        orders = [True] * plan.kills + [False] * plan.worker_kills
        random.shuffle(orders)
        for whole in orders:
            await deferLater(self.reactor, random.uniform(0.3, 1.0) * plan.seconds / len(orders) * 0.7)
            if self._over():
                return
            if whole:
                await self._restart()
            else:
                victims = children(self.daemon.pid)
                if victims:
                    os.kill(random.choice(victims), signal.SIGKILL)
            self.killed += 1

    async def _restart(self) -> None:
        self._is_down = True
        workers = children(self.daemon.pid)
        await deferToThread(self.daemon.kill)
        # They have the port until they notice that they are alone.
        while any(is_running(each) for each in workers):
            await deferLater(self.reactor, 0.05)
        await deferToThread(self.daemon.start)
        self._is_down = False

    async def _watch(self) -> None:
        told = 0.0
        while not self._over():
            await deferLater(self.reactor, 1.0)
            if self._is_down:
                continue
            if not self._may_be_lost() and self._passed() > self.plan.seconds / 3:
                self._samples.append(taken(self.daemon.pid))
            if self._passed() >= told:
                told += max(10.0, self.plan.seconds / 20)
                total = sum(self._done().values())
                self.say(f"{self._passed():.0f} s: {total} operations, {self.killed} kills, {self.lost} lost answers")

    def _done(self) -> Counter[str]:
        return sum((each.done for each in self._clients), Counter())

    # The end

    async def _end(self, connections: Connections) -> None:
        """All that must be there is pulled; then all is deleted, and nothing may be left."""
        for client in self._clients:
            try:
                await client.check()
            except Exception as problem:  # noqa: BLE001  # as above
                self._tell(client, problem)
                return
        data, database = self.daemon.data, self.plan.database
        await self._eventually("with all images", lambda: outside.problems(data, database))
        if self.failures:
            return
        for name in [*self._repositories()]:
            status = (await connections.ask("DELETE", f"/v1/repositories/{name}/", None, {}))[0]
            if status not in (200, 404):
                self.fail(f"{name} could not be deleted: {status}")
        await connections.close()
        self._check_growth()
        if self._may_be_lost():
            # Who was cut off may come back to a session. Those that are over end when the daemon starts, or once an hour.
            await deferLater(self.reactor, SESSION)
            await self._restart()
        await deferLater(self.reactor, LEASE)
        if await deferToThread(self.daemon.command, "gc", "--full", "--no-grace"):
            self.fail("the last collection has failed")
        await self._eventually("with nothing", lambda: outside.leftovers(data, database))

    def _repositories(self) -> Iterator[str]:
        for client in self._clients:
            if isinstance(client, Client):
                yield from (customer.name for customer in client.customers)
            else:
                yield client.name

    async def _eventually(self, when: str, look: Any) -> None:
        """Nothing is wrong, after what goes on behind the answers."""
        deadline = self.reactor.seconds() + _PATIENCE_SECONDS
        while found := await deferToThread(look):
            if self.reactor.seconds() > deadline:
                self.fail(f"{when}: {len(found)} problems, {found[:10]}")
                return
            await deferLater(self.reactor, 0.5)

    def _check_growth(self) -> None:
        if len(self._samples) < 3:
            return
        first, early, last = self._samples[0], self._samples[1], taken(self.daemon.pid)
        for before, warm, now in zip(first, early, last, strict=True):
            self.say(
                f"memory {before.memory / MIB:.0f}, {warm.memory / MIB:.0f}, {now.memory / MIB:.0f} MiB; "
                f"descriptors {before.descriptors}, {warm.descriptors}, {now.descriptors}"
            )
            if now.memory - warm.memory > _MORE_BYTES:
                self.fail(f"a process grew from {warm.memory / MIB:.0f} to {now.memory / MIB:.0f} MiB")
            # A worker may not even have begun when the first of them serves: its first figures say nothing.
            if now.descriptors - warm.descriptors > _MORE_DESCRIPTORS:
                self.fail(f"a process has {now.descriptors} descriptors, and had {warm.descriptors} while it was busy")


def _configuration(plan: Plan) -> str:
    lines = [
        f"workers = {plan.workers}",
        "[collection]",
        f"interval_seconds = {INTERVAL}",
        f"grace_seconds = {GRACE}",
        f"lease_seconds = {LEASE}",
        f"repush_seconds = {GRACE}",
        "[v1]",
        f"staging_seconds = {SESSION}",
        "[v2]",
        f"session_seconds = {SESSION}",
    ]
    if plan.database:
        lines += ["[metadata]", f'url = "{plan.database}"']
    return "\n".join(lines) + "\n"
