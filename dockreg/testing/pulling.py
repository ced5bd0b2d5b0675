"""The pull of an engine, request by request ("client sequences", pull)."""

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from attrs import Factory, define, field, frozen

from dockreg.testing.pushing import endpoints_of
from dockreg.testing.samples import V1Image
from dockreg.testing.sessions import EngineFailed, Session, Unreachable, decoded
from dockreg.testing.wire import Answer

_RESUME_TRIES = 5
_PAUSE_BETWEEN_JSON = 0.5
_PAUSE_BEFORE_RESUME = 5.0


@frozen
class Pulled:
    """What a pull brought: tag to image id, and each image; a layer here is what the registry sent."""

    tags: Mapping[str, str]
    images: Mapping[str, V1Image] = field(repr=False)
    #: Ids of the images that were fetched, in the order in which they came.
    fetched: tuple[str, ...]


@define(eq=False)
class Pull:
    """One pull that is under way."""

    session: Session
    repository: str
    tag: str | None
    pause: Callable[[float], Awaitable[None]]
    have: dict[str, V1Image]
    break_after: int | None
    fetched: list[str] = Factory(list)

    async def run(self) -> Pulled:
        """The whole pull."""
        try:
            await self._ask_index()
            tags = await self._tags()
            images: dict[str, V1Image] = {}
            for top in dict.fromkeys(tags.values()):
                images.update(await self._chain(top))
        except EngineFailed as failed:
            if self.session.profile.falls_back_to_id and failed.status != HTTPStatus.UNAUTHORIZED:
                await self._try_as_id(failed)
            raise
        return Pulled(tags, images, tuple(self.fetched))

    async def _try_as_id(self, failed: EngineFailed) -> None:
        path = f"/v1/images/{self.repository}/ancestry"
        answer = await self.session.image("GET", path)
        if answer.status == HTTPStatus.OK:
            raise EngineFailed(f"{path} is no image, but was answered with 200", 200) from failed

    async def _ask_index(self) -> None:
        session = self.session
        path = f"/v1/repositories/{self.repository}/images"
        answer = await session.index("GET", path, {"X-Docker-Token": "true"})
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise EngineFailed("Please login first (HTTP code 401)", 401)
        if answer.status == HTTPStatus.NOT_FOUND:
            text = session.profile.says_not_found.format(name=self.repository, tag=self.tag)
            raise EngineFailed(text, 404)
        if answer.status != HTTPStatus.OK:
            raise EngineFailed(f"HTTP code: {answer.status}", answer.status)
        session.endpoints = endpoints_of(answer, session.profile.splits_endpoints)
        if not session.endpoints:
            if session.profile.needs_endpoints_on_pull:
                raise EngineFailed("Index response didn't contain any endpoints", 200)
            session.endpoints = [session.registry]
        images = decoded(answer, "images")
        if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
            raise EngineFailed("json: cannot unmarshal the image list", 200)
        if any(key.lower() == "tag" for image in images for key in image):
            raise EngineFailed("the image list names tags, so that stale images would be pulled too", 200)

    async def _tags(self) -> Mapping[str, str]:
        name = self.repository if "/" in self.repository else f"library/{self.repository}"
        path = f"/v1/repositories/{name}/tags"
        if self.tag is not None and self.session.profile.asks_for_one_tag:
            path += f"/{self.tag}"
        answer = await self._from_endpoints(path)
        document = decoded(answer, "tags")
        if self.tag is not None and self.session.profile.asks_for_one_tag:
            document = {self.tag: document}
        if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
            raise EngineFailed("json: cannot unmarshal the tags", 200)
        if self.tag is None:
            return document
        if self.tag not in document:
            raise EngineFailed(f"Tag {self.tag} not found in repository {self.repository}", 404)
        return {self.tag: document[self.tag]}

    async def _from_endpoints(self, path: str) -> Answer:
        for host in self.session.endpoints:
            answer = await self.session.image("GET", path, host=host)
            if answer.status == HTTPStatus.OK:
                return answer
            if answer.status == HTTPStatus.NOT_FOUND:
                one = self.tag is not None and self.session.profile.asks_for_one_tag
                text = f"Tag {self.tag} not found in repository {self.repository}" if one else "Repository not found"
                raise EngineFailed(text, 404)
        raise EngineFailed("Could not reach any registry endpoint", answer.status)

    async def _chain(self, image_id: str) -> dict[str, V1Image]:
        failure = EngineFailed(f"Error pulling image {image_id}: no endpoint")
        for host in self.session.endpoints:
            try:
                return await self._chain_from(image_id, host)
            except EngineFailed as failed:
                failure = failed
        raise failure

    async def _chain_from(self, image_id: str, host: str) -> dict[str, V1Image]:
        answer = await self.session.image("GET", f"/v1/images/{image_id}/ancestry", host=host)
        if answer.status != HTTPStatus.OK:
            text = "Please login first (HTTP code 401)" if answer.status == HTTPStatus.UNAUTHORIZED else None
            text = text or f"Server error: {answer.status} trying to fetch remote history for {image_id}"
            raise EngineFailed(text, answer.status)
        ids = decoded(answer, "ancestry")
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids) or ids[:1] != [image_id]:
            raise EngineFailed(f"the ancestry of {image_id} is {ids!r}", 200)
        images = {}
        for one in reversed(ids):
            if one not in self.have:
                self.have[one] = await self._image(one, host)
                self.fetched.append(one)
            images[one] = self.have[one]
        return images

    async def _image(self, image_id: str, host: str) -> V1Image:
        described = await self._json(image_id, host)
        if not isinstance(decoded(described, "image json"), dict):
            raise EngineFailed(f"the json of {image_id} is no object", 200)
        size = self._size(described)
        return V1Image(image_id, described.body, await self._layer(image_id, size, host))

    async def _json(self, image_id: str, host: str) -> Answer:
        for attempt in range(1, self.session.profile.json_tries + 1):
            answer = await self.session.image("GET", f"/v1/images/{image_id}/json", host=host)
            if answer.status == HTTPStatus.OK:
                return answer
            if attempt < self.session.profile.json_tries:
                await self.pause(_PAUSE_BETWEEN_JSON * attempt)
        raise EngineFailed(f"HTTP code {answer.status}", answer.status)

    def _size(self, described: Answer) -> int:
        """The size in bytes; -1 for an unknown one where the engine puts up with that."""
        text = described.header("X-Docker-Size") or ""
        if re.fullmatch(r"[0-9]+", text, re.ASCII):
            return int(text)
        if self.session.profile.needs_size:
            raise EngineFailed(f'strconv.ParseInt: parsing "{text}": invalid syntax', 200)
        return -1

    async def _layer(self, image_id: str, size: int, host: str) -> bytes:
        path = f"/v1/images/{image_id}/layer"
        profile = self.session.profile
        if profile.heads_layers:
            await self.session.image("HEAD", path, host=host)
        first = await self.session.image("GET", path, host=host, limit=self.break_after)
        if first.status in (301, 302, 303, 307):
            first = await self._redirected(first)
        if first.status != HTTPStatus.OK:
            raise EngineFailed(
                f"Server error: Status {first.status} while fetching image layer ({image_id})", first.status
            )
        if first.whole:
            return first.body
        if not profile.resumes or first.header("Accept-Ranges") != "bytes" or size <= 0:
            raise EngineFailed(f"Error downloading the layer of {image_id}: unexpected EOF", 200)
        return await self._resume(path, first.body, size, host)

    async def _redirected(self, first: Answer) -> Answer:
        """The layer from where the registry sent us; no credentials go along."""
        scheme, _, rest = (first.header("Location") or "").partition("://")
        host, slash, path = rest.partition("/")
        return await self.session.send("image", "GET", slash + path, host=host, scheme=scheme, limit=self.break_after)

    async def _resume(self, path: str, got: bytes, size: int, host: str) -> bytes:
        for attempt in range(1, _RESUME_TRIES):
            await self.pause(_PAUSE_BEFORE_RESUME * attempt)
            headers = {"Range": f"bytes={len(got)}-{size}"}
            try:
                answer = await self.session.image("GET", path, headers, host=host)
            except Unreachable:
                continue
            if (
                answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                and not answer.body
                and answer.header("Content-Length") == "0"
            ):
                return got
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                raise EngineFailed("the server doesn't support byte ranges", answer.status)
            got += answer.body
            if answer.whole:
                return got
        raise EngineFailed(f"{path}: gave up after {_RESUME_TRIES} attempts")
