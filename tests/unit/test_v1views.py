"""Tests for dockreg.v1views: what a manifest is in v1 and schema1, now and once its parts have come."""

from collections.abc import Sequence

import zstandard

from dockreg import v1views
from dockreg.bridge.v1_to_schema1 import Schema1Entry, schema1_payload
from dockreg.errors import ManifestUnknown
from dockreg.model.blobs import DerivedBlob
from dockreg.model.digest import Digest
from dockreg.model.manifest import parse_manifest
from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST, SCHEMA1, SCHEMA1_SIGNED
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Sparse, StoredManifest
from dockreg.model.schema1 import new_schema1_key, parse_schema1, sign_schema1
from dockreg.model.v1 import ImageID
from dockreg.testing.samples import V1Image, gzip_layer, image_json, make_image, make_tar
from tests.unit import v2case
from tests.unit.v1case import ONE, TWO, A, document, tar_layer, token
from tests.unit.v2case import ENGINE_1_9, JOE, V2TestCase, make_index, make_schema1

LARGE = 8 * 1024 * 1024 + 1


class ViewCase(V2TestCase):
    """Manifests whose parts may come later."""

    def setUp(self) -> None:
        super().setUp()
        self.manifests.sparse = Sparse.ALL
        self.image = v2case.make_image("image")

    @property
    def expected(self) -> str:
        """The v1 id of the image."""
        return Digest.sha256(self.image.config).encoded

    def unsettled(self) -> Sequence[str]:
        """The tags of which it is not known yet what they are in v1."""
        return [str(tag) for tag, _ in self.result(self.metadata.images.without_image(ONE))]

    def check_no_image(self, content: bytes, media_type: str | None = None) -> None:
        """A manifest is no v1 image, which is found out once."""
        self.put(content, "latest", media_type=media_type)
        self.assertEqual(["latest"], self.unsettled())
        self.assertIsNone(self.image_id())
        self.assertEqual([], self.unsettled())
        self.assertEqual(content, self.pull(agent=ENGINE_1_9).content)


class LateTests(ViewCase):
    """What is missing now, and comes later."""

    def check_late(self, *late: bytes) -> None:
        """A tag is no image until the last of its blobs is there."""
        for blob in late:
            self.assertIsNone(self.image_id())
            self.assertEqual(["latest"], self.unsettled())
            self.result(self.bring(ONE, blob))
        self.assertEqual(self.expected, self.image_id())
        self.assertEqual([], self.unsettled())
        self.assertEqual(SCHEMA1_SIGNED, self.pull(agent=ENGINE_1_9).media_type)

    def test_blobs(self) -> None:
        """An image whose config or layer is missing becomes one in v1 when both are there."""
        self.put(self.image.manifest, "latest")
        self.check_late(self.image.config, *self.image.layers)

    def test_layer_alone(self) -> None:
        """Whichever comes last."""
        self.put(self.image.manifest, "latest")
        self.check_late(*self.image.layers, self.image.config)

    def test_child(self) -> None:
        """An index whose image is missing has it in v1 when it is pushed, with all of it."""
        self.put(make_index(self.image.manifest), "latest")
        self.assertIsNone(self.image_id())
        self.put(self.image.manifest)
        self.check_late(self.image.config, *self.image.layers)

    def test_others(self) -> None:
        """What is missing in one image keeps no other one from being shown."""
        self.put(self.image.manifest, "a")
        other = v2case.make_image("other")
        self.push_image(other, "b")
        self.assertEqual(Digest.sha256(other.config).encoded, self.image_id("b"))
        self.assertEqual(["a"], self.unsettled())

    def test_by_id(self) -> None:
        """An image is found by its id, and made for every repository that has all of it, and for no other."""
        self.put(self.image.manifest, "latest")
        self.push_image(self.image, "latest", name=TWO)
        for image_id in ("f" * 64, "f" * 16, self.expected):
            self.result(self.views.make(self.result(self.views.holders(ImageID(image_id)))))
        held = [self.result(self.metadata.images.find_in(name, ImageID(self.expected))) for name in (ONE, TWO)]
        self.assertEqual([False, True], [image is not None for image in held])


