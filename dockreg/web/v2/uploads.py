"""Blobs on their way in: upload sessions, whole blobs in one request, and mounts."""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from attrs import define

from dockreg.blobupload import BlobUpload
from dockreg.callables import Piece
from dockreg.errors import (
    DigestInvalid,
    NameInvalid,
    RangeInvalid,
    RequestInvalid,
    SizeInvalid,
    StorageFull,
    StoreUnavailable,
    UploadUnknown,
)
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.uploads import Uploads
from dockreg.web.bodies import IRequestBody
from dockreg.web.exchange import Exchange
from dockreg.web.v2.locations import Locations

_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/[0-9*]{1,19})?", re.ASCII)
#: What is refused only when it has arrived, should another request write to the same session.
_FEW_BYTES = 1024 * 1024
#: When so much of a body in chunks has come at once, and not its end, it is taken for a large one: it is nearly all of one read.
_MUCH_BYTES = 48 * 1024


@define(eq=False)
class UploadsDoor:
    """``/v2/(name)/blobs/uploads/`` and below."""

    uploads: Uploads
    locations: Locations

    async def start(self, exchange: Exchange, repository: RepositoryName) -> bytes:
        """``POST`` (end-4a, 4b, 4c, 11): begin a session, bring a whole blob, or mount one of another repository."""
        mounted = exchange.query(b"mount")
        if mounted is not None:
            if await self._mount(exchange, repository, Digest.parse(mounted)):
                return b""
        elif exchange.query(b"digest") is not None and await self._bring(exchange, repository):
            return b""
        algorithm = exchange.query(b"digest-algorithm") or "sha256"
        begun = await self.uploads.start(exchange.principal, repository, algorithm)
        self._answer(exchange, begun.session.upload_id, 0, 202)
        if begun.again is not None:
            exchange.varies(begun.session.upload_id, begun.again)
        return b""

    async def _mount(self, exchange: Exchange, repository: RepositoryName, digest: Digest) -> bool:
        source = exchange.query(b"from")
        try:
            parsed = None if not source else RepositoryName.parse_oci(source)
        except NameInvalid:
            return False
        blob = await self.uploads.mount(exchange.principal, repository, digest, parsed)
        if blob is not None:
            self._created(exchange, digest)
        return blob is not None

    async def _bring(self, exchange: Exchange, repository: RepositoryName) -> bool:
        digest = _digest(exchange)
        body = exchange.body
        if body.length == 0 and digest != Digest.of(digest.algorithm, b""):
            # A session is begun with a digest by clients that bring the bytes later.
            return False
        upload = await self.uploads.begin(exchange.principal, repository, digest)
        try:
            last = await self._receive(body, upload, digest)
            await upload.commit(digest, last)
        finally:
            await upload.release()
        self._created(exchange, digest)
        return True

    async def append(self, exchange: Exchange, repository: RepositoryName, upload_id: str) -> bytes:
        """``PATCH`` (end-5): the next bytes of a session, which may be all of them, of a length not known before."""
        body = exchange.body
        upload = await self._resume(exchange, repository, upload_id, body.length, None)
        try:
            if last := await self._receive(body, upload):
                await upload.write(last, last=True)
            await upload.pause()
        except (StorageFull, StoreUnavailable):
            await self._answer_kept(exchange, upload_id, upload)
            raise
        finally:
            await upload.release()
        self._answer(exchange, upload_id, upload.size, 202)
        return b""

    async def finish(self, exchange: Exchange, repository: RepositoryName, upload_id: str) -> bytes:
        """``PUT`` (end-6): the last bytes of a session, if any are left, and the digest of the blob."""
        digest, body = _digest(exchange), exchange.body
        upload = await self._resume(exchange, repository, upload_id, body.length, digest)
        try:
            last = await self._receive(body, upload, digest)
            await upload.commit(digest, last)
        except (StorageFull, StoreUnavailable):
            await self._answer_kept(exchange, upload_id, upload)
            raise
        finally:
            await upload.release()
        self._created(exchange, digest)
        return b""

    async def status(self, exchange: Exchange, repository: RepositoryName, upload_id: str) -> None:
        """``GET`` (end-13): how many bytes have arrived."""
        size = await self.uploads.size(exchange.principal, repository, upload_id)
        self._answer(exchange, upload_id, size, 204)

    async def cancel(self, exchange: Exchange, repository: RepositoryName, upload_id: str) -> None:
        """``DELETE`` (end-14): end a session without a blob."""
        await self.uploads.cancel(exchange.principal, repository, upload_id)
        exchange.respond(204)

    async def _resume(
        self, exchange: Exchange, repository: RepositoryName, upload_id: str, length: int | None, digest: Digest | None
    ) -> BlobUpload:
        header = exchange.header(b"content-range")
        offset = None if header is None else _offset(header, length)
        # Without a byte there is nothing else to wait for, but for the end of the session.
        soon = length is None or (length <= _FEW_BYTES and (length > 0 or digest is not None))
        inspect = exchange.agent.pushes_schema1
        try:
            return await self.uploads.resume(
                exchange.caller.principal, repository, upload_id, offset, digest, inspect=inspect, soon=soon
            )
        except RangeInvalid as error:
            # What a client needs to go on.
            self._answer(exchange, upload_id, error.size, 416)
            raise

    async def _receive(self, body: IRequestBody, upload: BlobUpload, digest: Digest | None = None) -> Sequence[Piece]:
        """
        Write the bytes of the request, but for the last ones where it is known that they are: those are returned.

        :param digest: of the blob, whose last bytes these are; who has them all may commit it.
        """
        if body.whole is not None:
            return (body.whole,)
        if body.length:
            await upload.expect(body.length)
        left = body.length or 0
        much = False
        if body.length is None or (left and not upload.gathers):
            # Of what comes in chunks nobody knows how much it is, but by that.
            much = await body.arrived() >= _MUCH_BYTES
        while True:
            if (much or not upload.gathers) and (poured := await self._pour(body, upload, left, digest)):
                left -= poured
                if left or body.length is None:
                    continue
                return ()
            chunks = await body.read()
            left -= sum(map(len, chunks))
            if left == 0 or not chunks:
                return chunks
            await upload.write(chunks)

    async def _pour(self, body: IRequestBody, upload: BlobUpload, left: int, digest: Digest | None) -> int:
        """Have the upload receive bytes without the reactor; return how many, 0 where that can not be."""
        most = upload.at_once()
        if body.length is not None:
            most = min(most, left)
        receive = partial(upload.receive, most=most)
        if digest is not None and most == left:
            receive = partial(upload.receive_all, most=most, digest=digest)
        return await body.pour(receive, most)

    async def _answer_kept(self, exchange: Exchange, upload_id: str, upload: BlobUpload) -> None:
        """Tell what a client needs to go on with later."""
        with suppress(StorageFull, StoreUnavailable, UploadUnknown):
            await upload.release()
        self._answer(exchange, upload_id, upload.size, HTTPStatus.INSUFFICIENT_STORAGE)

    def _answer(self, exchange: Exchange, upload_id: str, size: int, status: int) -> None:
        location = self.locations.of(exchange, f"/v2/{exchange.parts['name']}/blobs/uploads/{upload_id}")
        # Docker reads "0-0" for an empty session, and fails without a range (docker/distribution, client).
        exchange.respond(status, Range=f"0-{max(0, size - 1)}", Docker_Upload_UUID=upload_id, Location=location)

    def _created(self, exchange: Exchange, digest: Digest) -> None:
        text = str(digest)
        location = self.locations.of(exchange, f"/v2/{exchange.parts['name']}/blobs/{text}")
        exchange.respond(201, Location=location, Docker_Content_Digest=text)


def _digest(exchange: Exchange) -> Digest:
    text = exchange.query(b"digest")
    if text is None:
        raise DigestInvalid("", "name the digest of the whole blob in the parameter 'digest'")
    return Digest.parse(text)


def _offset(header: str, length: int | None) -> int | None:
    """Where the bytes of a request begin that has so many, by its ``Content-Range``; None when that says nothing."""
    found = _CONTENT_RANGE.fullmatch(header)
    if found is None:
        raise RequestInvalid("Content-Range is two numbers with a '-' between them: the first byte and the last one")
    first, last = int(found[1]), int(found[2])
    if length == 0:
        # Nothing comes; clients that close an upload may still repeat the last range.
        return None
    if last < first or (length is not None and last - first + 1 != length):
        raise SizeInvalid(f"Content-Range {first}-{last} does not fit a body of {length} bytes")
    return first
