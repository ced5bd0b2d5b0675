"""Tests of v1 images made from configs."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.schema2_to_v1 import derived_chain, v1_images_from_config
from dockreg.errors import RequestInvalid
from dockreg.model.digest import Digest
from dockreg.model.manifest import Manifest, parse_manifest
from dockreg.model.v1 import ImageJSON

# What docker 1.12.6 sent for the base tag of its trace: see tests/fixtures/traces.
ENGINE_BASE_ID = "df9c52ea114593d85d179ba95ed5ee654b6d869d602946457f851c6e8c65b2d7"
ENGINE_BASE_JSON = b'{"id":"' + ENGINE_BASE_ID.encode() + b'"}'
ENGINE_CONFIG = (
    '{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,'
    '"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":["PATH=/bin","LAYER=1"],"Cmd":["/bin/sh"],"Image":"",'
    '"Volumes":null,"WorkingDir":"/","Entrypoint":null,"OnBuild":null,"Labels":null}'
)
ENGINE_TOP_JSON = (
    '{"architecture":"amd64","author":"old \\u003cdocker@example.org\\u003e","config":'
    + ENGINE_CONFIG
    + ',"container_config":'
    + ENGINE_CONFIG
    + ',"created":"2014-05-13T16:53:01Z","docker_version":"1.0.0","id":"%s","os":"linux","parent":"'
    + ENGINE_BASE_ID
    + '"}'
)


def config(*diff_ids: str, **members: Any) -> bytes:
    """A config of these layers."""
    return json.dumps({"os": "linux", **members, "rootfs": {"type": "layers", "diff_ids": list(diff_ids)}}).encode()


def diff_id(letter: str) -> str:
    return "sha256:" + letter * 64


class V1ImagesFromConfigTests(SynchronousTestCase):
    """The rule of docker 1.10 to 17.05."""

    def test_base_as_engine(self) -> None:
        """An image below the topmost is the one that docker 1.12.6 pushed for the same layer, byte for byte."""
        base, _ = v1_images_from_config(config(f"sha256:{ENGINE_BASE_ID}", diff_id("b")))
        self.assertEqual((ENGINE_BASE_ID, ENGINE_BASE_JSON), (base.image_id.value, base.json))
        self.assertIsNone(base.parent)

    def test_top_as_engine(self) -> None:
        """The json of the topmost image has the members, their order and the spelling of docker 1.12.6."""
        spaced = ENGINE_CONFIG.replace(",", " , ")
        diff_ids = f'["sha256:{ENGINE_BASE_ID}","{diff_id("b")}"]'
        written = (
            '{"author": "old <docker@example.org>", "architecture": "amd64", "config": '
            + spaced
            + ', "container_config":\t'
            + ENGINE_CONFIG
            + ',"created":"2014-05-13T16:53:01Z","docker_version":"1.0.0","history":[{"created":"x"}],"os":"linux",\n'
            '"os.version":"1", "os.features":[], "rootfs":{"type":"layers","diff_ids":' + diff_ids + "}}"
        )
        top = v1_images_from_config(written.encode())[-1]
        self.assertEqual((ENGINE_TOP_JSON % top.image_id).encode(), top.json)

    def test_chain_ids(self) -> None:
        """Each image but the topmost has the chain id of its layer."""
        first, second, _ = v1_images_from_config(config(diff_id("a"), diff_id("b"), diff_id("c")))
        self.assertEqual("a" * 64, first.image_id.value)
        # printf 'sha256:aa… sha256:bb…' | sha256sum
        self.assertEqual("ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c", second.image_id.value)
        self.assertEqual(first.image_id, second.parent)

    def test_top_id_is_config_digest(self) -> None:
        """The topmost image has the digest of the config as its id."""
        content = config(diff_id("a"))
        (top,) = v1_images_from_config(content)
        self.assertEqual(Digest.sha256(content).encoded, top.image_id.value)

    def test_shared_layers_shared(self) -> None:
        """Images that begin with the same layers have the same v1 images there, whatever lies above."""
        one = v1_images_from_config(config(diff_id("a"), diff_id("b"), diff_id("c"), author="one"))
        other = v1_images_from_config(config(diff_id("a"), diff_id("b"), diff_id("d"), author="other"))
        self.assertEqual(one[:2], other[:2])
        self.assertNotEqual(one[2].image_id, other[2].image_id)

    def test_layers_in_order(self) -> None:
        """There is one image for each layer, in their order, even when a layer comes twice."""
        images = v1_images_from_config(config(diff_id("a"), diff_id("a"), diff_id("b")))
        self.assertEqual([diff_id("a"), diff_id("a"), diff_id("b")], [str(image.diff_id) for image in images])
        self.assertEqual(3, len({image.image_id for image in images}))

    def test_no_layers(self) -> None:
        """An image without layers is one v1 image with an empty layer; docker writes null for its list."""
        content = json.dumps({"rootfs": {"type": "layers", "diff_ids": None}}).encode()
        (top,) = v1_images_from_config(content)
        self.assertEqual((None, None), (top.parent, top.diff_id))

    def test_own_id_and_parent(self) -> None:
        """What a config says of an id or a parent is replaced."""
        (top,) = v1_images_from_config(config(diff_id("a"), id="x", parent="y"))
        self.assertEqual({"os": "linux", "id": top.image_id.value}, json.loads(top.json))

    def test_no_image(self) -> None:
        """Documents that describe no layers, or that name them by something else than sha256, are refused."""
        wrong = (
            b"",
            b"[]",
            b"{}",
            b'{"rootfs":[]}',
            b'{"rootfs":{"diff_ids":"x"}}',
            config("sha256:zz"),
            config("sha512:" + "a" * 128),
            json.dumps({"rootfs": {"diff_ids": [1]}}).encode(),
        )
        for content in wrong:
            with self.subTest(content=content):
                self.assertRaises(RequestInvalid, v1_images_from_config, content)

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.text(),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
                max_leaves=8,
            ),
            max_size=6,
        ),
        st.sampled_from([None, 1, "\t"]),
        st.booleans(),
    )
    def test_members_kept(self, members: dict[str, Any], indent: int | str | None, ascii_only: bool) -> None:
        """Whatever a config holds and however it is spelled, its members are those of the json."""
        members["rootfs"] = {"type": "layers", "diff_ids": [diff_id("a")]}
        text = json.dumps(members, indent=indent, ensure_ascii=ascii_only)
        content = text.encode("utf-8", "replace")
        (top,) = v1_images_from_config(content)
        read = json.loads(content)
        for name in ("rootfs", "history", "os.version", "os.features", "id", "parent"):
            read.pop(name, None)
        expected = {name.encode("utf-8", "replace").decode(): value for name, value in read.items()}
        self.assertEqual({**expected, "id": top.image_id.value}, json.loads(top.json))
        self.assertEqual(top.image_id, ImageJSON.parse(top.json).image_id)


def manifest(content: bytes, *layers: str) -> Manifest:
    """An OCI image of this config and these layers."""
    described = [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:" + letter * 64, "size": 5}
        for letter in layers
    ]
    own = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": str(Digest.sha256(content)),
        "size": len(content),
    }
    return parse_manifest(json.dumps({"schemaVersion": 2, "config": own, "layers": described}).encode(), None)


class DerivedChainTests(SynchronousTestCase):
    """Tests for derived_chain."""

    def test_pairs(self) -> None:
        """Each image comes with the layer of the manifest that it is made of, base first."""
        content = config(diff_id("a"), diff_id("b"))
        chain = derived_chain(manifest(content, "1", "2"), content)
        self.assertEqual([*v1_images_from_config(content)], [image for image, _ in chain])
        self.assertEqual(["1" * 64, "2" * 64], [layer and layer.digest.encoded for _, layer in chain])

    def test_no_layers(self) -> None:
        """An image without layers is one v1 image, whose layer no manifest names."""
        content = config()
        self.assertEqual([(v1_images_from_config(content)[0], None)], [*derived_chain(manifest(content), content)])

    def test_numbers_differ(self) -> None:
        """A config of more or fewer layers than the manifest has is not its config."""
        for diff_ids, layers in (((), "1"), ("a", ""), ("ab", "1"), ("a", "12")):
            content = config(*map(diff_id, diff_ids))
            self.assertRaises(RequestInvalid, derived_chain, manifest(content, *layers), content)
        self.assertRaises(RequestInvalid, derived_chain, manifest(b"{}"), b"{}")
