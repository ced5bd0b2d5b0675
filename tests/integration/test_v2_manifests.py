"""Manifests through v2: every kind that clients push, byte for byte, by tag and digest, and what is refused."""

import json

from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST, SCHEMA2_LIST, SCHEMA2_MANIFEST
from tests.integration.v2case import Reply, V2Case, compact, described, digest_of, make_index, make_sample

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


class ManifestTests(V2Case):
    """Pushed, pulled, deleted."""

    def artifact(self, **members: object) -> bytes:
        """A manifest of an artifact whose blobs are there."""
        self.push_blob(EMPTY)
        empty = described(EMPTY_TYPE, EMPTY)
        return compact({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty], **members})

    def test_by_tag_and_digest(self) -> None:
        """A manifest is served as it came, with its type, its digest and its length, for GET and HEAD."""
        for media_type in (SCHEMA2_MANIFEST, OCI_MANIFEST):
            sample = make_sample("plain", media_type)
            self.assertEqual(sample.digest, self.push(sample))
            for reference in ("latest", sample.digest):
                found = self.ask("GET", f"manifests/{reference}")
                self.assertEqual((200, sample.manifest), (found.status, found.content))
                self.assertEqual(media_type, found.headers["content-type"])
                self.assertEqual(sample.digest, found.headers["docker-content-digest"])
                head = self.ask("HEAD", f"manifests/{reference}")
                self.assertEqual((200, b""), (head.status, head.content))
                self.assertEqual(str(len(sample.manifest)), head.headers["content-length"])
                self.assertEqual(sample.digest, head.headers["docker-content-digest"])

    def test_exact_bytes(self) -> None:
        """White space, the order of members and unknown members stay."""
        manifest = b'\n  {"z": [1, 2.50, "\\u00e9"], ' + self.artifact()[1:] + b"\n"
        self.assertEqual(201, self.put("odd", manifest, OCI_MANIFEST).status)
        self.assertEqual(manifest, self.ask("GET", "manifests/odd").content)

    def test_kinds(self) -> None:
        """Artifacts, configs and layers of any type, no layers, inline data and nested indexes are all fine."""
        empty = described(EMPTY_TYPE, EMPTY)
        kinds = [
            self.artifact(artifactType="application/x.signature", annotations={"a": "b"}),
            self.artifact(layers=[]),
            self.artifact(layers=[{**empty, "mediaType": "text/x-anything", "data": "e30="}]),
            self.artifact(config={**empty, "mediaType": "application/vnd.cncf.helm.config.v1+json"}),
            self.artifact(subject=described(OCI_MANIFEST, b"nowhere")),
        ]
        for number, manifest in enumerate(kinds):
            reply = self.put(f"kind{number}", manifest, OCI_MANIFEST)
            self.assertEqual(201, reply.status, reply.content)
        index = make_index(*(described(OCI_MANIFEST, manifest) for manifest in kinds))
        self.assertEqual(201, self.put("index", index, OCI_INDEX).status)
        nested = make_index(described(OCI_INDEX, index), artifactType="application/x")
        self.assertEqual(201, self.put("nested", nested, OCI_INDEX).status)
        self.assertEqual(nested, self.ask("GET", "manifests/nested").content)
        cache = make_index(described("application/vnd.buildkit.cacheconfig.v0", EMPTY))
        self.assertEqual(201, self.put("cache", cache, OCI_INDEX).status)

    def test_foreign_layer(self) -> None:
        """A layer that may not be given away need not be in the registry."""
        layer = {
            **described("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"far away"),
            "urls": ["https://x"],
        }
        self.assertEqual(201, self.put("windows", self.artifact(layers=[layer]), OCI_MANIFEST).status)

    def test_missing(self) -> None:
        """What is missing is named; an index may be pushed before its manifests, for copies of a part of it."""
        missing = described("application/octet-stream", b"missing")
        reply = self.put("x", self.artifact(layers=[missing]), OCI_MANIFEST)
        error = self.refused(400, "MANIFEST_BLOB_UNKNOWN", reply)
        self.assertEqual({"digest": missing["digest"]}, error["detail"])
        self.refused(404, "MANIFEST_UNKNOWN", self.ask("GET", "manifests/x"))
        index = make_index(described(OCI_MANIFEST, b"missing", platform={"os": "linux", "architecture": "arm64"}))
        self.assertEqual(201, self.put("sparse", index, OCI_INDEX).status)

    def test_confusing(self) -> None:
        """A document that could be taken for two things, or says its type twice and differently, is refused."""
        both = json.loads(self.artifact())
        for manifest, media_type in (
            (compact({**both, "manifests": []}), OCI_MANIFEST),
            (compact({**both, "manifests": []}), OCI_INDEX),
            (self.artifact(), SCHEMA2_MANIFEST),
            (make_index(), OCI_MANIFEST),
            (make_index(), SCHEMA2_LIST),
            (self.artifact(schemaVersion=3), OCI_MANIFEST),
            (b"[]", OCI_MANIFEST),
            (b"{", OCI_MANIFEST),
            (b"", OCI_MANIFEST),
            (self.artifact(), "text/html"),
            (self.artifact(layers=[{"digest": "sha256:x"}]), OCI_MANIFEST),
        ):
            self.refused(400, "MANIFEST_INVALID", self.put("x", manifest, media_type))
        self.refused(404, "MANIFEST_UNKNOWN", self.ask("GET", "manifests/x"))

    def test_wrong_digest(self) -> None:
        """A manifest is not stored under a digest that it has not."""
        manifest = self.artifact()
        self.refused(400, "DIGEST_INVALID", self.put(digest_of(b"other"), manifest, OCI_MANIFEST))
        for reference in ("sha256:abc", "sha384:" + "0" * 96):
            self.refused(400, "DIGEST_INVALID", self.put(reference, manifest, OCI_MANIFEST))
            self.refused(400, "DIGEST_INVALID", self.ask("GET", f"manifests/{reference}"))

    def test_sha512(self) -> None:
        """By a sha512 digest a manifest is stored under that."""
        manifest = self.artifact()
        digest = digest_of(manifest, "sha512")
        reply = self.put(digest, manifest, OCI_MANIFEST)
        self.assertEqual((201, digest), (reply.status, reply.headers["docker-content-digest"]))
        self.assertEqual(manifest, self.ask("GET", f"manifests/{digest}").content)

    def test_tags_by_parameter(self) -> None:
        """One request sets several tags, and says which."""
        manifest = self.artifact()
        query = "&".join(f"tag=t{number}" for number in range(12))
        reply = self.put(f"{digest_of(manifest)}?{query}", manifest, OCI_MANIFEST)
        expected = [f"t{number}" for number in range(12)]
        self.assertEqual((201, expected), (reply.status, reply.headers["oci-tag"].split(", ")))
        self.assertEqual(sorted(expected), self.ask("GET", "tags/list").document["tags"])
        self.refused(400, "MANIFEST_INVALID", self.put(f"{digest_of(manifest)}?tag=ok&tag=-no", manifest, OCI_MANIFEST))
        self.assertNotIn("ok", self.ask("GET", "tags/list").document["tags"])

    def test_unchanged(self) -> None:
        """Who has it already is told so, with and without quotation marks."""
        manifest = self.artifact()
        self.put("latest", manifest, OCI_MANIFEST)
        digest = digest_of(manifest)
        for known in (f'"{digest}"', digest, f'W/"{digest}"', f'"x", "{digest}"', "*"):
            reply = self.ask("GET", "manifests/latest", If_None_Match=known)
            self.assertEqual((304, b"", f'"{digest}"'), (reply.status, reply.content, reply.headers["etag"]), known)
        self.assertEqual(200, self.ask("GET", "manifests/latest", If_None_Match='"other"').status)

    def test_conditional_put(self) -> None:
        """A tag is moved only from where the client expects it; otherwise nothing is stored."""
        first, second = self.artifact(), self.artifact(annotations={"a": "2"})
        where = "manifests/latest"

        def put(manifest: bytes, **headers: str) -> Reply:
            return self.ask("PUT", where, manifest, Content_Type=OCI_MANIFEST, **headers)

        self.refused(412, "DENIED", put(first, If_Match=f'"{digest_of(first)}"'))
        self.refused(412, "DENIED", put(first, If_Match="*"))
        self.assertEqual(201, put(first, If_None_Match="*").status)
        self.refused(412, "DENIED", put(second, If_None_Match="*"))
        self.refused(412, "DENIED", put(second, If_Match=f'"{digest_of(second)}"'))
        self.assertEqual(404, self.ask("GET", f"manifests/{digest_of(second)}").status)
        self.assertEqual(201, put(second, If_Match=f'"x", "{digest_of(first)}"').status)
        self.assertEqual(201, put(first, If_Match="*").status)
        self.assertEqual(first, self.ask("GET", where).content)

    def test_delete(self) -> None:
        """Deleting a tag leaves the manifest and its other tags; deleting the manifest leaves none of them."""
        manifest = self.artifact()
        for tag in ("a", "b"):
            self.put(tag, manifest, OCI_MANIFEST)
        self.assertEqual(202, self.ask("DELETE", "manifests/a").status)
        self.refused(404, "MANIFEST_UNKNOWN", self.ask("DELETE", "manifests/a"))
        self.assertEqual(200, self.ask("GET", "manifests/b").status)
        self.assertEqual(202, self.ask("DELETE", f"manifests/{digest_of(manifest)}").status)
        for reference in ("b", digest_of(manifest)):
            self.refused(404, "MANIFEST_UNKNOWN", self.ask("GET", f"manifests/{reference}"))
        self.assertEqual({"name": self.name, "tags": []}, self.ask("GET", "tags/list").document)

    def test_delete_blob(self) -> None:
        """A blob that a manifest refers to can not be deleted before it, and the error says which."""
        manifest = self.artifact()
        self.put("latest", manifest, OCI_MANIFEST)
        where = f"blobs/{digest_of(EMPTY)}"
        reply = self.ask("DELETE", where)
        error = self.refused(405, "UNSUPPORTED", reply)
        self.assertEqual("GET, HEAD", reply.headers["allow"])
        self.assertIn(digest_of(manifest), error["message"])
        self.ask("DELETE", f"manifests/{digest_of(manifest)}")
        self.assertEqual(202, self.ask("DELETE", where).status)
        self.refused(404, "BLOB_UNKNOWN", self.ask("DELETE", where))
        self.refused(404, "BLOB_UNKNOWN", self.ask("GET", where))

    def test_never_hidden(self) -> None:
        """Whatever a client says it accepts, it gets what is there."""
        sample = make_sample("hidden", OCI_MANIFEST)
        self.push(sample)
        index = make_index(described(OCI_MANIFEST, sample.manifest, platform={"os": "plan9", "architecture": "mips"}))
        self.put("index", index, OCI_INDEX)
        for accept in ("*/*", SCHEMA2_LIST, "text/html", "application/json;q=0", ",,;;=", OCI_INDEX):
            self.assertEqual(sample.manifest, self.ask("GET", "manifests/latest", Accept=accept).content, accept)
            self.assertEqual(index, self.ask("GET", "manifests/index", Accept=accept).content, accept)


class PlatformTests(V2Case):
    """One image of an index, for clients that know no index."""

    def push_platforms(self) -> dict[str, str]:
        """An index of three images; return the digests by architecture."""
        digests = {}
        children = []
        for architecture in ("arm64", "amd64", "s390x"):
            sample = make_sample(architecture, OCI_MANIFEST)
            digests[architecture] = self.push(sample, sample.digest)
            platform = {"os": "linux", "architecture": architecture}
            children.append(described(OCI_MANIFEST, sample.manifest, platform=platform))
        index = make_index(*children)
        self.put("latest", index, OCI_INDEX)
        digests["index"] = digest_of(index)
        return digests

    def test_default(self) -> None:
        """It is amd64 on linux; who accepts an index, or anything, gets the index."""
        digests = self.push_platforms()
        both = f"{OCI_MANIFEST}, {OCI_INDEX}"
        for accept, wanted in ((OCI_MANIFEST, "amd64"), (both, "index"), ("*/*", "index")):
            reply = self.ask("GET", "manifests/latest", Accept=accept)
            self.assertEqual(digests[wanted], reply.headers["docker-content-digest"], accept)
            self.assertEqual(digests[wanted], digest_of(reply.content))
        docker = self.ask("GET", "manifests/latest", Accept=SCHEMA2_MANIFEST)
        self.assertEqual(SCHEMA2_MANIFEST, docker.headers["content-type"])
        self.assertEqual(digest_of(make_sample("amd64").config), docker.document["config"]["digest"])
        by_digest = self.ask("GET", f"manifests/{digests['index']}", Accept=OCI_MANIFEST)
        self.assertEqual(digests["index"], digest_of(by_digest.content))


class OtherPlatformTests(PlatformTests):
    """The platform is a setting."""

    CONFIG = '[v2]\nplatform = "linux/s390x"\n'

    def test_default(self) -> None:
        """The configured platform is what clients get that know no index."""
        digests = self.push_platforms()
        reply = self.ask("GET", "manifests/latest", Accept=OCI_MANIFEST)
        self.assertEqual(digests["s390x"], reply.headers["docker-content-digest"])


class StrictTests(V2Case):
    """No sparse manifests."""

    CONFIG = '[v2]\nsparse = "none"\n'

    def test_index(self) -> None:
        """An index whose manifests are not there is refused."""
        index = make_index(described(OCI_MANIFEST, b"missing"))
        self.refused(400, "MANIFEST_BLOB_UNKNOWN", self.put("x", index, OCI_INDEX))


class SparseTests(V2Case):
    """Anything may be missing."""

    CONFIG = '[v2]\nsparse = "all"\n'

    def test_layers(self) -> None:
        """A manifest without its layers is stored, and complete once they come."""
        sample = make_sample("sparse", OCI_MANIFEST)
        self.assertEqual(201, self.put("x", sample.manifest, OCI_MANIFEST).status)
        for blob in sample.blobs:
            self.push_blob(blob)
            self.refused(405, "UNSUPPORTED", self.ask("DELETE", f"blobs/{digest_of(blob)}"))
