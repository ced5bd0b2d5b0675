"""What is pushed through one protocol is pulled through the others: the same layers, the same configuration, stable names."""

import bz2
import hashlib
import json

import zstandard

from dockreg.model.mediatypes import (
    OCI_INDEX,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    SCHEMA1_SIGNED,
    SCHEMA2_MANIFEST,
)
from dockreg.testing.samples import layered_image
from tests.integration.bridgecase import EMPTY_DIGEST, ENGINE_1_9, BridgeCase
from tests.integration.v2case import compact, described, digest_of, make_index, make_sample


class FromV1Tests(BridgeCase):
    """Images of engines before 1.6."""

    def test_schema2(self) -> None:
        """A v1 image is a schema2 image: layers without files are history alone, the rest is what was sent."""
        images = layered_image("s2")
        layers = self.push_v1(*images)
        config, tars = self.pull()
        self.assertEqual([image.layer for image in images[:2]], tars)
        document = json.loads(config)
        top = json.loads(images[-1].json)
        self.assertEqual((top["config"], top["created"]), (document["config"], document["created"]))
        self.assertEqual([False, False, True], [entry.get("empty_layer", False) for entry in document["history"]])
        manifest = self.ask("GET", "manifests/latest").document
        self.assertEqual([digest_of(layer) for layer in layers[:2]], [layer["digest"] for layer in manifest["layers"]])

    def test_same_digest(self) -> None:
        """The same images have the same digest in every repository, and by it they are pulled."""
        images = layered_image("same")
        digests = []
        for _ in range(2):
            self.push_v1(*images)
            digests.append(self.ask("HEAD", "manifests/latest").headers["docker-content-digest"])
            self.name += "-too"
        self.assertEqual(digests[0], digests[1])

    def test_oci(self) -> None:
        """A client that knows OCI alone gets an OCI manifest of the same blobs, and it has a digest of its own."""
        images = layered_image("oci")
        self.push_v1(*images)
        plain = self.ask("GET", "manifests/latest").document
        reply = self.ask("GET", "manifests/latest", Accept=f"{OCI_MANIFEST}, {OCI_INDEX}")
        self.assertEqual(OCI_MANIFEST, reply.headers["content-type"])
        self.assertEqual(
            [each["digest"] for each in plain["layers"]], [each["digest"] for each in reply.document["layers"]]
        )
        self.assertEqual(reply.headers["docker-content-digest"], digest_of(reply.content))
        by_digest = self.ask("GET", f"manifests/{digest_of(reply.content)}")
        self.assertEqual((reply.content, OCI_MANIFEST), (by_digest.content, by_digest.headers["content-type"]))
        _, tars = self.pull(Accept=OCI_MANIFEST)
        self.assertEqual([image.layer for image in images[:2]], tars)

    def test_schema1(self) -> None:
        """Engines 1.6 to 1.9 get it as schema1, with the jsons and ids that were pushed."""
        images = layered_image("s1")
        self.push_v1(*images)
        expected = [(image.json, image.layer) for image in images]
        self.assertEqual(expected, self.pull_schema1())
        self.assertEqual(self.pull_schema1(), self.pull_schema1())

    def test_retagged(self) -> None:
        """The id that was pushed is the id that is pulled, also after tags and copies made through v2."""
        images = layered_image("fidelity")
        self.push_v1(*images)
        expected = [(image.id, image.json, image.layer) for image in images]
        manifest = self.ask("GET", "manifests/latest")
        self.put("again", manifest.content, SCHEMA2_MANIFEST)
        self.assertEqual(expected, self.pull_v1("again"))
        source, self.name = self.name, f"{self.name}-copy"
        document = manifest.document
        for descriptor in (document["config"], *document["layers"]):
            query = f"mount={descriptor['digest']}&from={source}"
            self.assertEqual(201, self.ask("POST", f"blobs/uploads/?{query}", b"").status)
        self.assertEqual(201, self.put("copied", manifest.content, SCHEMA2_MANIFEST).status)
        self.assertEqual(expected, self.pull_v1("copied"))


