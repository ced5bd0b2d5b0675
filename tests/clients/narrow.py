"""
Clients that know one kind of manifest, and nothing newer or older: what engines of their time read, in a few lines.

Real ones of these ages do not run on today's machines. Everything that has a digest, a size or a signature is checked.
"""

import base64
import hashlib
import io
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.clients.images import Image, check, from_index, unpacked
from tests.clients.sample import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.clients.trees import stacked

_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


@frozen
class NarrowClient:
    """
    Takes manifests of the types ``accepts``, and no others; ``asks`` are those of them that it names in a request.

    :ivar host: that of the registry. :ivar agent: what it says of itself.
    """

    host: str
    agent: str
    accepts: Sequence[str]
    asks: Sequence[str]
    reads_zstd: bool = False

    def pull(self, reference: str) -> Image:
        """Pull an image by its tag, for amd64."""
        name, tag = reference.removeprefix(f"{self.host}/").rsplit(":", 1)
        headers, content = self._get(f"{name}/manifests/{tag}")
        kind, digest = headers["Content-Type"], headers["Docker-Content-Digest"]
        self._require(kind)
        if kind == _SCHEMA1:
            return self._from_schema1(name, tag, digest, content)
        check({"digest": digest, "size": int(headers["Content-Length"])}, content)
        manifest = json.loads(content)
        if manifest.get("mediaType", kind) != kind:
            raise AssertionError(f"served as {kind}, and says it is {manifest['mediaType']}")
        return from_index(manifest, lambda descriptor: self._content(name, descriptor), "amd64")

    def _from_schema1(self, name: str, tag: str, digest: str, content: bytes) -> Image:
        payload = verified_payload(content)
        if digest != f"sha256:{hashlib.sha256(payload).hexdigest()}":
            raise AssertionError(f"{digest} is not the digest of the signed payload")
        manifest = json.loads(payload)
        if (manifest["name"], manifest["tag"]) != (name, tag):
            raise AssertionError(f"the manifest is for {manifest['name']}:{manifest['tag']}")
        images = [json.loads(entry["v1Compatibility"]) for entry in manifest["history"]]
        _check_ancestry(images)
        layers = [self._blob(name, layer["blobSum"]) for layer in reversed(manifest["fsLayers"])]
        if len(layers) != len(images):
            raise AssertionError(f"{len(images)} images have {len(layers)} layers")
        return Image.of(images[0], stacked(io.BytesIO(unpacked(layer)) for layer in layers))

    def _content(self, name: str, descriptor: Mapping[str, Any]) -> bytes:
        kind = descriptor["mediaType"]
        if "manifest" in kind or "index" in kind:
            self._require(kind)
            _, content = self._get(f"{name}/manifests/{descriptor['digest']}")
        else:
            content = self._blob(name, descriptor["digest"])
        check(descriptor, content)
        return content

    def _blob(self, name: str, digest: str) -> bytes:
        _, content = self._get(f"{name}/blobs/{digest}")
        check({"digest": digest, "size": len(content)}, content)
        if content.startswith(b"\x28\xb5\x2f\xfd") and not self.reads_zstd:
            raise AssertionError(f"{digest} is of zstd, which this client does not read")
        return content

    def _require(self, media_type: str) -> None:
        if media_type not in self.accepts:
            raise AssertionError(f"got a {media_type}, which this client does not know")

    def _get(self, path: str) -> tuple[Mapping[str, str], bytes]:
        headers = {"User-Agent": self.agent}
        if self.asks and "/manifests/" in path:
            headers["Accept"] = ", ".join(self.asks)
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"GET {path}: {error.code} {error.read().decode(errors='replace')}") from error


def _check_ancestry(images: Sequence[Mapping[str, Any]]) -> None:
    """Each image names the next one as its parent, the last one names none."""
    parents = [image.get("parent") for image in images]
    if parents != [*[image["id"] for image in images[1:]], None]:
        raise AssertionError(f"the ancestry is broken: {parents}")


def verified_payload(manifest: bytes) -> bytes:
    """What was signed of a schema1 manifest, whose signatures are good."""
    signatures = json.loads(manifest)["signatures"]
    payloads = set()
    for signature in signatures:
        protected = json.loads(_decoded(signature["protected"]))
        payload = manifest[: protected["formatLength"]] + _decoded(protected["formatTail"])
        signed = f"{signature['protected']}.{_encoded(payload)}".encode()
        key = signature["header"]["jwk"]
        if (signature["header"]["alg"], key["crv"]) != ("ES256", "P-256"):
            raise AssertionError(f"signed by {signature['header']}")
        numbers = ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), ec.SECP256R1())
        raw = _decoded(signature["signature"])
        pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        numbers.public_key().verify(pair, signed, ec.ECDSA(SHA256()))
        payloads.add(payload)
    [payload] = payloads
    return payload


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text), "big")


def engine_1_9(host: str) -> NarrowClient:
    """An engine from 1.6 to 1.9: it knows signed manifests, and asks for nothing in particular."""
    agent = "docker/1.9.1 go/go1.4.2 git-commit/a34a1d5 kernel/3.13.0 os/linux arch/amd64"
    return NarrowClient(host, agent, [_SCHEMA1], [])


def engine_1_12(host: str) -> NarrowClient:
    """An engine of the years between schema2 and OCI: it knows signed manifests as well."""
    agent = "docker/1.12.6 go/go1.6.4 git-commit/78d1802 kernel/3.13.0 os/linux arch/amd64"
    accepts = [DOCKER_LIST, _SCHEMA1, DOCKER_MANIFEST]
    return NarrowClient(host, agent, accepts, [*accepts, "application/json"])


def oci_only(host: str) -> NarrowClient:
    """A client that was written for OCI alone."""
    return NarrowClient(
        host, "an-oci-client/1.0", [OCI_INDEX, OCI_MANIFEST], [OCI_INDEX, OCI_MANIFEST], reads_zstd=True
    )
