"""Tests for dockreg.model.manifest."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import DigestInvalid, ManifestInvalid
from dockreg.model.digest import Digest
from dockreg.model.manifest import (
    MAX_LISTED,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA2_LIST,
    SCHEMA2_MANIFEST,
    Manifest,
    Platform,
    Role,
    parse_manifest,
)

# Written out, so that a slip in a constant is seen.
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([IMAGE, INDEX, CONFIG, "x"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["mediaType", "digest", "size", "urls", "platform", "annotations", "os"]), inner
        )
    ),
    max_leaves=12,
)


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def descriptor(media_type: str, text: str = "", /, **members: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(text), "size": len(text), **members}


def image(**members: Any) -> dict[str, Any]:
    """An OCI image manifest that states its type."""
    layers = [descriptor(GZIP, "one"), descriptor(GZIP, "second")]
    return {"schemaVersion": 2, "mediaType": IMAGE, "config": descriptor(CONFIG, "{}"), "layers": layers, **members}


def index(*children: Any, **members: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(children), **members}


def without(document: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def parsed(document: object, content_type: str | None = None) -> Manifest:
    return parse_manifest(json.dumps(document).encode(), content_type)


class ManifestTestCase(SynchronousTestCase):
    def refused(self, document: object, content_type: str | None = None) -> str:
        """The reason, which is one line of moderate length."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        reason: str = self.assertRaises(ManifestInvalid, parse_manifest, content, content_type).reason
        self.assertNotIn("\n", reason)
        self.assertLess(len(reason), 1000)
        return reason


