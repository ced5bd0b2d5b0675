"""Tests for dockreg.manifests: who may push schema1, and not overwrite."""

from dockreg.errors import Denied, ManifestUnknown
from dockreg.model.access import Action
from dockreg.model.names import Tag
from dockreg.model.schema1 import parse_schema1
from dockreg.testing.samples import V1Image, gzip_layer, image_json, make_tar, sample_id
from tests.unit.v1case import ONE
from tests.unit.v2case import ENGINE_1_9, JANE, JOE, V2TestCase, make_image, make_schema1


class Schema1OverwriteTests(V2TestCase):
    """Tags that are not moved by who pushes schema1."""

    def setUp(self) -> None:
        super().setUp()
        self.policy.refused.add(("jane", Action.OVERWRITE, ONE))
        self.first, self.second = self.manifest("first"), self.manifest("second")

    def manifest(self, seed: str) -> bytes:
        """A manifest of one image whose layer is there."""
        image_id = sample_id(seed)
        layer = gzip_layer(make_tar({seed: b"x"}))
        self.result(self.bring(ONE, layer))
        return make_schema1([V1Image(image_id, image_json(image_id, None), b"")], [layer])

    def seen(self, tag: str = "latest") -> bytes:
        """What the engines of that time get."""
        return self.pull(tag, agent=ENGINE_1_9).content

    def test_other(self) -> None:
        """A tag that points to another image is not moved."""
        self.put(self.first, "latest")
        self.refused(Denied, self.putting(self.second, "latest", principal=JANE))
        self.assertEqual(self.first, self.seen())

    def test_same(self) -> None:
        """The same image may be pushed again, signed by anybody."""
        pushed = self.put(self.first, "latest")
        again = self.put(self.manifest("first"), "latest", "new", principal=JANE)
        self.assertEqual(pushed.digest, again.digest)
        self.assertEqual((self.first, self.first), (self.seen(), self.seen("new")))

    def test_its_form(self) -> None:
        """The form that others get may be pushed again, and changes nothing for old engines, unless overwriting is allowed."""
        self.put(self.first, "latest")
        form = self.pull()
        for principal, stays in ((JANE, True), (JOE, False)):
            self.put(form.content, "latest", principal=principal, media_type=form.media_type)
            signed = self.result(self.metadata.manifests.signed_form(ONE, Tag("latest")))
            self.assertEqual(stays, signed is not None)

    def test_all_or_nothing(self) -> None:
        """What is refused leaves neither tags nor a manifest, images or blobs of its own."""
        self.put(self.first, "b")
        self.refused(Denied, self.putting(self.second, "a", "b", "c", principal=JANE))
        self.assertEqual(["b"], [str(tag) for tag in self.result(self.registry.tag_names(ONE, "", 9))])
        self.refused(ManifestUnknown, self.metadata.manifests.get(ONE, parse_schema1(self.second).digest))
        self.assertEqual(1, len(self.result(self.registry.list_images(ONE))))

    def test_over_v2(self) -> None:
        """Nor is a tag moved that was made through v2."""
        image = make_image("v2")
        self.push_image(image, "latest")
        self.refused(Denied, self.putting(self.first, "latest", principal=JANE))
        self.assertEqual(image.manifest, self.pull().content)

    def test_owner(self) -> None:
        """Who may overwrite does."""
        self.put(self.first, "latest")
        self.put(self.second, "latest")
        self.assertEqual(self.second, self.seen())
