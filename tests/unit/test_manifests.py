"""Tests for dockreg.manifests: tags that may not be moved, the images that manifests were, and their forms."""

import json
from typing import Any

from dockreg.bridge.negotiation import parse_accept
from dockreg.errors import (
    Denied,
    DigestInvalid,
    ManifestInvalid,
    ManifestUnknown,
    NameUnknown,
    ReferencesUnknown,
    TagChanged,
)
from dockreg.model.access import Action
from dockreg.model.digest import Digest
from dockreg.model.manifest import parse_manifest
from dockreg.model.mediatypes import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA2_MANIFEST,
)
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Sparse
from tests.unit.v1case import ONE, TWO, A, document, tar_layer, token
from tests.unit.v2case import (
    ENGINE_1_9,
    JANE,
    JOE,
    V2TestCase,
    described,
    encoded,
    make_image,
    make_index,
)

EMPTY = b"{}"


def make_artifact(**members: object) -> bytes:
    """A manifest of nothing but an empty config."""
    config = described("application/vnd.oci.empty.v1+json", EMPTY)
    return encoded({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], **members})


FIRST, SECOND = make_artifact(), make_artifact(annotations={"second": ""})


class OverwriteTests(V2TestCase):
    """Who may push, and not overwrite."""

    def setUp(self) -> None:
        super().setUp()
        self.policy.refused.add(("jane", Action.OVERWRITE, ONE))
        self.result(self.bring(ONE, EMPTY))

    def check(self, **tags: bytes) -> None:
        """What the tags of the repository point to."""
        names = self.result(self.registry.tag_names(ONE, "", 100))
        self.assertEqual(sorted(tags), [str(name) for name in names])
        for tag, content in tags.items():
            self.assertEqual(content, self.pull(tag).content)

    def check_absent(self, content: bytes) -> None:
        self.refused(ManifestUnknown, self.metadata.manifests.get(ONE, Digest.sha256(content)))

    def test_new_tags(self) -> None:
        """Tags that are not there are made, in both ways."""
        self.put(FIRST, "a", principal=JANE)
        self.put(SECOND, "b", "c", principal=JANE)
        self.check(a=FIRST, b=SECOND, c=SECOND)

    def test_reference(self) -> None:
        """A tag that points elsewhere is not moved by being the reference, and the manifest is not stored."""
        self.put(FIRST, "a")
        self.refused(Denied, self.putting(SECOND, "a", principal=JANE))
        self.check(a=FIRST)
        self.check_absent(SECOND)

    def test_parameter(self) -> None:
        """Nor by being one of several; the others are not made either."""
        self.put(FIRST, "b")
        self.refused(Denied, self.putting(SECOND, "a", "b", "c", principal=JANE))
        reference = Digest.sha256(SECOND)
        tags = [Tag("a"), Tag("b")]
        self.refused(Denied, self.manifests.put(JANE, ONE, reference, SECOND, None, tags))
        self.check(b=FIRST)
        self.check_absent(SECOND)

    def test_same(self) -> None:
        """A tag that points there already stays, which is no overwriting."""
        self.put(FIRST, "a", "b")
        self.put(FIRST, "b", "a", "c", principal=JANE)
        self.check(a=FIRST, b=FIRST, c=FIRST)

    def test_deleted(self) -> None:
        """A tag that was deleted is free."""
        self.put(FIRST, "a")
        self.result(self.manifests.delete(ONE, Tag("a")))
        self.put(SECOND, "a", principal=JANE)
        self.check(a=SECOND)

    def test_owner(self) -> None:
        """Who may overwrite does, in both ways."""
        self.put(FIRST, "a", "b")
        self.put(SECOND, "a", "b")
        self.check(a=SECOND, b=SECOND)


