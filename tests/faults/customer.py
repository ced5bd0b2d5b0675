"""
A client that knows what its repository must have, and holds the registry to it.

No other client writes to the same repository. What a request was to change is *unsure* from before it is sent until it
is answered with success: after a lost answer, or one that says that the registry can not, both are right, but never
half of it. :meth:`Customer.settle` then looks which it is.
"""

import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from random import Random

from attrs import define, field

from tests.faults.contents import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Contents, Image, Manifest, digest_of

Answer = tuple[int, bytes, dict[str, str]]
#: Sends one request: method, path, body, headers. What it raises for a lost answer is :exc:`Lost`.
Ask = Callable[[str, str, bytes | None, Mapping[str, str]], Awaitable[Answer]]

_ACCEPT = {"Accept": f"{OCI_MANIFEST}, {OCI_INDEX}, {DOCKER_MANIFEST}"}


class Lost(Exception):
    """No answer came."""


class Refused(Exception):
    """The answer is not the one that the request must have."""

    def __init__(self, request: str, status: int, content: bytes) -> None:
        super().__init__(f"{request}: {status} {content[:300]!r}")
        self.status = status


class Broken(AssertionError):
    """The registry has broken a promise."""


@define(eq=False)
class Customer:
    """
    One client and its repository.

    :param random: decides about everything.
    :param neighbours: repositories that blobs may be mounted from.
    """

    name: str
    ask: Ask
    contents: Contents
    random: Random
    neighbours: "Sequence[Customer]" = ()
    #: What has been there since it was acknowledged, by digest, and what may be there.
    manifests: dict[str, Manifest] = field(factory=dict)
    unsure: dict[str, Manifest] = field(factory=dict)
    #: Tag to what it may point to: a digest, an image id of v1, or None for nothing.
    tags: dict[str, set[str | None]] = field(factory=dict)
    images: dict[str, Image] = field(factory=dict)
    sent: deque[str] = field(factory=lambda: deque(maxlen=30))
    counted: dict[str, int] = field(factory=dict)

    async def expect(
        self,
        wanted: int | Iterable[int],
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """:raises Refused: another status came. :raises Lost: none came."""
        self.sent.append(f"{method} {path}")
        answer = await self.ask(method, path, body, headers or {})
        self.sent[-1] += f" {answer[0]}"
        if answer[0] not in ({wanted} if isinstance(wanted, int) else wanted):
            raise Refused(f"{method} {path}", answer[0], answer[1])
        return answer

    # Blobs

    async def deliver(self, content: bytes) -> str:
        """Bring a blob to the repository in one of the ways that clients have."""
        digest = digest_of(content)
        ways = (self._skip_known, self._mount, self._at_once, self._in_pieces, self._whole, self._after_cancelling)
        await self.random.choices(ways, (5, 3, 1, 2, 3, 1))[0](digest, content)
        return digest

    async def _skip_known(self, digest: str, content: bytes) -> None:
        # As all clients do: what is there is not sent, and has to be there still when the manifest comes.
        status, _, headers = await self.expect((200, 404), "HEAD", f"/v2/{self.name}/blobs/{digest}")
        if status == 404:
            await self._whole(digest, content)
        elif headers.get("content-length") != str(len(content)):
            raise Broken(f"{digest} has {len(content)} bytes, and was said to have {headers.get('content-length')}")

    async def _mount(self, digest: str, content: bytes) -> None:
        source = self.random.choice((*self.neighbours, self))
        path = f"/v2/{self.name}/blobs/uploads/?mount={digest}&from={source.name}"
        status, _, headers = await self.expect((201, 202), "POST", path, b"")
        if status == 202:
            await self.finish(headers["location"], digest, content)

    async def _at_once(self, digest: str, content: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        await self.expect(201, "POST", f"/v2/{self.name}/blobs/uploads/?digest={digest}", content, headers)

    async def _whole(self, digest: str, content: bytes) -> None:
        await self.finish(await self.start(), digest, content)

    async def _in_pieces(self, digest: str, content: bytes) -> None:
        where, arrived = await self.start(), 0
        while arrived < len(content) and self.random.random() < 0.8:
            piece = content[arrived : arrived + self.random.randint(2, max(2, len(content) // 2))]
            await self.append(where, arrived, piece)
            arrived += len(piece)
            if await self.arrived(where) != arrived:
                raise Broken(f"{where} does not have the {arrived} bytes that were taken")
        await self.finish(where, digest, content[arrived:])

    async def _after_cancelling(self, digest: str, content: bytes) -> None:
        where = await self.start()
        await self.append(where, 0, content[: len(content) // 2 + 1])
        await self.expect(204, "DELETE", where)
        await self._whole(digest, content)

    async def start(self) -> str:
        """A new upload session: where it is."""
        return (await self.expect(202, "POST", f"/v2/{self.name}/blobs/uploads/", b""))[2]["location"]

    async def append(self, where: str, start: int, piece: bytes) -> None:
        """The next bytes of a session."""
        headers = {"Content-Range": f"{start}-{start + len(piece) - 1}", "Content-Type": "application/octet-stream"}
        await self.expect(202, "PATCH", where, piece, headers)

    async def arrived(self, where: str) -> int:
        """How many bytes a session says it has: 0 where that is 0 or 1, which are spelled alike."""
        ranged = (await self.expect(204, "GET", where))[2]["range"]
        last = int(ranged.partition("-")[2])
        return last + 1 if last else 0

    async def finish(self, where: str, digest: str, content: bytes) -> None:
        """The last bytes of a session, and its end."""
        path = f"{where}{'&' if '?' in where else '?'}digest={digest}"
        await self.expect(201, "PUT", path, content, {"Content-Type": "application/octet-stream"})

    # Manifests and tags

    async def push(self, manifest: Manifest, tag: str | None) -> None:
        """Push all that belongs to a manifest, and the manifest."""
        for content in manifest.blobs.values():
            await self.deliver(content)
        await self.put(manifest, tag)

    async def put(self, manifest: Manifest, tag: str | None) -> None:
        """Push a manifest whose blobs are there, or move a tag to one that is there itself."""
        digest = manifest.digest
        if digest not in self.manifests:
            self.unsure[digest] = manifest
        if tag is not None:
            self.tags[tag] = self.tags.get(tag, {None}) | {digest}
        path = f"/v2/{self.name}/manifests/{tag or digest}"
        headers = (await self.expect(201, "PUT", path, manifest.content, {"Content-Type": manifest.media_type}))[2]
        if headers["docker-content-digest"] != digest:
            raise Broken(f"{path}: {headers['docker-content-digest']} instead of {digest}")
        self.manifests[digest] = manifest
        self.unsure.pop(digest, None)
        if tag is not None:
            self.tags[tag] = {digest}

    async def delete_tag(self, tag: str) -> None:
        """Delete a tag that is there, by v1 or v2."""
        self.tags[tag] = self.tags[tag] | {None}
        if self.points_to_v1(tag) or self.random.random() < 0.2:
            await self.expect(200, "DELETE", f"/v1/repositories/{self.name}/tags/{tag}")
        else:
            await self.expect(202, "DELETE", f"/v2/{self.name}/manifests/{tag}")
        del self.tags[tag]

    async def delete_manifest(self, digest: str) -> None:
        """Delete a manifest that is there, with its tags."""
        self.unsure[digest] = self.manifests.pop(digest)
        tags = [tag for tag, targets in self.tags.items() if digest in targets]
        for tag in tags:
            self.tags[tag] = self.tags[tag] | {None}
        await self.expect(202, "DELETE", f"/v2/{self.name}/manifests/{digest}")
        del self.unsure[digest]
        for tag in tags:
            del self.tags[tag]

    async def delete_repository(self) -> None:
        """Delete everything."""
        self.unsure |= self.manifests
        self.manifests = {}
        self.tags = {tag: targets | {None} for tag, targets in self.tags.items()}
        # A client whose answer was lost deletes it again.
        await self.expect((200, 404), "DELETE", f"/v1/repositories/{self.name}/")
        self.unsure, self.tags = {}, {}

    # v1

    async def push_image(self, image: Image, tag: str) -> None:
        """Push an image of v1, request by request as engines do."""
        entries = json.dumps([{"id": each.id} for each in image.chain]).encode()
        await self.expect(200, "PUT", f"/v1/repositories/{self.name}/", entries)
        for each in image.chain:
            path = f"/v1/images/{each.id}"
            if (await self.expect((200, 400, 404), "GET", f"{path}/json"))[0] == 200:
                continue
            await self.expect(200, "PUT", f"{path}/json", each.json)
            await self.expect(200, "PUT", f"{path}/layer", each.layer)
            await self.expect(200, "PUT", f"{path}/checksum", b"", {"X-Docker-Checksum-Payload": each.payload})
        await self.tag_image(image, tag)
        await self.expect(204, "PUT", f"/v1/repositories/{self.name}/images", b"[]")

    async def tag_image(self, image: Image, tag: str) -> None:
        """Point a tag to an image that is there."""
        self.images[image.id] = image
        self.tags[tag] = self.tags.get(tag, {None}) | {image.id}
        await self.expect(200, "PUT", f"/v1/repositories/{self.name}/tags/{tag}", json.dumps(image.id).encode())
        self.tags[tag] = {image.id}

    def points_to_v1(self, tag: str) -> bool:
        """Whether a tag points to an image of v1."""
        return bool(self.tags[tag] & set(self.images))

    # What must hold

    async def check(self) -> None:
        """Everything is as it must be. :raises Broken: it is not."""
        await self.settle()
        for manifest in list(self.manifests.values()):
            await self.check_manifest(manifest)
        for tag in list(self.tags):
            await self.check_tag(tag)

    def forget(self, most: int) -> None:
        """Hold the registry to the ``most`` newest manifests alone, so that checks do not take longer and longer."""
        targets = set().union(*self.tags.values())
        for digest in list(self.manifests)[:-most]:
            if digest not in targets:
                del self.manifests[digest]

    async def settle(self) -> None:
        """What is unsure is looked at, and sure from now on."""
        for digest, manifest in list(self.unsure.items()):
            if await self._is_there(f"{digest}", manifest):
                self.manifests[digest] = manifest
            del self.unsure[digest]
        for tag, allowed in list(self.tags.items()):
            if len(allowed) != 1 or allowed - {None} - set(self.manifests) - set(self.images):
                await self._settle_tag(tag, allowed)

    async def _settle_tag(self, tag: str, allowed: set[str | None]) -> None:
        found = await self._target(tag)
        if found not in allowed:
            raise Broken(f"{self.name}:{tag} points to {found} instead of one of {allowed}")
        if found is None:
            del self.tags[tag]
        else:
            self.tags[tag] = {found}

    async def _target(self, tag: str) -> str | None:
        # A tag of v1 has a manifest as well, which nobody pushed.
        if self.points_to_v1(tag):
            status, content, _ = await self.expect((200, 404), "GET", f"/v1/repositories/{self.name}/tags/{tag}")
            if status == 404:
                return None
            found = json.loads(content)
            assert isinstance(found, str)
            return found
        status, content, _ = await self.expect((200, 404), "GET", f"/v2/{self.name}/manifests/{tag}", headers=_ACCEPT)
        return digest_of(content) if status == 200 else None

    async def _is_there(self, reference: str, manifest: Manifest) -> bool:
        path = f"/v2/{self.name}/manifests/{reference}"
        status, content, headers = await self.expect((200, 404), "GET", path, headers=_ACCEPT)
        if status == 200 and (content, headers["docker-content-digest"]) != (manifest.content, manifest.digest):
            raise Broken(f"{path} gives {digest_of(content)}, called {headers['docker-content-digest']}")
        return status == 200

    async def check_tag(self, tag: str) -> None:
        """A tag points to what it must, and that is whole."""
        (target,) = self.tags[tag]
        if target in self.images:
            await self.check_image(self.images[target], tag)
        elif target is None or not await self._is_there(tag, self.manifests[target]):
            raise Broken(f"{self.name}:{tag} is not there")

    async def check_manifest(self, manifest: Manifest) -> None:
        """A manifest is there, with its blobs, and is listed where it refers to another."""
        if not await self._is_there(manifest.digest, manifest):
            raise Broken(f"{self.name}@{manifest.digest} is not there")
        for digest, content in manifest.blobs.items():
            await self._check_bytes(f"/v2/{self.name}/blobs/{digest}", content)
        if manifest.subject is not None:
            found = (await self.expect(200, "GET", f"/v2/{self.name}/referrers/{manifest.subject}"))[1]
            if manifest.digest not in {each["digest"] for each in json.loads(found)["manifests"]}:
                raise Broken(f"{self.name}@{manifest.digest} is no referrer of {manifest.subject}")

    async def check_image(self, image: Image, tag: str) -> None:
        """An image of v1 is whole, and so is its manifest."""
        path = f"/v1/repositories/{self.name}/tags/{tag}"
        if (found := json.loads((await self.expect(200, "GET", path))[1])) != image.id:
            raise Broken(f"{path} is {found} instead of {image.id}")
        chain = image.chain[::-1]
        if json.loads((await self.expect(200, "GET", f"/v1/images/{image.id}/ancestry"))[1]) != [e.id for e in chain]:
            raise Broken(f"the ancestry of {image.id} is another one")
        for each in chain:
            await self._check_bytes(f"/v1/images/{each.id}/json", each.json)
            await self._check_bytes(f"/v1/images/{each.id}/layer", each.layer)
        path = f"/v2/{self.name}/manifests/{tag}"
        document = json.loads((await self.expect(200, "GET", path, headers=_ACCEPT))[1])
        for entry in (document["config"], *document["layers"]):
            found = (await self.expect(200, "GET", f"/v2/{self.name}/blobs/{entry['digest']}"))[1]
            if digest_of(found) != entry["digest"]:
                raise Broken(f"{entry['digest']} has {len(found)} other bytes")

    async def _check_bytes(self, path: str, content: bytes) -> None:
        found = (await self.expect(200, "GET", path))[1]
        if found != content:
            raise Broken(f"{path} has {len(found)} other bytes instead of {len(content)}")
