"""Tests for dockreg.bridge.schema1_to_v1."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.schema1_to_v1 import PushedImage, v1_images_from_schema1
from dockreg.bridge.v1_to_schema1 import Schema1Entry, schema1_payload
from dockreg.model.digest import Digest
from dockreg.model.schema1 import parse_schema1
from dockreg.model.v1 import ImageID

EMPTY_TAR = Digest.parse("sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4")


def layer(number: int) -> Digest:
    return Digest("sha256", f"{number:064x}")


def entry(letter: str, parent: str, digest: Digest, **members: Any) -> Schema1Entry:
    own = {"id": letter * 64, **({"parent": parent * 64} if parent else {}), **members}
    return Schema1Entry(json.dumps(own).encode(), digest)


class V1ImagesFromSchema1Tests(SynchronousTestCase):
    """Tests for v1_images_from_schema1."""

    def images(self, *chain: Schema1Entry) -> list[PushedImage]:
        return [*v1_images_from_schema1(parse_schema1(schema1_payload("x", "y", chain)))]

    def test_base_first(self) -> None:
        """There is one image for each entry, base first, with its exact json; an empty layer is a layer."""
        chain = entry("c", "b", EMPTY_TAR, throwaway=True), entry("b", "a", layer(2)), entry("a", "", layer(1))
        a, b, c = (ImageID(letter * 64) for letter in "abc")
        self.assertEqual(
            [
                PushedImage(a, None, chain[2].json, layer(1)),
                PushedImage(b, a, chain[1].json, layer(2)),
                PushedImage(c, b, chain[0].json, EMPTY_TAR),
            ],
            self.images(*chain),
        )

    def test_repeated(self) -> None:
        """Of an image that comes twice in a row, the older entry is kept, as docker does."""
        chain = (
            entry("b", "a", layer(4), x=1),
            entry("b", "a", layer(3), x=2),
            entry("a", "", layer(2), x=3),
            entry("a", "", layer(1), x=4),
        )
        images = self.images(*chain)
        self.assertEqual([layer(1), layer(3)], [image.layer for image in images])
        self.assertEqual([chain[3].json, chain[1].json], [image.json for image in images])
        self.assertEqual([None, images[0].image_id], [image.parent for image in images])
