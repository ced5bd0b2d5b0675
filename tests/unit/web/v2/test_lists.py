"""Tests for dockreg.web.v2.lists: how long pages are, and where the next one is."""

import json
from typing import Any
from urllib.parse import quote

from dockreg.errors import RequestInvalid
from dockreg.model.access import Action
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST
from dockreg.model.names import RepositoryName
from dockreg.web.v2.lists import ListsDoor
from tests.unit.v1case import ONE
from tests.unit.v2case import JANE, V2TestCase, described, encoded
from tests.unit.web.v2.exchanges import exchange_of, response_header

TAGS = ["1", "2", "3", "4", "5"]
TYPE = "application/x.a+b; c=d"


class ListCase(V2TestCase):
    """A door whose pages have at most three entries."""

    def setUp(self) -> None:
        super().setUp()
        self.door = ListsDoor(self.registry, self.manifests, 3, 3)
        self.result(self.bring(ONE, b"{}"))

    def manifest(self, **members: object) -> bytes:
        """A manifest of nothing."""
        config = described("application/x", b"{}")
        return encoded({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], **members})

    def ask(self, path: str, work: Any) -> tuple[Any, str | None]:
        """The document and its Link."""
        exchange = exchange_of(f"GET {path}")
        document = json.loads(self.result(work(exchange)))
        return document, response_header(exchange, "link")


class TagTests(ListCase):
    """Lists of tags."""

    def setUp(self) -> None:
        super().setUp()
        self.put(self.manifest(), *TAGS)

    def tags(self, query: str, path: str = "/v2/demo/one/tags/list") -> tuple[Any, str | None]:
        """The tags of a page, and its Link."""
        document, link = self.ask(f"{path}{query}", lambda exchange: self.door.list_tags(exchange, ONE))
        return document["tags"], link

    def link(self, query: str, path: str = "/v2/demo/one/tags/list") -> str:
        return f'<{path}?{query}>; rel="next"'

    def test_length(self) -> None:
        """A page is as long as asked for, and not longer than it may be; the Link says the length that it has."""
        for query, count in (("?n=1", 1), ("?n=3", 3), ("", 3), ("?n=", 3), ("?n=4", 3), ("?n=999999999", 3)):
            self.assertEqual((TAGS[:count], self.link(f"n={count}&last={count}")), self.tags(query), query)

    def test_last_page(self) -> None:
        """The last page has no Link, also when it is full."""
        for query, expected in (("?last=2", TAGS[2:]), ("?last=3", TAGS[3:]), ("?last=5", []), ("?last=zz", [])):
            self.assertEqual((expected, None), self.tags(query), query)

    def test_nothing(self) -> None:
        """A page of no entries is empty, and leads nowhere."""
        self.assertEqual(([], None), self.tags("?n=0"))
        self.assertEqual(([], None), self.tags("?n=00&last=1"))

    def test_no_number(self) -> None:
        """What is no number of entries is refused."""
        for text in ("-1", "+1", "1.0", "x", "%20", "1%20", "0x1", "%D9%A1", "%C2%B2", "9" * 30, "%ff", "null"):
            exchange = exchange_of(f"GET /v2/demo/one/tags/list?n={text}")
            self.refused(RequestInvalid, self.door.list_tags(exchange, ONE))

    def test_first_value(self) -> None:
        """Of a parameter that comes twice the first one counts."""
        self.assertEqual(["3"], self.tags("?n=1&n=2&last=2&last=4")[0])

    def test_odd_last(self) -> None:
        """Any text is a place to begin behind; what is no text is no error, unless no database takes it."""
        exchange = exchange_of("GET /v2/demo/one/tags/list?last=2%00")
        self.refused(RequestInvalid, self.door.list_tags(exchange, ONE))
        for last, expected in (("", "1"), ("2.x", "3"), ("%2F", "1"), ("%ff", None)):
            found = self.tags(f"?n=1&last={last}")[0]
            self.assertEqual([] if expected is None else [expected], found, last)

    def test_path(self) -> None:
        """The Link and the name are those that the client has used, whichever of the names of a repository it was."""
        for name in ("demo/one", "library/x", "x"):
            path = f"/v2/{name}/tags/list"
            document, link = self.ask(f"{path}/?n=1", lambda exchange: self.door.list_tags(exchange, ONE))
            self.assertEqual((name, self.link("n=1&last=1", path)), (document["name"], link))


