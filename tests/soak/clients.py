"""What the clients of a soak do, by chance: each has repositories of its own."""

import gzip
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

from attrs import define, field

from dockreg.testing.client import Engine
from dockreg.testing.engines import ENGINES, V2Probe
from dockreg.testing.samples import V1Image, bytes_of, make_image, make_tar
from dockreg.testing.sessions import EngineFailed
from dockreg.testing.tarsums import without_trailer
from tests.faults.contents import Manifest, digest_of
from tests.faults.customer import Broken, Customer, Lost
from tests.soak.requests import Connections

T = TypeVar("T")

_MOST_MANIFESTS = 10
_TAGS = tuple(f"t{number}" for number in range(6))
_OLD_TAGS = tuple(f"old{number}" for number in range(3))
_BUSY = 409
_ENGINE_TAGS = 3
#: Later ones use v2 where it is.
_OLD_ENGINES = [each for each in ENGINES if each.probes_v2 is not V2Probe.PER_ENDPOINT]


@define(eq=False)
class Client:
    """One client, one thing after the other."""

    number: int
    random: Random
    connections: Connections
    customers: Sequence[Customer]
    done: Counter[str] = field(factory=Counter)
    last: deque[str] = field(factory=lambda: deque(maxlen=12))

    async def act(self) -> None:
        """Do something. What it finds wrong it raises."""
        customer = self.random.choice(self.customers)
        operations = self._operations(customer)
        names = list(operations)
        (name,) = self.random.choices(names, [operations[each][0] for each in names])
        self.last.append(f"{name} in {customer.name}")
        await operations[name][1](customer)
        self.done[name] += 1

    async def settle(self) -> None:
        """After a lost answer: look what has become of it."""
        for customer in self.customers:
            await customer.settle()

    async def check(self) -> None:
        """Pull and verify all that must be there."""
        for customer in self.customers:
            await customer.check()

    def _operations(self, customer: Customer) -> dict[str, tuple[int, Callable[[Customer], Awaitable[None]]]]:
        full = len(customer.manifests) >= _MOST_MANIFESTS
        there = bool(customer.manifests)
        tagged = bool(customer.tags)
        old = any(customer.points_to_v1(tag) for tag in customer.tags)
        return {
            "push": (0 if full else 25, self._push),
            "push an index": (6 if there and not full else 0, self._push_index),
            "push a referrer": (6 if there and not full else 0, self._push_referrer),
            "push what was cut": (0 if full else 4, self._push_cut),
            "tag": (10 if there else 0, self._tag),
            "pull a tag": (15 if tagged else 0, self._pull_tag),
            "pull a manifest": (10 if there else 0, self._pull_manifest),
            "delete a tag": (8 if tagged else 0, self._delete_tag),
            "delete a manifest": ((25 if full else 8) if there else 0, self._delete_manifest),
            "delete a repository": (2, self._delete_repository),
            "push by v1": (6, self._push_image),
            "tag by v1": (3 if old else 0, self._tag_image),
        }

    def _tag_or_none(self) -> str | None:
        return self.random.choice(_TAGS) if self.random.random() < 0.8 else None

    def _any(self, customer: Customer) -> Manifest:
        return self.random.choice(list(customer.manifests.values()))

    async def _push(self, customer: Customer) -> None:
        await customer.push(customer.contents.manifest(self.random), self._tag_or_none())

    async def _push_index(self, customer: Customer) -> None:
        children = {each.digest: each for each in (self._any(customer), self._any(customer))}
        await customer.push(customer.contents.index(self.random, list(children.values())), self._tag_or_none())

    async def _push_referrer(self, customer: Customer) -> None:
        await customer.push(customer.contents.manifest(self.random, self._any(customer)), None)

    async def _push_cut(self, customer: Customer) -> None:
        """A client that vanishes while it sends a blob, and goes on where the registry says."""
        manifest = customer.contents.manifest(self.random)
        first, *others = manifest.blobs.values()
        where = await customer.start()
        cut = self.random.randint(4, len(first))
        await self.connections.vanish(where, [first[: cut // 2], first[cut // 2 : cut]], len(first))
        while True:
            arrived = await customer.arrived(where)
            if arrived > cut:
                raise Broken(f"{where} has {arrived} bytes of the {cut} that were sent")
            headers = {"Content-Range": f"{arrived}-{len(first) - 1}", "Content-Type": "application/octet-stream"}
            if arrived == len(first):
                break
            # The daemon may still be at what came before the end.
            answer = await customer.expect((202, _BUSY, 416), "PATCH", where, first[arrived:], headers)
            if answer[0] == 202:
                break
        status = _BUSY
        while status == _BUSY:
            status = (await customer.expect((201, _BUSY), "PUT", f"{where}?digest={digest_of(first)}", b""))[0]
        for content in others:
            await customer.deliver(content)
        await customer.put(manifest, self._tag_or_none())

    async def _tag(self, customer: Customer) -> None:
        await customer.put(self._any(customer), self.random.choice(_TAGS))

    async def _pull_tag(self, customer: Customer) -> None:
        await customer.check_tag(tag := self.random.choice(list(customer.tags)))
        (target,) = customer.tags[tag]
        if target in customer.manifests:
            await customer.check_manifest(customer.manifests[target])

    async def _pull_manifest(self, customer: Customer) -> None:
        await customer.check_manifest(self._any(customer))

    async def _delete_tag(self, customer: Customer) -> None:
        await customer.delete_tag(self.random.choice(list(customer.tags)))

    async def _delete_manifest(self, customer: Customer) -> None:
        listed = {child for each in customer.manifests.values() for child in each.children}
        free = [digest for digest in customer.manifests if digest not in listed]
        if free:
            await customer.delete_manifest(self.random.choice(free))

    async def _delete_repository(self, customer: Customer) -> None:
        await customer.delete_repository()

    async def _push_image(self, customer: Customer) -> None:
        base = customer.contents.image(self.random)
        await customer.push_image(customer.contents.image(self.random, base), self.random.choice(_OLD_TAGS))

    async def _tag_image(self, customer: Customer) -> None:
        old = [tag for tag in customer.tags if customer.points_to_v1(tag)]
        (target,) = customer.tags[self.random.choice(old)]
        assert target is not None
        await customer.tag_image(customer.images[target], self.random.choice(_OLD_TAGS))


@define(eq=False)
class EngineClient:
    """A Docker engine of 2013 to 2015, which pushes to a repository of its own and pulls from it."""

    name: str
    random: Random
    engine: Engine
    #: Tag to images, base first.
    pushed: dict[str, tuple[V1Image, ...]] = field(factory=dict)
    done: Counter[str] = field(factory=Counter)
    last: deque[str] = field(factory=lambda: deque(maxlen=12))

    @classmethod
    def make(cls, number: int, random: Random, reactor: object, port: int) -> "EngineClient":
        """One of the known versions."""
        profile = _OLD_ENGINES[number % len(_OLD_ENGINES)]
        return cls(f"engines/e{number}", random, Engine(profile, f"127.0.0.1:{port}", reactor, schemes=("http",)))

    async def act(self) -> None:
        """Push or pull."""
        if self.pushed and self.random.random() < 0.6:
            self.last.append(f"pull {self.name}")
            await self._pull(self.random.choice(list(self.pushed)))
            self.done["pull by an engine"] += 1
            return
        tag = f"e{self.random.randrange(_ENGINE_TAGS)}"
        self.last.append(f"push {self.name}:{tag}")
        await self._push(tag)
        self.done["push by an engine"] += 1

    async def _push(self, tag: str) -> None:
        seed = f"{self.name} {self.random.getrandbits(64)}"
        base = make_image(f"{self.name} base", None, make_tar({"data": bytes_of(self.name, 20_000)}))
        images = (base, make_image(seed, base))
        # Which of the two a tag is on is not known while it moves.
        self.pushed.pop(tag, None)
        await self._as_lost(self.engine.push(self.name, images, {tag: images[-1].id}))
        self.pushed[tag] = images
        self.engine.sent.clear()

    async def _pull(self, tag: str) -> None:
        pulled = await self._as_lost(self.engine.pull(self.name, tag))
        for image in self.pushed[tag]:
            found = pulled.images.get(image.id)
            if found is None or found.json != image.json:
                raise Broken(f"{self.name}:{tag}: {image.id} is not as it was pushed")
            if without_trailer(gzip.decompress(found.layer)) != without_trailer(image.layer):
                raise Broken(f"{self.name}:{tag}: the layer of {image.id} is another one")
        self.engine.sent.clear()

    async def _as_lost(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except EngineFailed as failed:
            # An answer with a status was an answer.
            if failed.status is None:
                raise Lost(str(failed)) from failed
            raise

    async def settle(self) -> None:
        """What was not acknowledged is not expected."""

    async def check(self) -> None:
        """Pull and verify all that must be there."""
        for tag in self.pushed:
            await self._pull(tag)
