"""
Schema1 manifests as v1 images.

An entry of the history is the json of a v1 image. Where the same image comes twice in a row, all but the oldest entry of
it are left out, with their layers: so did docker from 1.8 on ("fixManifestLayers", moby ``distribution/pull_v2.go``),
for an engine of that time pushed images so. An entry that is marked ``throwaway``, of an image without files, keeps its
layer, the empty tar that its engine pushed: in v1 each image has one.
"""

from collections.abc import Sequence

from attrs import field, frozen

from dockreg.model.digest import Digest
from dockreg.model.schema1 import Schema1
from dockreg.model.v1 import ImageID


@frozen
class PushedImage:
    """A v1 image as a schema1 manifest has it: ``json`` is the exact text of its entry."""

    image_id: ImageID
    parent: ImageID | None
    json: bytes = field(repr=False)
    layer: Digest


def v1_images_from_schema1(manifest: Schema1) -> Sequence[PushedImage]:
    """The v1 images of a schema1 manifest, base first; each but the base has the one before it as its parent."""
    images: list[PushedImage] = []
    for document, layer in zip(reversed(manifest.history), reversed(manifest.fs_layers), strict=True):
        if not images or images[-1].image_id != document.image_id:
            images.append(PushedImage(document.image_id, document.parent, document.content, layer))
    return images
