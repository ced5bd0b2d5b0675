"""Images to push: small, and made of a seed alone. Many of them share layers."""

import gzip
import hashlib
import json
from collections.abc import Sequence
from random import Random

from attrs import field, frozen

from dockreg.testing.samples import bytes_of, image_json, make_tar, sample_id

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest_of(content: bytes) -> str:
    """The sha256 digest, as it is spelled in requests."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@frozen
class Manifest:
    """A manifest with all that has to be there before it."""

    content: bytes = field(repr=False)
    media_type: str
    #: Digest to bytes.
    blobs: dict[str, bytes] = field(factory=dict, repr=False)
    #: The digests of what an index lists.
    children: tuple[str, ...] = ()
    subject: str | None = None

    @property
    def digest(self) -> str:
        """The digest of its bytes."""
        return digest_of(self.content)


@frozen
class Image:
    """An image of v1: the bytes of its json and its layer, and its parent."""

    id: str
    json: bytes = field(repr=False)
    layer: bytes = field(repr=False)
    parent: "Image | None" = None

    @property
    def payload(self) -> str:
        """The checksum of json and layer."""
        return digest_of(self.json + b"\n" + self.layer)

    @property
    def chain(self) -> "list[Image]":
        """The image and those below it, base first."""
        return [*(self.parent.chain if self.parent else []), self]


def layer_of(seed: str, size: int) -> bytes:
    """A gzip tar of about ``size`` bytes."""
    return gzip.compress(make_tar({f"file-{seed}": bytes_of(seed, size)}), 1, mtime=0)


class Contents:
    """
    Everything that the clients of one run push.

    :param seed: makes all of it.
    :param layers: how many layers there are in all; few are shared by many.
    :param most: bytes of the largest one.
    """

    def __init__(self, seed: int, layers: int = 40, most: int = 200_000) -> None:
        random = Random(seed)
        sizes = [random.choice((100, 3_000, 40_000, most)) for _ in range(layers)]
        self._seed = seed
        self._layers = [layer_of(f"{seed}-{number}", size) for number, size in enumerate(sizes)]

    def layer(self, random: Random) -> bytes:
        """Any layer."""
        return random.choice(self._layers)

    def manifest(self, random: Random, subject: Manifest | None = None) -> Manifest:
        """An image of some of the layers; with a subject it is a referrer of that."""
        layers = list(dict.fromkeys(self.layer(random) for _ in range(random.randint(1, 4))))
        oci = subject is not None or random.random() < 0.7
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "seed": self._seed, "n": random.getrandbits(64)}
        ).encode()
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST if oci else DOCKER_MANIFEST,
            "config": _descriptor(_OCI_CONFIG if oci else _DOCKER_CONFIG, config),
            "layers": [_descriptor(_OCI_LAYER if oci else _DOCKER_LAYER, layer) for layer in layers],
        }
        if subject is not None:
            document |= {
                "artifactType": "application/x-soak",
                "subject": _descriptor(subject.media_type, subject.content),
            }
        blobs = {digest_of(each): each for each in (config, *layers)}
        content = json.dumps(document).encode()
        return Manifest(content, str(document["mediaType"]), blobs, (), subject.digest if subject else None)

    def index(self, random: Random, manifests: Sequence[Manifest]) -> Manifest:
        """An index of manifests."""
        entries = [
            {**_descriptor(each.media_type, each.content), "platform": {"os": "linux", "architecture": f"a{number}"}}
            for number, each in enumerate(manifests)
        ]
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": entries,
            "annotations": {"n": str(random.getrandbits(64))},
        }
        return Manifest(json.dumps(document).encode(), OCI_INDEX, {}, tuple(each.digest for each in manifests))

    def image(self, random: Random, parent: Image | None = None) -> Image:
        """An image of v1."""
        image_id = sample_id(f"{self._seed}-{random.getrandbits(64)}")
        return Image(image_id, image_json(image_id, parent.id if parent else None), self.layer(random), parent)


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
