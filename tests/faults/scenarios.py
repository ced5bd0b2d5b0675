"""The operations that faults are put into: each changes something that clients see, or what it is made of."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from attrs import define, field

from tests.faults.contents import Image, Manifest, digest_of
from tests.faults.customer import Broken, Customer

Work = Callable[[], Coroutine[Any, Any, None]]


@define(eq=False)
class Scenarios:
    """
    The operations of one customer. Each has a preparation, without faults, and can be done again and again.

    :param fresh: a new image.
    """

    customer: Customer
    fresh: Callable[[], Manifest]
    blobs: list[bytes] = field(factory=list)
    #: Sessions under way: what they must have at least, and all that was sent.
    sessions: dict[str, tuple[int, bytes]] = field(factory=dict)
    _count: int = 0
    _manifest: Manifest | None = None
    _image: Image | None = None
    _other: Customer | None = None

    @property
    def all(self) -> Mapping[str, tuple[Work, Work]]:
        """Name to preparation and operation."""
        return {
            "commit a blob": (self._nothing, self.commit),
            "commit a small blob": (self._nothing, self.commit_small),
            "commit a layer": (self._nothing, self.commit_layer),
            "append to a session": (self.begin_session, self.append),
            "append much to a session": (self.begin_session, self.append_much),
            "close a session": (self.begin_session, self.close_session),
            "cancel a session": (self.begin_session, self.cancel),
            "push a manifest with a tag": (self.deliver, self.tag),
            "move a tag": (self.push_two, self.move),
            "mount a blob": (self.push_elsewhere, self.mount),
            "delete a tag": (self.push_one, self.delete_tag),
            "delete a manifest": (self.push_one, self.delete_manifest),
            "delete a repository": (self.push_elsewhere, self.delete_repository),
            "push an image of v1": (self._nothing, self.push_image),
        }

    async def _nothing(self) -> None:
        self._count += 1

    def _content(self) -> bytes:
        self._count += 1
        return b"%-10d" % self._count * 1_000

    async def commit(self) -> None:
        """A blob in one request."""
        content = self._content()
        path = f"/v2/{self.customer.name}/blobs/uploads/?digest={digest_of(content)}"
        await self.customer.expect(201, "POST", path, content)
        self.blobs.append(content)

    async def commit_small(self) -> None:
        """A blob in one request that closes a session."""
        content = self._content()
        await self.customer.finish(await self.customer.start(), digest_of(content), content)
        self.blobs.append(content)

    async def commit_layer(self) -> None:
        """The same of so many bytes that they are received by a thread."""
        content = self._content() * 60
        await self.customer.finish(await self.customer.start(), digest_of(content), content)
        self.blobs.append(content)

    async def begin_session(self) -> None:
        """A session that has a part."""
        content = self._content()
        where = await self.customer.start()
        await self.customer.append(where, 0, content[:5_000])
        self.sessions = {where: (5_000, content)}

    async def append(self) -> None:
        """The next part."""
        ((where, (_, content)),) = self.sessions.items()
        await self.customer.append(where, 5_000, content[5_000:7_000])
        self.sessions[where] = (7_000, content)

    async def append_much(self) -> None:
        """So many bytes, where no block of the disk begins, that a thread receives them."""
        ((where, (_, content)),) = self.sessions.items()
        content += self._content() * 60
        self.sessions[where] = (5_000, content)
        await self.customer.append(where, 5_000, content[5_000:600_000])
        self.sessions[where] = (600_000, content)

    async def close_session(self) -> None:
        """The last part, and the blob."""
        ((where, (_, content)),) = self.sessions.items()
        await self.customer.finish(where, digest_of(content), content[5_000:])
        self.sessions.clear()
        self.blobs.append(content)

    async def cancel(self) -> None:
        """The end of a session."""
        (where,) = self.sessions
        await self.customer.expect(204, "DELETE", where)
        self.sessions.clear()

    async def deliver(self) -> None:
        """All blobs of an image."""
        self._manifest = self.fresh()
        for content in self._manifest.blobs.values():
            await self.customer.deliver(content)

    async def tag(self) -> None:
        """Its manifest."""
        assert self._manifest is not None
        await self.customer.put(self._manifest, "tagged")

    async def push_one(self) -> None:
        """An image with a tag."""
        self._manifest = self.fresh()
        await self.customer.push(self._manifest, "deleted")

    async def push_two(self) -> None:
        """Two images, and a tag on the one."""
        await self.push_one()
        self._manifest = self.fresh()
        await self.customer.push(self._manifest, None)

    async def move(self) -> None:
        """The tag goes to the other."""
        assert self._manifest is not None
        await self.customer.put(self._manifest, "deleted")

    async def delete_tag(self) -> None:
        """The tag goes."""
        await self.customer.delete_tag("deleted")

    async def delete_manifest(self) -> None:
        """The manifest and its tag go."""
        assert self._manifest is not None
        await self.customer.delete_manifest(self._manifest.digest)

    async def push_elsewhere(self) -> None:
        """An image in another repository."""
        self._count += 1
        own = self.customer
        self._other = Customer(f"crash/other{self._count}", own.ask, own.contents, own.random)
        self._manifest = self.fresh()
        await self._other.push(self._manifest, "there")

    async def mount(self) -> None:
        """One of its blobs from there."""
        assert self._other is not None
        assert self._manifest is not None
        digest, content = next(iter(self._manifest.blobs.items()))
        path = f"/v2/{self.customer.name}/blobs/uploads/?mount={digest}&from={self._other.name}"
        await self.customer.expect(201, "POST", path, b"")
        self.blobs.append(content)

    async def delete_repository(self) -> None:
        """That repository goes."""
        assert self._other is not None
        await self._other.delete_repository()

    async def push_image(self) -> None:
        """An image of v1, with its parent."""
        own = self.customer
        base = own.contents.image(own.random)
        await own.push_image(own.contents.image(own.random, base), "old")

    def forget(self, most: int) -> None:
        """As :meth:`.Customer.forget`."""
        self.customer.forget(most)
        del self.blobs[:-most]

    async def check(self) -> None:
        """What is not the customer's to know: blobs without a manifest, sessions, and the other repository."""
        own = self.customer
        for content in self.blobs:
            found = (await own.expect(200, "GET", f"/v2/{own.name}/blobs/{digest_of(content)}"))[1]
            if found != content:
                raise Broken(f"{digest_of(content)} has other bytes")
        if self._other is not None:
            await self._other.check()
        for where, (least, content) in self.sessions.items():
            await self._go_on(where, least, content)
        self.sessions.clear()

    async def _go_on(self, where: str, least: int, content: bytes) -> None:
        own = self.customer
        status, found, headers = await own.expect((204, 404), "GET", where)
        if status == 404:
            # It was to be closed or cancelled, and was.
            return
        arrived = int(headers["range"].partition("-")[2]) + 1
        if arrived < least:
            raise Broken(f"{where} has {arrived} bytes of the {least} that it had: {found!r}")
        await own.finish(where, digest_of(content), content[arrived:])
        self.blobs.append(content)