class ParseManifestTests(ManifestTestCase):
    """What a manifest refers to."""

    def test_image(self) -> None:
        """An image has a config and layers, in the order of the document; its bytes are kept and digested."""
        content = json.dumps(image(), indent=3).encode()
        manifest = parse_manifest(content, IMAGE)
        self.assertEqual((OCI_MANIFEST, content), (manifest.media_type, manifest.content))
        self.assertEqual("sha256:" + hashlib.sha256(content).hexdigest(), str(manifest.digest))
        self.assertEqual(
            [
                (Role.CONFIG, CONFIG, digest("{}"), 2, True),
                (Role.LAYER, GZIP, digest("one"), 3, True),
                (Role.LAYER, GZIP, digest("second"), 6, True),
            ],
            [
                (
                    each.role,
                    each.descriptor.media_type,
                    str(each.descriptor.digest),
                    each.descriptor.size,
                    each.required,
                )
                for each in manifest.references
            ],
        )
        self.assertEqual(((), None, CONFIG, {}), (
            tuple(manifest.children), manifest.subject, manifest.artifact_type, manifest.annotations
        ))  # fmt: skip

    def test_sha512(self) -> None:
        """A manifest that is stored under another algorithm has a digest of that."""
        content = json.dumps(image()).encode()
        self.assertEqual(
            "sha512:" + hashlib.sha512(content).hexdigest(), str(parse_manifest(content, IMAGE, "sha512").digest)
        )

        self.assertRaises(DigestInvalid, parse_manifest, content, IMAGE, "md5")

    def test_index(self) -> None:
        """An index has children, with their platforms as far as they are said."""
        manifest = parsed(
            index(
                descriptor(IMAGE, "a", platform={"os": "linux", "architecture": "arm", "variant": "v7", "x": 1}),
                descriptor(IMAGE, "b", platform={"os": "windows", "architecture": 5, "os.version": "10.0"}),
                descriptor(INDEX, "c", platform="linux/amd64"),
                descriptor(DOCKER, "d", platform={}, artifactType="a/b", annotations={"k": "v", "n": 1}),
                descriptor(GZIP, "e"),
                descriptor("application/vnd.buildkit.cacheconfig.v0", "f"),
            )
        )
        self.assertEqual((OCI_INDEX, ()), (manifest.media_type, tuple(manifest.references)))
        self.assertEqual(None, manifest.artifact_type)
        self.assertEqual(
            [digest(text) for text in "abcdef"], [str(each.descriptor.digest) for each in manifest.children]
        )
        self.assertEqual(
            [Platform("linux", "arm", "v7"), Platform("windows", "", "", "10.0"), None, None, None, None],
            [child.platform for child in manifest.children],
        )
        self.assertEqual([True] * 4 + [False] * 2, [child.is_manifest for child in manifest.children])
        self.assertEqual(("a/b", {"k": "v"}), (manifest.children[3].artifact_type, manifest.children[3].annotations))

    def test_foreign_layers(self) -> None:
        """A layer that may not be given away, or that is elsewhere, need not be there; a config must."""
        foreign = (
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        )
        layers = [
            *(descriptor(each) for each in foreign),
            descriptor(GZIP, urls=["https://x"]),
            descriptor(GZIP, urls=[]),
        ]
        manifest = parsed(image(layers=layers, config=descriptor(CONFIG, urls=["https://x"])))
        self.assertEqual([True] + [False] * 5 + [True], [each.required for each in manifest.references])

    def test_artifact(self) -> None:
        """The artifact manifest of the release candidates refers to blobs."""
        document = {"mediaType": ARTIFACT, "artifactType": "a/b", "blobs": [descriptor("x/y", "z")]}
        manifest = parsed({**document, "subject": descriptor(IMAGE, "s"), "annotations": {"k": "v"}})
        self.assertEqual((ARTIFACT, "a/b", {"k": "v"}), (
            manifest.media_type, manifest.artifact_type, manifest.annotations
        ))  # fmt: skip
        self.assertEqual([digest("z")], [str(each.descriptor.digest) for each in manifest.references])
        self.assertEqual(digest("s"), str(manifest.subject and manifest.subject.digest))
        self.assertEqual((), tuple(parsed({"mediaType": ARTIFACT, "artifactType": "a/b"}).references))

    def test_referrers(self) -> None:
        """Subject, artifact type and annotations are what lists of referrers say of a manifest."""
        for document in (image(), index()):
            manifest = parsed(
                {
                    **document,
                    "subject": descriptor(IMAGE, "gone"),
                    "artifactType": "application/x",
                    "annotations": {"k": "v", "number": 1, "half": "\ud800", "none": None},
                }
            )
            self.assertEqual(digest("gone"), str(manifest.subject and manifest.subject.digest))
            self.assertEqual(("application/x", {"k": "v"}), (manifest.artifact_type, manifest.annotations))
        odd: object
        for odd in (None, [], "x", 1):
            self.assertEqual({}, parsed(image(annotations=odd)).annotations)

    def test_artifact_type_of_config(self) -> None:
        """Without a type of its own, an image has that of its config, and an index has none."""
        for told in ({}, {"artifactType": ""}, {"artifactType": None}):
            self.assertEqual("x/y", parsed({**image(config=descriptor("x/y")), **told}).artifact_type)
            self.assertIsNone(parsed({**index(), **told}).artifact_type)

    def test_docker(self) -> None:
        """Docker's manifests know no subject and no artifact type, so these say nothing."""
        manifest = parsed(image(mediaType=DOCKER, subject="x", artifactType=5))
        self.assertEqual((SCHEMA2_MANIFEST, None, CONFIG), (
            manifest.media_type, manifest.subject, manifest.artifact_type
        ))  # fmt: skip
        self.assertEqual(SCHEMA2_LIST, parsed(index(descriptor(INDEX), mediaType=DOCKER_LIST)).media_type)

    def test_accepted(self) -> None:
        """What a registry has no need to understand is accepted."""
        for document in (
            image(layers=[]), image(layers=None), index(), index(manifests=None), image(subject=None),
            image(manifests=None), index(layers=None, config=None), image(unknown={"x": [1.5]}, blobs=[1]),
            image(config=descriptor("application/vnd.oci.empty.v1+json", "{}", data="e30=")),
            image(layers=[descriptor("text/plain; charset=utf-8", "x", more=True, annotations=[], urls="x")] * 2),
        ):  # fmt: skip
            with self.subTest(document=document):
                self.assertEqual(document["mediaType"], parsed(document).media_type)

    def test_sizes(self) -> None:
        """Sizes of 0 to 2**63-1 are sizes."""
        for size in (0, 1, 2**63 - 1):
            self.assertEqual(size, parsed(image(config=descriptor(CONFIG, size=size))).references[0].descriptor.size)


