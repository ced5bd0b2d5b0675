"""Lists through v2: tags, repositories, referrers; mounts; and what blobs are served like."""

import re
from typing import Any

from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST
from dockreg.testing.samples import bytes_of
from tests.integration.v2case import Reply, V2Case, compact, described, digest_of, make_index, make_sample

EMPTY = b"{}"


class ListTests(V2Case):
    """Pages of tags, repositories and referrers."""

    def next_page(self, reply: Reply) -> str:
        """Where the Link of a page leads."""
        found = re.fullmatch(r'<(/v2/[^>]*)>; rel="next"', reply.headers["link"])
        assert found is not None
        return found[1]

    def manifest(self, **members: Any) -> bytes:
        """A small manifest whose blobs are there."""
        self.push_blob(EMPTY)
        empty = described("application/vnd.oci.empty.v1+json", EMPTY)
        return compact({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [], **members})

    def test_tags(self) -> None:
        """Tags come in ASCII order, page by page, however the pages are asked for."""
        manifest = self.manifest()
        tags = ["1", "10", "2", "A", "_", "a", "a-b", "a.b", "latest"]
        query = "&".join(f"tag={tag}" for tag in reversed(tags))
        self.put(f"{digest_of(manifest)}?{query}", manifest, OCI_MANIFEST)
        self.assertEqual({"name": self.name, "tags": tags}, self.ask("GET", "tags/list").document)
        seen: list[str] = []
        where = "tags/list?n=4"
        while True:
            reply = self.ask("GET", where)
            seen += reply.document["tags"]
            if "link" not in reply.headers:
                break
            where = self.next_page(reply)
        self.assertEqual(tags, seen)
        self.assertEqual(["a-b", "a.b"], self.ask("GET", "tags/list?last=a&n=2").document["tags"])
        nothing = self.ask("GET", "tags/list?n=0")
        self.assertEqual(([], False), (nothing.document["tags"], "link" in nothing.headers))
        self.assertEqual(tags, self.ask("GET", "tags/list?n=999999").document["tags"])
        for wrong in ("-1", "x", "1.5", "9" * 30):
            self.assertEqual(400, self.ask("GET", f"tags/list?n={wrong}").status)

    def test_unknown_repository(self) -> None:
        """A repository that is not there is unknown by its name."""
        for path in ("tags/list", "manifests/latest"):
            self.refused(404, "NAME_UNKNOWN", self.ask("GET", path))
        self.refused(404, "BLOB_UNKNOWN", self.ask("GET", f"blobs/{digest_of(EMPTY)}"))

    def test_catalog(self) -> None:
        """Repositories with manifests are listed in order, page by page; one with blobs alone is not."""
        names = [f"cat/{letter}" for letter in "bca"]
        for name in names:
            self.name = name
            self.put("latest", self.manifest(), OCI_MANIFEST)
        self.name = "cat/blobs-only"
        self.push_blob(EMPTY)
        listed = [name for name in self.ask("GET", "/v2/_catalog").document["repositories"] if name.startswith("cat/")]
        self.assertEqual(sorted(names), listed)
        reply = self.ask("GET", "/v2/_catalog?n=1&last=cat/a")
        self.assertEqual(["cat/b"], reply.document["repositories"])
        self.assertEqual("/v2/_catalog?n=1&last=cat%2Fb", self.next_page(reply))

    def test_referrers(self) -> None:
        """What names a manifest as its subject is listed with type, annotations and size, and can be filtered."""
        subject = make_sample("subject", OCI_MANIFEST)
        self.push(subject)
        path = f"referrers/{subject.digest}"
        empty = self.ask("GET", path)
        self.assertEqual((200, []), (empty.status, empty.document["manifests"]))
        self.assertEqual(OCI_INDEX, empty.headers["content-type"])
        found = {}
        for kind in ("application/x.sbom", "application/x.signature"):
            manifest = self.manifest(
                artifactType=kind, subject=described(OCI_MANIFEST, subject.manifest), annotations={"kind": kind}
            )
            reply = self.put(digest_of(manifest), manifest, OCI_MANIFEST)
            self.assertEqual(subject.digest, reply.headers["oci-subject"])
            found[kind] = described(OCI_MANIFEST, manifest, artifactType=kind, annotations={"kind": kind})
        listed = self.ask("GET", path).document["manifests"]
        self.assertEqual(sorted(found.values(), key=lambda each: str(each["digest"])), listed)
        only = self.ask("GET", f"{path}?artifactType=application/x.sbom")
        self.assertEqual([found["application/x.sbom"]], only.document["manifests"])
        self.assertEqual("artifactType", only.headers["oci-filters-applied"])
        first = self.ask("GET", f"{path}?n=1")
        rest = self.ask("GET", self.next_page(first))
        self.assertEqual(listed, first.document["manifests"] + rest.document["manifests"])
        self.assertNotIn("link", rest.headers)

    def test_fallback_tag(self) -> None:
        """Referrers that a client keeps under the fallback tag are listed, too, and each of them once."""
        subject = digest_of(b"subject of a client")
        one = self.manifest(artifactType="application/one", subject={**described(OCI_MANIFEST, b""), "digest": subject})
        two = self.manifest(artifactType="application/two")
        for manifest in (one, two):
            self.put(digest_of(manifest), manifest, OCI_MANIFEST)
        children = [
            described(OCI_MANIFEST, manifest, artifactType=kind)
            for manifest, kind in ((one, "application/one"), (two, "application/two"))
        ]
        self.put(subject.replace(":", "-"), make_index(*children), OCI_INDEX)
        listed = self.ask("GET", f"referrers/{subject}").document["manifests"]
        self.assertEqual(sorted(children, key=lambda each: str(each["digest"])), listed)
        only = self.ask("GET", f"referrers/{subject}?artifactType=application/two").document["manifests"]
        self.assertEqual([children[1]], only)

    def test_referrers_of_nothing(self) -> None:
        """Referrers of what is not there are an empty list; of what can not be a digest, an error."""
        self.assertEqual([], self.ask("GET", f"referrers/{digest_of(b'x')}").document["manifests"])
        self.refused(400, "DIGEST_INVALID", self.ask("GET", "referrers/sha256:x"))