class FromV2Tests(BridgeCase):
    """Images of today's clients."""

    def test_v1(self) -> None:
        """A schema2 or OCI image is v1 images, whose topmost is named by the config, and the others by their content."""
        for media_type in (SCHEMA2_MANIFEST, OCI_MANIFEST):
            sample = make_sample("v1", media_type, layers=3)
            self.name += "x"
            self.push(sample)
            pulled = self.pull_v1()
            self.assertEqual(list(sample.layers), [layer for _, _, layer in pulled])
            self.assertEqual(hashlib.sha256(sample.config).hexdigest(), pulled[-1][0])
            self.assertEqual(digest_of(sample.layers[0])[7:], pulled[0][0])
            top = json.loads(pulled[-1][1])
            self.assertEqual(json.loads(sample.config)["config"], top["config"])
            self.assertEqual(["parent" in json.loads(document) for _, document, _ in pulled], [False, True, True])

    def test_shared_layers(self) -> None:
        """Images that begin with the same layers share them in v1, in any repository."""
        first, second = make_sample("shared", layers=2), make_sample("shared", layers=3)
        self.push(first, "a")
        self.push(second, "b")
        one, two = self.pull_v1("a"), self.pull_v1("b")
        self.assertEqual(one[0], two[0])
        self.assertNotEqual(one[1][0], two[1][0])
        self.name += "-too"
        self.push(first, "a")
        self.assertEqual(one, self.pull_v1("a"))

    def test_by_id(self) -> None:
        """An image is found by its id before anybody has asked for its tags."""
        sample = make_sample("by id")
        self.push(sample)
        image_id = hashlib.sha256(sample.config).hexdigest()
        self.assertEqual(image_id, json.loads(self.v1_ok("GET", f"/v1/images/{image_id}/json"))["id"])
        self.assertEqual(404, self.ask("GET", f"/v1/images/{'0' * 64}/json").status)

    def test_schema1(self) -> None:
        """It is schema1 for engines that know nothing newer, with the ids that v1 has."""
        sample = make_sample("schema1", OCI_MANIFEST)
        self.push(sample)
        pulled = self.pull_v1()
        self.assertEqual([(document, layer) for _, document, layer in pulled], self.pull_schema1())
        only = self.ask("GET", "manifests/latest", Accept=SCHEMA1_SIGNED)
        self.assertEqual(SCHEMA1_SIGNED, only.headers["content-type"])

    def test_zstd(self) -> None:
        """Layers that old engines can not read are served to them as tars, whose ranges are stable."""
        pack = zstandard.ZstdCompressor().compress
        sample = make_sample("zstd", OCI_MANIFEST, pack)
        document = json.loads(sample.manifest)
        for layer in document["layers"]:
            layer["mediaType"] = OCI_LAYER_ZSTD
        for blob in (*sample.blobs, sample.config):
            self.push_blob(blob)
        self.assertEqual(201, self.put("latest", compact(document), OCI_MANIFEST).status)
        pulled = self.pull_v1()
        self.assertEqual(list(sample.layers), [layer for _, _, layer in pulled])
        self.assertEqual(list(sample.layers), [layer for _, layer in self.pull_schema1()])
        tar = sample.layers[1]
        where = f"/v1/images/{pulled[1][0]}/layer"
        reply = self.ask("GET", where, Range=f"bytes=1000-{len(tar)}")
        self.assertEqual((206, tar[1000:]), (reply.status, reply.content))
        self.assertEqual(416, self.ask("GET", where, Range=f"bytes={len(tar)}-{len(tar)}").status)
        self.assertEqual([digest_of(blob) for blob in sample.blobs], [
            layer["digest"] for layer in self.ask("GET", "manifests/latest").document["layers"]
        ])  # fmt: skip

    def test_index(self) -> None:
        """Of an index v1 and schema1 have the image for the default platform."""
        children = []
        for architecture in ("arm64", "amd64"):
            sample = make_sample(architecture, OCI_MANIFEST)
            self.push(sample, sample.digest)
            platform = {"os": "linux", "architecture": architecture}
            children.append(described(OCI_MANIFEST, sample.manifest, platform=platform))
        self.put("multi", make_index(*children), OCI_INDEX)
        self.assertEqual(list(sample.layers), [layer for _, _, layer in self.pull_v1("multi")])
        self.assertEqual(list(sample.layers), [layer for _, layer in self.pull_schema1("multi")])

    def test_no_layers(self) -> None:
        """An image without layers has one in v1, which is empty."""
        sample = make_sample("none", layers=0)
        self.push(sample)
        ((_, _, layer),) = self.pull_v1()
        self.assertEqual(b"", layer.strip(b"\0"))
        self.assertEqual(200, self.ask("HEAD", f"blobs/{EMPTY_DIGEST}").status)

    def test_artifact(self) -> None:
        """What is no image is not shown in v1, and is no trouble to what is beside it."""
        self.push(make_sample("image"), "image")
        self.push_blob(b"{}")
        empty = described("application/vnd.oci.empty.v1+json", b"{}")
        artifact = compact({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty]})
        self.assertEqual(201, self.put("artifact", artifact, OCI_MANIFEST).status)
        self.assertEqual(["image"], list(json.loads(self.v1_ok("GET", f"/v1/repositories/{self.name}/tags"))))
        self.assertEqual(404, self.ask("GET", f"/v1/repositories/{self.name}/tags/artifact").status)
        reply = self.ask("GET", "manifests/artifact", User_Agent=ENGINE_1_9)
        self.assertEqual(artifact, reply.content)

    def test_tagged_in_v1(self) -> None:
        """A tag that a v1 client makes of it points to the manifest that was pushed."""
        sample = make_sample("v1 tag", OCI_MANIFEST)
        digest = self.push(sample)
        image_id = self.pull_v1()[-1][0]
        self.v1_ok("PUT", f"/v1/repositories/{self.name}/tags/old", json.dumps(image_id).encode())
        self.assertEqual(digest, self.ask("HEAD", "manifests/old").headers["docker-content-digest"])

    def test_search(self) -> None:
        """It is found by a search, and listed with its images."""
        self.push(make_sample("search"))
        found = json.loads(self.v1_ok("GET", f"/v1/search?q={self.name}"))
        self.assertEqual([self.name], [result["name"] for result in found["results"]])
        self.assertEqual(2, len(json.loads(self.v1_ok("GET", f"/v1/repositories/{self.name}/images"))))


