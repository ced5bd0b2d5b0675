"""Tests for dockreg.v1images: the state machine of an image, and what two pushers of one id do to each other."""

import gzip
from collections.abc import Coroutine
from typing import Any

from dockreg.errors import (
    BodyTooLarge,
    ChecksumMismatch,
    ImageConflict,
    ImageExists,
    ImageIncomplete,
    ImageJSONInvalid,
    ImageUnknown,
    LayerMissing,
    LayerTooLarge,
    RequestInvalid,
)
from dockreg.model.names import Tag
from dockreg.model.v1 import ClaimedChecksums, ImageID, TagClient
from dockreg.testing.tarsums import tarsum
from dockreg.v1images import ImageLimits
from tests.unit.v1case import ONE, TWO, A, B, V1ImagesTestCase, document, payload, tar_layer, token


class StateMachineTests(V1ImagesTestCase):
    """ABSENT, META, DATA, COMPLETE."""

    def setUp(self) -> None:
        super().setUp()
        self.caller = token(ONE)
        self.announce(self.caller, ONE, A, B)
        self.json, self.layer = document(A), tar_layer("a")

    def meta(self) -> None:
        self.result(self.images.put_json(self.caller, A, self.json))

    def data(self) -> None:
        self.meta()
        self.result(self.put_layer(self.caller, A, self.layer))

    def complete(self) -> None:
        self.push(self.caller, A, self.json, self.layer)

    def checksum(self, layer: bytes | None = None) -> Coroutine[Any, Any, None]:
        return self.images.put_checksum(self.caller, A, payload(self.json, self.layer if layer is None else layer))

    def test_absent(self) -> None:
        """Nothing but a json can come first."""
        self.refused(ImageUnknown, self.put_layer(self.caller, A, self.layer))
        self.refused(ImageUnknown, self.checksum())
        self.refused(ImageUnknown, self.images.get(self.caller, A))
        self.refused(ImageUnknown, self.images.put_tag(self.caller, ONE, Tag("x"), A, TagClient()))
        self.refused(ImageJSONInvalid, self.images.put_json(self.caller, B, document(B, A)))

    def test_meta(self) -> None:
        """After the json the image can be begun again, takes a layer, and can not be read, tagged or built upon."""
        self.meta()
        self.meta()
        self.refused(LayerMissing, self.checksum())
        self.refused(ImageIncomplete, self.images.get(self.caller, A))
        self.refused(ImageUnknown, self.images.put_tag(self.caller, ONE, Tag("x"), A, TagClient()))
        self.refused(ImageJSONInvalid, self.images.put_json(self.caller, B, document(B, A)))

    def test_data(self) -> None:
        """After the layer a wrong checksum changes nothing, another layer may come, and the right one completes."""
        self.data()
        self.refused(ChecksumMismatch, self.checksum(b"other"))
        self.refused(ImageIncomplete, self.images.get(self.caller, A))
        self.refused(ImageUnknown, self.images.put_tag(self.caller, ONE, Tag("x"), A, TagClient()))
        other = tar_layer("other")
        self.result(self.put_layer(self.caller, A, other))
        self.result(self.checksum(other))
        self.assertEqual((self.json, other), self.read(self.caller, A))

    def test_complete(self) -> None:
        """A complete image is there for good: the json says so, the layer is read and dropped, checksums compare."""
        self.complete()
        self.assertEqual(
            "Image already exists", self.refused(ImageExists, self.images.put_json(self.caller, A, self.json))
        )
        self.result(self.put_layer(self.caller, A, b"other"))
        self.result(self.checksum())
        self.refused(ImageConflict, self.checksum(b"other"))
        self.assertEqual((self.json, self.layer), self.read(self.caller, A))
        self.tag(self.caller, ONE, A)
        self.push(self.caller, B, document(B, A), tar_layer("b"))
        chain = self.result(self.images.chain(self.result(self.images.get(self.caller, B)).image))
        self.assertEqual([B, A], [image.image_id for image in chain])

    def test_tarsum(self) -> None:
        """The tarsum completes an image alone, and beside a payload value that is wrong (engines up to 0.9)."""
        self.data()
        right = tarsum(self.json, gzip.decompress(self.layer), "order")
        self.result(self.images.put_checksum(self.caller, A, ClaimedChecksums("sha256:" + "0" * 64, right)))
        self.result(self.images.put_checksum(self.caller, A, ClaimedChecksums(None, right)))
        self.refused(
            ImageConflict, self.images.put_checksum(self.caller, A, ClaimedChecksums(None, "tarsum+sha256:" + "0" * 64))
        )

    def test_json_is_kept_as_it_came(self) -> None:
        """Not a byte of the json changes."""
        self.json = b'{ "id" : "' + A.value.encode() + b'",\r\n\t"x": 1.50, "\\u0041": "\xc3\xa4" } \n'
        self.complete()
        self.assertEqual(self.json, self.read(self.caller, A)[0])

    def test_json_of_another_image(self) -> None:
        """The id in the json must be the one in the path."""
        self.refused(ImageJSONInvalid, self.images.put_json(self.caller, A, document(B)))

    def test_not_announced(self) -> None:
        """With a token, an image that is not in the list of the repository is refused."""
        self.refused(RequestInvalid, self.images.put_json(self.caller, ImageID("c" * 64), document(ImageID("c" * 64))))

    def test_ancestry_has_a_limit(self) -> None:
        """A chain deeper than the limit is refused."""
        self.images.limits = ImageLimits(max_ancestry=2)
        self.complete()
        self.push(self.caller, B, document(B, A), b"")
        c = ImageID("c" * 64)
        self.announce(self.caller, ONE, c)
        self.refused(ImageJSONInvalid, self.images.put_json(self.caller, c, document(c, B)))

    def test_limits_of_a_layer(self) -> None:
        """A layer over a limit is refused while it comes, and leaves nothing."""
        self.meta()
        self.images.limits = ImageLimits(max_layer=10)
        self.refused(BodyTooLarge, self.put_layer(self.caller, A, b"x" * 11))
        self.images.limits = ImageLimits(max_uncompressed=1000)
        self.refused(LayerTooLarge, self.put_layer(self.caller, A, gzip.compress(bytes(1001))))
        self.refused(LayerMissing, self.checksum())

    def test_bytes_from_elsewhere(self) -> None:
        """What others read of a layer is part of it like what is written; as much of it as the limits leave."""
        self.meta()
        self.images.limits = ImageLimits(max_layer=len(self.layer))
        upload = self.result(self.images.start_layer(self.caller, A))
        self.result(upload.write([self.layer[:7]]))
        self.assertEqual(len(self.layer) - 7, upload.at_once())
        pieces = iter([self.layer[7:20], self.layer[20:30], b""])
        self.result(upload.receive(lambda: next(pieces), len(self.layer) - 7))
        self.assertEqual(len(self.layer) - 30, upload.at_once())
        self.refused(BodyTooLarge, upload.write([self.layer[29:]]))
        self.result(upload.write([self.layer[30:]]))
        self.assertEqual(0, upload.at_once())
        self.result(upload.finish())
        self.result(self.checksum())
        self.assertEqual((self.json, self.layer), self.read(self.caller, A))

    def test_bytes_that_nobody_needs(self) -> None:
        """A layer of an image that is complete is counted and forgotten, whoever reads it."""
        self.complete()
        self.images.limits = ImageLimits(max_layer=5)
        upload = self.result(self.images.start_layer(self.caller, A))
        self.assertEqual(0, upload.at_once())
        pieces = iter([b"ab", b"cd", b""])
        self.result(upload.receive(lambda: next(pieces), 4))
        self.refused(BodyTooLarge, upload.write([b"ef"]))
        self.result(upload.abort())

    def test_expiry(self) -> None:
        """What is not finished within the staging time is dropped, what is complete stays."""
        self.complete()
        self.result(self.images.put_json(self.caller, B, document(B)))
        self.assertEqual(0, self.result(self.images.expire()))
        self.clock.advance(self.images.limits.staging_seconds + 1)
        # That looks like a clock that was set: nothing ends for one more staging time.
        self.assertEqual(0, self.result(self.images.expire()))
        dropped = 0
        for _ in range(int(self.images.limits.staging_seconds / 3600) + 1):
            self.clock.advance(3600)
            dropped += self.result(self.images.expire())
        self.assertEqual(1, dropped)
        self.refused(ImageUnknown, self.images.get(self.caller, B))
        self.assertEqual(self.json, self.read(self.caller, A)[0])