class ConditionTests(V2TestCase):
    """Tags that are moved only from where the client knows them to be."""

    def setUp(self) -> None:
        super().setUp()
        self.result(self.bring(ONE, EMPTY))
        self.put(FIRST, "a", "b")

    def move(self, *only_if: str) -> Any:
        """Point both tags, and a new one, to another manifest."""
        tags = [Tag(each) for each in "abc"]
        return self.manifests.put(JOE, ONE, Digest.sha256(SECOND), SECOND, None, tags, only_if)

    def test_changed(self) -> None:
        """If one of the tags is elsewhere, or not there, or there, none is moved and nothing is stored."""
        for only_if in ((), (str(Digest.sha256(FIRST)),), ("*",), ("other",)):
            self.refused(TagChanged, self.move(*only_if))
            self.assertEqual([FIRST, FIRST], [self.pull(tag).content for tag in "ab"])
            for reference in (Tag("c"), Digest.sha256(SECOND)):
                self.refused(ManifestUnknown, self.metadata.manifests.get(ONE, reference))

    def test_expected(self) -> None:
        """Where all are as expected all are moved."""
        self.put(FIRST, "c")
        self.result(self.move("other", str(Digest.sha256(FIRST))))
        self.assertEqual({SECOND}, {self.pull(tag).content for tag in "abc"})

    def test_right(self) -> None:
        """To know where a tag is gives no right to move it."""
        self.policy.refused.add(("joe", Action.OVERWRITE, ONE))
        self.put(FIRST, "c")
        self.refused(Denied, self.move("*"))


class OriginTests(V2TestCase):
    """A v1 image that is copied through v2."""

    def setUp(self) -> None:
        super().setUp()
        self.json, self.layer = document(A, os="linux"), tar_layer("a")
        caller = token(ONE, "joe")
        self.announce(caller, ONE, A)
        self.push(caller, A, self.json, self.layer)
        self.tag(caller, ONE, A)
        self.manifest = self.pull()

    def copy(self, name: RepositoryName) -> str | None:
        """Jane pushes all of it elsewhere; return what it is in v1 there."""
        config = self.content(ONE, Digest.parse(self.config_digest()))
        for blob in (self.layer, config):
            self.result(self.bring(name, blob, JANE))
        self.put(self.manifest.content, "copy", name=name, principal=JANE, media_type=SCHEMA2_MANIFEST)
        return self.image_id("copy", name)

    def config_digest(self) -> str:
        return str(json.loads(self.manifest.content)["config"]["digest"])

    def test_readable(self) -> None:
        """It keeps its id for whoever may read it, byte for byte."""
        self.assertEqual(A.value, self.copy(TWO))
        found = self.result(self.metadata.images.find_in(TWO, A))
        assert found is not None
        self.assertEqual((self.json, "joe"), (found.json, found.pushed_by))

    def test_not_readable(self) -> None:
        """Who may not read it learns nothing of it: the copy gets the id that any such image would get."""
        self.policy.refused.add(("jane", Action.PULL, ONE))
        expected = self.config_digest().partition(":")[2]
        self.assertEqual(expected, self.copy(TWO))
        self.assertIsNone(self.result(self.metadata.images.find_in(TWO, A)))

    def test_readable_elsewhere(self) -> None:
        """One repository that may be read is enough."""
        self.copy(TWO)
        self.policy.refused.add(("jane", Action.PULL, ONE))
        self.assertEqual(A.value, self.copy(RepositoryName("demo/three")))

    def test_taken(self) -> None:
        """Where another image has the id, the copy gets an id of its own, and the other one stays."""
        caller = token(TWO, "jane")
        other = document(A, author="jane")
        self.announce(caller, TWO, A)
        self.push(caller, A, other, b"other")
        self.assertEqual(self.config_digest().partition(":")[2], self.copy(TWO))
        self.assertEqual(other, self.read(caller, A)[0])


