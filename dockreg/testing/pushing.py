"""The push of an engine, request by request ("client sequences", push)."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from http import HTTPStatus

from attrs import Factory, define
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from dockreg.testing.engines import Payload
from dockreg.testing.samples import V1Image, chain_of, gzip_layer
from dockreg.testing.sessions import EngineFailed, Session, Unreachable
from dockreg.testing.tarsums import payload_checksum, tarsum, without_trailer
from dockreg.testing.wire import Answer, UploadCut

_CHUNK = 32 * 1024
_LOOKUPS_AT_ONCE = 5


class Cut(Enum):
    """Where an engine dies during a push."""

    AFTER_JSON = "after the json"
    HALF_LAYER = "in the middle of the layer"
    BEFORE_CHECKSUM = "before the checksum"


class _AlreadyExistsError(Exception):
    """The registry has this image complete."""


@define(eq=False)
class Push:
    """One push that is under way."""

    session: Session
    repository: str
    images: Sequence[V1Image]
    tags: Mapping[str, str]
    cut: Cut | None
    printed: list[str] = Factory(list)
    checksums: dict[str, str] = Factory(dict)

    async def run(self) -> list[str]:
        """The whole push; returns what the engine prints."""
        await self._announce()
        self.printed.append(f"Pushing repository {self.repository} ({len(self.tags)} tags)")
        for host in list(self.session.endpoints):
            if self.session.profile.looks_up_first:
                await self._push_missing(host)
            else:
                await self._push_each(host)
        await self._close()
        return self.printed

    def _entries(self) -> list[tuple[V1Image, str]]:
        """Image and tag (empty for none) in the order in which they are announced."""
        if self.session.profile.tags_every_image:
            return self._entries_per_tag()
        entries = []
        for image in self.images:
            names = sorted(tag for tag, target in self.tags.items() if target == image.id)
            entries += [(image, name) for name in names or [""]]
        return entries

    def _entries_per_tag(self) -> list[tuple[V1Image, str]]:
        entries: list[tuple[V1Image, str]] = []
        seen: set[str] = set()
        for tag, top in sorted(self.tags.items()):
            for image in reversed(chain_of(self.images, top)):
                if image.id not in seen or image.id == top:
                    seen.add(image.id)
                    entries.append((image, tag))
        return entries

    async def _announce(self) -> None:
        profile = self.session.profile
        entries = [{"id": image.id} | ({"Tag": tag} if tag else {}) for image, tag in self._entries()]
        answer = await self._index_put("/", entries, {})
        if answer.status not in (200, 201):
            raise EngineFailed(
                f"Error: Status {answer.status} trying to push repository {self.repository}: {answer.body!r}",
                answer.status,
            )
        if profile.needs_token and not self.session.tokens:
            raise EngineFailed("Index response didn't contain an access token", answer.status)
        self.session.endpoints = endpoints_of(answer, profile.splits_endpoints)
        if not self.session.endpoints:
            raise EngineFailed("Index response didn't contain any endpoints", answer.status)

    async def _close(self) -> None:
        session = self.session
        entries: list[dict[str, str]] = []
        if session.profile.closes_with_checksums:
            for image, tag in self._entries():
                if image.id in self.checksums:
                    entries.append({"id": image.id, "checksum": self.checksums[image.id], "Tag": tag})
        urls = "\n".join(f"{session.scheme}://{host}/v1/" for host in session.endpoints)
        answer = await self._index_put("/images", entries, {"X-Docker-Endpoints": urls})
        if answer.status != HTTPStatus.NO_CONTENT:
            raise EngineFailed(
                f"Error: Status {answer.status} trying to push checksums {self.repository}: {answer.body!r}",
                answer.status,
            )
        if answer.body:
            raise EngineFailed("a 204 with a body would be read as the next answer", 204)

    async def _index_put(self, suffix: str, entries: Sequence[object], more: Mapping[str, str]) -> Answer:
        headers = {self.session.profile.content_type_on_index: "application/json", "X-Docker-Token": "true", **more}
        body = json.dumps(entries, separators=(",", ":")).encode("ascii")
        answer = await self.session.index("PUT", f"/v1/repositories/{self.repository}{suffix}", headers, body)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise EngineFailed("Please login prior to push", 401)
        return answer

    async def _push_each(self, host: str) -> None:
        done: set[str] = set()
        for image, tag in self._entries():
            if image.id not in done:
                done.add(image.id)
                if await self._is_there(image, host):
                    self._skip(image)
                else:
                    await self._upload_or_skip(image, host)
            if tag:
                await self._tag(image, tag, host)

    async def _push_missing(self, host: str) -> None:
        at_once = DeferredSemaphore(_LOOKUPS_AT_ONCE)

        def look(image: V1Image) -> Deferred[bool]:
            return at_once.run(lambda: Deferred.fromCoroutine(self._is_there(image, host)))

        there = await gatherResults([look(image) for image in self.images], consumeErrors=True)
        present = {image.id for image, is_there in zip(self.images, there, strict=True) if is_there}
        for image in self.images:
            if image.id in present:
                self._skip(image)
        done = set(present)
        for image, tag in self._entries():
            if image.id not in done:
                done.add(image.id)
                await self._upload_or_skip(image, host)
            if tag:
                await self._tag(image, tag, host)

    async def _is_there(self, image: V1Image, host: str) -> bool:
        try:
            answer = await self.session.image("GET", f"/v1/images/{image.id}/json", host=host)
        except Unreachable:
            return False
        return answer.status == HTTPStatus.OK

    def _skip(self, image: V1Image) -> None:
        self.printed.append(f"Image {image.id[:12]} already pushed, skipping")

    async def _upload_or_skip(self, image: V1Image, host: str) -> None:
        try:
            await self.upload(image, host)
        except _AlreadyExistsError:
            self._skip(image)
        else:
            self.printed.append(f"{image.id[:12]}: Image successfully pushed")

    async def upload(self, image: V1Image, host: str) -> None:
        """Json, layer and checksum of one image."""
        await self._put_json(image, host)
        if self.cut is Cut.AFTER_JSON:
            raise UploadCut
        tar = image.layer if self.session.profile.writes_trailer else without_trailer(image.layer)
        layer = gzip_layer(tar)
        await self._put_layer(image, layer, host)
        if self.cut is Cut.BEFORE_CHECKSUM:
            raise UploadCut
        await self._put_checksum(image, tar, layer, host)

    async def _put_json(self, image: V1Image, host: str) -> None:
        answer = await self.session.image(
            "PUT", f"/v1/images/{image.id}/json", {"Content-Type": "application/json"}, image.json, host=host
        )
        if answer.status == HTTPStatus.OK:
            return
        if answer.status == HTTPStatus.UNAUTHORIZED and self.session.scheme == "http":
            raise EngineFailed("HTTP code 401, Docker will not send auth headers over HTTP.", 401)
        if _error_of(answer) == "Image already exists":
            raise _AlreadyExistsError
        raise EngineFailed(f"HTTP code {answer.status} while uploading metadata: {answer.body!r}", answer.status)

    async def _put_layer(self, image: V1Image, layer: bytes, host: str) -> None:
        headers = {"Content-Type": "application/octet-stream"} if self.session.profile.types_layers else {}
        pieces = self._pieces(layer)
        answer = await self.session.image("PUT", f"/v1/images/{image.id}/layer", headers, pieces, host=host)
        if answer.status != HTTPStatus.OK:
            raise EngineFailed(
                f"Received HTTP code {answer.status} while uploading layer: {answer.body!r}", answer.status
            )

    def _pieces(self, layer: bytes) -> Iterator[bytes]:
        half = len(layer) // 2
        if self.cut is Cut.HALF_LAYER:
            yield layer[:half]
            raise UploadCut
        for start in range(0, len(layer), _CHUNK):
            yield layer[start : start + _CHUNK]

    async def _put_checksum(self, image: V1Image, tar: bytes, layer: bytes, host: str) -> None:
        profile = self.session.profile
        checksum = tarsum(image.json, tar, profile.tarsum_rule)
        headers = {"X-Docker-Checksum": checksum}
        if profile.payload is Payload.OF_LOCAL_TAR:
            headers["X-Docker-Checksum-Payload"] = "sha256:" + hashlib.sha256(image.layer).hexdigest()
        elif profile.payload is Payload.OF_UPLOAD:
            headers["X-Docker-Checksum-Payload"] = payload_checksum(image.json, layer)
        answer = await self.session.image("PUT", f"/v1/images/{image.id}/checksum", headers, b"", host=host)
        if answer.status != HTTPStatus.OK:
            raise EngineFailed(
                f"HTTP code {answer.status} while uploading metadata: {_error_of(answer) or answer.body!r}",
                answer.status,
            )
        self.checksums[image.id] = checksum

    async def _tag(self, image: V1Image, tag: str, host: str) -> None:
        path = f"/v1/repositories/{self.repository}/tags/{tag}"
        self.printed.append(f"Pushing tag for rev [{image.id[:12]}] on {{{self.session.scheme}://{host}{path}}}")
        body = json.dumps(image.id).encode("ascii")
        answer = await self.session.image("PUT", path, {"Content-Type": "application/json"}, body, host=host)
        if answer.status not in (200, 201):
            raise EngineFailed(
                f"Internal server error: {answer.status} trying to push tag {tag} on {self.repository}", answer.status
            )


def endpoints_of(answer: Answer, splits: bool) -> list[str]:
    """The hosts of ``X-Docker-Endpoints``; engines before 0.11 do not split lines at commas."""
    values = answer.header_lines("X-Docker-Endpoints")
    if splits:
        values = [part.strip() for value in values for part in value.split(",")]
    return [value for value in values if value]


def _error_of(answer: Answer) -> str | None:
    """The member ``error`` of an object that holds strings only, as engines decode it."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        return None
    return document.get("error")