class NoImageTests(ViewCase):
    """What is no image, and never will be."""

    def test_large_config(self) -> None:
        """A config that is said to be too large is not read."""
        image = v2case.make_image("large", size=LARGE)
        self.push_image(image)
        self.check_no_image(image.manifest)

    def test_untold_size(self) -> None:
        """A config that is larger than it is said to be is not read either."""
        image = v2case.make_image("liar", config=b"{" + b" " * LARGE + b"}", size=2)
        self.push_image(image, "latest")
        self.assertIsNone(self.image_id())
        self.assertEqual(image.manifest, self.pull(agent=ENGINE_1_9).content)

    def test_config(self) -> None:
        """A config that is no JSON, no object, or says of other layers is not that of an image."""
        rootfs = {"type": "layers", "diff_ids": []}
        for config in (b"", b"{", b"[]", b"{}", b"\xff", b'{"rootfs":1}', v2case.encoded({"rootfs": rootfs})):
            image = v2case.make_image("config", config=config)
            self.push_image(image)
            self.check_no_image(image.manifest)

    def test_no_platform(self) -> None:
        """An index without an image for the platform is none."""
        self.push_image(self.image)
        self.check_no_image(make_index(self.image.manifest, architecture="s390x"), OCI_INDEX)
        self.check_no_image(make_index(), OCI_INDEX)

    def test_blobs(self) -> None:
        """An index of blobs is none."""
        self.result(self.bring(ONE, b"cache"))
        self.check_no_image(make_index(b"cache", media_type="application/vnd.buildkit.cacheconfig.v0"), OCI_INDEX)


class NestedTests(ViewCase):
    """Indexes in indexes."""

    def setUp(self) -> None:
        super().setUp()
        self.push_image(self.image)

    def nested(self, depth: int) -> bytes:
        """The outermost of so many indexes, all of which are there."""
        content = make_index(self.image.manifest)
        self.put(content)
        for _ in range(depth - 1):
            content = make_index(content, media_type=OCI_INDEX)
            self.put(content)
        return content

    def test_nested(self) -> None:
        """The image is found through each of them."""
        for depth in (1, 2, 5):
            self.put(self.nested(depth), "latest")
            self.assertEqual(self.expected, self.image_id())
            self.assertEqual(self.image.manifest, self.pull(accept=[OCI_MANIFEST]).content)

    def test_too_deep(self) -> None:
        """Behind too many of them nobody looks, and the outermost is served as it is."""
        self.check_no_image(self.nested(20))
        self.assertEqual(OCI_INDEX, self.pull(accept=[OCI_MANIFEST]).media_type)

    def test_missing(self) -> None:
        """Where one of them is missing, the image is not known yet."""
        inner = make_index(self.image.manifest)
        self.put(make_index(inner, media_type=OCI_INDEX), "latest")
        self.assertIsNone(self.image_id())
        self.put(inner)
        self.assertEqual(self.expected, self.image_id())

    def test_platform_of_the_inner(self) -> None:
        """An inner index that does not say a platform is looked into if it is the only one."""
        inner = make_index(self.image.manifest)
        self.put(inner)
        self.put(make_index(inner, media_type=OCI_INDEX, architecture=None), "latest")
        self.assertEqual(self.expected, self.image_id())


