"""Images to push."""

import gzip
import json

from twisted.trial.unittest import SynchronousTestCase

from dockreg.testing.samples import bytes_of, chain_of, gzip_layer, layered_image, make_image, odd_layers


class SampleTests(SynchronousTestCase):
    """What samples promise to the tests that push them."""

    def test_deterministic(self) -> None:
        """The same seed makes the same bytes, another one makes others."""
        self.assertEqual(layered_image("a"), layered_image("a"))
        self.assertNotEqual({image.id for image in layered_image("a")}, {image.id for image in layered_image("b")})

    def test_chain(self) -> None:
        """Each image names the one below as its parent."""
        base, middle, top = layered_image()
        self.assertEqual([None, base.id, middle.id], [image.parent for image in (base, middle, top)])
        self.assertEqual([middle, base], chain_of([base, middle, top], middle.id))

    def test_json(self) -> None:
        """The json says its own id, and escapes what the encoder of engines escapes."""
        image = make_image("x")
        self.assertEqual(image.id, json.loads(image.json)["id"])
        self.assertIn(b"\\u003cb@example.org\\u003e \\u0026", image.json)

    def test_gzip(self) -> None:
        """A packed layer is the whole layer again when it is unpacked, however large or empty it is."""
        for tar in (*odd_layers().values(), bytes_of("x", 100_000)):
            for flushed in (True, False):
                self.assertEqual(tar, gzip.decompress(gzip_layer(tar, flushed)))

    def test_flush_points(self) -> None:
        """Packing as engines do and packing in one piece give different bytes of the same content."""
        self.assertNotEqual(gzip_layer(bytes(100_000)), gzip_layer(bytes(100_000), flushed=False))
