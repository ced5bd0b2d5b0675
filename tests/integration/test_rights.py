"""Who may do what, through both doors of one daemon."""

from itertools import count

from dockreg.model.access import Action
from dockreg.model.mediatypes import OCI_MANIFEST
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Subject
from tests.integration.rightscase import OPEN, OTHER, SAMPLE, SECRET, RightsCase, header
from tests.integration.v2case import Reply, digest_of, make_sample

HIDDEN = make_sample("hidden", OCI_MANIFEST)
#: What answers somebody who has a name with defaults, or an empty list, for what is not there.
DEFAULTS = ("/json", "/referrers/")
_numbers = count()


class DoorTests(RightsCase):
    """Both doors give one answer to one person."""

    def statuses(self, who: str | None, method: str, *paths: tuple[str, bytes | None]) -> set[int]:
        """What the doors answer: the status, and that of all kinds of success as 200."""
        answers = [self.ask(method, path, body, **header(who)).status for path, body in paths]
        return {200 if status < 300 else status for status in answers}

    def reads(self, who: str | None, name: str) -> set[int]:
        return self.statuses(who, "GET", (f"/v2/{name}/tags/list", None), (f"/v1/repositories/{name}/images", None))

    def pushes(self, who: str | None, name: str) -> set[int]:
        v2 = self.statuses(who, "POST", (f"/v2/{name}/blobs/uploads/", b""))
        return v2 | self.statuses(who, "PUT", (f"/v1/repositories/{name}/", b"[]"))

    def deletes(self, who: str | None, name: str) -> set[int]:
        missing = "missing"
        paths = (f"/v2/{name}/manifests/{missing}", None), (f"/v1/repositories/{name}/tags/{missing}", None)
        return self.statuses(who, "DELETE", *paths)

    def administers(self, who: str | None, name: str) -> set[int]:
        return self.statuses(who, "PUT", (f"/v1/repositories/{name}/properties", b'{"access": "private"}'))

    def test_public(self) -> None:
        """In a public repository all may read; who may not do more is told so, and anonymous to say a name."""
        table = {
            "anna": (200, 200, 404), "berta": (200, 200, 404), "carl": (200, 403, 403), "dora": (200, 403, 403),
            "root": (200, 200, 404), None: (200, 401, 401),
        }  # fmt: skip
        for who, (read, push, delete) in table.items():
            self.assertEqual({read}, self.reads(who, OPEN), who)
            self.assertEqual({push}, self.pushes(who, OPEN), who)
            self.assertEqual({delete}, self.deletes(who, OPEN), who)
        for who, status in (("berta", 403), ("carl", 403), ("dora", 403), (None, 401)):
            self.assertEqual({status}, self.administers(who, OPEN), who)

    def test_private(self) -> None:
        """A private one is not there for who may not read it."""
        table = {
            "anna": (200, 200, 404), "berta": (200, 200, 404), "carl": (200, 403, 403), "dora": (404, 404, 404),
            "root": (200, 200, 404), None: (401, 401, 401),
        }  # fmt: skip
        for who, (read, push, delete) in table.items():
            self.assertEqual({read}, self.reads(who, SECRET), who)
            self.assertEqual({push}, self.pushes(who, SECRET), who)
            self.assertEqual({delete}, self.deletes(who, SECRET), who)
        for who, status in (("anna", 200), ("berta", 403), ("carl", 403), ("dora", 404), (None, 401)):
            self.assertEqual({status}, self.administers(who, SECRET), who)

    def test_absent(self) -> None:
        """One that is not there is answered as a private one, but that who may push makes it."""
        table = {"carl": (404, 403), "dora": (404, 404), None: (401, 401), "berta": (404, 200), "anna": (404, 200)}
        for who, (read, push) in table.items():
            name = f"team/new{next(_numbers)}"
            self.assertEqual({read}, self.reads(who, name), who)
            self.assertEqual({push}, self.pushes(who, name), who)

    def test_private_and_absent(self) -> None:
        """To who may read neither, an answer does not tell which of them it is, in any part."""
        digest, session = digest_of(SAMPLE.config), "x" * 24
        asked = [
            ("GET", "/v2/{}/tags/list"), ("GET", "/v2/{}/manifests/latest"), ("GET", f"/v2/{{}}/blobs/{digest}"),
            ("HEAD", f"/v2/{{}}/blobs/{digest}"), ("DELETE", f"/v2/{{}}/blobs/{digest}"), ("DELETE", "/v2/{}/manifests/latest"),
            ("GET", f"/v2/{{}}/referrers/{digest}"), ("POST", "/v2/{}/blobs/uploads/"),
            ("POST", f"/v2/{{}}/blobs/uploads/?mount={digest}&from={SECRET}"),
            ("GET", f"/v2/{{}}/blobs/uploads/{session}"), ("PATCH", f"/v2/{{}}/blobs/uploads/{session}"),
            ("PUT", "/v2/{}/manifests/latest"), ("GET", "/v1/repositories/{}/tags"), ("GET", "/v1/repositories/{}/images"),
            ("GET", "/v1/repositories/{}/tags/latest"), ("GET", "/v1/repositories/{}/tags/latest/json"),
            ("PUT", "/v1/repositories/{}/"), ("PUT", "/v1/repositories/{}/tags/latest"), ("DELETE", "/v1/repositories/{}/"),
            ("GET", "/v1/repositories/{}/properties"), ("PUT", "/v1/repositories/{}/properties"),
        ]  # fmt: skip
        absent = "team/absent"
        for who in ("dora", None):
            for method, path in asked:
                hidden, none = (self.ask(method, path.format(name), b"", **header(who)) for name in (SECRET, absent))
                nothing = 200 if any(part in path for part in DEFAULTS) else 404
                self.assertEqual(nothing if who else 401, hidden.status, (who, method, path))
                self.assertEqual(none.status, hidden.status)
                self.assertEqual(none.content.replace(absent.encode(), SECRET.encode()), hidden.content)
                self.assertEqual(none.headers.keys(), hidden.headers.keys())