class MediaTypeTests(ManifestTestCase):
    """Which type a manifest is taken for."""

    def test_content_type(self) -> None:
        """The Content-Type decides, whatever its case and parameters."""
        for media_type in (IMAGE, DOCKER):
            document = without(image(), "mediaType")
            for spelled in (media_type, media_type.upper(), f" {media_type} ; charset=utf-8"):
                self.assertEqual(media_type, parsed(document, spelled).media_type)

    def test_declared(self) -> None:
        """Where the Content-Type says nothing, the document does."""
        for said_nothing in (None, "", "application/json", "application/json; charset=utf-8"):
            for document in (image(), image(mediaType=DOCKER), index(), index(mediaType=DOCKER_LIST)):
                self.assertEqual(document["mediaType"], parsed(document, said_nothing).media_type)

    def test_shape(self) -> None:
        """Where nothing says it, members tell an image from an index, both of OCI."""
        for said_nothing in ({}, {"mediaType": ""}, {"mediaType": None}):
            self.assertEqual(OCI_MANIFEST, parsed({**without(image(), "mediaType"), **said_nothing}).media_type)
            self.assertEqual(OCI_INDEX, parsed({**without(index(), "mediaType"), **said_nothing}).media_type)
        self.assertIn("mediaType", self.refused({"schemaVersion": 2}))
        self.assertIn("mediaType", self.refused({"schemaVersion": 2, "blobs": []}))

    def test_contradictions(self) -> None:
        """A document that is said to be two things is refused (CVE-2021-41190)."""
        self.assertIn("contradicts", self.refused(image(), DOCKER))
        self.assertIn("contradicts", self.refused(image(), INDEX))
        self.assertIn("contradicts", self.refused(image(), "text/plain"))
        both = {**image(), "manifests": []}
        self.assertIn("no member 'manifests'", self.refused(both))
        self.assertIn("no member 'config'", self.refused({**both, "mediaType": INDEX}))
        self.assertIn("no member", self.refused(without(both, "mediaType")))
        self.assertIn("no member", self.refused(index(layers=[])))
        self.assertIn("no member", self.refused(without(index(), "mediaType"), IMAGE))
        self.assertIn("no member", self.refused(without(image(), "mediaType"), INDEX))
        self.assertIn("no member", self.refused(image(fsLayers=[])))
        self.assertIn("no member", self.refused({"mediaType": ARTIFACT, "blobs": [], "layers": []}))

    def test_case_of_members(self) -> None:
        """Members that clients in Go would take for others are refused, in any letters that they think the same."""
        for name in ("Manifests", "manifeSts", "manife\u017fts", "MediaType", "Config", "LAYERS", "\u017fubject"):
            self.assertIn("spelled", self.refused(image(**{name: []})))
        for name in ("Digest", "SIZE", "\u017fize", "Urls"):
            self.assertIn("spelled", self.refused(image(config={**descriptor(CONFIG), name: 1})))

    def test_unknown(self) -> None:
        """A type that is not known is refused, and those that are known are named."""
        for document, content_type in (
            (image(mediaType="application/x"), None), (without(image(), "mediaType"), "application/x"),
            (without(image(), "mediaType"), "text/plain"), (image(mediaType=IMAGE.upper()), None),
            (image(mediaType="x" * 5000), None),
        ):  # fmt: skip
            self.assertIn(IMAGE, self.refused(document, content_type))

    def test_schema1_types(self) -> None:
        """Version 1 goes with the types of schema1 only."""
        prettyjws = "application/vnd.docker.distribution.manifest.v1+prettyjws"
        self.assertIn("schemaVersion", self.refused(image(mediaType=prettyjws)))
        self.assertIn("schemaVersion", self.refused(without(image(), "mediaType"), prettyjws))
        self.assertIn("schemaVersion", self.refused(image(schemaVersion=1)))
        self.assertIn("schemaVersion", self.refused(without(image(schemaVersion=1), "mediaType"), DOCKER))


