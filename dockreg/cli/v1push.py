"""
Push the images of an archive to a v1 registry, request by request as engines 1.5 and later do.

An engine that meets a broken connection gives up. Here a layer that did not arrive is begun again from its json, which
is the one way that v1 has (2.4).
"""

import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import DeferredSemaphore, FirstError, gatherResults
from twisted.internet.task import deferLater

from dockreg.callables import InThread
from dockreg.cli.archives import Archive, ArchivedChain, ArchivedImage
from dockreg.cli.bodies import StreamedBody
from dockreg.cli.failures import CommandFailed, ConnectionBroken, Refused
from dockreg.cli.progress import Meter, Reporter
from dockreg.cli.transport import Reply
from dockreg.cli.v1session import Session
from dockreg.model.compression import CompressionInvalid, Decompressor, detect
from dockreg.model.layers import LayerInspector, PayloadHasher
from dockreg.model.names import Tag
from dockreg.model.v1 import ImageID

_PIECE = 256 * 1024
_TRIES = 4
_LOOKUPS = 5
_EXISTS = "Image already exists"
# The formats that engines read; a layer in one of them is sent as it is.
_SENT_AS_THEY_ARE = frozenset({"gzip", "bzip2", "xz"})
_FASTEST = 1
_GZIP = 16 + zlib.MAX_WBITS


@frozen
class Pushed:
    """What a push did. Ids are base first; ``sent`` is in bytes as they were sent."""

    repository: str
    tags: Mapping[str, str]
    pushed: Sequence[str]
    present: Sequence[str]
    sent: int


class LayerStream:
    """
    A layer of an archive on its way: compressed while it is sent, its checksums taken as it passes.

    Each piece may be made in another thread, never two at once.

    :param on_read: called with the number of bytes that were read from the archive, in that thread.
    """

    def __init__(self, archive: Archive, image: ArchivedImage, on_read: Callable[[int], None]) -> None:
        self._archive = archive
        self._image = image
        self._on_read = on_read
        self._payload = PayloadHasher(image.json)
        # How much a layer may hold is for the registry to say.
        self._inspector = LayerInspector(max_uncompressed=sys.maxsize)
        self._ended = False

    def pieces(self) -> Iterator[bytes]:
        """
        What to send, piece by piece.

        :raises CommandFailed: the archive is damaged.
        """
        for piece in self._compressed():
            self._payload.update(piece)
            yield piece
        facts = self._inspector.finish()
        if self._image.diff_id not in (None, facts.diff_id):
            raise CommandFailed(
                f"{self._archive.path}: the layer of {self._image.image_id} is not the one that its config names"
            )
        self._ended = True

    def checksums(self) -> Mapping[str, str]:
        """The headers that tell what was sent (engines 0.10 to 1.9); after the last piece."""
        assert self._ended
        headers = {"X-Docker-Checksum-Payload": self._payload.checksum}
        tarsums = self._inspector.tarsums(self._image.json)
        if tarsums:
            # They differ only where an archive holds a path twice, and one of them is enough then.
            headers["X-Docker-Checksum"] = min(tarsums)
        return headers

    def _compressed(self) -> Iterator[bytes]:
        source = self._source()
        first = next(source, b"")
        if detect(first) in _SENT_AS_THEY_ARE:
            yield first
            yield from source
            return
        squeeze = zlib.compressobj(_FASTEST, zlib.DEFLATED, _GZIP)
        decompressor = Decompressor()
        try:
            for piece in chain([first], source):
                for plain in decompressor.feed(piece):
                    yield squeeze.compress(plain)
            for plain in decompressor.finish():
                yield squeeze.compress(plain)
        except CompressionInvalid as error:
            raise CommandFailed(f"{self._archive.path}: the layer of {self._image.image_id}: {error}") from None
        yield squeeze.flush()

    def _source(self) -> Iterator[bytes]:
        stored, position = self._image.layer, 0
        while stored is not None and (data := self._archive.read(stored, position, _PIECE)):
            position += len(data)
            self._inspector.update(data)
            self._on_read(len(data))
            yield data