class FromSchema1Tests(BridgeCase):
    """Images of engines 1.6 to 1.9."""

    def test_all(self) -> None:
        """It is pulled as it was pushed, as schema2, as OCI, and through v1 with the ids that the engine gave."""
        images = layered_image("from schema1")
        digest = self.push_schema1(images)
        for reference, headers in (("latest", {"User_Agent": ENGINE_1_9}), (digest, {})):
            reply = self.ask("GET", f"manifests/{reference}", None, **headers)
            self.assertEqual((self.signed, SCHEMA1_SIGNED), (reply.content, reply.headers["content-type"]))
        self.assertEqual([(image.id, image.json, image.layer) for image in images], self.pull_v1())
        for accept in (f"{SCHEMA2_MANIFEST}, {SCHEMA1_SIGNED}", OCI_MANIFEST, "*/*"):
            _, tars = self.pull(Accept=accept)
            self.assertEqual([image.layer for image in images[:2]], tars)

    def test_bzip2(self) -> None:
        """Layers that schema2 has no type for are tars to its clients, and stay what they are for the engine."""
        images = layered_image("bzip2")
        self.push_schema1(images, pack=bz2.compress)
        self.assertEqual([(image.json, image.layer) for image in images], self.pull_schema1())
        self.assertEqual([image.layer for image in images[:2]], self.pull()[1])
        self.assertEqual([(image.id, image.json, image.layer) for image in images], self.pull_v1())

    def test_same_as_v1(self) -> None:
        """The same image pushed through v1 is the same schema2 image."""
        images = layered_image("same")
        self.push_schema1(images)
        here = self.ask("HEAD", "manifests/latest").headers["docker-content-digest"]
        self.name += "-v1"
        self.push_v1(*images)
        self.assertEqual(here, self.ask("HEAD", "manifests/latest").headers["docker-content-digest"])

    def test_bad_signature(self) -> None:
        """A manifest that was changed after it had been signed is refused."""
        images = layered_image("signed")
        self.push_schema1(images)
        changed = self.signed.replace(b'"tag": "latest"', b'"tag": "newest"')
        reply = self.ask("PUT", "manifests/newest", changed, User_Agent=ENGINE_1_9)
        self.refused(400, "MANIFEST_INVALID", reply)

    def test_missing_layer(self) -> None:
        """A manifest whose layers are not there is refused."""
        images = layered_image("missing layer")
        self.push_schema1(images)
        self.name += "-elsewhere"
        reply = self.ask("PUT", "manifests/latest", self.signed, User_Agent=ENGINE_1_9)
        self.refused(400, "MANIFEST_BLOB_UNKNOWN", reply)


