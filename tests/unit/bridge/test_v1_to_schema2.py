"""Tests for dockreg.bridge.v1_to_schema2."""

import hashlib
import json
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.v1_to_schema2 import Schema2View, schema2_view
from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest
from dockreg.model.manifest import parse_manifest
from dockreg.model.v1 import Checksums, ImageID, LayerFacts, V1Image

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
PLAIN = "application/vnd.docker.image.rootfs.diff.tar"


def image(name: str, facts: LayerFacts, parent: str | None = None, **members: Any) -> V1Image:
    """A complete image whose layer is its name."""
    document = {"id": name * 64, **({"parent": parent * 64} if parent else {}), **members}
    blob = StoredBlob(Digest.sha256(name.encode()), "g", len(name))
    return V1Image(
        key=ord(name),
        image_id=ImageID(name * 64),
        json=json.dumps(document).encode(),
        parent_key=ord(parent) if parent else None,
        parent=ImageID(parent * 64) if parent else None,
        layer=blob,
        facts=facts,
        checksums=Checksums("sha256:x"),
        pushed_by=None,
    )


def tar(compression: str = "gzip", entries: int = 3, name: str = "t") -> LayerFacts:
    """Facts of a layer that is a tar."""
    return LayerFacts(compression, Digest.sha256(b"tar " + name.encode()), 10240, entries)


def view_of(*chain: V1Image) -> Schema2View:
    """The view, which has to exist."""
    view = schema2_view(chain)
    assert view is not None
    return view


class Schema2ViewTests(SynchronousTestCase):
    """Tests for schema2_view."""

    def test_manifest(self) -> None:
        """The manifest names the config and the layers, base first, and its digest is that of its bytes."""
        view = view_of(image("b", tar(name="b"), "a"), image("a", tar(name="a")))
        self.assertEqual("sha256:" + hashlib.sha256(view.manifest.content).hexdigest(), str(view.manifest.digest))
        document = json.loads(view.manifest.content)
        self.assertEqual(2, document["schemaVersion"])
        self.assertEqual(view.manifest.media_type, document["mediaType"])
        self.assertEqual(
            {"mediaType": DOCKER_CONFIG, "size": len(view.config), "digest": str(Digest.sha256(view.config))},
            document["config"],
        )
        self.assertEqual(
            [{"mediaType": GZIP, "size": 1, "digest": str(Digest.sha256(name))} for name in (b"a", b"b")],
            document["layers"],
        )
        self.assertEqual(
            [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])],
            [str(reference.descriptor.digest) for reference in view.manifest.references],
        )

    def test_config(self) -> None:
        """The config is the top image's, with the history and the diff ids of all."""
        base = image(
            "a", tar(name="a"), created="2014-01-01T00:00:00Z", container_config={"Cmd": ["/bin/sh", "-c", "x"]}
        )
        top = image(
            "b", tar(name="b"), "a", created="2014-01-02T00:00:00Z", architecture="arm", os="linux", author="me",
            config={"Env": ["A=1"]}, docker_version="1.0.0", Size=7, comment="said",
        )  # fmt: skip
        config = json.loads(view_of(top, base).config)
        self.assertEqual(
            {
                "architecture": "arm", "os": "linux", "author": "me", "config": {"Env": ["A=1"]},
                "created": "2014-01-02T00:00:00Z", "docker_version": "1.0.0",
                "rootfs": {"type": "layers", "diff_ids": [str(tar(name=name).diff_id) for name in "ab"]},
                "history": [
                    {"created": "2014-01-01T00:00:00Z", "created_by": "/bin/sh -c x"},
                    {"created": "2014-01-02T00:00:00Z", "author": "me", "comment": "said"},
                ],
            },
            config,
        )  # fmt: skip

    def test_deterministic(self) -> None:
        """Where and when the image was stored does not matter; its json does."""
        chain = image("b", tar(), "a"), image("a", tar())
        elsewhere = [
            attrs.evolve(
                one, key=one.key + 1000, pushed_by="joe", layer=StoredBlob(one.layer.digest, "x", one.layer.size)
            )
            for one in chain
        ]
        self.assertEqual(view_of(*chain), view_of(*elsewhere))
        self.assertNotEqual(view_of(*chain), view_of(image("b", tar(), "a", author="x"), chain[1]))

    def test_known_digest(self) -> None:
        """The digest of a certain image is the one that was computed for it by other means."""
        view = view_of(
            image("a", LayerFacts("gzip", Digest("sha256", "1" * 64), 512, 1), created="2014-01-01T00:00:00Z")
        )
        config = (
            '{"created":"2014-01-01T00:00:00Z","architecture":"amd64","os":"linux","rootfs":{"type":"layers",'
            f'"diff_ids":["sha256:{"1" * 64}"]}},"history":[{{"created":"2014-01-01T00:00:00Z"}}]}}'
        ).encode()
        self.assertEqual(config, view.config)
        manifest = (
            f'{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":'
            f'{{"mediaType":"{DOCKER_CONFIG}","size":{len(config)},"digest":"sha256:{hashlib.sha256(config).hexdigest()}"}},'
            f'"layers":[{{"mediaType":"{GZIP}","size":1,"digest":"sha256:{hashlib.sha256(b"a").hexdigest()}"}}]}}'
        ).encode()
        self.assertEqual(manifest, view.manifest.content)

    def test_empty_layer(self) -> None:
        """A layer without files is history only."""
        view = view_of(image("b", tar(entries=0), "a"), image("a", tar(name="a")))
        config = json.loads(view.config)
        self.assertEqual(1, len(config["rootfs"]["diff_ids"]))
        self.assertEqual([False, True], ["empty_layer" in entry for entry in config["history"]])
        self.assertEqual(1, len(json.loads(view.manifest.content)["layers"]))

    def test_compressions(self) -> None:
        """A compression that schema2 does not know is shown as the uncompressed tar; a plain tar is one."""
        for compression in ("bzip2", "xz", "zstd", "none"):
            (layer,) = json.loads(view_of(image("a", tar(compression))).manifest.content)["layers"]
            self.assertEqual({"mediaType": PLAIN, "size": 10240, "digest": str(tar().diff_id)}, layer)

    def test_readable(self) -> None:
        """The manifest is what reading its bytes gives."""
        for chain in (
            [image("a", tar())],
            [image("b", tar("xz"), "a"), image("a", tar())],
            [image("a", tar(entries=0))],
        ):
            manifest = view_of(*chain).manifest
            self.assertEqual(manifest, parse_manifest(manifest.content, manifest.media_type))

    def test_no_view(self) -> None:
        """An image with a layer that is no tar, or with numbers outside JSON, has no view."""
        self.assertIsNone(schema2_view([image("b", tar(), "a"), image("a", LayerFacts("none"))]))
        odd = attrs.evolve(image("a", tar()), json=b'{"id": "%s", "config": {"x": 1e999}}' % (b"a" * 64))
        self.assertIsNone(schema2_view([odd]))
        surrogate = attrs.evolve(image("a", tar()), json=b'{"id": "%s", "author": "\\ud800"}' % (b"a" * 64))
        self.assertIsNone(schema2_view([surrogate]))

    def test_odd_members(self) -> None:
        """Members of the wrong type are left out."""
        config = json.loads(
            view_of(image("a", tar(), architecture=5, config=[], created=None, container_config={"Cmd": "x"})).config
        )
        self.assertEqual("amd64", config["architecture"])
        self.assertNotIn("config", config)
        self.assertEqual([{"created": "1970-01-01T00:00:00Z"}], config["history"])