@define(eq=False)
class Push:
    """One push of one or several images, of one repository."""

    session: Session
    archive: Archive
    reporter: Reporter
    clock: Any
    in_thread: InThread
    pause_seconds: float = 1.0
    _sent: int = field(default=0, init=False)
    _pushed: list[str] = field(factory=list, init=False)
    _present: list[str] = field(factory=list, init=False)

    async def run(self, tagged: Mapping[Tag, ArchivedChain]) -> Pushed:
        """
        Push what ``tagged`` names.

        :raises CommandFailed: it was refused or could not be done; tags point to complete images all the same.
        """
        await self.session.open()
        images = _base_first(tagged)
        await self._announce(tagged, images)
        for endpoint in self.session.endpoints:
            await self._push_to(endpoint, tagged, images)
        path = f"repositories/{self.session.target.repository}/images"
        named = {"X-Docker-Endpoints": ",".join(f"{endpoint}/v1/" for endpoint in self.session.endpoints)}
        reply = await self.session.index_put(path, [], named)
        self.session.check(reply, "the end of the push was not accepted", HTTPStatus.NO_CONTENT)
        tags = {str(tag): str(named.images[-1].image_id) for tag, named in tagged.items()}
        return Pushed(self.session.target.local_name, tags, self._pushed, self._present, self._sent)

    async def _announce(self, tagged: Mapping[Tag, ArchivedChain], images: Sequence[ArchivedImage]) -> None:
        entries: list[dict[str, str]] = []
        for image in images:
            tags = [str(tag) for tag, named in tagged.items() if named.images[-1].image_id == image.image_id]
            entries += [{"id": str(image.image_id), "Tag": tag} for tag in tags] or [{"id": str(image.image_id)}]
        reply = await self.session.index_put(f"repositories/{self.session.target.repository}/", entries)
        self.session.check(reply, "the push was not accepted", HTTPStatus.OK, HTTPStatus.CREATED)

    async def _push_to(
        self, endpoint: str, tagged: Mapping[Tag, ArchivedChain], images: Sequence[ArchivedImage]
    ) -> None:
        present = await self._present_at(endpoint, images)
        for image in images:
            if image.image_id in present or not await self._push_image(endpoint, image):
                self._present.append(str(image.image_id))
                self.reporter.say(f"{_short(image)}: already there")
            else:
                self._pushed.append(str(image.image_id))
            for tag, named in tagged.items():
                if named.images[-1].image_id == image.image_id:
                    await self._tag(endpoint, tag, image.image_id)

    async def _present_at(self, endpoint: str, images: Sequence[ArchivedImage]) -> frozenset[ImageID]:
        together = DeferredSemaphore(_LOOKUPS)

        async def look_up(image: ArchivedImage) -> ImageID | None:
            url = f"{endpoint}/v1/images/{image.image_id}/json"
            reply = await self.session.transport.get(url, self.session.image_headers(endpoint))
            if reply.status != HTTPStatus.OK:
                return None
            if reply.body != image.json:
                self.reporter.say(f"{_short(image)}: the registry has another json under this id, and keeps it")
            return image.image_id

        try:
            found = await gatherResults([together.run(look_up, image) for image in images], consumeErrors=True)
        except FirstError as failed:
            failed.subFailure.raiseException()
        return frozenset(image_id for image_id in found if image_id is not None)

    async def _push_image(self, endpoint: str, image: ArchivedImage) -> bool:
        """Push json, layer and checksum. False when the registry had the image already."""
        size = image.layer.size if image.layer is not None else 0
        meter = self.reporter.meter(_short(image), size)
        for attempt in range(1, _TRIES + 1):
            try:
                stored = await self._try(endpoint, image, meter)
            except (ConnectionBroken, Refused) as trouble:
                if attempt == _TRIES or not trouble.passing:
                    raise
                self.reporter.say(f"{_short(image)}: {trouble.message}; trying again")
            else:
                # After a broken try, an image that exists is the one whose acknowledgement was lost.
                return stored or attempt > 1
            meter.restart()
            await deferLater(self.clock, self.pause_seconds * attempt)
        raise AssertionError("the last try returns or raises")

    async def _try(self, endpoint: str, image: ArchivedImage, meter: Meter) -> bool:
        url = f"{endpoint}/v1/images/{image.image_id}"
        transport, headers = self.session.transport, self.session.image_headers(endpoint)
        self.reporter.say(f"{_short(image)}: pushing")
        reply = await transport.put(f"{url}/json", {**headers, "Content-Type": "application/json"}, image.json)
        if reply.status != HTTPStatus.OK and reply.sentence == _EXISTS:
            return False
        self._check(reply, image, "json")
        stream = LayerStream(self.archive, image, meter.advance)
        body = StreamedBody(stream.pieces(), self.in_thread, self._count)
        reply = await transport.upload(f"{url}/layer", {**headers, "Content-Type": "application/octet-stream"}, body)
        self._check(reply, image, "layer")
        if not body.complete:
            raise ConnectionBroken("the registry was content before the layer was complete")
        reply = await transport.put(f"{url}/checksum", {**headers, **stream.checksums()}, b"")
        # A layer that changed on its way is refused with 400, and may arrive unchanged the next time.
        self._check(reply, image, "checksum", HTTPStatus.BAD_REQUEST)
        self.reporter.say(f"{_short(image)}: pushed")
        return True

    def _check(self, reply: Reply, image: ArchivedImage, what: str, *passing: int) -> None:
        self.session.check(reply, f"image {image.image_id}: the {what} was refused", HTTPStatus.OK, passing=passing)

    def _count(self, piece: bytes) -> None:
        self._sent += len(piece)

    async def _tag(self, endpoint: str, tag: Tag, image_id: ImageID) -> None:
        url = f"{endpoint}/v1/repositories/{self.session.target.repository}/tags/{tag}"
        headers = {**self.session.image_headers(endpoint), "Content-Type": "application/json"}
        reply = await self.session.transport.put(url, headers, json.dumps(str(image_id)).encode("ascii"))
        self.session.check(reply, f"tag {tag} was not set", HTTPStatus.OK, HTTPStatus.CREATED)
        self.reporter.say(f"tag {tag}: {image_id}")


def _base_first(tagged: Mapping[Tag, ArchivedChain]) -> Sequence[ArchivedImage]:
    """Every image once, none before its parent."""
    by_id = {image.image_id: image for named in tagged.values() for image in named.images}
    return list(by_id.values())


def _short(image: ArchivedImage) -> str:
    return image.image_id.value[:12]