class SignedTests(ViewCase):
    """schema1 for engines that know nothing newer."""

    def setUp(self) -> None:
        super().setUp()
        self.digest = self.push_image(self.image, "latest", "other")

    def signed(self, tag: str = "latest", requested: str | None = None) -> bytes:
        """What such an engine gets."""
        return self.pull(tag, agent=ENGINE_1_9, requested=requested).content

    def test_once(self) -> None:
        """A manifest is signed once for each tag, and with one key."""
        first, other = self.signed(), self.signed("other")
        self.assertEqual((first, other), (self.signed(), self.signed("other")))
        self.assertEqual(0, self.writes(self.pulling(agent=ENGINE_1_9)))
        self.assertEqual(2, len(self.forms(SCHEMA1_SIGNED)))
        self.assertEqual(["latest", "other"], [parse_schema1(content).tag for content in (first, other)])
        (key,) = self.result(self.metadata.keys.get(v1views.PURPOSE, lambda: self.fail("there is a key")))
        for content in (first, other):
            self.assertIn(key.key_id.encode(), content)

    def test_two_names(self) -> None:
        """Each name that one repository has gets a manifest that says that name, and keeps it."""
        digests = set()
        for name in ("library/x", "x", "library/x", "x"):
            content = self.signed(requested=name)
            self.assertEqual(name, parse_schema1(content).name)
            digests.add(parse_schema1(content).digest)
        self.assertEqual({str(digest) for digest in digests}, set(self.forms(SCHEMA1_SIGNED)))
        for digest in digests:
            self.assertEqual(SCHEMA1_SIGNED, self.result(self.metadata.manifests.get(ONE, digest)).media_type)

    def test_deleted(self) -> None:
        """With the manifest go all its forms."""
        digests = [parse_schema1(self.signed(tag)).digest for tag in ("latest", "other")]
        self.result(self.manifests.delete(ONE, self.digest))
        for digest in digests:
            self.refused(ManifestUnknown, self.metadata.manifests.get(ONE, digest))

    def test_lost_race(self) -> None:
        """Of two who sign at once both get what was kept first."""
        stored = self.pull()
        began: list[bool] = []
        forms: list[StoredManifest | None] = []

        async def slow(function: object, *args: object) -> object:
            signed = function(*args)  # type: ignore[operator]
            if isinstance(signed, bytes) and not began:
                began.append(True)
                forms.append(await self.views.schema1_of(ONE, "x", Tag("latest"), stored))
            return signed

        self.registry.in_thread = slow  # type: ignore[assignment]
        forms.append(self.result(self.views.schema1_of(ONE, "x", Tag("latest"), stored)))
        self.assertEqual(1, len({form.content for form in forms if form is not None}))
        self.assertEqual(1, len(self.forms(SCHEMA1_SIGNED)))


class ZstdTests(ViewCase):
    """Layers that old engines can not read."""

    def push_layer(self, layer: bytes, tar: bytes) -> ImageID:
        """An image of this layer; return its id in v1."""
        rootfs = {"type": "layers", "diff_ids": [str(Digest.sha256(tar))]}
        config = v2case.encoded({"rootfs": rootfs, "author": str(len(layer))})
        manifest = {
            "schemaVersion": 2,
            "config": v2case.described("application/vnd.oci.image.config.v1+json", config),
            "layers": [v2case.described("application/vnd.oci.image.layer.v1.tar+zstd", layer)],
        }
        for blob in (layer, config):
            self.result(self.bring(ONE, blob))
        self.put(v2case.encoded(manifest), "latest")
        found = self.image_id()
        assert found is not None
        return ImageID(found)

    def test_served_as_tar(self) -> None:
        """They are served as the tar in them, whatever their media type, also behind a skippable frame."""
        tar = make_tar({"a": b"a" * 1000})
        packed = zstandard.ZstdCompressor().compress(tar)
        for layer in (packed, b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + packed):
            image_id = self.push_layer(layer, tar)
            found = self.result(self.metadata.images.find_in(ONE, image_id))
            assert found is not None
            self.assertEqual(DerivedBlob, type(found.layer))
            self.assertEqual(tar, self.content(ONE, found.layer.digest))

    def test_read_once(self) -> None:
        """A layer is read through once for that, and what is in it is kept."""
        tar = make_tar({"b": b"b" * 1000})
        layer = zstandard.ZstdCompressor().compress(tar)
        self.push_layer(layer, tar)
        facts = self.result(self.metadata.blobs.facts(Digest.sha256(layer)))
        assert facts is not None
        self.assertEqual(("zstd", Digest.sha256(tar), 1), (facts.compression, facts.diff_id, facts.entries))

    def test_gzip_is_not_read(self) -> None:
        """Other layers are served as they are, and nobody looks into them."""
        self.push_image(self.image, "latest")
        self.assertEqual(self.expected, self.image_id())
        self.assertIsNone(self.result(self.metadata.blobs.facts(Digest.sha256(self.image.layers[0]))))


