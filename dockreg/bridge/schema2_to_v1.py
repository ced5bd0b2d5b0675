"""
schema2 and OCI images as v1 images.

The rule is the one by which docker 1.10 to 17.05 pushed their content-addressed images to v1 registries: there is one
v1 image for each layer; the topmost takes its id from the digest of the config, each other one from the chain id of
its layer (OCI Image specification, "Layer ChainID"). So ids depend on content only, and images that begin with the same
layers share all of them but the topmost. The images below it carry nothing but ``id`` and ``parent``; history entries
without a layer become no images, for the config of the topmost says all that they changed.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from json import JSONDecoder

from attrs import field, frozen

from dockreg.errors import DigestInvalid, RequestInvalid
from dockreg.model.digest import Digest
from dockreg.model.documents import parse_object
from dockreg.model.manifest import Descriptor, Manifest, Role
from dockreg.model.v1 import ImageID

#: What a config has and a v1 json of that age had not.
_LEFT_OUT = frozenset({"rootfs", "history", "os.version", "os.features"})
_STRING_OR_SPACE = re.compile(r'("(?:[^"\\]|\\.)*+")|[ \t\r\n]+')
_CONTROL = re.compile(r"[\x00-\x1f]")
# Half of a surrogate pair is no character; engines read it as the replacement character.
_HALF = re.compile(r"[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n]*")
# What the JSON encoder of engines escapes in text that it takes over.
_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


@frozen
class DerivedImage:
    """A v1 image made from a config. ``diff_id`` is its layer's; None for an empty layer that the config does not list."""

    image_id: ImageID
    parent: ImageID | None
    json: bytes = field(repr=False)
    diff_id: Digest | None


def v1_images_from_config(config: bytes) -> Sequence[DerivedImage]:
    """
    The v1 images of a schema2 or OCI image, base first, one for each of its layers in their order.

    An image without layers becomes one v1 image with an empty layer, as docker pushed it. The members of the topmost json
    are those of the config, in the spelling that docker gave them: sorted, without white space.

    :param config: the raw config; its digest is the id of the topmost image.
    :raises RequestInvalid: it is not the config of an image.
    """
    diff_ids = _diff_ids(parse_object(config, _config_invalid))
    images: list[DerivedImage] = []
    chain_id = ""
    for diff_id in diff_ids[:-1]:
        chain_id = str(Digest.sha256(f"{chain_id} {diff_id}".encode())) if chain_id else str(diff_id)
        image_id = ImageID(chain_id.partition(":")[2])
        parent = images[-1].image_id if images else None
        images.append(DerivedImage(image_id, parent, _members({}, image_id, parent), diff_id))
    parent = images[-1].image_id if images else None
    top = ImageID(sha256(config).hexdigest())
    kept = {name: value for name, value in _raw_members(config).items() if name not in _LEFT_OUT}
    images.append(DerivedImage(top, parent, _members(kept, top, parent), diff_ids[-1] if diff_ids else None))
    return images


def derived_chain(manifest: Manifest, config: bytes) -> Sequence[tuple[DerivedImage, Descriptor | None]]:
    """
    The v1 images of a schema2 or OCI image, base first, each with the manifest's descriptor of its layer.

    None stands for the empty layer of an image that lists no layers at all.

    :param config: the raw config that the manifest names.
    :raises RequestInvalid: it is not the config of an image, or not one of as many layers as the manifest has.
    """
    images = v1_images_from_config(config)
    layers = [reference.descriptor for reference in manifest.references if reference.role is Role.LAYER]
    listed = sum(image.diff_id is not None for image in images)
    if listed != len(layers):
        raise _config_invalid(f"it describes {listed} layers, but its manifest has {len(layers)}")
    return [*zip(images, layers, strict=True)] if layers else [(image, None) for image in images]


def _config_invalid(reason: str) -> RequestInvalid:
    return RequestInvalid(f"image config: {reason}")


def _diff_ids(members: Mapping[str, object]) -> Sequence[Digest]:
    rootfs = members.get("rootfs")
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    # The encoder of engines writes null for a list that was never filled.
    if not isinstance(rootfs, dict) or not isinstance(listed, list | None):
        raise _config_invalid("it has no rootfs with diff_ids, so it describes no layers")
    try:
        digests = [Digest.parse(each if isinstance(each, str) else repr(each)) for each in listed or ()]
    except DigestInvalid as invalid:
        raise _config_invalid(str(invalid)) from None
    if any(digest.algorithm != "sha256" for digest in digests):
        raise _config_invalid("its diff_ids are not all sha256 digests, from which alone ids are made")
    return digests


def _members(kept: Mapping[str, str], image_id: ImageID, parent: ImageID | None) -> bytes:
    raw = {**kept, "id": f'"{image_id}"'}
    raw.pop("parent", None)
    if parent is not None:
        raw["parent"] = f'"{parent}"'
    return ("{" + ",".join(f"{_quoted(name)}:{raw[name]}" for name in sorted(raw)) + "}").encode("utf-8")


def _quoted(name: str) -> str:
    spelled = _HALF.sub("\ufffd", name).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", spelled).translate(_ESCAPED) + '"'


def _raw_members(document: bytes) -> dict[str, str]:
    """The members of a JSON object that was parsed before, each value as it is spelled, without white space."""
    text = document.decode("utf-8")
    # Values are skipped, not read: numbers of any length are fine.
    scan = JSONDecoder(parse_int=str, parse_float=str).raw_decode
    members: dict[str, str] = {}
    position = _past_space(text, text.index("{") + 1)
    while text[position] != "}":
        name, position = scan(text, position)
        start = _past_space(text, _past_space(text, position) + 1)
        _, end = scan(text, start)
        members[name] = _STRING_OR_SPACE.sub(lambda match: match[1] or "", text[start:end]).translate(_ESCAPED)
        position = _past_space(text, end)
        if text[position] == ",":
            position = _past_space(text, position + 1)
    return members


def _past_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()