class RefusedTests(ManifestTestCase):
    """What is no manifest."""

    def test_documents(self) -> None:
        """Only JSON objects of version 2 with the members of their type are manifests."""
        for document in (
            b"", b"{", b"[]", b"null", b"\xff", b'{"schemaVersion":2,"schemaVersion":2}', {}, image(mediaType=5),
            without(image(), "schemaVersion"), image(schemaVersion=True), image(schemaVersion="2"),
            image(schemaVersion=2.0), image(schemaVersion=3), without(image(), "config"), without(image(), "layers"),
            image(config=None), image(config=[]), image(layers={}), image(layers="x"), image(layers=[None]),
            image(layers=[[]]), index(manifests={}), index("x"), index(None), without(index(), "manifests"),
            image(subject="x"), image(subject={}), image(artifactType=5), image(artifactType="a\nb"),
            {"mediaType": ARTIFACT, "blobs": {}}, json.dumps(image(x=1)).encode().replace(b'"x": 1', b'"x": ' + b"[" * 99),
        ):  # fmt: skip
            with self.subTest(document=document):
                self.refused(document)

    def test_descriptors(self) -> None:
        """A descriptor needs a media type, a digest and a size, and the reason says which one is wrong."""
        good = descriptor(GZIP, "x")
        for wrong in (
            *(without(good, name) for name in ("mediaType", "digest", "size")),
            *({**good, "size": size} for size in (-1, 2**63, True, 1.0, "1", None, 10**400)),
            *({**good, "digest": text} for text in (None, 5, "", "x", digest("x").upper(), "md5:" + "a" * 32)),
            *({**good, "mediaType": text} for text in (None, 5, "", " x", "a\nb", "a\0", "\ud800", "ä", "x" * 256)),
        ):  # fmt: skip
            for name, document in (
                ("config", image(config=wrong)), ("layers[1]", image(layers=[good, wrong])),
                ("subject", image(subject=wrong)), ("manifests[0]", index(wrong)),
            ):  # fmt: skip
                with self.subTest(name=name, wrong=wrong):
                    self.assertTrue(self.refused(document).startswith(f"{name}: "))

    def test_many(self) -> None:
        """More entries than any image has are refused."""
        self.assertEqual(MAX_LISTED + 1, len(parsed(image(layers=[descriptor(GZIP)] * MAX_LISTED)).references))
        self.assertIn("more than", self.refused(image(layers=[descriptor(GZIP)] * (MAX_LISTED + 1))))

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "annotations"]),
            JSON,
        ),
        st.sampled_from([{}, image(), index(), image(mediaType=DOCKER)]),
        st.sampled_from([None, IMAGE, INDEX, DOCKER, "application/json", "x"]),
    )
    def test_anything(self, members: dict[str, Any], document: dict[str, Any], content_type: str | None) -> None:
        """Anything is either a manifest, with texts that have an encoding, or refused as one."""
        content = json.dumps({**document, **members}).encode()
        try:
            manifest = parse_manifest(content, content_type)
        except ManifestInvalid:
            return
        self.assertEqual((content, Digest.sha256(content)), (manifest.content, manifest.digest))
        texts = [manifest.media_type, manifest.artifact_type or "", *manifest.annotations.values()]
        texts += [reference.descriptor.media_type for reference in manifest.references]
        self.assertTrue("".join(texts).encode().isascii() or manifest.annotations)
