"""What came out of a client: configuration and root file system, read from the forms in which clients store images."""

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

from tests.clients.trees import Tree, differences, stacked

#: What makes a container of an image.
_SETTINGS = ("Env", "Cmd", "Entrypoint", "Labels", "User", "WorkingDir", "ExposedPorts")

Read = Callable[[str], bytes]


@frozen
class Image:
    """What a container is made of."""

    platform: tuple[str, str]
    settings: Mapping[str, Any]
    tree: Tree = field(repr=False)

    @classmethod
    def of(cls, config: Mapping[str, Any], tree: Tree) -> "Image":
        """Read the config that came with a root file system."""
        settings = config.get("config") or {}
        return cls(
            (config["os"], config["architecture"]), {name: settings.get(name) or None for name in _SETTINGS}, tree
        )


def compare(expected: Image, actual: Image) -> list[str]:
    """A sentence for each difference."""
    sentences = []
    if expected.platform != actual.platform:
        sentences.append(f"the platform is {actual.platform}")
    for name, value in expected.settings.items():
        if actual.settings[name] != value:
            sentences.append(f"{name} is {actual.settings[name]!r}, not {value!r}")
    return sentences + differences(expected.tree, actual.tree)


def unpacked(blob: bytes) -> bytes:
    """A layer without its compression, which its first bytes tell."""
    if blob.startswith(b"\x1f\x8b"):
        return gzip.decompress(blob)
    if blob.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(blob).read()
    return blob


def assembled(config: bytes, blobs: Sequence[bytes]) -> Image:
    """
    The image of a config and its layers, base first.

    The layers must be those that the config names.
    """
    document = json.loads(config)
    layers = [unpacked(blob) for blob in blobs]
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    if diff_ids != document["rootfs"]["diff_ids"]:
        raise AssertionError(f"the config names {document['rootfs']['diff_ids']}, the layers are {diff_ids}")
    return Image.of(document, stacked(io.BytesIO(layer) for layer in layers))


def from_archive(path: Path) -> Image:
    """The one image of what ``docker save`` writes."""
    with tarfile.open(path) as archive:
        [entry] = json.loads(_content(archive, "manifest.json"))
        return assembled(_content(archive, entry["Config"]), [_content(archive, name) for name in entry["Layers"]])


def from_layout_archive(path: Path, architecture: str = "amd64") -> Image:
    """The one image of an OCI image layout in a tar."""
    with tarfile.open(path) as archive:
        return _from_layout(lambda name: _content(archive, name), architecture)


def from_layout(folder: Path, architecture: str = "amd64") -> Image:
    """The one image of an OCI image layout in a folder."""
    return _from_layout(lambda name: (folder / name).read_bytes(), architecture)


def _from_layout(read: Read, architecture: str) -> Image:
    def blob(descriptor: Mapping[str, Any]) -> bytes:
        content = read("blobs/" + descriptor["digest"].replace(":", "/"))
        check(descriptor, content)
        return content

    return from_index(json.loads(read("index.json")), blob, architecture)


def from_index(index: Mapping[str, Any], blob: Callable[[Mapping[str, Any]], bytes], architecture: str) -> Image:
    """
    The image for a platform.

    :param index: an index, of indexes or manifests; or a manifest.
    :param blob: gives the content of a descriptor.
    """
    while "manifests" in index:
        index = json.loads(blob(_choose(index["manifests"], architecture)))
    return assembled(blob(index["config"]), [blob(layer) for layer in index["layers"]])


def _choose(manifests: Sequence[Mapping[str, Any]], architecture: str) -> Mapping[str, Any]:
    for manifest in manifests:
        if manifest.get("platform", {}).get("architecture", architecture) == architecture:
            return manifest
    raise AssertionError(f"no manifest for {architecture} among {manifests}")


def check(descriptor: Mapping[str, Any], content: bytes) -> None:
    """Content is what its descriptor says."""
    algorithm, _, encoded = descriptor["digest"].partition(":")
    found = (len(content), hashlib.new(algorithm, content).hexdigest())
    if found != (descriptor["size"], encoded):
        raise AssertionError(f"{descriptor} has {found[0]} bytes of digest {found[1]}")


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    content = archive.extractfile(name)
    assert content is not None
    return content.read()
