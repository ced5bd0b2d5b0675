"""Tests of the steps of a pull and a push."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.doctor import contents
from dockreg.cli.doctor.findings import Step, Verdict
from dockreg.cli.transport import Reply
from dockreg.model.mediatypes import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from tests.unit.cli.doctor.canned import HTTPS, PAGE, reply, texts

DIGEST = "sha256:" + "a" * 64


class TagTests(SynchronousTestCase):
    """``tags/list``."""

    def tags(self, answer: Reply, *, pushing: bool = False) -> tuple[Step, Sequence[str]]:
        return contents.judge_tags(answer, HTTPS, "team/app", pushing=pushing)

    def test_list(self) -> None:
        """Tags are counted; none is no fault, whether it is spelled as a list or as null."""
        step, tags = self.tags(reply(200, b'{"name":"team/app","tags":["a","b"]}'))
        self.assertEqual((["a", "b"], "200, 2 tags", ()), (list(tags), step.came, step.remarks))
        for body in (b'{"name":"team/app","tags":[]}', b'{"name":"team/app","tags":null}'):
            step, tags = self.tags(reply(200, body))
            self.assertEqual(([], ()), (list(tags), step.remarks))

    def test_refused(self) -> None:
        """Who may not read, or not find, is told what to give or to look at."""
        cases = {401: "--user", 403: "right to pull", 404: "spelling", 400: "see what it says"}
        for status, sentence in cases.items():
            self.assertIn(sentence, texts(self.tags(reply(status))[0], Verdict.FAIL), status)

    def test_before_the_first_push(self) -> None:
        """A repository that is not there is no fault for who wants to push; a page in its place is."""
        self.assertIs(Verdict.OK, self.tags(reply(404, b"{}"), pushing=True)[0].verdict)
        self.assertIn("proxy", texts(self.tags(reply(404, PAGE), pushing=True)[0], Verdict.FAIL))

    def test_nonsense(self) -> None:
        """Something else than a list of tags fails."""
        for body in (b"", b"[]", b"{}", b'{"name":"x","tags":"a"}'):
            self.assertIn("no list of tags", texts(self.tags(reply(200, body))[0], Verdict.FAIL), body)


class ManifestTests(SynchronousTestCase):
    """GET and HEAD of a manifest."""

    def manifest(self, body: bytes, head: Reply | None = None, **headers: str) -> tuple[Step, contents.Found | None]:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        found = {"Content_Type": OCI_MANIFEST, "Docker_Content_Digest": digest, **headers}
        answer = reply(200, body, **{name: value for name, value in found.items() if value})
        return contents.judge_manifest(answer, head or Reply(answer.url, 200, answer.headers, b""), HTTPS, "team/app")

    def test_good(self) -> None:
        """A manifest leads to its config, an index to its first image."""
        step, found = self.manifest(json.dumps({"config": {"digest": DIGEST}}).encode())
        self.assertEqual(((), contents.Found(DIGEST, is_manifest=False)), (step.remarks, found))
        children: list[dict[str, Any]] = [
            {"mediaType": OCI_LAYER_GZIP, "digest": "sha256:" + "b" * 64},
            {"mediaType": OCI_MANIFEST, "digest": DIGEST},
        ]
        body = json.dumps({"manifests": children}).encode()
        step, found = self.manifest(body, Content_Type=OCI_INDEX)
        self.assertEqual(((), contents.Found(DIGEST, is_manifest=True)), (step.remarks, found))

    def test_leads_nowhere(self) -> None:
        """What is no digest never becomes a part of a URL."""
        for body in (b"{}", b"[]", b'{"config":{"digest":"../../secret"}}', b'{"manifests":[1]}', b'{"config":[]}'):
            self.assertIsNone(self.manifest(body)[1], body)

    def test_changed(self) -> None:
        """Bytes that are not those of the digest fail."""
        step, _ = self.manifest(b"{}", Docker_Content_Digest=DIGEST)
        self.assertIn("rewrites", texts(step, Verdict.FAIL))

    def test_headers(self) -> None:
        """A digest that is lost is warned of, a type that is lost or wrong fails."""
        self.assertIn("missing", texts(self.manifest(b"{}", Docker_Content_Digest="")[0], Verdict.WARN))
        for value in ("", "text/plain", "application/octet-stream"):
            self.assertIn("Content-Type", texts(self.manifest(b"{}", Content_Type=value)[0], Verdict.FAIL), value)

    def test_head(self) -> None:
        """HEAD has to answer like GET."""
        self.assertIn("HEAD answers 405", texts(self.manifest(b"{}", reply(405))[0], Verdict.FAIL))
        self.assertIn("HEAD", texts(self.manifest(b"{}", reply(200))[0], Verdict.WARN))

    def test_refused(self) -> None:
        """A tag that is not there fails, and leads nowhere."""
        step, found = contents.judge_manifest(reply(404, b"{}"), reply(404), HTTPS, "team/app")
        self.assertIn("spelling", texts(step, Verdict.FAIL))
        self.assertIsNone(found)


class BlobTests(SynchronousTestCase):
    """HEAD of a blob."""

    def blob(self, status: int = 200, **headers: Any) -> Step:
        return contents.judge_blob(reply(status, **headers), HTTPS, "team/app")

    def test_good(self) -> None:
        """A length is all that is needed; a redirection to another server is worth a note."""
        self.assertEqual((), self.blob(Content_Length="3").remarks)
        step = self.blob(307, Location="https://s3.example/b?signature=abc")
        self.assertIn("s3.example", texts(step, Verdict.OK))
        self.assertIs(Verdict.OK, step.verdict)
        self.assertNotIn("abc", step.came)

    def test_bad(self) -> None:
        """No length is warned of; an encoding, http for https and an address inside fail."""
        self.assertIn("Content-Length", texts(self.blob(), Verdict.WARN))
        self.assertIn("Content-Encoding", texts(self.blob(Content_Length="3", Content_Encoding="gzip"), Verdict.FAIL))
        self.assertIn("http", texts(self.blob(307, Location="http://s3.example/b"), Verdict.FAIL))
        self.assertIn("guard", texts(self.blob(307, Location="https://10.0.0.9/b"), Verdict.FAIL))
        self.assertIn("not there", texts(self.blob(404), Verdict.FAIL))


class UploadTests(SynchronousTestCase):
    """The beginning of a push."""

    def start(self, status: int = 202, **headers: Any) -> tuple[Step, str | None]:
        answer = reply(status, url="https://r.example/v2/team/app/blobs/uploads/", **headers)
        return contents.judge_start(answer, HTTPS, "team/app")

    def test_good(self) -> None:
        """A Location goes on, relative or absolute."""
        for location in ("/v2/team/app/blobs/uploads/x?s=1", "https://r.example/v2/team/app/blobs/uploads/x?s=1"):
            step, target = self.start(Location=location, Range="0-0")
            self.assertEqual(((), "https://r.example/v2/team/app/blobs/uploads/x?s=1"), (step.remarks, target))

    def test_bad(self) -> None:
        """What ends a push fails: rights, a lost or wrong Location, another status; a lost Range is warned of."""
        self.assertIn("right to push", texts(self.start(403)[0], Verdict.FAIL))
        self.assertIn("--user", texts(self.start(401)[0], Verdict.FAIL))
        self.assertIn("202", texts(self.start(200)[0], Verdict.FAIL))
        self.assertEqual((None, True), (self.start()[1], "Location is missing" in texts(self.start()[0], Verdict.FAIL)))
        step, target = self.start(Location="http://r.example/v2/x", Range="0-0")
        self.assertIn("X-Forwarded-Proto", texts(step, Verdict.FAIL))
        self.assertEqual("https://r.example/v2/x", contents.at_home(target or "", HTTPS))
        self.assertIn("Range", texts(self.start(Location="/v2/x")[0], Verdict.WARN))

    def test_chunk(self) -> None:
        """A chunk is taken with 202; 413 names the limit of the proxy."""
        self.assertEqual((), contents.judge_chunk(reply(202), HTTPS, 7).remarks)
        step = contents.judge_chunk(reply(413, PAGE, Server="nginx"), HTTPS, 7)
        self.assertIn("client_max_body_size", texts(step, Verdict.FAIL))
        self.assertIn("PATCH", texts(contents.judge_chunk(reply(405), HTTPS, 7), Verdict.FAIL))

    def test_moved(self) -> None:
        """After a chunk the upload may be elsewhere, at the registry itself always."""
        target = "https://r.example/v2/x/1"
        self.assertEqual(target, contents.moved(reply(202), target, HTTPS))
        self.assertEqual("https://r.example/v2/x/2?a=b", contents.moved(reply(202, Location="2?a=b"), target, HTTPS))
        self.assertEqual("https://r.example/y", contents.moved(reply(202, Location="http://other/y"), target, HTTPS))

    def test_cancel(self) -> None:
        """Who may push may cancel; a registry that can not is no fault of anybody."""
        self.assertEqual((), contents.judge_cancel(reply(204), HTTPS).remarks)
        self.assertIs(Verdict.OK, contents.judge_cancel(reply(405), HTTPS).verdict)
        self.assertIn("DELETE", texts(contents.judge_cancel(reply(403), HTTPS), Verdict.WARN))