class Schema1Tests(ViewCase):
    """schema1 that engines pushed."""

    def push_schema1(self, images: Sequence[V1Image], layers: Sequence[bytes], tag: str = "latest") -> bytes:
        for layer in layers:
            self.result(self.bring(ONE, layer))
        content = make_schema1(images, layers, tag)
        self.put(content, tag)
        return content

    def test_no_tar(self) -> None:
        """One with a layer that is no tar stays what it is: it has no other form, and is no image in v1."""
        content = self.push_schema1([make_image("x")], [b"no tar"])
        self.assertEqual(content, self.pull(accept=[OCI_MANIFEST]).content)
        self.assertIsNone(self.image_id())
        self.assertEqual([], self.unsettled())

    def held(self) -> bytes:
        """The json of an image that a v1 client has pushed under the id A."""
        caller = token(ONE, JOE.name)
        self.announce(caller, ONE, A)
        self.push(caller, A, document(A, author="first"), tar_layer("first"))
        self.tag(caller, ONE, A, "held")
        return self.read(caller, A)[0]

    def check_held(self, json: bytes) -> None:
        self.assertEqual(json, self.read(token(ONE, JOE.name), A)[0])
        self.assertEqual(A.value, self.image_id("held"))

    def test_held_id(self) -> None:
        """One with an id that the repository has for other content stays what it is, and is not that other image."""
        held = self.held()
        other = V1Image(A.value, image_json(A.value, None), b"")
        content = self.push_schema1([other], [gzip_layer(make_tar({"other": b""}))])
        self.assertEqual(content, self.pull(accept=[OCI_MANIFEST]).content)
        self.check_held(held)
        self.assertIsNone(self.image_id())

    def test_held_ancestor(self) -> None:
        """The same where an ancestor has the id: the image is not put on top of another one."""
        held = self.held()
        base = V1Image(A.value, image_json(A.value, None), b"")
        top = make_image("top", base)
        layers = [gzip_layer(make_tar({name: b""})) for name in ("base", "top")]
        content = self.push_schema1([base, top], layers)
        self.assertEqual(content, self.pull(agent=ENGINE_1_9).content)
        self.check_held(held)
        self.assertIsNone(self.image_id())

    def test_held_image(self) -> None:
        """One of the very image that the repository has is that image."""
        caller = token(ONE, JOE.name)
        layer = gzip_layer(make_tar({"same": b""}))
        self.announce(caller, ONE, A)
        self.push(caller, A, document(A), layer)
        self.tag(caller, ONE, A, "v1")
        self.push_schema1([V1Image(A.value, document(A), b"")], [layer])
        self.assertEqual(self.pull("v1").digest, self.pull().digest)
        self.assertEqual(A.value, self.image_id())

    def test_signed_later(self) -> None:
        """An engine gets a signed one, also when the same was there without a signature before."""
        image, layer = make_image("unsigned"), gzip_layer(make_tar({"u": b""}))
        self.result(self.bring(ONE, layer))
        payload = schema1_payload(str(ONE), "latest", [Schema1Entry(image.json, Digest.sha256(layer))])
        self.put(payload, "latest", media_type=SCHEMA1)
        self.assertTrue(parse_schema1(self.pull(agent=ENGINE_1_9).content).signed)
        self.put(sign_schema1(payload, new_schema1_key()), "latest")
        self.assertTrue(parse_schema1(self.pull(agent=ENGINE_1_9).content).signed)

    def test_parsed_again(self) -> None:
        """What is kept of it is a manifest of its own type, found by the digest of what was signed."""
        content = self.push_schema1([make_image("y")], [gzip_layer(make_tar({"y": b""}))])
        digest = parse_manifest(content, SCHEMA1_SIGNED).digest
        self.assertEqual(content, self.result(self.metadata.manifests.get(ONE, digest)).content)
        self.refused(ManifestUnknown, self.views.image_of(ONE, Digest.sha256(content)))


class PlatformTests(ViewCase):
    """The manifest for a platform."""

    def test_unknown_repository(self) -> None:
        """A manifest of another repository is not found."""
        self.push_image(self.image)
        index = make_index(self.image.manifest)
        name = RepositoryName("demo/other")
        self.put(index, "latest", name=name)
        stored = self.result(self.metadata.manifests.get(name, Tag("latest")))
        self.refused(ManifestUnknown, self.views.for_platform(name, stored))
        self.assertEqual(self.image.digest, self.result(self.views.for_platform(ONE, stored)).digest)
