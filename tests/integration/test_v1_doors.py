"""The v1 doors of a real daemon: whole answers, with their headers, as clients other than engines see them too."""

import json
import sqlite3
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from dockreg.testing.samples import V1Image, bytes_of, gzip_layer, image_json, make_image, make_tar
from dockreg.testing.tarsums import payload_checksum, tarsum
from dockreg.version import VERSION
from tests.integration.test_early_answers import (
    ABSENT,
    ERROR,
    FOREVER_PARTS,
    JSON,
    LAYER,
    NO_TAR,
    NOCACHE,
    STAGED,
    TOP,
    AnswerCase,
    described,
    forever,
)
from tests.integration.test_refusals import IMAGE, all_routes, path_of


class HeaderTests(AnswerCase):
    """Which headers answers have: these, and no others."""

    def check_forever(self, scope: str, headers: Mapping[str, str]) -> None:
        """All that never changes of ``TOP``: whole, HEAD, and unchanged."""
        for part in FOREVER_PARTS:
            more = {"json": {**JSON, **described(TOP)}, "layer": LAYER}.get(part, JSON)
            path = f"/v1/images/{TOP.id}/{part}"
            status, content, found = self.ask("GET", path, None, headers)
            self.assertEqual((200, forever(scope) | more), (status, found), path)
            length = {"content-length": str(len(content))}
            self.assertEqual((200, b"", found | length), self.ask("HEAD", path, None, headers))
            unchanged = {**headers, "If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}
            status, content, found = self.ask("GET", path, None, unchanged)
            self.assertEqual(304, status)
            # The type is that of the 200, and may be left out.
            found.pop("content-type", None)
            self.assertEqual(forever(scope), found, path)

    def test_forever(self) -> None:
        """What never changes may be kept for a year, by everybody if it was read without a name; otherwise by one."""
        self.start()
        owner = self.register("joe_1")
        token = self.push("demo/app", TOP)
        for headers, scope in (({}, "public"), (token, "public"), (owner, "private")):
            self.check_forever(scope, headers)
        self.assertEqual(gzip_layer(TOP.layer), self.get(f"/v1/images/{TOP.id}/layer"))
        self.assertEqual(TOP.json, self.get(f"/v1/images/{TOP.id}/json"))
        self.assertEqual(200, self.status("DELETE", "/v1/repositories/demo/app/"))
        token = self.push("joe_1/app", TOP, headers=owner)
        self.check_forever("private", token)
        private = {"access": "private"}
        self.assertEqual(200, self.status("PUT", "/v1/repositories/joe_1/app/properties", private, owner))
        for headers in (token, owner):
            self.check_forever("private", headers)

    def test_closed(self) -> None:
        """Where anonymous may not pull, nothing is public, and 304 tells nothing to who may not ask."""
        self.start('[auth]\nanonymous = "none"\n')
        owner = self.register("joe_1")
        token = self.push("joe_1/app", TOP, headers=owner)
        for headers in (token, owner):
            self.check_forever("private", headers)
        for part in FOREVER_PARTS:
            for image_id in (TOP.id, ABSENT):
                for headers in ({}, {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}):
                    status, _, found = self.ask("GET", f"/v1/images/{image_id}/{part}", None, headers)
                    challenge = found.pop("www-authenticate")
                    self.assertEqual((401, ERROR), (status, found))
                    self.assertRegex(challenge, r'\ABasic realm="[^"]+", Token\Z')

    def test_nocache(self) -> None:
        """Everything else may not be kept; HEAD has the headers of GET."""
        self.start()
        self.push("demo/app", TOP)
        here = "/v1/repositories/demo/app"
        paths = [
            "/", "/_status", "/v1/_status", "/healthz", "/readyz", "/v1/search?q=", f"{here}/images", f"{here}/tags",
            f"{here}/tags/latest", f"{here}/tags/latest/json", f"{here}/json", f"{here}/properties",
            f"{here}/layer/{TOP.id}/access",
        ]  # fmt: skip
        standalone = {"x-docker-registry-standalone": "true"}
        for path, more in [(path, {}) for path in paths] + [("/_ping", standalone), ("/v1/_ping", standalone)]:
            status, content, found = self.ask("GET", path)
            self.assertEqual((200, NOCACHE | more), (status, found), path)
            self.assertEqual((200, b"", found | {"content-length": str(len(content))}), self.ask("HEAD", path))
        put, layer = f"/v1/images/{TOP.id}", gzip_layer(TOP.layer)
        checksum = {"X-Docker-Checksum": tarsum(TOP.json, TOP.layer, "last")}
        for method, path, body, headers, expected in (
            ("PUT", f"{here}/", b"[]", {}, b'""'), ("PUT", f"{here}/auth", b"", {}, b'"OK"'),
            ("PUT", f"{put}/layer", layer, {}, b"true"), ("PUT", f"{put}/checksum", b"", checksum, b"true"),
            ("PUT", f"{here}/tags/x", json.dumps(TOP.id).encode(), {}, b"true"), ("DELETE", f"{here}/tags/x", None, {}, b"true"),
            ("PUT", f"{here}/properties", b'{"access": "public"}', {}, b"true"), ("DELETE", f"{here}/", None, {}, b"true"),
        ):  # fmt: skip
            self.assertEqual((200, expected, NOCACHE), self.ask(method, path, body, headers), path)
        self.assertEqual((204, b"", {"cache-control": "no-cache"}), self.ask("PUT", f"{here}/images", b"[]"))


class SlashTests(AnswerCase):
    """A slash at the end."""

    image = V1Image(IMAGE, image_json(IMAGE, None), TOP.layer)

    def prepare(self) -> dict[str, str]:
        """What the paths of the table name, in a private repository; the header of its token."""
        token = self.push("joe/app", self.image)
        self.assertEqual(200, self.status("PUT", "/v1/repositories/joe/app/properties", {"access": "private"}))
        return token

    def test_with_and_without(self) -> None:
        """A path with a slash at its end is the path without it."""
        self.start()
        layer = gzip_layer(self.image.layer)
        bodies = {
            "v1-put-json": self.image.json, "v1-put-layer": layer, "v1-put-tag": json.dumps(IMAGE).encode(),
            "v1-put-properties": b'{"access": "private"}',
        }  # fmt: skip
        checksum = {"X-Docker-Checksum-Payload": payload_checksum(self.image.json, layer)}
        special = {"v1-put-json": 409, "v1-delete-images": 204, "metrics": 401}
        token, asked = self.prepare(), 0
        for route in all_routes():
            path = path_of(route)
            if path.endswith("/") or route.endpoint == "v1-put-images" or path.startswith("/v2/"):
                continue
            answers = []
            for spelling in (path, f"{path}/"):
                headers = {**(token if "private" in route.endpoint else {}), **checksum}
                answers.append(self.daemon.request(route.method, spelling, bodies.get(route.endpoint), headers)[:2])
                token = self.prepare() if route.method == "DELETE" else token
            status = special.get(route.endpoint, 401 if "/users/" in path else 200)
            self.assertEqual((status, answers[0]), (answers[0][0], answers[1]), (route, answers))
            asked += 1
        self.assertGreater(asked, 25)

    def test_own_slash(self) -> None:
        """A path that is written with a slash at its end is the same without it."""
        self.start()
        owner = self.register("joe_1")
        for slash in ("", "/"):
            user = {"username": f"name{len(slash)}", "password": "secret"}
            self.assertEqual(201, self.status("POST", f"/v1/users{slash}", user))
            self.assertEqual(200, self.status("GET", f"/v1/users{slash}", headers=owner))
            self.assertEqual(204, self.status("PUT", f"/v1/users/joe_1{slash}", {"email": ""}, owner))
            self.assertEqual(200, self.status("PUT", f"/v1/repositories/demo/app{slash}", []))
            self.assertEqual(200, self.status("DELETE", f"/v1/repositories/demo/app{slash}"))
            self.assertEqual(404, self.status("DELETE", f"/v1/repositories/demo/app{slash}"))

        # The end of a push would be the creation of a repository called "images", which none can be.
        for listed in ([], [{"id": ABSENT}]):
            self.assertEqual(400, self.status("PUT", "/v1/repositories/foo/images/", listed))
            self.assertEqual(400, self.status("PUT", "/v1/repositories/demo/foo/images/", listed))
        self.assertEqual(0, json.loads(self.get("/v1/search"))["num_results"])
        self.assertEqual(204, self.status("PUT", "/v1/repositories/foo/images", []))
        self.assertEqual(b"[]", self.get("/v1/repositories/library/foo/images/"))


class ListTests(AnswerCase):
    """What is in a layer."""

    def test_files_and_diff(self) -> None:
        """The entries of each layer in their order, and what a layer does to those below it."""
        self.start()
        base = make_image("base", None, make_tar({"./": None, "./etc/": None, "./etc/a": b"a", "./etc/old": b"old"}))
        changed = make_tar(
            {"etc/": None, "etc/a": b"more", "etc/.wh.old": b"", ".wh..wh.aufs": b"", "new": b"n"}, links={"to": "new"}
        )
        child = make_image("child", base, changed)
        top = make_image("top of three", child, make_tar({"etc/old": b"again", "new": b"newer"}))
        self.push("demo/app", base, child, top)

        def folder(at: int) -> list[object]:
            return ["d", False, 0, 1_400_000_000 + at, 0o755, 0, 0]

        def file(at: int, size: int, deleted: bool = False) -> list[object]:
            return ["f", deleted, size, 1_400_000_000 + at, 0o644, 0, 0]

        link = ["s", False, 0, 1_400_000_000, 0o777, 0, 0]
        files = {
            base.id: [["/", *folder(0)], ["/etc", *folder(1)], ["/etc/a", *file(2, 1)], ["/etc/old", *file(3, 3)]],
            child.id: [
                ["/etc", *folder(0)], ["/etc/a", *file(1, 4)], ["/etc/old", *file(2, 0, deleted=True)], ["/new", *file(4, 1)],
                ["/to", *link],
            ],
        }  # fmt: skip
        diffs = {
            base.id: {"deleted": {}, "changed": {}, "created": {path: rest for path, *rest in files[base.id]}},
            child.id: {
                "deleted": {"/etc/old": file(2, 0, deleted=True)},
                "changed": {"/etc": folder(0), "/etc/a": file(1, 4)},
                "created": {"/new": file(4, 1), "/to": link},
            },
            # What the layer below has whited out is created again; what it has made is changed.
            top.id: {"deleted": {}, "changed": {"/new": file(1, 5)}, "created": {"/etc/old": file(0, 5)}},
        }
        for part, expected in (("files", files), ("diff", diffs)):
            for image_id, document in expected.items():
                self.assertEqual(document, json.loads(self.get(f"/v1/images/{image_id}/{part}")), part)
        self.check_refused()

    def check_refused(self) -> None:
        """A layer that is no tar, or not complete, can not be listed, and one that is not there is not found."""
        self.push("demo/app", NO_TAR, layer=b"no tar")
        token = self.stage(STAGED)
        for part in ("files", "diff"):
            refusals = {NO_TAR.id: (400, b"no tar"), STAGED.id: (400, b"uploaded"), ABSENT: (404, b"not found")}
            for image_id, expected in refusals.items():
                status, content, _ = self.daemon.request("GET", f"/v1/images/{image_id}/{part}", headers=token)
                self.assertEqual(expected[0], status)
                self.assertIn(expected[1], content)


class PrivateTests(AnswerCase):
    """Images of which one person, or one repository, has its own."""

    def test_private_images(self) -> None:
        """With a token of a private repository its images are served, not to be kept; with anything else they are absent."""
        self.start()
        owner = self.register("joe_1")
        public = self.push("joe_1/public", TOP, headers=owner)
        token = self.push("joe_1/private", TOP, headers=owner)
        private = {"access": "private"}
        self.assertEqual(200, self.status("PUT", "/v1/repositories/joe_1/private/properties", private, owner))
        for part, expected, more in (
            ("json", TOP.json, described(TOP)), ("layer", gzip_layer(TOP.layer), LAYER),
            ("files", self.get(f"/v1/images/{TOP.id}/files"), {}),
        ):  # fmt: skip
            path = f"/v1/private_images/{TOP.id}/{part}"
            self.assertEqual((200, expected, {**NOCACHE, **more}), self.ask("GET", path, None, token), part)
            unchanged = {**token, "If-Modified-Since": "anything"}
            self.assertEqual((200, expected), self.ask("GET", path, None, unchanged)[:2])
            for headers in ({}, owner, public):
                self.assertEqual((404, ERROR), self.ask("GET", path, None, headers)[::2])
            self.assertEqual(404, self.status("GET", f"/v1/private_images/{ABSENT}/{part}", None, token))
        self.assertEqual(404, self.status("GET", f"/v1/private_images/{TOP.id}/ancestry", None, token))

    def test_hint(self) -> None:
        """Who sends Basic credentials gets, and pushes, the content of the repository that the cookie names."""
        self.start()
        joe, jane = self.register("joe_1"), self.register("jane")
        image, layers, cookies = make_image("of both"), {}, {}
        pushers = (("joe_1/a", joe), ("joe_1/b", joe), ("jane/c", jane))
        for name, who in pushers:
            self.announce(name, image.id, headers=who)
            hint = self.daemon.request("GET", f"/v1/repositories/{name}/images", headers=who)[2]["set-cookie"]
            cookies[name], layers[name] = {"Cookie": hint.partition(";")[0]}, bytes_of(name, 100)
        for name, who in pushers:
            self.send_image(image, layers[name], {**who, **cookies[name]})
        path = f"/v1/images/{image.id}/layer"
        for name, who in pushers:
            self.assertEqual(layers[name], self.get(path, {**who, **cookies[name]}))
        # A cookie of somebody else, or of nobody, is as none at all.
        without = self.get(path, joe)
        self.assertIn(without, (layers["joe_1/a"], layers["joe_1/b"]))
        for cookie in (cookies["jane/c"], {"Cookie": "dockreg-repository=nonsense"}):
            self.assertEqual(without, self.get(path, {**joe, **cookie}))
        for who in (jane, {}):
            without = self.get(path, who)
            for name in ("joe_1/a", "joe_1/b"):
                self.assertEqual(without, self.get(path, {**who, **cookies[name]}))


class HubTests(AnswerCase):
    """Search, status, users and what repositories say of themselves."""

    def search(self, query: str) -> tuple[list[str], dict[str, int]]:
        """The names that are found, and the numbers around them."""
        found = json.loads(self.get(f"/v1/search{query}"))
        names = [result["name"] for result in found.pop("results")]
        found.pop("query")
        return names, found

    def test_search(self) -> None:
        """Pages are as large as is asked for, within limits, and hold every repository once."""
        self.start()
        names = [f"demo/app{number:02}" for number in range(30)]
        for name in reversed(names):
            self.announce(name)
        whole = {"num_results": 30, "num_pages": 2, "page": 1, "page_size": 25}
        for query in ("", "?", "?q=", "?q=&page=1", "?q=demo/&page=0&n=25", "?q=APP&page=-3"):
            self.assertEqual((names[:25], whole), self.search(query), query)
        for page in range(1, 7):
            expected = {"num_results": 30, "num_pages": 5, "page": page, "page_size": 7}
            self.assertEqual((names[7 * page - 7 : 7 * page], expected), self.search(f"?q=app&n=7&page={page}"))
        for wanted, size, pages in ((0, 1, 30), (-5, 1, 30), (1, 1, 30), (15, 15, 2), (100, 100, 1), (101, 100, 1)):
            expected = {"num_results": 30, "num_pages": pages, "page": 1, "page_size": size}
            self.assertEqual((names[:size], expected), self.search(f"?n={wanted}"))
        for query in ("n=x", "page=1.5", "n=1e3", "page=" + "9" * 30, "q=" + "x" * 256):
            self.assertEqual(400, self.status("GET", f"/v1/search?{query}"), query)
        database = sqlite3.connect(self.daemon.data / "metadata.sqlite3")
        with database:
            database.execute("update repositories set description = 'A Web SERVER' where name = 'demo/app07'")
        database.close()
        for term in ("server", "SERVER", "wEB%20s"):
            self.assertEqual(["demo/app07"], self.search(f"?q={term}")[0])
        self.assertEqual([], self.search("?q=proxy")[0])

    def test_status(self) -> None:
        """The status says which part does not work, for as long as it does not; the root says who we are."""
        self.start()
        self.assertEqual(f"dockreg {VERSION}: a container registry", json.loads(self.get("/")))
        staging = self.daemon.data / "blobs" / "staging"
        staging.rmdir()
        staging.write_bytes(b"")
        broken: dict[str, Any] = {}
        for path in ("/_status", "/v1/_status"):
            status, content, found = self.ask("GET", path)
            self.assertEqual((503, NOCACHE), (status, found))
            broken = json.loads(content)
            failures = broken.pop("failures")
            self.assertEqual(1, len(failures))
            self.assertLess(set(failures), set(broken["services"]))
        staging.unlink()
        staging.mkdir()
        # What was found may be good for some seconds.
        self.until(lambda: self.status("GET", "/_status") == 200)
        whole = json.loads(self.get("/v1/_status"))
        self.assertEqual({"services": broken["services"], "failures": {}, "host": "127.0.0.1"}, whole)

    def test_users(self) -> None:
        """A password and an address change together or not at all, within the rules, for accounts that are there."""
        self.start()
        joe, jane = self.register("joe_1", "joe@example.org"), self.register("jane", "jane@example.org")
        path, taken = "/v1/users/joe_1/", b'"Username or email already exists"'

        def is_free(address: str) -> bool:
            body = json.dumps({"email": address}).encode()
            answered = self.daemon.request("PUT", "/v1/users/jane/", body, jane)
            self.assertIn(answered[:2], ((204, b""), (400, taken)))
            return answered[0] == 204

        self.assertEqual((204, b""), self.ask("PUT", path, b'{"email": "new@example.org"}', joe)[:2])
        self.assertFalse(is_free("new@example.org"))
        self.assertTrue(is_free("joe@example.org"))
        self.assertTrue(is_free("jane@example.org"))
        for body, expected in (
            ({"email": "jane@example.org"}, 400), ({"email": "jane@example.org", "password": "jane has changed it"}, 400),
            ({"password": "four"}, 400), ({"password": "four", "email": "other@example.org"}, 400),
            ({"password": "jane has changed it", "email": "no address"}, 400), ({}, 400), ([], 400), ({"email": 1}, 400),
        ):  # fmt: skip
            self.assertEqual(expected, self.status("PUT", path, body, joe), body)
            self.assertEqual(200, self.status("GET", "/v1/users/", None, joe), body)
            self.assertFalse(is_free("new@example.org"), body)
        self.assertTrue(is_free("other@example.org"))
        self.daemon.command("user", "create", "admin", "--admin", "--password-stdin", text="secret of admin\n")
        admin = {"Authorization": "Basic YWRtaW46c2VjcmV0IG9mIGFkbWlu"}
        self.assertEqual(404, self.status("PUT", "/v1/users/nobody/", {"email": ""}, admin))
        self.assertEqual(403, self.status("PUT", "/v1/users/nobody/", {"email": ""}, joe))
        self.assertEqual(204, self.status("PUT", path, {"email": ""}, admin))
        self.assertTrue(is_free("new@example.org"))

    def test_repositories(self) -> None:
        """Deletions say what they do and do what they say; a tag remembers the client that set it."""
        self.start()
        here = "/v1/repositories/demo/app"
        versions: dict[str, object] = dict.fromkeys(("last_update", "docker_version", "docker_go_version", "kernel"))
        unknown = {**versions, "arch": "amd64", "os": "linux"}
        self.assertEqual(unknown, json.loads(self.get(f"{here}/json")))
        self.push("demo/app", TOP)
        agent = "docker/1.5.0 go/go1.4.1 git-commit/a8a31ef kernel/3.18.0-1 os/freebsd arch/arm"
        tag = json.dumps(TOP.id).encode()
        answered = self.daemon.request("PUT", f"{here}/tags/latest", tag, {"User-Agent": agent})
        said = json.loads(self.get(f"{here}/json"))
        self.assertEqual(said, json.loads(self.get(f"{here}/tags/latest/json")))
        self.assertEqual(unknown, json.loads(self.get(f"{here}/tags/other/json")))
        self.assertLess(abs(parsedate_to_datetime(answered[2]["date"]).timestamp() - said.pop("last_update")), 3)
        expected = {
            "docker_version": "1.5.0",
            "docker_go_version": "go1.4.1",
            "kernel": "3.18.0-1",
            "os": "freebsd",
            "arch": "arm",
        }
        self.assertEqual(expected, said)
        paths = (f"{here}/images", f"{here}/tags", f"{here}/json", f"/v1/images/{TOP.id}/json")
        before = [self.get(path) for path in paths]
        deleted = self.daemon.request("DELETE", f"{here}/images")
        self.assertEqual((204, b""), deleted[:2])
        self.assertRegex(deleted[2]["x-docker-token"], "access=delete$")
        self.assertEqual(before, [self.get(path) for path in paths])
        self.assertEqual({"access": "public"}, json.loads(self.get(f"{here}/properties")))
        for word in ("private", "public", "private"):
            self.assertEqual(200, self.status("PUT", f"{here}/properties", {"access": word}))
            self.assertEqual({"access": word}, json.loads(self.get(f"{here}/properties")))
        for access in (None, True, "Public", "", ["public"]):
            self.assertEqual(400, self.status("PUT", f"{here}/properties", {"access": access}), access)
        for document in ("{}", "[]", '"public"', "null", ""):
            self.assertEqual(400, self.daemon.request("PUT", f"{here}/properties", document.encode())[0], document)
        self.assertEqual({"access": "private"}, json.loads(self.get(f"{here}/properties")))
        self.assertEqual((200, b"true"), self.ask("DELETE", f"{here}/tags")[:2])
        for path in paths[:2]:
            self.assertEqual(404, self.status("GET", path))
        self.assertEqual(404, self.status("DELETE", f"{here}/tags"))