class TwoPushersTests(V1ImagesTestCase):
    """Two clients push one id."""

    def test_same_content_at_once(self) -> None:
        """Both succeed, whichever way their requests mix."""
        joe, jane = token(ONE, "joe"), token(ONE, "jane")
        self.announce(joe, ONE, A)
        content, layer = document(A), tar_layer("a")
        recompressed = gzip.compress(gzip.decompress(layer), 1, mtime=5)
        self.result(self.images.put_json(joe, A, content))
        self.result(self.images.put_json(jane, A, content))
        self.result(self.put_layer(joe, A, layer))
        self.result(self.put_layer(jane, A, recompressed))
        self.result(self.images.put_checksum(joe, A, payload(content, layer)))
        theirs = tarsum(content, gzip.decompress(layer), "order")
        claimed = ClaimedChecksums(payload(content, recompressed).payload, theirs)
        self.result(self.images.put_checksum(jane, A, claimed))
        self.assertEqual((content, layer), self.read(jane, A))

    def test_other_content_at_once(self) -> None:
        """The first to finish has the id, the other one is told so and nothing of his is kept."""
        joe, jane = token(ONE, "joe"), token(ONE, "jane")
        self.announce(joe, ONE, A)
        ours, theirs = document(A, author="joe"), document(A, author="jane")
        self.result(self.images.put_json(joe, A, ours))
        self.result(self.images.put_json(jane, A, theirs))
        self.result(self.put_layer(jane, A, b"hers"))
        self.result(self.put_layer(joe, A, b"his"))
        self.result(self.images.put_checksum(jane, A, payload(theirs, b"hers")))
        self.refused(ImageConflict, self.images.put_checksum(joe, A, payload(ours, b"his")))
        self.assertEqual((theirs, b"hers"), self.read(joe, A))

    def test_one_pusher_twice(self) -> None:
        """Two runs of one person are told apart by the checksum: json and layer never mix."""
        first, second = document(A, run=1), document(A, run=2)
        joe = token(ONE, "joe")
        self.announce(joe, ONE, A)
        self.result(self.images.put_json(joe, A, first))
        self.result(self.images.put_json(joe, A, second))
        self.result(self.put_layer(joe, A, b"layer of 1"))
        self.result(self.put_layer(joe, A, b"layer of 2"))
        self.result(self.images.put_checksum(joe, A, payload(first, b"layer of 1")))
        self.assertEqual((first, b"layer of 1"), self.read(joe, A))
        self.refused(ImageConflict, self.images.put_checksum(joe, A, payload(second, b"layer of 2")))

    def test_restart_does_not_harm_a_running_upload(self) -> None:
        """A json that comes again while a layer is under way does not drop that layer."""
        joe, content = token(ONE, "joe"), document(A)
        self.announce(joe, ONE, A)
        self.result(self.images.put_json(joe, A, content))
        upload = self.result(self.images.start_layer(joe, A))
        self.result(upload.write([b"half "]))
        self.result(self.images.put_json(joe, A, content))
        self.result(upload.write([b"and half"]))
        self.result(upload.finish())
        self.result(self.images.put_checksum(joe, A, payload(content, b"half and half")))
        self.assertEqual((content, b"half and half"), self.read(joe, A))

    def test_two_repositories(self) -> None:
        """Two repositories hold different content under one image id, and each serves its own."""
        for repository in (ONE, TWO):
            caller = token(repository)
            self.announce(caller, repository, A, B)
            self.push(caller, A, document(A, of=str(repository)), str(repository).encode())
            self.push(caller, B, document(B, A, of=str(repository)), b"top of " + str(repository).encode())
            self.tag(caller, repository, B)
        for repository in (ONE, TWO):
            caller = token(repository)
            self.assertEqual((document(A, of=str(repository)), str(repository).encode()), self.read(caller, A))
            top = self.result(self.images.get(caller, B)).image
            base = self.result(self.images.chain(top))[1]
            self.assertEqual(document(A, of=str(repository)), base.json)
