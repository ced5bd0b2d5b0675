"""What engines of v1 do, as scripts."""

import hashlib
import json
import os
from collections.abc import Generator

from attrs import frozen

from benchmarks.content import Blob, Source
from benchmarks.exchanges import Client, Steps
from benchmarks.messages import Answer, Request, size_of

_JSON = "Content-Type: application/json"


@frozen
class V1Image:
    """An image of one layer, and the checksums that its push ends with: of the payload, and the tarsum."""

    image_id: str
    json: bytes
    layer: Blob
    payload: str
    tarsum: str

    @classmethod
    def of(cls, source: Source) -> "V1Image":
        """An image that nobody has seen. Its whole layer is digested, for the checksums are those of both."""
        layer = source.blob()
        image_id = os.urandom(32).hex()
        document = {
            "id": image_id,
            "created": "2014-11-24T12:00:00.000000000Z",
            "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ADD file"]},
            "architecture": "amd64",
            "os": "linux",
            "Size": layer.size,
        }
        content = json.dumps(document, separators=(",", ":")).encode()
        hasher = hashlib.sha256(content + b"\n")
        source.hash_into(hasher, layer)
        tarsum = hashlib.sha256(content + source.file_sum(layer).encode())
        return cls(image_id, content, layer, f"sha256:{hasher.hexdigest()}", f"tarsum+sha256:{tarsum.hexdigest()}")


@frozen
class V1Client:
    """Makes the requests of one push or pull; ``token`` came with the announcement."""

    client: Client
    token: str

    @classmethod
    def announce(cls, client: Client, repository: str, image: V1Image) -> Generator[Request, Answer, "V1Client"]:
        """The beginning of a push."""
        answer = yield _put(client, f"/v1/repositories/{repository}/", json.dumps([{"id": image.image_id}]).encode())
        return cls(client, f"Token {answer.header('x-docker-token')}")

    def push(self, image: V1Image) -> Steps:
        """Json, layer and checksum, as one operation."""
        path = f"/v1/images/{image.image_id}"
        yield self._put(f"{path}/json", image.json)
        head = self.client.head("PUT", f"{path}/layer", "Transfer-Encoding: chunked", authorization=self.token)
        yield Request(head, image.layer.framed, ends=False)
        # Engines since 0.10 send both.
        checksums = f"X-Docker-Checksum: {image.tarsum}", f"X-Docker-Checksum-Payload: {image.payload}"
        yield self._put(f"{path}/checksum", b"", *checksums, ends=True)

    def tag(self, repository: str, tag: str, image: V1Image) -> Steps:
        """The end of a push."""
        yield self._put(f"/v1/repositories/{repository}/tags/{tag}", json.dumps(image.image_id).encode())
        head = self.client.head("PUT", f"/v1/repositories/{repository}/images", _JSON, "Content-Length: 2")
        yield Request(head, [b"[]"], (204,))

    def get(self, image: V1Image, what: str, length: int) -> Request:
        """The json or the layer of an image."""
        head = self.client.head("GET", f"/v1/images/{image.image_id}/{what}", authorization=self.token)
        return Request(head, length=length)

    def _put(self, path: str, body: bytes, *headers: str, ends: bool = False) -> Request:
        return _put(self.client, path, body, *headers, token=self.token, ends=ends)


def _put(
    client: Client, path: str, body: bytes, *headers: str, token: str | None = None, ends: bool = False
) -> Request:
    wanted = (_JSON, "X-Docker-Token: true", f"Content-Length: {size_of([body])}", *headers)
    head = client.head("PUT", path, *wanted, authorization=token)
    return Request(head, [body] if body else [], (200, 201), ends=ends)