class FormTests(V2TestCase):
    """Other forms of an image, for those who can not use what is stored."""

    def test_oci_is_kept_once(self) -> None:
        """The OCI form of a v1 image is made once, can be pulled by its digest, and goes with the image."""
        caller = token(ONE, "joe")
        self.announce(caller, ONE, A)
        self.push(caller, A, document(A), tar_layer("a"))
        self.tag(caller, ONE, A)
        stored = self.pull()
        self.assertEqual((SCHEMA2_MANIFEST, True), (stored.media_type, stored.derived))
        self.assertEqual(1, self.writes(self.pulling(accept=[OCI_MANIFEST])))
        digest = self.pull(accept=[OCI_MANIFEST]).digest
        self.assertEqual(0, self.writes(self.pulling(accept=[OCI_MANIFEST])))
        self.assertEqual([str(digest)], self.forms(OCI_MANIFEST))
        self.assertEqual(OCI_MANIFEST, self.result(self.metadata.manifests.get(ONE, digest)).media_type)
        self.result(self.manifests.delete(ONE, digest))
        self.refused(ManifestUnknown, self.metadata.manifests.get(ONE, stored.digest))

    def test_by_digest(self) -> None:
        """By its digest a manifest is what was pushed, whatever a client lists."""
        image = make_image("s2", SCHEMA2_MANIFEST)
        digest = self.push_image(image, "latest")
        for accept in ([OCI_MANIFEST], ["text/html"], []):
            found = self.result(self.manifests.get(ONE, digest, parse_accept(accept, ENGINE_1_9), str(ONE)))
            self.assertEqual(image.manifest, found.content)

    def test_what_can_not_be_made(self) -> None:
        """Where a part is missing, or is no image, what is stored is served as it is."""
        self.manifests.sparse = Sparse.ALL
        image = make_image("sparse")
        self.put(image.manifest, "latest")
        absent = make_index(image.manifest, b"absent", architecture="arm64")
        self.put(absent, "index")
        here = make_index(b"not here")
        self.put(here, "elsewhere")
        for tag, expected in (("latest", image.manifest), ("index", absent), ("elsewhere", here)):
            self.assertEqual(expected, self.pull(tag, agent=ENGINE_1_9).content)
            self.assertEqual(expected, self.pull(tag, [OCI_MANIFEST]).content)

    def test_large(self) -> None:
        """A manifest that is too large to be read in the reactor thread is read in another one."""
        jobs = []

        async def elsewhere(function: object, *args: object) -> object:
            jobs.append(function)
            return function(*args)  # type: ignore[operator]

        self.registry.in_thread = elsewhere  # type: ignore[assignment]
        self.result(self.bring(ONE, EMPTY))
        self.put(make_artifact(annotations={"small": ""}), "small")
        self.assertEqual([], jobs)
        large = make_artifact(annotations={"large": "x" * 70_000})
        self.put(large, "large")
        self.assertEqual((1, large), (len(jobs), self.pull("large").content))


class ReadAgainTests(V2TestCase):
    """A manifest that is read again."""

    def parsed(self, content: bytes, *told: str) -> Any:
        return self.result(self.registry.read_manifest(content, *told))

    def test_the_same(self) -> None:
        """What was made of its bytes is taken, and is the same."""
        first = self.parsed(FIRST, OCI_MANIFEST)
        self.assertIs(first, self.parsed(bytes(bytearray(FIRST)), OCI_MANIFEST))
        self.assertEqual(parse_manifest(FIRST, OCI_MANIFEST), first)

    def test_something_else(self) -> None:
        """Other bytes, another type or another algorithm are looked at anew."""
        first = self.parsed(FIRST, OCI_MANIFEST)
        self.assertEqual(Digest.sha256(SECOND), self.parsed(SECOND, OCI_MANIFEST).digest)
        self.assertEqual("sha512", self.parsed(FIRST, OCI_MANIFEST, "sha512").digest.algorithm)
        for _ in range(2):
            self.refused(ManifestInvalid, self.registry.read_manifest(FIRST, OCI_INDEX))
        self.assertIs(first, self.parsed(FIRST, OCI_MANIFEST))