class MountTests(V2Case):
    """Blobs of other repositories."""

    def test_mount(self) -> None:
        """A blob is mounted from the repository that is named, or from any; nothing is sent."""
        digest = self.push_blob(b"mounted", "mount/source")
        for query in (f"mount={digest}&from=mount/source&origin=x", f"mount={digest}"):
            self.name += "x"
            reply = self.ask("POST", f"blobs/uploads/?{query}", b"")
            self.assertEqual((201, digest), (reply.status, reply.headers["docker-content-digest"]))
            self.assertEqual(f"/v2/{self.name}/blobs/{digest}", reply.headers["location"])
            self.assertEqual(b"mounted", self.ask("GET", f"blobs/{digest}").content)

    def test_not_there(self) -> None:
        """What can not be mounted begins a session, whatever the reason."""
        digest = self.push_blob(b"mounted", "mount/source")
        for query in (
            f"mount={digest_of(b'unknown')}&from=mount/source",
            f"mount={digest_of(b'unknown')}",
            f"mount={digest}&from=mount/none",
            f"mount={digest}&from=..%2F..",
        ):
            self.start(f"?{query}")
        self.refused(404, "BLOB_UNKNOWN", self.ask("GET", f"blobs/{digest}"))
        self.refused(400, "DIGEST_INVALID", self.ask("POST", "blobs/uploads/?mount=x", b""))