class CatalogTests(ListCase):
    """The list of repositories."""

    def setUp(self) -> None:
        super().setUp()
        self.names = [RepositoryName(f"r/{number}") for number in range(5)]
        for name in self.names:
            self.result(self.bring(name, b"{}"))
            self.put(self.manifest(), "latest", name=name)

    def test_pages(self) -> None:
        """Pages lead to each other; what is in no URL is encoded."""
        where: str | None = "/v2/_catalog?n=2"
        pages = []
        while where is not None:
            document, link = self.ask(where, self.door.catalog)
            pages.append(document["repositories"])
            where = None if link is None else link[1 : link.index(">")]
        self.assertEqual([["r/0", "r/1"], ["r/2", "r/3"], ["r/4"]], pages)
        self.assertEqual(
            '</v2/_catalog?n=1&last=r%2F0>; rel="next"', self.ask("/v2/_catalog?n=1", self.door.catalog)[1]
        )

    def test_rights(self) -> None:
        """What the caller may not pull from is left out, and the page is full all the same."""
        for name in self.names[:2]:
            self.policy.refused.add(("jane", Action.PULL, name))
        exchange = exchange_of("GET /v2/_catalog?n=2", principal=JANE)
        document = json.loads(self.result(self.door.catalog(exchange)))
        self.assertEqual(["r/2", "r/3"], document["repositories"])

    def test_only_v1(self) -> None:
        """A name that v2 can not have is not shown."""
        odd = RepositoryName("r/-1-")
        self.result(self.bring(odd, b"{}"))
        self.put(self.manifest(), "latest", name=odd)
        self.assertEqual(["r/0"], self.ask("/v2/_catalog?n=1", self.door.catalog)[0]["repositories"])


class ReferrerTests(ListCase):
    """Lists of referrers."""

    def setUp(self) -> None:
        super().setUp()
        self.subject = Digest.sha256(b"subject")
        named = {**described(OCI_MANIFEST, b""), "digest": str(self.subject)}
        contents = [
            self.manifest(subject=named, artifactType=TYPE, annotations={"n": str(number)}) for number in range(5)
        ]
        contents += [self.manifest(subject=named, artifactType="application/other")]
        for content in contents:
            self.put(content)
        self.digests = sorted(str(Digest.sha256(content)) for content in contents)
        self.of_type = sorted(str(Digest.sha256(content)) for content in contents[:-1])

    def page(self, query: str) -> tuple[list[str], str | None]:
        """The digests of a page, and where the next one is."""
        path = f"/v2/demo/one/referrers/{self.subject}{query}"
        document, link = self.ask(path, lambda exchange: self.door.referrers(exchange, ONE, self.subject))
        self.assertEqual((2, OCI_INDEX), (document["schemaVersion"], document["mediaType"]))
        where = None if link is None else link[1 : link.index(">")].partition(str(self.subject))[2]
        return [each["digest"] for each in document["manifests"]], where

    def test_pages(self) -> None:
        """Pages lead to each other, with or without a filter."""
        for query, expected in (("?n=2", self.digests), (f"?n=2&artifactType={quote(TYPE)}", self.of_type)):
            seen: list[str] = []
            where: str | None = query
            while where is not None and len(seen) < 20:
                found, where = self.page(where)
                seen += found
            self.assertEqual(expected, seen)

    def test_length(self) -> None:
        """A page has one entry at least, and not more than it may have."""
        for query, count in (("?n=0", 1), ("?n=1", 1), ("", 3), ("?n=9", 3)):
            self.assertEqual(self.digests[:count], self.page(query)[0])

    def test_entries(self) -> None:
        """An entry says what is known, and nothing more."""
        path = f"/v2/demo/one/referrers/{self.subject}?artifactType={quote(TYPE)}"
        document, _ = self.ask(path, lambda exchange: self.door.referrers(exchange, ONE, self.subject))
        for entry in document["manifests"]:
            self.assertEqual({"mediaType", "digest", "size", "artifactType", "annotations"}, set(entry))
            self.assertEqual(OCI_MANIFEST, entry["mediaType"])

    def test_filter(self) -> None:
        """A filter that was applied is told; an empty one is none."""
        for query, applied in (("?artifactType=x", "artifactType"), ("?artifactType=", None), ("", None)):
            exchange = exchange_of(f"GET /v2/demo/one/referrers/{self.subject}{query}")
            self.result(self.door.referrers(exchange, ONE, self.subject))
            self.assertEqual(applied, response_header(exchange, "oci-filters-applied"))