class DeletionTests(BridgeCase):
    """What is deleted through one protocol is gone from the others."""

    def check_gone(self, tag: str = "latest") -> None:
        for headers in ({}, {"User_Agent": ENGINE_1_9}, {"Accept": OCI_MANIFEST}):
            self.assertEqual(404, self.ask("GET", f"manifests/{tag}", None, **headers).status)
        self.assertEqual(404, self.ask("GET", f"/v1/repositories/{self.name}/tags/{tag}").status)

    def test_tag(self) -> None:
        """A tag that is deleted through v1 is gone from v2, and the other way round."""
        self.push(make_sample("tag"))
        self.pull_v1()
        self.v1_ok("DELETE", f"/v1/repositories/{self.name}/tags/latest")
        self.check_gone()
        self.push_v1(*layered_image("tag"))
        self.assertEqual(202, self.ask("DELETE", "manifests/latest").status)
        self.check_gone()

    def test_manifest(self) -> None:
        """With a manifest its tags and its v1 images go, whatever it was pushed through and seen as."""
        images = layered_image("deleted")
        for push in (
            lambda: self.push(make_sample("deleted", OCI_MANIFEST)),
            lambda: self.push_v1(*images),
            lambda: self.push_schema1(images),
        ):
            self.name += "x"
            push()
            pulled = self.pull_v1()
            self.pull_schema1()
            self.ask("GET", "manifests/latest", Accept=OCI_MANIFEST)
            digest = self.ask("HEAD", "manifests/latest").headers["docker-content-digest"]
            self.assertEqual(202, self.ask("DELETE", f"manifests/{digest}").status)
            self.check_gone()
            self.assertEqual([], json.loads(self.v1_ok("GET", f"/v1/repositories/{self.name}/images")))
            hint = self.ask("GET", f"/v1/images/{pulled[-1][0]}/json")
            self.assertEqual(404, hint.status, hint.content)

    def test_repository(self) -> None:
        """A repository that is deleted through v1 has no manifests and no tags, and can be pushed to again."""
        sample = make_sample("repository")
        digest = self.push(sample)
        self.pull_v1()
        self.pull_schema1()
        self.v1_ok("DELETE", f"/v1/repositories/{self.name}/")
        self.refused(404, "NAME_UNKNOWN", self.ask("GET", "tags/list"))
        self.refused(404, "NAME_UNKNOWN", self.ask("GET", f"manifests/{digest}"))
        self.assertEqual(digest, self.push(sample))
        self.assertEqual(list(sample.layers), [layer for _, _, layer in self.pull_v1()])