class ListTests(RightsCase):
    def listed(self, who: str | None) -> tuple[set[str], set[str]]:
        """What of the namespace is in the catalog, and what a search finds."""
        catalog = set(self.ask("GET", "/v2/_catalog", None, **header(who)).document["repositories"])
        found = self.ask("GET", "/v1/search?q=team", None, **header(who))
        names = {each["name"] for each in found.document["results"]} if found.status == 200 else {str(found.status)}
        return {name for name in catalog if name in (OPEN, SECRET)}, {name for name in names if "new" not in name}

    def test_lists(self) -> None:
        """Lists have what one may read; who has no name can not search where something could be private."""
        for who in ("anna", "berta", "carl", "root"):
            self.assertEqual(({OPEN, SECRET}, {OPEN, SECRET}), self.listed(who), who)
        self.assertEqual(({OPEN}, {OPEN}), self.listed("dora"))
        self.assertEqual(({OPEN}, {"401"}), self.listed(None))

    def test_pages(self) -> None:
        """Pages are full, whatever is left out between."""
        for number in range(7):
            self.push_as("dora", SAMPLE, "latest", f"dora/r{number}")
            self.set_private(f"dora/r{number}", private=number % 3 != 0)
        pages, path = [], "/v2/_catalog?n=2&last=dora"
        while path:
            reply = self.ask("GET", path, None, **header("carl"))
            pages.append(reply.document["repositories"])
            path = reply.headers.get("link", "").partition("<")[2].partition(">")[0]
        self.assertEqual(["dora/r0", "dora/r3"], pages[0])
        self.assertEqual(["dora/r6", OPEN], pages[1])
        self.assertEqual([2] * (len(pages) - 1), [len(page) for page in pages[:-1]])


class BlobTests(RightsCase):
    """Blobs of a repository that may not be read, for who has one of her own."""

    def test_unreadable(self) -> None:
        """They are not read, mounted or told through it, nor through another one."""
        self.push_as("dora", OTHER, "latest", "dora/blobs")
        self.push_as("anna", HIDDEN, "hidden", SECRET)
        hidden, nowhere = digest_of(HIDDEN.blobs[0]), digest_of(b"nowhere")
        for who in ("dora", None):
            answers = [self.answers(who, digest) for digest in (hidden, nowhere)]
            for there, none in zip(*answers, strict=True):
                self.assertEqual(none.status, there.status)
                self.assertNotIn(there.status, (200, 201))
                if there.status != 202:
                    self.assertEqual(none.content.replace(nowhere.encode(), hidden.encode()), there.content)
                self.assertEqual(none.headers.keys(), there.headers.keys())

    def answers(self, who: str | None, digest: str) -> list[Reply]:
        """What somebody is told of a blob, by any way there is."""
        own = "/v2/dora/blobs"
        asked = [
            ("GET", f"/v2/{SECRET}/blobs/{digest}"), ("HEAD", f"/v2/{SECRET}/blobs/{digest}"),
            ("GET", f"{own}/blobs/{digest}"), ("HEAD", f"{own}/blobs/{digest}"),
            ("DELETE", f"{own}/blobs/{digest}"), ("GET", f"{own}/manifests/{digest}"),
            ("POST", f"{own}/blobs/uploads/?mount={digest}"), ("POST", f"{own}/blobs/uploads/?mount={digest}&from={SECRET}"),
            ("POST", f"{own}/blobs/uploads/?mount={digest}&from=team/absent"),
        ]  # fmt: skip
        return [self.ask(method, path, b"", **header(who)) for method, path in asked]

    def test_mount_after_a_change(self) -> None:
        """A blob is mounted from where it may be read, as long as it may."""
        digest = digest_of(SAMPLE.blobs[0])
        path = f"/v2/dora/mounts/blobs/uploads/?mount={digest}&from={SECRET}"
        self.assertEqual(202, self.ask("POST", path, b"", **header("dora")).status)
        self.grant("dora", SECRET, Action.PULL)
        self.assertEqual(201, self.ask("POST", path, b"", **header("dora")).status)
        self.rights(lambda rights: rights.revoke(Subject.account("dora"), RepositoryPattern(SECRET)))
        self.assertEqual(404, self.ask("GET", f"/v2/{SECRET}/blobs/{digest}", None, **header("dora")).status)
        self.assertEqual(200, self.ask("GET", f"/v2/dora/mounts/blobs/{digest}", None, **header("dora")).status)
