"""
v1 images as schema2 manifests.

The members of a config are those of the image json as docker 1.10 took them over when it moved its images to content
addresses (image specification 1.0, "Image JSON Description"); what only v1 knows (``id``, ``parent``, ``Size``) is left
out. Nothing but the images goes in, so the same image has the same digest in every repository and at any time.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from dockreg.errors import RequestInvalid
from dockreg.model.digest import Digest
from dockreg.model.documents import parse_object
from dockreg.model.manifest import (
    SCHEMA2_CONFIG,
    SCHEMA2_LAYER,
    SCHEMA2_LAYER_GZIP,
    SCHEMA2_MANIFEST,
    BlobReference,
    Descriptor,
    Manifest,
    Role,
)
from dockreg.model.v1 import V1Image

_TEXTS = ("architecture", "author", "container", "created", "docker_version", "os", "os.version", "variant")
_OBJECTS = ("config", "container_config")
_EPOCH = "1970-01-01T00:00:00Z"


@frozen
class Schema2View:
    """A v1 image as newer clients see it: its manifest, and the config that the manifest names."""

    config: bytes
    manifest: Manifest


def schema2_view(chain: Sequence[V1Image]) -> Schema2View | None:
    """
    The schema2 view of ``chain[0]``, whose ancestors follow, base last.

    A layer without files becomes a history entry only, as docker's own builds have it. A layer in a compression that
    schema2 does not know (bzip2, xz, zstd) is named by its uncompressed tar. None when there can be no view: a layer
    is no tar, or the json holds numbers that JSON can not express.
    """
    if any(image.facts.diff_id is None for image in chain):
        return None
    base_first = chain[::-1]
    try:
        config = _compact(_config(base_first))
    except ValueError:
        return None
    layers = [_layer(image) for image in base_first if not _is_empty(image)]
    config_descriptor = Descriptor(SCHEMA2_CONFIG, Digest.sha256(config), len(config))
    content = _compact(
        {
            "schemaVersion": 2,
            "mediaType": SCHEMA2_MANIFEST,
            "config": _document(config_descriptor),
            "layers": [_document(layer) for layer in layers],
        }
    )
    references = [
        BlobReference(Role.CONFIG, config_descriptor),
        *(BlobReference(Role.LAYER, layer) for layer in layers),
    ]
    digest = Digest.sha256(content)
    return Schema2View(config, Manifest(SCHEMA2_MANIFEST, content, digest, references, artifact_type=SCHEMA2_CONFIG))


def _config(base_first: Sequence[V1Image]) -> dict[str, Any]:
    documents = [_members(image) for image in base_first]
    top = documents[-1]
    config = {name: top[name] for name in _TEXTS if isinstance(top.get(name), str)}
    config.update({name: top[name] for name in _OBJECTS if isinstance(top.get(name), dict)})
    config.setdefault("architecture", "amd64")
    config.setdefault("os", "linux")
    config.setdefault("created", _EPOCH)
    config["rootfs"] = {
        "type": "layers",
        "diff_ids": [str(image.facts.diff_id) for image in base_first if not _is_empty(image)],
    }
    config["history"] = [_history(image, members) for image, members in zip(base_first, documents, strict=True)]
    return config


def _members(image: V1Image) -> Mapping[str, Any]:
    return parse_object(image.json, RequestInvalid)


def _history(image: V1Image, members: Mapping[str, Any]) -> dict[str, Any]:
    created = members.get("created")
    entry: dict[str, Any] = {"created": created if isinstance(created, str) else _EPOCH}
    for name in ("author", "comment"):
        value = members.get(name)
        if isinstance(value, str) and value:
            entry[name] = value
    command = _command(members)
    if command:
        entry["created_by"] = command
    if _is_empty(image):
        entry["empty_layer"] = True
    return entry


def _command(members: Mapping[str, Any]) -> str:
    container = members.get("container_config")
    command = container.get("Cmd") if isinstance(container, dict) else None
    return " ".join(word for word in command if isinstance(word, str)) if isinstance(command, list) else ""


def _is_empty(image: V1Image) -> bool:
    return image.facts.entries == 0


def _layer(image: V1Image) -> Descriptor:
    facts = image.facts
    if facts.compression == "gzip":
        return Descriptor(SCHEMA2_LAYER_GZIP, image.layer.digest, image.layer.size)
    if facts.diff_id is None or facts.uncompressed_size is None:
        raise ValueError("a layer that is no tar has no descriptor")
    return Descriptor(SCHEMA2_LAYER, facts.diff_id, facts.uncompressed_size)


def _document(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "size": descriptor.size, "digest": str(descriptor.digest)}


def _compact(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode("utf-8")
