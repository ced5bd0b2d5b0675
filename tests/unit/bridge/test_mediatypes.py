"""Tests for dockreg.bridge.mediatypes."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.mediatypes import oci_view
from dockreg.model.manifest import Manifest, parse_manifest

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
URLS = ["https://example.org/x"]


def descriptor(media_type: str, letter: str, **members: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "size": 7, "digest": "sha256:" + letter * 64, **members}


def schema2(*layers: dict[str, Any], config: str = DOCKER_CONFIG, **members: Any) -> Manifest:
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER,
        "config": descriptor(config, "c"),
        "layers": layers,
        **members,
    }
    return parse_manifest(json.dumps(document).encode(), None)


def view_of(manifest: Manifest) -> Manifest:
    view = oci_view(manifest)
    assert view is not None
    return view


class OCIViewTests(SynchronousTestCase):
    """Tests for oci_view."""

    def test_bytes(self) -> None:
        """The view is written in one way only, without white space; its digest is known."""
        view = view_of(schema2(descriptor(DOCKER_LAYER + ".gzip", "a"), annotations={"x": "y"}))
        content = (
            f'{{"schemaVersion":2,"mediaType":"{OCI}","config":'
            f'{{"mediaType":"{OCI_CONFIG}","digest":"sha256:{"c" * 64}","size":7}},"layers":['
            f'{{"mediaType":"{OCI_LAYER}+gzip","digest":"sha256:{"a" * 64}","size":7}}]}}'
        )
        self.assertEqual(content, view.content.decode())
        # sha256sum of the same text
        self.assertEqual("sha256:7a0058b1a04fb3bfe0b0e8649a176770c1633237037ae714a39e9e81f187e6db", str(view.digest))

    def test_readable(self) -> None:
        """The view is what reading its bytes gives."""
        for manifest in (
            schema2(), schema2(descriptor(DOCKER_LAYER, "a"), descriptor(DOCKER_LAYER + ".gzip", "a")),
            schema2(descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "f", urls=URLS)),
        ):  # fmt: skip
            view = view_of(manifest)
            self.assertEqual(view, parse_manifest(view.content, OCI))

    def test_layer_types(self) -> None:
        """Each type of docker's has one of OCI; digests and sizes stay."""
        foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar"
        nondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar"
        pairs = (
            (DOCKER_LAYER, OCI_LAYER), (DOCKER_LAYER + ".gzip", OCI_LAYER + "+gzip"),
            (DOCKER_LAYER + ".zstd", OCI_LAYER + "+zstd"), (foreign, nondistributable),
            (foreign + ".gzip", nondistributable + "+gzip"), (OCI_LAYER + "+gzip", OCI_LAYER + "+gzip"),
        )  # fmt: skip
        manifest = schema2(*(descriptor(docker, "a") for docker, _ in pairs))
        layers = [reference.descriptor for reference in view_of(manifest).references[1:]]
        self.assertEqual([oci for _, oci in pairs], [layer.media_type for layer in layers])
        self.assertEqual(
            [(reference.descriptor.digest, reference.descriptor.size) for reference in manifest.references[1:]],
            [(layer.digest, layer.size) for layer in layers],
        )

    def test_urls(self) -> None:
        """A layer that is elsewhere still is."""
        manifest = schema2(descriptor(DOCKER_LAYER, "a"), descriptor(DOCKER_LAYER, "b", urls=[*URLS, 5]))
        view = view_of(manifest)
        self.assertEqual([None, URLS], [layer.get("urls") for layer in json.loads(view.content)["layers"]])
        self.assertEqual([True, True, False], [reference.required for reference in view.references])

    def test_none(self) -> None:
        """What OCI has no word for has no view, nor has what is no schema2 manifest."""
        self.assertIsNone(oci_view(schema2(config="application/vnd.docker.plugin.v1+json")))
        self.assertIsNone(oci_view(schema2(descriptor("application/octet-stream", "a"))))
        self.assertIsNone(oci_view(view_of(schema2())))
        index = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json"}
        self.assertIsNone(oci_view(parse_manifest(json.dumps({**index, "manifests": []}).encode(), None)))
