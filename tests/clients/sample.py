"""
The image that goes round: three layers and a config, always the same bytes.

It has what layers are made of: a changed file, a whiteout and an opaque folder, symbolic and hard links, odd modes, names
that need extended headers, another owner than root, and bytes that do not compress.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard
from attrs import field, frozen

from dockreg.testing.samples import bytes_of
from tests.clients.images import Image
from tests.clients.trees import stacked

CREATED = "2020-02-02T20:20:20Z"
LONG = "usr/share/" + "d" * 90 + "/" + "f" * 120
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

#: The compressions of a layer, by the ending of its media type.
PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "+gzip": lambda tar: gzip.compress(tar, 6, mtime=0),
    "+zstd": lambda tar: zstandard.ZstdCompressor().compress(tar),
}

Content = bytes | str | None
Row = tuple[str, Content, int]

# Path, then the bytes of a file, the target of a link ("=" before a hard link's), or None for a folder; then the mode.
_BASE: Sequence[Row] = [
    ("bin", None, 0o755), ("bin/tool", bytes_of("tool", 300_000), 0o755), ("bin/link", "tool", 0o777),
    ("bin/twin", "=bin/tool", 0o755), ("bin/su", b"su\n" * 40, 0o4755), ("etc", None, 0o755),
    ("etc/config", b"one\n", 0o644), ("etc/secret", b"hidden\n", 0o600), ("tmp", None, 0o1777), ("var", None, 0o755),
    ("var/cache", None, 0o755), ("var/cache/a", b"a" * 5000, 0o644), ("var/cache/b", b"", 0o644),
]  # fmt: skip
_MIDDLE: Sequence[Row] = [
    ("etc", None, 0o755), ("etc/config", b"two, and longer\n", 0o640), ("etc/.wh.secret", b"", 0o644),
    ("usr", None, 0o755), ("usr/current", "/bin", 0o777), ("usr/share", None, 0o755),
    (LONG.rpartition("/")[0], None, 0o700), (LONG, b"deep\n", 0o444), ("usr/share/grüße", b"hello\n", 0o644),
]  # fmt: skip
_TOP: Sequence[Row] = [
    ("opt", None, 0o755), ("opt/data", bytes_of("data", 70_000), 0o604), ("var", None, 0o755),
    ("var/cache", None, 0o770), ("var/cache/.wh..wh..opq", b"", 0o644), ("var/cache/c", b"c\n", 0o644),
]  # fmt: skip


def layer_tar(rows: Sequence[Row], owner: int = 0) -> bytes:
    """An uncompressed tar."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content, mode in rows:
            member = tarfile.TarInfo(path)
            member.mode, member.mtime, member.uid, member.gid = mode, 1_580_000_000, owner, owner
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, bytes):
                member.size = len(content)
            else:
                member.type = tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE
                member.linkname = content.removeprefix("=")
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return target.getvalue()


def compact(document: object) -> bytes:
    """A document as bytes, always the same."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def digest_of(content: bytes) -> str:
    """The digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@frozen
class Sample:
    """An image to push, in the forms that clients read."""

    layers: Sequence[bytes] = field(repr=False)
    architecture: str = "amd64"

    @property
    def config(self) -> bytes:
        """The config as docker and OCI clients read it."""
        steps = [
            {"created": CREATED, "created_by": f"COPY {number} / # buildkit"} for number in range(len(self.layers))
        ]
        values: dict[str, Any] = {"created": CREATED, "created_by": "ENV GREETING=hello world", "empty_layer": True}
        return compact({
            "architecture": self.architecture,
            "config": {
                "Env": ["PATH=/usr/bin:/bin", "GREETING=hello world"],
                "Cmd": ["serve", "--all", "a b"],
                "Entrypoint": ["/bin/tool"],
                "Labels": {"org.example.name": "sample", "org.example.quote": 'a "b" <c> & d'},
                "User": "1000:1000",
                "WorkingDir": "/opt",
                "ExposedPorts": {"8080/tcp": {}},
            },
            "created": CREATED,
            "history": [steps[0], values, *steps[1:]],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in self.layers]},
        })  # fmt: skip

    @property
    def image(self) -> Image:
        """What every client must get."""
        return Image.of(json.loads(self.config), stacked(io.BytesIO(layer) for layer in self.layers))

    def write_archive(self, path: Path, name: str) -> None:
        """Write what ``docker save`` writes; ``name`` has a tag."""
        config = f"{digest_of(self.config).removeprefix('sha256:')}.json"
        names = [f"{digest_of(layer).removeprefix('sha256:')}/layer.tar" for layer in self.layers]
        entry = {"Config": config, "RepoTags": [name], "Layers": names}
        with tarfile.open(path, "w") as archive:
            for member, content in ((config, self.config), *zip(names, self.layers, strict=True)):
                _add(archive, member, content)
            _add(archive, "manifest.json", compact([entry]))

    def write_layout(self, folder: Path, tag: str, packed: str = "+gzip") -> str:
        """Write an OCI image layout with one tag, or add to it; return the digest of the manifest."""
        layers = [{"mediaType": _OCI_LAYER + packed, **_blob(folder, PACKERS[packed](layer))} for layer in self.layers]
        config = {"mediaType": OCI_CONFIG, **_blob(folder, self.config)}
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
        return add_to_layout(folder, tag, compact(manifest), OCI_MANIFEST, self.architecture)


def add_to_layout(folder: Path, tag: str, manifest: bytes, media_type: str, architecture: str = "") -> str:
    """Add a manifest to an OCI image layout; return its digest."""
    descriptor: dict[str, Any] = {"mediaType": media_type, **_blob(folder, manifest)}
    if architecture:
        descriptor["platform"] = {"architecture": architecture, "os": "linux"}
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
    index = folder / "index.json"
    known = json.loads(index.read_text())["manifests"] if index.exists() else []
    index.write_bytes(compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*known, descriptor]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    digest: str = descriptor["digest"]
    return digest


def _blob(folder: Path, content: bytes) -> dict[str, Any]:
    digest = digest_of(content)
    path = folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"digest": digest, "size": len(content)}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def sample_image() -> Sample:
    """The image that goes round."""
    return Sample([layer_tar(_BASE), layer_tar(_MIDDLE), layer_tar(_TOP, owner=1000)])


def other_image(architecture: str) -> Sample:
    """A small image for another platform, that shares its base with nothing."""
    return Sample([layer_tar([("arch", architecture.encode(), 0o644)])], architecture)
