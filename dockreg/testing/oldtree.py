"""Writes the storage folder of docker-registry, as its versions wrote it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote_plus

from attrs import define

from dockreg.model.layers import LayerInspector, PayloadHasher
from dockreg.testing.samples import V1Image, chain_of, gzip_layer


@define
class OldTree:
    """
    A storage folder.

    ``quoting`` is how often names of repositories are quoted: 1 up to 0.8.0, 2 from 0.8.1 on; ``listed`` says that
    checksums are a list, as from 0.7 on, of what the server has computed, rather than what the client sent.
    """

    path: Path
    quoting: int = 2
    listed: bool = True

    def __attrs_post_init__(self) -> None:
        for name in ("images", "repositories"):
            (self.path / name).mkdir(parents=True, exist_ok=True)

    def image(self, image: V1Image, below: Sequence[V1Image] = ()) -> Path:
        """
        A whole image; return its folder.

        :param below: images that may be its ancestors.
        """
        folder = self.path / "images" / image.id
        folder.mkdir()
        layer = gzip_layer(image.layer)
        (folder / "json").write_bytes(image.json)
        (folder / "layer").write_bytes(layer)
        ancestry = [each.id for each in chain_of([*below, image], image.id)]
        (folder / "ancestry").write_text(json.dumps(ancestry))
        payload, tarsum = checksums_of(image.json, layer)
        (folder / "_checksum").write_text(json.dumps([payload, tarsum]) if self.listed else tarsum)
        (folder / "_files").write_text("[]")
        (folder / "_diff").write_text("{}")
        return folder

    def repository(self, namespace: str, name: str) -> Path:
        """The folder of a repository, which is made."""
        quoted = name
        for _ in range(self.quoting):
            quoted = quote_plus(quoted)
        folder = self.path / "repositories" / (quote_plus(namespace) if self.quoting > 1 else namespace) / quoted
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def tag(self, folder: Path, tag: str, image_id: str, **properties: object) -> None:
        """A tag of the repository in ``folder``, with what the client said of itself."""
        quoted = quote_plus(tag) if self.quoting > 1 else tag
        (folder / f"tag_{quoted}").write_text(image_id)
        told: Mapping[str, object] = {"last_update": 1_400_000_000, "docker_version": "1.2.0", **properties}
        (folder / f"tag{quoted}_json").write_text(json.dumps(told))
        if tag == "latest":
            (folder / "json").write_text(json.dumps(told))
        listed = [{"id": image_id, "Tag": tag}]
        (folder / "_index_images").write_text(json.dumps(listed))


def checksums_of(document: bytes, layer: bytes) -> tuple[str, str]:
    """The payload checksum and the tarsum of an image with this json and this layer as it was sent."""
    payload, inspector = PayloadHasher(document), LayerInspector()
    payload.update(layer)
    inspector.update(layer)
    inspector.finish()
    return payload.checksum, min(inspector.tarsums(document))