class BlobTests(V2Case):
    """How blobs are served."""

    CONTENT = bytes_of("blob", 100_000)

    def test_ranges(self) -> None:
        """One range, a suffix, an open end, several ranges, and ranges outside of the blob."""
        digest = self.push_blob(self.CONTENT)
        where = f"blobs/{digest}"
        self.assertEqual("bytes", self.ask("GET", where).headers["accept-ranges"])
        for asked, first, last in (
            ("0-9", 0, 9),
            ("99990-", 99_990, 99_999),
            ("-10", 99_990, 99_999),
            ("5-999999", 5, 99_999),
        ):
            reply = self.ask("GET", where, Range=f"bytes={asked}")
            self.assertEqual((206, self.CONTENT[first : last + 1]), (reply.status, reply.content))
            self.assertEqual(f"bytes {first}-{last}/100000", reply.headers["content-range"])
        outside = self.ask("GET", where, Range="bytes=100000-")
        self.assertEqual((416, "bytes */100000"), (outside.status, outside.headers["content-range"]))
        several = self.ask("GET", where, Range="bytes=0-9,500-509")
        self.assertEqual(206, several.status)
        boundary = several.headers["content-type"].partition("boundary=")[2].strip('"').encode()
        parts = several.content.split(b"--" + boundary)
        self.assertEqual(self.CONTENT[:10], parts[1].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"))
        self.assertEqual(self.CONTENT[500:510], parts[2].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"))

    def test_conditions(self) -> None:
        """A blob never changes: its digest is its entity tag, and it may be kept."""
        digest = self.push_blob(self.CONTENT)
        reply = self.ask("GET", f"blobs/{digest}", If_None_Match=f'"{digest}"')
        self.assertEqual((304, b""), (reply.status, reply.content))
        whole = self.ask("GET", f"blobs/{digest}", Range="bytes=0-1", If_Range='"other"')
        self.assertEqual((200, self.CONTENT), (whole.status, whole.content))
        self.assertEqual("public, max-age=31536000, immutable", whole.headers["cache-control"])
        self.assertNotIn("content-encoding", whole.headers)


class BaseTests(V2Case):
    """``/v2/`` and who it is hidden from."""

    def test_base(self) -> None:
        """With and without a slash it says that v2 is spoken."""
        for path in ("/v2/", "/v2"):
            reply = self.ask("GET", path)
            self.assertEqual((200, b"{}", "registry/2.0"),
                             (reply.status, reply.content, reply.headers["docker-distribution-api-version"]))  # fmt: skip

    def test_old_engines(self) -> None:
        """Engines before 1.6 get a plain 404 everywhere below it, without a word of v2; later ones do not."""
        agents = ["docker/0.9.1 go/go1.2", "docker/1.0.0", "docker/1.5.0 go/go1.3.3 kernel/x", "Go 1.1 package http"]
        for agent in agents:
            for path in ("/v2/", "/v2", "/v2/a/manifests/b"):
                reply = self.ask("GET", path, User_Agent=agent)
                self.assertEqual((404, b""), (reply.status, reply.content))
                self.assertNotIn("docker-distribution-api-version", reply.headers)
        for agent in (
            "docker/1.6.0 go/go1.4.2",
            "docker/1.10.3",
            "docker/17.05.0-ce",
            "Go-http-client/1.1",
            "docker/20.10.24",
        ):
            self.assertEqual(200, self.ask("GET", "/v2/", User_Agent=agent).status)

    def test_no_url(self) -> None:
        """What is at no URL, or takes no such method, has an error in the form of the specification."""
        self.refused(404, "UNSUPPORTED", self.ask("GET", "/v2/a/b"))
        self.refused(405, "UNSUPPORTED", self.ask("PUT", "/v2/_catalog", b""))

    def test_names(self) -> None:
        """A name outside of the grammar is refused where it would be made, and unknown where it is asked for."""
        for name in ("UPPER", "a//b", "-a", "a/", "a" * 256):
            self.assertIn(self.ask("POST", f"/v2/{name}/blobs/uploads/", b"").status, (400, 404))
            self.assertEqual(404, self.ask("GET", f"/v2/{name}/manifests/x").status)

    def test_library(self) -> None:
        """``library/x`` and ``x`` are one repository."""
        digest = self.push_blob(b"library", "library/only")
        self.assertEqual(200, self.ask("GET", f"/v2/only/blobs/{digest}").status)

    def test_as_written(self) -> None:
        """Answers name a repository as the client does, whose path may be encoded."""
        for name, path in (
            ("library/only", "/v2/library/only/blobs/uploads/"),
            ("library/only", "/v2/library/%6fnly/blobs/uploads/"),
            ("demo/one", "/v2/demo/one/blob%73/uploads/"),
            ("demo/one", "/v2/demo/one/blobs/upload%73"),
            ("a/blobs/b", "/v2/a/blobs/b/blobs/uploads/"),
        ):
            location = self.ask("POST", path, b"").headers["location"]
            self.assertEqual(f"/v2/{name}/blobs/uploads/", location[: location.rindex("/") + 1], path)
        index = make_index()
        for name, path in (
            ("library/only", "/v2/library/only/manifests/latest"),
            ("library/only", "/v2/library/only/m%61nifests/latest"),
            ("manifests", "/v2/manifests/manifests/latest"),
        ):
            pushed = self.ask("PUT", path, index, Content_Type=OCI_INDEX)
            self.assertEqual(f"/v2/{name}/manifests/{digest_of(index)}", pushed.headers["location"], path)
        for name, path in (
            ("library/only", "/v2/library/only/tags/list"),
            ("only", "/v2/%6fnly/t%61gs/list"),
            ("only", "/v2/only/tags/l%69st?n=1"),
        ):
            self.assertEqual({"name": name, "tags": ["latest"]}, self.ask("GET", path).document, path)
