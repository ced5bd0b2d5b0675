"""Pushes and pulls as clients of each protocol make them."""

import bz2
import gzip
import json
from typing import Any

import zstandard

from dockreg.model.mediatypes import (
    SCHEMA1_SIGNED,
)
from dockreg.model.schema1 import new_schema1_key, parse_schema1, sign_schema1
from dockreg.testing.samples import V1Image, gzip_layer
from dockreg.testing.tarsums import payload_checksum
from tests.integration.v2case import V2Case, compact, digest_of

ENGINE_1_9 = "docker/1.9.1 go/go1.4.2 git-commit/a34a1d5 kernel/3.16.0 os/linux arch/amd64"
#: A gzip stream of an empty tar: what engines push for a layer without files.
EMPTY_DIGEST = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"


class BridgeCase(V2Case):
    """Pushes and pulls as a client of each protocol does."""

    def push_v1(self, *images: V1Image, tag: str = "latest") -> list[bytes]:
        """Push images, base first, and tag the last one; return the layers as they were sent."""
        listed = compact([{"id": image.id} for image in images])
        self.v1_ok("PUT", f"/v1/repositories/{self.name}/", listed)
        layers = []
        for image in images:
            layer = gzip_layer(image.layer)
            layers.append(layer)
            where = f"/v1/images/{image.id}"
            self.v1_ok("PUT", f"{where}/json", image.json)
            self.v1_ok("PUT", f"{where}/layer", layer)
            checksum = payload_checksum(image.json, layer)
            self.v1_ok("PUT", f"{where}/checksum", b"", X_Docker_Checksum_Payload=checksum)
        self.v1_ok("PUT", f"/v1/repositories/{self.name}/tags/{tag}", json.dumps(images[-1].id).encode())
        return layers

    def v1_ok(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """A request of v1 that has to work."""
        reply = self.ask(method, path, body, **headers)
        self.assertEqual(200, reply.status, (path, reply.content))
        return reply.content

    def push_schema1(self, images: tuple[V1Image, ...], tag: str = "latest", pack: Any = gzip_layer) -> str:
        """Push as those engines do; return the digest of the manifest."""
        blobs = [pack(image.layer) for image in images]
        for blob in blobs:
            digest = digest_of(blob)
            where = self.start("", User_Agent=ENGINE_1_9)
            self.assertEqual(202, self.ask("PATCH", where, blob, User_Agent=ENGINE_1_9).status)
            reply = self.ask("PUT", f"{where}?digest={digest}", b"", User_Agent=ENGINE_1_9)
            self.assertEqual(201, reply.status, reply.content)
        payload = {
            "schemaVersion": 1,
            "name": self.name,
            "tag": tag,
            "architecture": "amd64",
            "fsLayers": [{"blobSum": digest_of(blob)} for blob in reversed(blobs)],
            "history": [{"v1Compatibility": image.json.decode()} for image in reversed(images)],
        }
        content = json.dumps(payload, indent=3).encode()
        self.signed = sign_schema1(content, new_schema1_key())
        reply = self.ask("PUT", f"manifests/{tag}", self.signed, User_Agent=ENGINE_1_9)
        self.assertEqual(201, reply.status, reply.content)
        self.assertEqual(digest_of(content), reply.headers["docker-content-digest"])
        return digest_of(content)

    def pull_v1(self, tag: str = "latest") -> list[tuple[str, bytes, bytes]]:
        """Id, json and uncompressed layer of each image of a tag, base first."""
        listed = self.ask("GET", f"/v1/repositories/{self.name}/images", None, X_Docker_Token="true")
        self.assertEqual(200, listed.status, listed.content)
        bearer = {"Authorization": f"Token {listed.headers['x-docker-token']}"}
        top = json.loads(self.v1_ok("GET", f"/v1/repositories/{self.name}/tags", None, **bearer))[tag]
        self.assertEqual(top, json.loads(self.v1_ok("GET", f"/v1/repositories/{self.name}/tags/{tag}")))
        chain = json.loads(self.v1_ok("GET", f"/v1/images/{top}/ancestry", None, **bearer))
        pulled = []
        for image_id in reversed(chain):
            described = self.ask("GET", f"/v1/images/{image_id}/json", None, **bearer)
            layer = self.v1_ok("GET", f"/v1/images/{image_id}/layer", None, **bearer)
            self.assertEqual(str(len(layer)), described.headers["x-docker-size"])
            self.assertEqual(image_id, described.document["id"])
            pulled.append((image_id, described.content, unpacked(layer)))
        return pulled

    def pull(self, reference: str = "latest", **headers: str) -> tuple[bytes, list[bytes]]:
        """Config and uncompressed layers of an image, base first, each checked against its digest."""
        manifest = self.ask("GET", f"manifests/{reference}", None, **headers).document
        layers = [self.blob(layer) for layer in manifest["layers"]]
        config = self.blob(manifest["config"])
        tars = [unpacked(layer) for layer in layers]
        self.assertEqual(json.loads(config)["rootfs"]["diff_ids"], [digest_of(tar) for tar in tars])
        return config, tars

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        """The blob of a descriptor."""
        reply = self.ask("GET", f"blobs/{descriptor['digest']}")
        self.assertEqual(200, reply.status, reply.content)
        self.assertEqual(descriptor["digest"], digest_of(reply.content))
        self.assertEqual(descriptor["size"], len(reply.content))
        return reply.content

    def pull_schema1(self, tag: str = "latest") -> list[tuple[bytes, bytes]]:
        """Json and uncompressed layer of each image of a tag, base first, as engine 1.9 sees them."""
        reply = self.ask("GET", f"manifests/{tag}", User_Agent=ENGINE_1_9)
        self.assertEqual((200, SCHEMA1_SIGNED), (reply.status, reply.headers["content-type"]))
        manifest = parse_schema1(reply.content)
        self.assertEqual((True, tag), (manifest.signed, manifest.tag))
        self.assertEqual(str(manifest.digest), reply.headers["docker-content-digest"])
        by_digest = self.ask("GET", f"manifests/{manifest.digest}")
        self.assertEqual(reply.content, by_digest.content)
        pulled = []
        for image, digest in zip(manifest.history, manifest.fs_layers, strict=True):
            layer = self.ask("GET", f"blobs/{digest}")
            self.assertEqual(digest_of(layer.content), str(digest))
            pulled.append((image.content, unpacked(layer.content)))
        return pulled[::-1]


def unpacked(layer: bytes) -> bytes:
    """The tar of a layer in any of the compressions that clients know."""
    if layer.startswith(b"\x1f\x8b"):
        return gzip.decompress(layer)
    if layer.startswith(b"BZh"):
        return bz2.decompress(layer)
    if layer.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(layer)
    return layer
