"""What clients of v2 do, as scripts."""

import base64
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import cycle, islice
from urllib.parse import urlsplit

from attrs import frozen

from benchmarks.contenders.base import ACCOUNT, PASSWORD, Situation
from benchmarks.content import MANIFEST, Blob, Image
from benchmarks.messages import Answer, Part, Request, Script, size_of

#: As containerd has it.
ACCEPT = (
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"
)
_CHUNKED = "Transfer-Encoding: chunked"

#: A part of a script: it is part of the others.
Steps = Generator[Request, Answer, None]


@frozen
class Client:
    """Makes the requests of one server."""

    port: int
    situation: Situation

    def head(self, method: str, path: str, *headers: str, authorization: str | None = None) -> bytes:
        """
        The head of a request.

        :param authorization: instead of the credentials that the situation asks for; empty for none.
        """
        if authorization is None:
            credentials = base64.b64encode(f"{ACCOUNT}:{PASSWORD}".encode()).decode()
            authorization = f"Basic {credentials}" if self.situation.accounts else ""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "User-Agent: benchmark"]
        if authorization:
            lines.append(f"Authorization: {authorization}")
        return "\r\n".join([*lines, *headers, "", ""]).encode()

    def get(self, path: str, *, method: str = "GET", length: int | None = None, ends: bool = True) -> Request:
        """A request for something that is there."""
        return Request(self.head(method, path, f"Accept: {ACCEPT}"), length=length, ends=ends)

    # Pushing

    def push_streamed(self, repository: str, blob: Blob, *, ends: bool = True) -> Steps:
        """As docker pushes a layer: the length is not known before the end."""
        answer = yield self._start(repository)
        answer = yield self._write("PATCH", answer.header("location"), blob.framed, 202, _CHUNKED)
        yield self._close(answer.header("location"), blob, (), ends=ends)

    def push_patched(self, repository: str, blob: Blob, *, ends: bool = True) -> Steps:
        """The same with a length."""
        answer = yield self._start(repository)
        answer = yield self._write("PATCH", answer.header("location"), blob.parts, 202)
        yield self._close(answer.header("location"), blob, (), ends=ends)

    def push_put(self, repository: str, blob: Blob, *, ends: bool = True) -> Steps:
        """In one piece, with the request that ends the session (podman, skopeo, containerd)."""
        answer = yield self._start(repository)
        yield self._close(answer.header("location"), blob, blob.parts, ends=ends)

    def push_manifest(self, repository: str, reference: str, manifest: bytes, *, ends: bool = True) -> Request:
        """The request that stores a manifest."""
        head = self.head(
            "PUT", f"/v2/{repository}/manifests/{reference}", f"Content-Type: {MANIFEST}",
            f"Content-Length: {len(manifest)}",
        )  # fmt: skip
        return Request(head, [manifest], (201,), ends=ends)

    def push_image(self, repository: str, tag: str, image: Image) -> Steps:
        """All of an image, as one operation."""
        for blob in (*image.layers, image.config):
            yield from self.push_put(repository, blob, ends=False)
        yield self.push_manifest(repository, tag, image.manifest)

    def _start(self, repository: str) -> Request:
        head = self.head("POST", f"/v2/{repository}/blobs/uploads/", "Content-Length: 0")
        return Request(head, expects=(202,), ends=False)

    def _write(self, method: str, location: str, parts: Sequence[Part], status: int, *headers: str) -> Request:
        framing = headers or (f"Content-Length: {size_of(parts)}",)
        head = self.head(method, _path(location), "Content-Type: application/octet-stream", *framing)
        return Request(head, parts, (status,), ends=False)

    def _close(self, location: str, blob: Blob, parts: Sequence[Part], *, ends: bool) -> Request:
        path = _path(location)
        path += f"{'&' if '?' in path else '?'}digest={blob.digest}"
        head = self.head("PUT", path, "Content-Type: application/octet-stream", f"Content-Length: {size_of(parts)}")
        return Request(head, parts, (201,), ends=ends)

    # Pulling

    def pull_blob(self, repository: str, blob: Blob, *, ends: bool = True) -> Request:
        """The request for a blob."""
        return self.get(f"/v2/{repository}/blobs/{blob.digest}", length=blob.size, ends=ends)

    def pull_image(self, repository: str, tag: str, image: Image) -> Steps:
        """All of an image, as one operation."""
        yield self.get(f"/v2/{repository}/manifests/{tag}", length=len(image.manifest), ends=False)
        yield self.pull_blob(repository, image.config, ends=False)
        for layer in image.layers:
            yield self.pull_blob(repository, layer, ends=layer is image.layers[-1])


#: One way to push a blob.
Push = Callable[[Client, str, Blob], Steps]


def _path(location: str) -> str:
    """What of a Location belongs into the next request line."""
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def repeated(seconds: float, requests: Sequence[Request], first: int = 0) -> Script:
    """These requests in turn, from one of them on, for so long."""
    end = time.perf_counter() + seconds
    for request in islice(cycle(requests), first, None):
        yield request
        if time.perf_counter() > end:
            return


def in_turn(steps: Iterator[Steps]) -> Script:
    """One after the other; several connections may share the iterator, so that each takes the next when it is free."""
    for each in steps:
        yield from each


def single(request: Request) -> Steps:
    """One request."""
    yield request
