"""Docker v1: image ids, image json, and what the registry knows of a v1 image."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from dockreg.errors import ImageJSONInvalid, ImageUnknown
from dockreg.model.blobs import Blob, StoredBlob
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.documents import parse_object
from dockreg.model.names import RepositoryName

_TARSUM = re.compile(r"tarsum\+sha256:[a-f0-9]{64}", re.ASCII).fullmatch
_IMAGE_ID = re.compile(r"[a-f0-9]{64}|[a-f0-9]{16}", re.ASCII)

#: Engines refuse deeper images; docker-registry had no limit.
MAX_ANCESTRY = 1024


@frozen(order=True)
class ImageID:
    """A v1 image id: 64 lowercase hexadecimal digits, or 16 for some base images of 2013."""

    value: str

    @classmethod
    def parse(cls, text: str) -> "ImageID":
        """:raises ImageUnknown: ``text`` can not be the id of an image (docker-registry 0.9.1 answered so)."""
        if not _IMAGE_ID.fullmatch(text):
            raise ImageUnknown(text[:128])
        return cls(text)

    def __str__(self) -> str:
        return self.value


@frozen
class ImageJSON:
    """The metadata document of a v1 image: its exact bytes, and the two members that the registry acts on."""

    content: bytes
    image_id: ImageID
    parent: ImageID | None
    members: Mapping[str, Any] = field(eq=False, repr=False)

    @classmethod
    def parse(cls, content: bytes) -> "ImageJSON":
        """:raises ImageJSONInvalid: not a JSON object in UTF-8, or without a usable ``id`` or ``parent``."""
        members = parse_object(content, ImageJSONInvalid)
        if not members:
            raise ImageJSONInvalid("it is empty")
        return cls(content, _member_id(members, "id"), _parent(members), members)


def _parent(members: Mapping[str, Any]) -> ImageID | None:
    return None if members.get("parent") in (None, "") else _member_id(members, "parent")


def _member_id(members: Mapping[str, Any], name: str) -> ImageID:
    value = members.get(name)
    if not isinstance(value, str) or not _IMAGE_ID.fullmatch(value):
        raise ImageJSONInvalid(f"its member {name!r} is not an image id of 64 lowercase hexadecimal digits")
    return ImageID(value)


@frozen
class LayerFacts:
    """
    What was learned of a layer while its bytes passed.

    ``compression`` is ``none``, ``gzip``, ``bzip2``, ``xz`` or ``zstd``. The other members are None when the layer is
    no tar: ``diff_id`` is the digest of the uncompressed tar, ``uncompressed_size`` its length in bytes, ``entries``
    the number of files in it.
    """

    compression: str
    diff_id: Digest | None = None
    uncompressed_size: int | None = None
    entries: int | None = None

    def of_blob(self, digest: Digest) -> "LayerFacts":
        """
        The same of a layer whose bytes have this digest.

        A tar that is not compressed is its own uncompressed form: it need not be digested a second time as that.
        """
        is_own = self.compression == "none" and self.uncompressed_size is not None and self.diff_id is None
        return evolve(self, diff_id=digest) if is_own and digest.algorithm == "sha256" else self


@frozen
class Checksums:
    """
    The checksums that a v1 engine may send for one json and one layer.

    ``payload`` is ``sha256:…`` over json, newline and layer; ``tarsums`` are the values of tarsum v0 that engines of
    different ages compute, as ``tarsum+sha256:…``; empty when the layer is no tar, None when nobody has computed them.
    """

    payload: str
    tarsums: frozenset[str] | None = frozenset()

    def matches(self, claimed: "ClaimedChecksums") -> bool:
        """Whether one of the claimed values is ours. One is enough: engine 0.9 sends an unusable payload value."""
        return (claimed.payload is not None and claimed.payload == self.payload) or claimed.tarsum in (
            self.tarsums or ()
        )

    def may_match(self, claimed: "ClaimedChecksums") -> bool:
        """Whether they do not match, and could if anybody had computed the tarsums."""
        if self.tarsums is not None or claimed.tarsum is None or self.matches(claimed):
            return False
        return _TARSUM(claimed.tarsum) is not None


@frozen
class ClaimedChecksums:
    """What a client says of the bytes that it sent; at least one is not None."""

    payload: str | None
    tarsum: str | None


@frozen
class PushScope:
    """
    Whose unfinished images: those of ``principal`` (None: anonymous) pushing to ``repository``.

    ``repository`` is None when the request named none (Basic credentials without a repository hint).
    """

    repository: RepositoryName | None
    principal: str | None


@frozen
class StagedImage:
    """An accepted image json whose image is not complete. ``parent_key`` is the key of the parent's row."""

    key: int
    json: bytes
    parent_key: int | None


@frozen
class StagedLayer:
    """
    A received layer, together with one staged json that it was checked against.

    ``image_key`` is the key of that ``json``; ``parent`` and ``parent_key`` are what the json was accepted with.
    """

    key: int
    image_key: int
    json: bytes
    parent: ImageID | None
    parent_key: int | None
    blob: StoredBlob
    checksums: Checksums


@frozen
class V1Image:
    """A complete v1 image. ``key`` identifies it in the store; two repositories may hold two images under one id."""

    key: int
    image_id: ImageID
    json: bytes
    parent_key: int | None
    parent: ImageID | None
    layer: Blob
    facts: LayerFacts
    checksums: Checksums
    pushed_by: str | None


@frozen
class MadeImage:
    """
    A v1 image that the registry makes of a manifest. ``layer`` is a blob of the manifest's repository.

    ``unpacked`` is set when old engines can not read the layer as it is: they get the decompressed tar of that digest
    and size. ``exact`` says that the json was pushed, rather than made from a config.
    """

    image_id: ImageID
    json: bytes
    layer: Digest
    unpacked: Descriptor | None = None
    exact: bool = False

    @property
    def served(self) -> Digest:
        """The digest of the layer as old engines get it."""
        return self.layer if self.unpacked is None else self.unpacked.digest


@frozen
class ReachableImage:
    """A complete image and one way to reach it: through a repository, or (None) as its pusher's own."""

    image: V1Image
    repository: RepositoryName | None


@frozen
class AnnouncedImage:
    """An entry of the image list of a repository. ``checksum`` is what the store or, failing that, a client said."""

    image_id: ImageID
    checksum: str | None = None


@frozen
class TagClient:
    """
    What the client that set a tag said of itself in its User-Agent (docker-registry 0.6.6 and later).

    ``last_update`` is in whole seconds since 1970, None when the tag was never set through v1.
    """

    last_update: int | None = None
    docker_version: str | None = None
    docker_go_version: str | None = None
    arch: str = "amd64"
    os: str = "linux"
    kernel: str | None = None


def ancestry_document(chain: Sequence[ImageID]) -> bytes:
    """The ancestry as the registry serves it: requested image first, base last."""
    return json.dumps([image_id.value for image_id in chain]).encode()
