"""
Schema1: the manifests of engines 1.6 to 1.9 (docker's "Image Manifest V2 Schema 1").

Such a manifest lists layers and, beside each, the json of the v1 image that the layer belongs to. It carries a signature
of itself, so the digest is that of the payload that was signed, which signing again does not change. Nothing is believed
that is not in the payload. The rules of the image jsons are those of docker's engines ("fixManifestLayers", moby 1.8 to
20, ``distribution/pull_v2.go``), which tolerate an image that comes twice in a row.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

from attrs import field, frozen

from dockreg.errors import DigestInvalid, ImageJSONInvalid, ManifestInvalid
from dockreg.model.descriptors import folded, require_spelling
from dockreg.model.digest import Digest
from dockreg.model.documents import parse_object
from dockreg.model.jws import SIGNATURES, key_id, load_key, new_key, sign, signed_payload
from dockreg.model.mediatypes import SCHEMA1, SCHEMA1_SIGNED
from dockreg.model.v1 import MAX_ANCESTRY, ImageJSON

_FOLDED = folded(
    frozenset({"schemaVersion", "name", "tag", "architecture", "fsLayers", "history", "signatures", "mediaType"})
)
_BLOB_SUM = folded(frozenset({"blobSum"}))
_COMPATIBILITY = folded(frozenset({"v1Compatibility"}))


@frozen
class Schema1:
    """
    A schema1 manifest, its newest layer first.

    ``payload`` is what was signed, all of it where nothing was; ``digest`` is that of the payload. ``history`` has the
    image of each of ``fs_layers``; the ``content`` of an entry is the text of its v1Compatibility.
    """

    payload: bytes = field(repr=False)
    digest: Digest
    signed: bool
    name: str
    tag: str
    architecture: str
    fs_layers: Sequence[Digest]
    history: Sequence[ImageJSON]

    @property
    def media_type(self) -> str:
        """The type to serve it with."""
        return SCHEMA1_SIGNED if self.signed else SCHEMA1


def parse_schema1(content: bytes, algorithm: str = "sha256") -> Schema1:
    """
    The schema1 manifest that a client sends, signed or not.

    :param algorithm: that of the digest under which it is stored.
    :raises ManifestInvalid: it is none, or a signature of it does not hold.
    """
    members = parse_object(content, ManifestInvalid)
    require_spelling(members, _FOLDED)
    payload = content
    if SIGNATURES in members:
        if not isinstance(members[SIGNATURES], list):
            raise ManifestInvalid("its member 'signatures' is not a list")
        payload = signed_payload(content, members.pop(SIGNATURES))
        # Whoever reads the document as a whole has to see what was signed, no more and no less.
        if parse_object(payload, ManifestInvalid) != members:
            raise ManifestInvalid("what was signed is not the manifest without its signatures")
    version = members.get("schemaVersion")
    if type(version) is not int or version != 1:
        raise ManifestInvalid("its schemaVersion is not the number 1")
    layers, entries = _listed(members, "fsLayers"), _listed(members, "history")
    if len(layers) != len(entries):
        raise ManifestInvalid(f"it has {len(layers)} fsLayers, but {len(entries)} entries of history")
    history = [_image(position, entry) for position, entry in enumerate(entries)]
    _require_chain(history)
    return Schema1(
        payload=payload,
        digest=Digest.of(algorithm, payload),
        signed=payload is not content,
        name=_text(members, "name"),
        tag=_text(members, "tag"),
        architecture=_text(members, "architecture"),
        fs_layers=[_blob_sum(position, layer) for position, layer in enumerate(layers)],
        history=history,
    )


def sign_schema1(payload: bytes, key: bytes) -> bytes:
    """
    A schema1 manifest with a signature in it, as engines before 1.10 ask for.

    :param key: what :func:`new_schema1_key` made.
    """
    return sign(payload, key)


def new_schema1_key() -> bytes:
    """A new private key to sign with, as PEM (PKCS #8)."""
    return new_key()


def key_id_of(key: bytes) -> str:
    """The public name of a private key to sign with: what libtrust calls its key id."""
    return key_id(load_key(key).public_key())


def _listed(members: Mapping[str, Any], name: str) -> Sequence[object]:
    listed = members.get(name)
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_ANCESTRY:
        raise ManifestInvalid(f"its member {name!r} is not a list of 1 to {MAX_ANCESTRY} entries")
    return listed


def _member(entry: object, names: Mapping[str, str], where: str) -> str:
    (name,) = names.values()
    if isinstance(entry, dict):
        require_spelling(entry, names)
        if isinstance(value := entry.get(name), str):
            return value
    raise ManifestInvalid(f"{where} is not an object with a text {name!r}")


def _blob_sum(position: int, layer: object) -> Digest:
    where = f"fsLayers[{position}]"
    try:
        return Digest.parse(_member(layer, _BLOB_SUM, where))
    except DigestInvalid as invalid:
        raise ManifestInvalid(f"{where}: {invalid}") from None


def _image(position: int, entry: object) -> ImageJSON:
    where = f"history[{position}]"
    text = _member(entry, _COMPATIBILITY, where)
    try:
        return ImageJSON.parse(text.encode())
    except ImageJSONInvalid as invalid:
        raise ManifestInvalid(f"{where}: {invalid}") from None
    except UnicodeEncodeError:
        raise ManifestInvalid(f"{where}: half of a surrogate pair is no text") from None


def _require_chain(history: Sequence[ImageJSON]) -> None:
    for position, (image, older) in enumerate(pairwise(history)):
        if older.image_id not in (image.image_id, image.parent):
            raise ManifestInvalid(f"history[{position}]: its parent is not {older.image_id}, the image that follows")
    if history[-1].parent is not None:
        raise ManifestInvalid("the last entry of its history has a parent, which is not in it")
    distinct = [image_id for image_id, _ in groupby(image.image_id for image in history)]
    if len(set(distinct)) < len(distinct):
        raise ManifestInvalid("an image id comes more than once in its history")


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name, "")
    if not isinstance(value, str):
        raise ManifestInvalid(f"its member {name!r} is not a text")
    return value
