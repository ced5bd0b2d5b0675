"""docker-save archives of each form, small enough to be made in a test."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dockreg.testing.samples import V1Image, make_tar


def write_tar(path: Path, members: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
    """Write a plain tar; ``links`` are symbolic links."""
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def v1_members(images: Sequence[V1Image], repositories: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """The first form."""
    members: dict[str, bytes] = {}
    for image in images:
        members[f"{image.id}/VERSION"] = b"1.0"
        members[f"{image.id}/json"] = image.json
        members[f"{image.id}/layer.tar"] = image.layer
    if repositories is not None:
        members["repositories"] = json.dumps(repositories).encode()
    return members


def image_config(layers: Sequence[bytes], **members: Any) -> bytes:
    """A config of these uncompressed layers."""
    diff_ids = [sha256(layer) for layer in layers]
    return json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}, **members}).encode()


def sha256(content: bytes) -> str:
    """The digest of ``content``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def blob_path(content: bytes) -> str:
    """Where an OCI layout keeps ``content``."""
    return "blobs/" + sha256(content).replace(":", "/")


def layout_members(config: bytes, layers: Sequence[bytes], **annotations: str) -> dict[str, bytes]:
    """An OCI layout with one image."""
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {"digest": sha256(config), "size": len(config)},
            "layers": [{"digest": sha256(layer), "size": len(layer)} for layer in layers],
        }
    ).encode()
    index = {"manifests": [{"digest": sha256(manifest), "size": len(manifest), "annotations": annotations}]}
    members = {blob_path(each): each for each in (config, manifest, *layers)}
    return {**members, "index.json": json.dumps(index).encode(), "oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}


def two_layers() -> tuple[bytes, bytes]:
    """Two uncompressed layers."""
    return make_tar({"etc/": None, "etc/a": b"a\n"}), make_tar({"etc/b": b"b" * 9000})
