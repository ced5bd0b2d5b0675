"""Pull a repository of a v1 registry into an archive, request by request as engines 1.5 and later do."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from attrs import define, field, frozen
from twisted.internet.task import deferLater

from dockreg.callables import InThread
from dockreg.cli.failures import CommandFailed, ConnectionBroken, Refused
from dockreg.cli.progress import Meter, Reporter
from dockreg.cli.savedarchive import ArchiveWriter, LayerWriter
from dockreg.cli.transport import Reply
from dockreg.cli.v1session import Session, json_of
from dockreg.errors import RegistryError
from dockreg.model.compression import CompressionInvalid
from dockreg.model.names import Tag
from dockreg.model.v1 import ImageID, ImageJSON

#: Engines give up a layer after as many attempts.
_TRIES = 5
_LATEST = "latest"


@frozen
class Pulled:
    """What a pull brought. Image ids are in the order of the archive; ``received`` is in bytes as they were sent."""

    repository: str
    tags: Mapping[str, str]
    images: Sequence[str]
    received: int


@define(eq=False)
class Pull:
    """One pull into one archive."""

    session: Session
    writer: ArchiveWriter
    reporter: Reporter
    clock: Any
    in_thread: InThread
    pause_seconds: float = 1.0
    _received: int = field(default=0, init=False)
    _images: list[str] = field(factory=list, init=False)

    async def run(self, name: str, *, all_tags: bool) -> Pulled:
        """
        Pull the tag of the URL (``latest`` where it has none) or all, and give the archive its name.

        :param name: what the image shall be called when the archive is loaded.
        :raises CommandFailed: it was refused or could not be done; there is no archive then.
        """
        await self.session.open()
        repository = self.session.target.repository
        reply = await self.session.index_get(f"repositories/{repository}/images")
        self._check_found(reply)
        endpoint, tags = await self._tags(all_tags=all_tags)
        for image_id in sorted(set(tags.values())):
            for each in reversed(await self._ancestry(endpoint, image_id)):
                if each not in self.writer:
                    await self._image(endpoint, each)
        unseen = await self.in_thread(self.writer.publish, name, tags)
        for tag in unseen:
            self.reporter.say(f"tag {tag}: a layer is no tar; only docker up to 1.9 may load it")
        return Pulled(name, {tag: str(image_id) for tag, image_id in tags.items()}, self._images, self._received)

    def _check_found(self, reply: Reply) -> None:
        if reply.status == HTTPStatus.NOT_FOUND:
            raise CommandFailed(
                f"there is no repository {self.session.target.repository} at {self.session.target.host}"
            )
        self.session.check(reply, "the pull was not accepted", HTTPStatus.OK)

    async def _tags(self, *, all_tags: bool) -> tuple[str, Mapping[str, ImageID]]:
        """The tags to pull, and the first endpoint that knows them."""
        trouble: CommandFailed | None = None
        for endpoint in self.session.endpoints:
            url = f"{endpoint}/v1/repositories/{self.session.target.repository.v1}/tags"
            try:
                reply = await self.session.transport.get(url, self.session.image_headers(endpoint))
                self._check_found(reply)
            except (ConnectionBroken, Refused) as failed:
                trouble = trouble or failed
            else:
                return endpoint, self._chosen(json_of(reply, dict, "an object of tags"), all_tags=all_tags)
        raise trouble or CommandFailed("the index names no registry")

    def _chosen(self, tags: Mapping[str, Any], *, all_tags: bool) -> Mapping[str, ImageID]:
        target = self.session.target
        wanted = str(target.tag) if target.tag is not None else _LATEST
        if not all_tags and wanted not in tags:
            known = ", ".join(sorted(tags)[:10]) or "none"
            raise CommandFailed(f"repository {target.repository} has no tag {wanted}; its tags: {known}")
        if not tags:
            raise CommandFailed(f"repository {target.repository} has no tags")
        try:
            return {str(Tag.parse(tag)): ImageID.parse(tags[tag]) for tag in (sorted(tags) if all_tags else [wanted])}
        except (RegistryError, TypeError) as error:
            raise CommandFailed(f"the registry has a tag that can not be pulled: {error}") from None

    async def _get(self, endpoint: str, image_id: ImageID, what: str) -> Reply:
        url = f"{endpoint}/v1/images/{image_id}/{what}"
        for attempt in range(1, _TRIES + 1):
            try:
                reply = await self.session.transport.get(url, self.session.image_headers(endpoint))
                return self.session.check(reply, f"image {image_id}: no {what}", HTTPStatus.OK)
            except (ConnectionBroken, Refused) as trouble:
                if attempt == _TRIES or not trouble.passing:
                    raise
                await self.pause(attempt, trouble)
        raise AssertionError("the last try returns or raises")

    async def pause(self, attempt: int, trouble: CommandFailed) -> None:
        """Say what went wrong, and wait before the next attempt."""
        self.reporter.say(f"{trouble.message}; trying again")
        await deferLater(self.clock, self.pause_seconds * attempt)

    async def _ancestry(self, endpoint: str, image_id: ImageID) -> Sequence[ImageID]:
        reply = await self._get(endpoint, image_id, "ancestry")
        try:
            chain = [ImageID.parse(each) for each in json_of(reply, list, "a list of image ids")]
        except (RegistryError, TypeError) as error:
            raise CommandFailed(f"the ancestry of {image_id} is broken: {error}") from None
        if not chain or chain[0] != image_id or len(set(chain)) != len(chain):
            raise CommandFailed(f"the ancestry of {image_id} is broken: it does not begin there, or has a circle")
        return chain

    async def _image(self, endpoint: str, image_id: ImageID) -> None:
        reply = await self._get(endpoint, image_id, "json")
        try:
            document = ImageJSON.parse(reply.body)
        except RegistryError as error:
            raise CommandFailed(f"image {image_id}: {error}") from None
        if document.image_id != image_id or (document.parent is not None and document.parent not in self.writer):
            raise CommandFailed(f"image {image_id}: its json is that of another, or not of this ancestry")
        size = reply.header("X-Docker-Size")
        download = Download(self, endpoint, image_id, int(size) if size and size.isdecimal() else None)
        layer = await self.in_thread(self.writer.image, document)
        try:
            received = await download.run(layer)
            await self.in_thread(self.writer.keep, document, layer, received)
        except CompressionInvalid as error:
            raise CommandFailed(f"image {image_id}: its layer can not be uncompressed: {error}") from None
        self._received += received
        self._images.append(str(image_id))
        self.reporter.say(f"{image_id.value[:12]}: pulled")


@define(eq=False)
class Download:
    """One layer. After a broken connection it goes on where it was, where the registry can do that (engines since 0.12)."""

    pull: Pull
    endpoint: str
    image_id: ImageID
    #: The length that the json was announced with, in bytes.
    size: int | None
    _received: int = field(default=0, init=False)
    _resumable: bool = field(default=False, init=False)

    async def run(self, layer: LayerWriter) -> int:
        """
        Bring the layer, and return its length in bytes.

        :raises CommandFailed: it did not come, or has another length than announced.
        """
        meter = self.pull.reporter.meter(self.image_id.value[:12], self.size)
        failures = 0
        while True:
            before = self._received
            try:
                await self._attempt(layer, meter)
                break
            except (ConnectionBroken, Refused) as trouble:
                failures = 1 if self._received > before else failures + 1
                if failures == _TRIES or not trouble.passing:
                    raise
                await self.pull.pause(failures, trouble)
        if self.size is not None and self._received != self.size:
            raise CommandFailed(
                f"image {self.image_id}: its layer has {self._received} bytes, {self.size} were announced"
            )
        return self._received

    async def _attempt(self, layer: LayerWriter, meter: Meter) -> None:
        session = self.pull.session
        headers = dict(session.image_headers(self.endpoint))
        if self._received and self._received == self.size:
            return
        if self._received and self._resumable:
            # Engines name as the last byte the one after it; registries know that.
            headers["Range"] = f"bytes={self._received}-{self.size}"
        url = f"{self.endpoint}/v1/images/{self.image_id}/layer"
        reply, body = await session.transport.download(url, headers)
        try:
            session.check(reply, f"image {self.image_id}: no layer", HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
            await self._place(reply, layer, meter, ranged="Range" in headers)
            while pieces := await body.next_pieces():
                length = sum(map(len, pieces))
                if self.size is not None and self._received + length > self.size:
                    raise CommandFailed(f"image {self.image_id}: its layer is longer than announced")
                await self.pull.in_thread(layer.write, pieces)
                self._received += length
                meter.advance(length)
        finally:
            body.drop()

    async def _place(self, reply: Reply, layer: LayerWriter, meter: Meter, *, ranged: bool) -> None:
        """Begin where the answer begins."""
        if reply.status == HTTPStatus.PARTIAL_CONTENT:
            begins = f"bytes {self._received}-"
            if not ranged or not (reply.header("Content-Range") or "").startswith(begins):
                raise CommandFailed(
                    f"image {self.image_id}: the registry sent another part of the layer than asked for"
                )
            return
        self._resumable = self.size is not None and reply.header("Accept-Ranges") == "bytes"
        if self._received:
            self._received = 0
            meter.restart()
            await self.pull.in_thread(layer.restart)
