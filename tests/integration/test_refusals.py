"""Who is refused what, and how: every route of the table, for several callers and policies."""

import base64
import http.client
import json
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.access import PUBLIC, Action, On, Right
from dockreg.web.exchange import Role
from dockreg.web.routes import Route, routes
from tests.processes import PreparedDaemon

IMAGE = "a" * 64
PARTS = {
    "repository:repository": "joe/app", "image_id": IMAGE, "tag": "latest", "account": "joe", "token_id": "x", "robot": "x", "name:name": "joe/app",
    "digest": f"sha256:{IMAGE}", "reference": "latest", "upload_id": "x" * 24,
}  # fmt: skip


#: What answers with defaults, or an empty list, for what is not known.
DEFAULTS = ("v1-tag-json", "v1-latest-json", "v1-layer-access", "end-12")


class Anything:
    """Has every attribute."""

    def __getattr__(self, name: str) -> "Anything":
        return self


def all_routes() -> list[Route]:
    """The whole table of a standalone registry."""
    doors: Any = Anything()
    doors.role = Role.STANDALONE
    return list(routes(doors))


def path_of(route: Route) -> str:
    """A path that the route serves."""
    return re.sub(r"<([^>]+)>", lambda match: PARTS[match.group(1)], route.rule)


def basic(name: str, password: str) -> dict[str, str]:
    """The header of Basic credentials."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


class RefusalTests(SynchronousTestCase):
    """What the gate says."""

    def start(self, anonymous: str, settings: str = "") -> PreparedDaemon:
        config = f'[auth]\nanonymous = "{anonymous}"\n{settings}'
        daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=config)
        daemon.start()
        self.addCleanup(daemon.kill)
        for name in ("joe_1", "jane"):
            body = json.dumps({"username": name, "password": f"secret of {name}", "email": "", "auth": ""}).encode()
            self.assertEqual(201, daemon.request("POST", "/v1/users/", body)[0])
        return daemon

    def test_table(self) -> None:
        """Each route says which right it needs; only what must be open is open to everybody."""
        public = {(route.method, route.rule) for route in all_routes() if route.needs is PUBLIC}
        self.assertEqual(
            {
                ("GET", "/"), ("GET", "/_ping"), ("GET", "/v1/_ping"), ("GET", "/_status"), ("GET", "/v1/_status"),
                ("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/v1/users/"),
                ("GET", "/v2/token/jwks.json"),
            },
            public,
        )  # fmt: skip
        for route in all_routes():
            if isinstance(route.needs, Right) and route.method != "GET":
                self.assertIsNot(Action.PULL, route.needs.action) if route.endpoint not in (
                    "v1-auth",
                    "token-form",
                ) else None

    def test_endpoints_are_unique(self) -> None:
        """Klein would silently serve one of two routes that have one endpoint."""
        names = [route.endpoint for route in all_routes()]
        self.assertEqual(sorted(set(names)), sorted(names))

    def test_closed_registry(self) -> None:
        """Where anonymous may nothing, every route with a right answers 401, the challenges of its door, and nothing else."""
        daemon = self.start("none")
        for route in all_routes():
            if route.needs is PUBLIC or route.rule == "/v2/token":  # there is a token for everybody
                continue
            for headers in ({}, {"Authorization": "Basic Og=="}, {"Authorization": "Token"}):
                status, body, answered = daemon.request(route.method, path_of(route), b"", headers)
                self.assertEqual(401, status, (route, headers, body))
                if route.rule.startswith("/v2/"):
                    self.assertIn("Bearer realm=", answered["www-authenticate"])
                    self.assertEqual("UNAUTHORIZED", json.loads(body)["errors"][0]["code"])
                    self.assertNotIn("Token", answered["www-authenticate"])
                    self.assertEqual("registry/2.0", answered["docker-distribution-api-version"])
                else:
                    self.assertEqual(["error"], list(json.loads(body)))
                    self.assertIn("Basic realm=", answered["www-authenticate"])
                    self.assertIn("Token", answered["www-authenticate"])

    def test_wrong_credentials(self) -> None:
        """Wrong credentials are refused everywhere but on public routes, on an open registry too."""
        daemon = self.start("push", "[auth.attempts]\nper_client = 0\nper_account = 0\nper_address = 0\n")
        wrong = (
            basic("jane", "wrong"), basic("nobody", "secret"), {"Authorization": "Basic !"}, {"Authorization": "Basic YQ=="},
            {"Authorization": "Token nonsense"}, {"Authorization": "Bearer x"},
            {"Authorization": 'Token signature=abc,repository="joe/app",access=write'},
        )  # fmt: skip
        for route in all_routes():
            status = 401 if route.needs is not PUBLIC else None
            for headers in wrong:
                answered = daemon.request(route.method, path_of(route), b"", headers)[0]
                if status is not None:
                    self.assertEqual(status, answered, (route, headers))
                else:
                    self.assertNotEqual(401, answered, (route, headers))

    def test_anonymous_pull(self) -> None:
        """Where anonymous may only pull, what is absent is 404 to read and 401 to write."""
        daemon = self.start("pull")
        for route in all_routes():
            if not isinstance(route.needs, Right) or route.needs.on not in (On.REPOSITORY, On.IMAGE):
                continue
            status = daemon.request(route.method, path_of(route), b"")[0]
            if route.needs.action is Action.PULL:
                self.assertIn(
                    status,
                    (200,) if route.endpoint in DEFAULTS else (404,),
                    route,
                )
            else:
                self.assertEqual(401, status, route)

    def test_anonymous_pull_of_private_things(self) -> None:
        """
        Where new repositories are private, one that is absent is 401 to anonymous, as one that is there: to be told that
        it is not would tell which ones are. An image that can not be reached is 404 to read.
        """
        daemon = self.start("pull", 'new_repositories = "private"\n')
        owner = basic("joe_1", "secret of joe_1")
        self.assertEqual(200, daemon.request("PUT", "/v1/repositories/joe_1/app/", b"[]", owner)[0])
        for route in all_routes():
            if not isinstance(route.needs, Right) or route.needs.on not in (On.REPOSITORY, On.IMAGE):
                continue
            path = path_of(route)
            status, body, headers = daemon.request(route.method, path, b"")
            readable = route.needs == Right(Action.PULL, On.IMAGE)
            self.assertEqual(404 if readable else 401, status, route)
            hidden = daemon.request(route.method, path.replace("joe/app", "joe_1/app"), b"")
            self.assertEqual((status, body.replace(b"joe/", b"joe_1/")), hidden[:2], route)
            self.assertEqual(headers.keys(), hidden[2].keys(), route)

    def test_private_repository(self) -> None:
        """A private repository looks absent to all but its owner, and is not found by a search."""
        daemon = self.start("pull")
        owner, other = basic("joe_1", "secret of joe_1"), basic("jane", "secret of jane")
        self.assertEqual(200, daemon.request("PUT", "/v1/repositories/joe_1/app/", b"[]", owner)[0])
        private = b'{"access": "private"}'
        properties = "/v1/repositories/joe_1/app/properties"
        self.assertEqual(403, daemon.request("PUT", properties, private, other)[0])
        self.assertEqual(200, daemon.request("PUT", properties, private, owner)[0])
        self.assertEqual({"access": "private"}, json.loads(daemon.request("GET", properties, headers=owner)[1]))
        for path in ("images", "tags", "properties"):
            url = f"/v1/repositories/joe_1/app/{path}"
            self.assertEqual(200, daemon.request("GET", url, headers=owner)[0])
            hidden = daemon.request("GET", url, headers=other)
            absent = daemon.request("GET", f"/v1/repositories/joe_1/none/{path}", headers=other)
            self.assertEqual(404, hidden[0])
            self.assertEqual(absent[0], hidden[0])
            self.assertEqual(absent[1].replace(b"none", b"app"), hidden[1])
            self.assertEqual(401, daemon.request("GET", url)[0])
        for headers, expected in ((owner, ["joe_1/app"]), (other, [])):
            found = json.loads(daemon.request("GET", "/v1/search?q=app", headers=headers)[1])
            self.assertEqual(expected, [result["name"] for result in found["results"]])
        self.assertEqual(401, daemon.request("GET", "/v1/search?q=app")[0])

    def test_strangers(self) -> None:
        """Where strangers can make themselves accounts, these change nothing that somebody else owns."""
        daemon = self.start("pull")
        owner, stranger = basic("joe_1", "secret of joe_1"), basic("jane", "secret of jane")
        path = "/v1/repositories/joe_1/app"
        self.assertEqual(200, daemon.request("PUT", f"{path}/", b"[]", owner)[0])
        for method, url, body in (
            ("PUT", f"{path}/", b"[]"), ("PUT", f"{path}/tags/x", json.dumps(IMAGE).encode()), ("DELETE", f"{path}/", None),
            ("PUT", f"{path}/images", b"[]"), ("DELETE", f"{path}/tags", None),
        ):  # fmt: skip
            self.assertEqual(403, daemon.request(method, url, body, stranger)[0], (method, url))
        self.assertEqual(200, daemon.request("GET", f"{path}/images", headers=stranger)[0])
        self.assertEqual(200, daemon.request("PUT", "/v1/repositories/jane/app/", b"[]", stranger)[0])

    def test_colleagues(self) -> None:
        """Where accounts are given, whoever has one pushes to what is not private, but in the namespaces of others."""
        daemon = self.start("pull")
        daemon.stop()
        daemon.configure('[auth]\nanonymous = "pull"\nregistration = "closed"\n')
        daemon.start()
        owner, colleague = basic("joe_1", "secret of joe_1"), basic("jane", "secret of jane")
        for headers in (owner, colleague):
            self.assertEqual(200, daemon.request("PUT", "/v1/repositories/demo/app/", b"[]", headers)[0])
        self.assertEqual(404, daemon.request("PUT", "/v1/repositories/joe_1/app/", b"[]", colleague)[0])
        self.assertEqual(200, daemon.request("PUT", "/v1/repositories/joe_1/app/", b"[]", owner)[0])
        self.assertEqual(403, daemon.request("PUT", "/v1/repositories/joe_1/app/", b"[]", colleague)[0])

    def test_token_is_a_ceiling(self) -> None:
        """A token opens its repository, for what it says; it opens no other one, whoever its bearer is."""
        daemon = self.start("pull")
        owner = basic("joe_1", "secret of joe_1")
        self.assertEqual(200, daemon.request("PUT", "/v1/repositories/joe_1/other/", b"[]", owner)[0])
        write = daemon.request("PUT", "/v1/repositories/joe_1/app/", b"[]", owner)[2]["x-docker-token"]
        read = daemon.request("GET", "/v1/repositories/joe_1/app/images", headers=owner)[2]["x-docker-token"]
        tag = json.dumps(IMAGE).encode()
        for token, path, method, expected in (
            (write, "joe_1/app/tags/x", "PUT", 404), (read, "joe_1/app/tags/x", "PUT", 403),
            (write, "joe_1/app/tags", "GET", 200), (read, "joe_1/app/tags", "GET", 200),
            (write, "joe_1/other/tags/x", "PUT", 404), (write, "joe_1/other/tags", "GET", 404),
            (write, "joe_1/app/", "DELETE", 403), (read, "joe_1/app/", "DELETE", 403),
        ):  # fmt: skip
            for spelling in (
                f"Token {token}",
                f"Token Token {token}",
                f"token {token},{token}",
                f"Token {token}, {token}",
            ):
                headers = {"Authorization": spelling}
                body = tag if method == "PUT" else None
                answered = daemon.request(method, f"/v1/repositories/{path}", body, headers)
                self.assertEqual(expected, answered[0], (path, method, spelling, answered))

    def test_disabled_account(self) -> None:
        """The token of an account dies with the account."""
        daemon = self.start("none")
        owner = basic("joe_1", "secret of joe_1")
        token = daemon.request("PUT", "/v1/repositories/joe_1/app/", b"[]", owner)[2]["x-docker-token"]
        headers = {"Authorization": f"Token {token}"}
        self.assertEqual(200, daemon.request("GET", "/v1/repositories/joe_1/app/tags", headers=headers)[0])
        self.assertEqual(0, daemon.command("user", "disable", "joe_1"))
        self.assertIn(daemon.request("GET", "/v1/repositories/joe_1/app/tags", headers=headers)[0], (401, 403))
        self.assertEqual(403, daemon.request("GET", "/v1/users/", headers=owner)[0])
        self.assertEqual(401, daemon.request("GET", "/v1/users/", headers=basic("joe_1", "wrong"))[0])

    def test_changed_password(self) -> None:
        """A changed password ends the old one at once, remembered or not."""
        daemon = self.start("none")
        old, new = basic("jane", "secret of jane"), basic("jane", "jane has changed it")
        self.assertEqual(200, daemon.request("GET", "/v1/users/", headers=old)[0])
        body = b'{"password": "jane has changed it"}'
        self.assertEqual(403, daemon.request("PUT", "/v1/users/joe_1/", body, old)[0])
        self.assertEqual(204, daemon.request("PUT", "/v1/users/jane/", body, old)[0])
        self.assertEqual(401, daemon.request("GET", "/v1/users/", headers=old)[0])
        self.assertEqual(200, daemon.request("GET", "/v1/users/", headers=new)[0])

    def test_two_people(self) -> None:
        """Two people in one request are nobody, in whichever order; the same credentials twice are one."""
        daemon = self.start("none")
        jane, joe = (basic(name, f"secret of {name}")["Authorization"] for name in ("jane", "joe_1"))
        for values, expected in (
            ((jane, joe), 401),
            ((jane, "Basic Og=="), 401),
            (("", jane), 401),
            ((jane, jane), 200),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
            self.addCleanup(connection.close)
            connection.putrequest("GET", "/v2/")
            for value in values:
                connection.putheader("Authorization", value)
            connection.endheaders()
            self.assertEqual(expected, connection.getresponse().status, values)

    def test_tokens_of_a_changed_password(self) -> None:
        """What was had with the old password ends with it, in v1 and v2; what was had with the new one is good."""
        daemon = self.start("none")

        def had(password: str) -> list[tuple[str, str, int]]:
            owner = basic("jane", password)
            v1 = daemon.request("PUT", "/v1/repositories/jane/app/", b"[]", owner)[2]["x-docker-token"]
            v2 = json.loads(daemon.request("GET", "/v2/token?scope=repository:jane/app:pull", headers=owner)[1])
            return [
                (f"Token {v1}", "/v1/repositories/jane/app/tags", 200),
                (f"Bearer {v2['token']}", "/v2/jane/app/tags/list", 200),
            ]

        def answers(tokens: list[tuple[str, str, int]]) -> list[int]:
            return [daemon.request("GET", path, headers={"Authorization": token})[0] for token, path, _ in tokens]

        old = had("secret of jane")
        self.assertEqual([200, 200], answers(old))
        self.assertEqual(0, daemon.command("user", "password", "jane", "--password-stdin", text="a new one\n"))
        self.assertEqual([401, 401], answers(old))
        self.assertEqual([200, 200], answers(had("a new one")))
