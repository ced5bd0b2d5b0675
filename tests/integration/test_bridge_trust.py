"""What a config or an id claims is not believed: an image is what its layers are, in every form and for everybody."""

import gzip
import json
from typing import Any

import zstandard
from attrs import evolve

from dockreg.model.mediatypes import OCI_LAYER_ZSTD, OCI_MANIFEST, SCHEMA1_SIGNED, SCHEMA2_MANIFEST
from dockreg.testing.samples import V1Image, layered_image, make_image, make_tar
from tests.integration.bridgecase import ENGINE_1_9, BridgeCase
from tests.integration.v2case import Sample, compact, digest_of, make_sample

EVIL = make_tar({"evil": b"evil" * 100})


def with_layers(sample: Sample, *tars: bytes) -> Sample:
    """The same config, which says other things of the layers than they are."""
    blobs = tuple(gzip.compress(tar, mtime=0) for tar in tars)
    document = json.loads(sample.manifest)
    for layer, blob in zip(document["layers"], blobs, strict=True):
        layer |= {"digest": digest_of(blob), "size": len(blob)}
    return evolve(sample, layers=tars, blobs=blobs, manifest=compact(document))


class ClaimTests(BridgeCase):
    """Configs that say of layers what they are not."""

    def layers_v1(self, tag: str = "latest") -> list[bytes]:
        return [layer for _, _, layer in self.pull_v1(tag)]

    def layers_schema1(self, tag: str = "latest") -> list[bytes]:
        return [layer for _, layer in self.pull_schema1(tag)]

    def test_elsewhere(self) -> None:
        """What somebody else has pushed with the config of an image is not what the image is in v1 or schema1."""
        genuine = make_sample("genuine")
        mine = self.name
        self.name = f"{mine}-evil"
        self.push(with_layers(genuine, EVIL, genuine.layers[1]))
        self.assertEqual(EVIL, self.layers_v1()[0])
        self.name = mine
        self.push(genuine)
        for _ in range(2):
            self.assertEqual(list(genuine.layers), self.layers_v1())
            self.assertEqual(list(genuine.layers), self.layers_schema1())
            self.push(genuine, "again")

    def test_here(self) -> None:
        """Of two images of one repository that claim to begin with the same layers each has its own, or none in v1."""
        genuine = make_sample("genuine", layers=3)
        other = with_layers(make_sample("genuine", layers=2), EVIL, EVIL)
        self.push(genuine, "genuine")
        self.assertEqual(list(genuine.layers), self.layers_v1("genuine"))
        digest = self.push(other, "other")
        self.assertEqual(404, self.ask("GET", f"/v1/repositories/{self.name}/tags/other").status)
        self.assertEqual(list(genuine.layers), self.layers_v1("genuine"))
        reply = self.ask("GET", "manifests/other", User_Agent=ENGINE_1_9)
        self.assertEqual(digest, reply.headers["docker-content-digest"])

    def test_tag_of_a_v1_image(self) -> None:
        """A manifest with the config of a v1 image, and other layers, never gets its tag."""
        images = layered_image("release")
        self.push_v1(*images, tag="release")
        reply = self.ask("GET", "manifests/release")
        config = self.blob(reply.document["config"])
        evil = with_layers(Sample((), (), config, reply.content, SCHEMA2_MANIFEST), EVIL, EVIL)
        self.push(evil, evil.digest)
        self.v1_ok("PUT", f"/v1/repositories/{self.name}/tags/release", json.dumps(images[-1].id).encode())
        self.assertEqual(reply.content, self.ask("GET", "manifests/release").content)

    def test_recompressed(self) -> None:
        """The same layers in another compression are the same image."""
        sample = make_sample("again")
        self.push(sample, "a")
        first = self.pull_v1("a")
        again = make_sample("again", pack=lambda tar: gzip.compress(tar, 1, mtime=1))
        self.assertNotEqual(sample.digest, again.digest)
        self.push(again, "b")
        self.assertEqual(first, self.pull_v1("b"))

    def test_id_with_other_content(self) -> None:
        """A schema1 push under ids that the repository has with other content is served as it is, and as nothing else."""
        images = layered_image("ids")
        self.push_v1(*images)
        changed = V1Image(images[0].id, images[0].json, EVIL)
        self.push_schema1((changed, *images[1:]), "changed")
        self.assertEqual([EVIL, *(image.layer for image in images[1:])], self.layers_schema1("changed"))
        self.assertEqual(self.signed, self.ask("GET", "manifests/changed").content)
        self.assertEqual(404, self.ask("GET", f"/v1/repositories/{self.name}/tags/changed").status)
        self.assertEqual([image.layer for image in images], self.layers_v1())

    def test_id_in_another_compression(self) -> None:
        """A schema1 push of an image that was pushed through v1 in another compression is the same image."""
        images = layered_image("compression")
        self.push_v1(*images)
        self.push_schema1(images, "packed", pack=lambda tar: gzip.compress(tar, 1, mtime=1))
        self.assertEqual(self.pull_v1(), self.pull_v1("packed"))
        manifest = self.ask("GET", "manifests/packed", Accept=f"{SCHEMA2_MANIFEST}, {SCHEMA1_SIGNED}")
        self.assertEqual(SCHEMA2_MANIFEST, manifest.headers["content-type"])


