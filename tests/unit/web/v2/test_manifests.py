"""Tests for dockreg.web.v2.manifests: what headers say of what the client has and expects."""

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.negotiation import Accepted
from dockreg.errors import RequestInvalid, TagInvalid
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_MANIFEST
from dockreg.model.names import Tag
from dockreg.web.v2 import manifests
from dockreg.web.v2.locations import Locations
from tests.unit.v1case import ONE
from tests.unit.v2case import V2TestCase
from tests.unit.web.v2.exchanges import exchange_of, response_header

DIGEST, OTHER = str(Digest.sha256(b"")), str(Digest.sha256(b"other"))
PATH = "/v2/demo/one/manifests/latest"
INDEX = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'


class AcceptedTests(SynchronousTestCase):
    """What a client accepts, understood once for each kind of client."""

    def accepted(self, *headers: str) -> Accepted:
        return manifests._accepted(exchange_of(f"GET {PATH}", *headers))

    def test_usual(self) -> None:
        """What clients send is understood once."""
        headers = (f"Accept: {OCI_MANIFEST}", "User-Agent: docker/27 of a test")
        self.assertIs(self.accepted(*headers), self.accepted(*headers))
        self.assertTrue(self.accepted(*headers).accepts(OCI_MANIFEST))

    def test_long(self) -> None:
        """What is longer than any client sends means the same, and is not kept: everybody can send it."""
        before = manifests._remembered.cache_info().currsize
        for headers in (
            (f"Accept: {OCI_MANIFEST}{', x/y' * 1000}",),
            (f"Accept: {OCI_MANIFEST}", f"User-Agent: {'a' * 3000}"),
        ):
            self.assertTrue(self.accepted(*headers).accepts(OCI_MANIFEST))
        self.assertEqual(before, manifests._remembered.cache_info().currsize)


class ConditionTests(SynchronousTestCase):
    """Requests that are to be carried out on a condition."""

    def test_only_if(self) -> None:
        """Without a condition tags may be anywhere; with one, at one of the digests, anywhere at all, or nowhere."""
        for headers, expected in (
            ((), None),
            ((f'If-Match: "{DIGEST}"',), {DIGEST}),
            ((f"If-Match: {DIGEST}",), {DIGEST}),
            ((f'If-Match: W/"{DIGEST}", "{OTHER}"',), {DIGEST, OTHER}),
            (("If-Match: *",), {"*"}),
            (("If-None-Match: *",), set()),
            ((f'If-None-Match: "{DIGEST}"',), None),
        ):
            found = manifests._only_if(exchange_of(f"PUT {PATH}", *headers))
            self.assertEqual(expected, None if found is None else set(found), headers)

    def test_unchanged(self) -> None:
        """Who has the digest has the manifest, with or without quotation marks."""
        etag = f'"{DIGEST}"'
        for header in (etag, DIGEST, f"  {DIGEST} ", f"W/{etag}", f'"x", {etag}', "*"):
            self.assertTrue(manifests._is_unchanged(header, etag, DIGEST), header)
        others: Sequence[str | None] = (None, "", OTHER, f'"{OTHER}"', DIGEST[:-1], f'"{DIGEST}x"')
        for other in others:
            self.assertFalse(manifests._is_unchanged(other, etag, DIGEST), other)


class PutTests(V2TestCase):
    """Manifests pushed through the door."""

    def setUp(self) -> None:
        super().setUp()
        self.door = manifests.ManifestsDoor(self.manifests, Locations(), 1000)

    def put_to(self, path: str, reference: Tag | Digest | None = None) -> dict[str, str | None]:
        """Push an index of nothing; return the headers of the answer."""
        exchange = exchange_of(f"PUT {path}", f"Content-Length: {len(INDEX)}")
        channel = exchange.request.channel
        assert channel is not None
        channel.dataReceived(INDEX)
        self.result(self.door.put(exchange, ONE, reference or Tag("latest")))
        self.assertEqual(201, exchange.request.code)
        return {name: response_header(exchange, name) for name in ("location", "oci-tag", "docker-content-digest")}

    def test_location(self) -> None:
        """The location is that of the digest, under the name that the client has used."""
        digest = Digest.sha256(INDEX)
        for path, prefix in ((PATH, "/v2/demo/one"), ("/v2/library/x/manifests/latest", "/v2/library/x")):
            headers = self.put_to(path)
            self.assertEqual(f"{prefix}/manifests/{digest}", headers["location"])
            self.assertEqual((str(digest), None), (headers["docker-content-digest"], headers["oci-tag"]))

    def test_tags(self) -> None:
        """The tags that a client asks for in parameters are told."""
        headers = self.put_to(f"/v2/demo/one/manifests/{Digest.sha256(INDEX)}?tag=a&tag=b", Digest.sha256(INDEX))
        self.assertEqual("a, b", headers["oci-tag"])
        self.assertEqual([INDEX, INDEX], [self.pull(tag).content for tag in "ab"])

    def test_bad_tags(self) -> None:
        """Too many, or one that is none, are refused before the body is read."""
        for query, kind in (
            ("&".join(["tag=x"] * 101), RequestInvalid),
            ("tag=a&tag=-b", TagInvalid),
            ("tag=", TagInvalid),
        ):
            exchange = exchange_of(f"PUT {PATH}?{query}", f"Content-Length: {len(INDEX)}")
            self.refused(kind, self.door.put(exchange, ONE, Tag("latest")))