class RefusedTests(V2TestCase):
    """What can not be stored leaves nothing, not even a repository."""

    def test_nothing(self) -> None:
        """No repository is made for a manifest that is refused."""
        for kind, work in (
            (ManifestInvalid, self.putting(b"{", "latest")),
            (ReferencesUnknown, self.putting(FIRST, "latest")),
            (DigestInvalid, self.manifests.put(JOE, ONE, Digest.sha256(b""), FIRST, None)),
        ):
            self.refused(kind, work)
        self.refused(NameUnknown, self.registry.get_repository(ONE))

    def test_delete(self) -> None:
        """What is not there can not be deleted, by tag or digest."""
        for reference in (Tag("a"), Digest.sha256(b"")):
            self.refused(NameUnknown, self.manifests.delete(ONE, reference))
        self.result(self.bring(ONE, EMPTY))
        for reference in (Tag("a"), Digest.sha256(b"")):
            self.refused(ManifestUnknown, self.manifests.delete(ONE, reference))


class ReferrerTests(V2TestCase):
    """Lists of what the registry knows and of what clients keep under the fallback tag, as one."""

    def setUp(self) -> None:
        super().setUp()
        self.result(self.bring(ONE, EMPTY))

    def pages(self, subject: Digest, limit: int) -> list[str]:
        """All referrers, page by page."""
        seen: list[str] = []
        for _ in range(20):
            after = seen[-1] if seen else ""
            page = self.result(self.manifests.referrers(ONE, subject, None, after, limit))
            self.assertLessEqual(len(page), limit)
            if not page:
                return seen
            seen += [str(each.digest) for each in page]
        return seen

    def fallback(self, subject: Digest, tag: str, artifact_type: str | None = None) -> list[bytes]:
        """Six manifests: three name the subject, three are under the fallback tag, and one of them both."""
        named = {"subject": {**described(OCI_MANIFEST, b""), "digest": str(subject)}}
        known = [make_artifact(annotations={"number": str(number)}, **named) for number in range(3)]
        kept = [known[0], *(make_artifact(annotations={"kept": str(number)}) for number in range(2))]
        for manifest in (*known, *kept):
            self.put(manifest)
        self.put(make_index(*kept, architecture=None), tag, media_type=OCI_INDEX)
        return [*known, *kept[1:]]

    def test_pages(self) -> None:
        """Every one comes once, in the order of the digests, however long the pages are."""
        subject = Digest.sha256(b"subject")
        manifests = self.fallback(subject, f"sha256-{subject.encoded}")
        expected = sorted(str(Digest.sha256(manifest)) for manifest in manifests)
        for limit in (1, 2, 3, 10):
            self.assertEqual(expected, self.pages(subject, limit))

    def test_long_digest(self) -> None:
        """The tag of a long digest has its first 64 digits (OCI Distribution specification, "Referrers Tag")."""
        subject = Digest.of("sha512", b"subject")
        manifests = self.fallback(subject, f"sha512-{subject.encoded[:64]}")
        expected = sorted(str(Digest.sha256(manifest)) for manifest in manifests)
        self.assertEqual(expected, self.pages(subject, 10))

    def test_type(self) -> None:
        """A type that is asked for is that of the manifest, or the one that the fallback tag says."""
        subject = Digest.sha256(b"subject")
        self.fallback(subject, f"sha256-{subject.encoded}")
        empty = self.result(self.manifests.referrers(ONE, subject, OCI_CONFIG, "", 10))
        self.assertEqual([], list(empty))
        kind = "application/vnd.oci.empty.v1+json"
        self.assertEqual(3, len(self.result(self.manifests.referrers(ONE, subject, kind, "", 10))))

    def test_no_index(self) -> None:
        """What is under the fallback tag and is no index is left aside."""
        subject = Digest.sha256(b"subject")
        self.put(make_artifact(), f"sha256-{subject.encoded}")
        self.assertEqual([], list(self.result(self.manifests.referrers(ONE, subject, None, "", 10))))

    def test_unused_tag(self) -> None:
        """Without either there are none, also in a repository that is not there."""
        self.assertEqual([], self.pages(Digest.sha256(b"x"), 10))
        found = self.result(self.manifests.referrers(TWO, Digest.sha256(b"x"), None, "", 10))
        self.assertEqual([], list(found))