class FamilyTests(BridgeCase):
    """Forms of one image, and what goes with what."""

    def test_two_schema1_tags(self) -> None:
        """Each tag of an image is the schema1 manifest that it was pushed with, and goes with that one alone."""
        images = layered_image("two tags")
        digests, signed = {}, {}
        for tag in ("a", "b"):
            digests[tag] = self.push_schema1(images, tag)
            signed[tag] = self.signed
        for tag in ("a", "b"):
            self.assertEqual(signed[tag], self.ask("GET", f"manifests/{tag}", User_Agent=ENGINE_1_9).content)
        self.assertEqual(202, self.ask("DELETE", f"manifests/{digests['b']}").status)
        self.assertEqual(404, self.ask("GET", "manifests/b").status)
        self.assertEqual(signed["a"], self.ask("GET", "manifests/a", User_Agent=ENGINE_1_9).content)
        made = self.ask("HEAD", "manifests/a").headers["docker-content-digest"]
        self.assertEqual(202, self.ask("DELETE", f"manifests/{digests['a']}").status)
        for reference in ("a", made):
            self.assertEqual(404, self.ask("GET", f"manifests/{reference}").status)

    def test_copied_form(self) -> None:
        """A form that a client has pushed under a tag of its own stays when the original goes."""
        self.push_v1(*layered_image("copied"))
        original = self.ask("HEAD", "manifests/latest").headers["docker-content-digest"]
        oci = self.ask("GET", "manifests/latest", Accept=OCI_MANIFEST)
        self.assertEqual(201, self.put("copy", oci.content, OCI_MANIFEST).status)
        self.assertEqual(oci.content, self.ask("GET", "manifests/latest", Accept=OCI_MANIFEST).content)
        self.assertEqual(202, self.ask("DELETE", f"manifests/{original}").status)
        self.assertEqual(oci.content, self.ask("GET", "manifests/copy").content)

    def test_words_of_docker(self) -> None:
        """A client that lists the types of docker, or of OCI, alone gets an image in these words, and the same blobs."""
        for media_type, other in ((OCI_MANIFEST, SCHEMA2_MANIFEST), (SCHEMA2_MANIFEST, OCI_MANIFEST)):
            self.name += "x"
            sample = make_sample("words", media_type)
            digest = self.push(sample)
            reply = self.ask("GET", "manifests/latest", Accept=f"{other}, {SCHEMA1_SIGNED}, application/json")
            self.assertEqual(other, reply.headers["content-type"])
            self.assertEqual(list(sample.layers), self.pull(Accept=other)[1])
            by_digest = self.ask("GET", f"manifests/{digest_of(reply.content)}")
            self.assertEqual(reply.content, by_digest.content)
            plain = self.ask("GET", f"manifests/{digest}", Accept=other)
            self.assertEqual((sample.manifest, media_type), (plain.content, plain.headers["content-type"]))

    def test_zstd_for_docker(self) -> None:
        """Engines that know docker's types alone get schema1 where they could not read the layers."""
        sample = make_sample("zstd docker", OCI_MANIFEST, zstandard.ZstdCompressor().compress)
        document = json.loads(sample.manifest)
        for layer in document["layers"]:
            layer["mediaType"] = OCI_LAYER_ZSTD
        for blob in (*sample.blobs, sample.config):
            self.push_blob(blob)
        self.put("latest", compact(document), OCI_MANIFEST)
        reply = self.ask("GET", "manifests/latest", Accept=f"{SCHEMA2_MANIFEST}, {SCHEMA1_SIGNED}")
        self.assertEqual(SCHEMA1_SIGNED, reply.headers["content-type"])

    def test_bomb(self) -> None:
        """A layer that unpacks to too much makes no trouble: its image has no form in v1, and is served as it is."""
        zeros = zstandard.ZstdCompressor(level=19).compress(bytes(600_000_000))

        def push(pack: Any) -> Sample:
            sample = make_sample("bomb", OCI_MANIFEST, pack, layers=1)
            for blob in (*sample.blobs, sample.config):
                self.push_blob(blob)
            self.assertEqual(201, self.put("bomb", sample.manifest, OCI_MANIFEST).status)
            return sample

        self.push(make_sample("beside the bomb"), "fine")
        sample = push(lambda _tar: zeros)
        self.assertEqual(["fine"], list(json.loads(self.v1_ok("GET", f"/v1/repositories/{self.name}/tags"))))
        reply = self.ask("GET", "manifests/bomb", User_Agent=ENGINE_1_9)
        self.assertEqual((200, sample.manifest), (reply.status, reply.content))

    def test_many_layers(self) -> None:
        """An image of more layers than engines take has no form in v1, and is served as it is."""
        sample = make_sample("deep", layers=128)
        self.push(sample)
        reply = self.ask("GET", "manifests/latest", User_Agent=ENGINE_1_9)
        self.assertEqual((200, sample.manifest), (reply.status, reply.content))
        self.assertEqual(404, self.ask("GET", f"/v1/repositories/{self.name}/tags/latest").status)

    def test_image_of_one(self) -> None:
        """A base image alone goes through all forms."""
        image = make_image("alone")
        self.push_v1(image)
        self.assertEqual([(image.json, image.layer)], self.pull_schema1())
