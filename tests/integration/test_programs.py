"""What people make for their programs over HTTP: access tokens and robots."""

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.test_refusals import basic
from tests.processes import PreparedDaemon

ANNA, BERTA = basic("anna", "secret"), basic("berta", "secret")


class ProgramsTests(SynchronousTestCase):
    """Each has their own, and changes nobody else's."""

    def setUp(self) -> None:
        config = 'auth.anonymous = "none"\n'
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=config)
        self.daemon.start()
        self.addCleanup(self.daemon.kill)
        for name in ("anna", "berta"):
            account = {"username": name, "password": "secret", "email": ""}
            self.assertEqual(201, self.daemon.request("POST", "/v1/users/", json.dumps(account).encode())[0])

    def ask(self, method: str, path: str, who: dict[str, str] = ANNA, **members: Any) -> tuple[int, Any]:
        """Status and document of an answer."""
        body = json.dumps(members).encode() if method == "POST" else None
        status, content, headers = self.daemon.request(method, f"/v1/users/{path}", body, who)
        if status in (200, 201):
            self.assertEqual("no-store", headers["cache-control"])
        return status, json.loads(content) if content else None

    def test_tokens(self) -> None:
        """A token is made with the password, shown once, good within its scopes, and gone when it is revoked."""
        status, made = self.ask("POST", "anna/tokens/", scopes=["anna/**:pull,push"], description="ci", days=7)
        self.assertEqual((201, "anna", ["anna/**:pull,push"]), (status, made["account"], made["scopes"]))
        self.assertEqual(7 * 86400, made["expires_at"] - made["created_at"])
        bearer = basic("anna", made.pop("token"))
        start = "/v2/anna/app/blobs/uploads/"
        self.assertEqual(202, self.daemon.request("POST", start, b"", bearer)[0])
        self.assertEqual(404, self.daemon.request("POST", "/v2/other/app/blobs/uploads/", b"", bearer)[0])
        status, (listed,) = self.ask("GET", "anna/tokens/")
        self.assertGreater(listed.pop("used_at"), 0)
        self.assertEqual({key: value for key, value in made.items() if key != "used_at"}, listed)
        self.assertEqual(204, self.ask("DELETE", f"anna/tokens/{made['id']}")[0])
        self.assertEqual(401, self.daemon.request("POST", start, b"", bearer)[0])
        self.assertEqual((200, []), self.ask("GET", "anna/tokens/"))

    def test_token_is_not_enough(self) -> None:
        """Whoever has a token, of whatever scope, can make no other, and can not change the password."""
        text = self.ask("POST", "anna/tokens/", scopes=["**:*"], days=None)[1]["token"]
        bearer = basic("anna", text)
        self.assertEqual(401, self.ask("POST", "anna/tokens/", bearer, scopes=["**:*"])[0])
        self.assertEqual(401, self.ask("GET", "anna/tokens/", bearer)[0])
        self.assertEqual(401, self.ask("POST", "anna/robots/", bearer, name="ci")[0])
        self.assertEqual(401, self.daemon.request("PUT", "/v1/users/anna/", b'{"password": "other"}', bearer)[0])

    def test_robots(self) -> None:
        """A robot and its tokens are its owner's to make and to delete."""
        status, robot_made = self.ask("POST", "anna/robots/", name="ci")
        self.assertEqual((201, "anna+ci"), (status, robot_made["name"]))
        self.assertEqual(400, self.ask("POST", "anna/robots/", name="ci")[0])
        status, made = self.ask("POST", "anna+ci/tokens/", scopes=["**:pull"])
        self.assertEqual((201, "anna+ci"), (status, made["account"]))
        robot = basic("anna+ci", made["token"])
        self.assertEqual(200, self.daemon.request("GET", "/v1/users/", headers=robot)[0])
        self.assertEqual(["anna+ci"], [each["name"] for each in self.ask("GET", "anna/robots/")[1]])
        self.assertEqual(204, self.ask("DELETE", "anna/robots/ci")[0])
        self.assertEqual(401, self.daemon.request("GET", "/v1/users/", headers=robot)[0])
        self.assertEqual(404, self.ask("DELETE", "anna/robots/ci")[0])

    def test_others(self) -> None:
        """Nobody but an administrator sees or changes what is another's, and a token is found under its account only."""
        self.ask("POST", "anna/robots/", name="ci")
        made = self.ask("POST", "anna/tokens/", scopes=["**:pull"])[1]
        for path in ("anna/tokens/", "anna+ci/tokens/", "anna/robots/"):
            self.assertEqual(403, self.ask("GET", path, BERTA)[0], path)
            self.assertEqual(403, self.ask("POST", path, BERTA, scopes=["**:pull"], name="x")[0], path)
        self.assertEqual(403, self.ask("DELETE", f"anna/tokens/{made['id']}", BERTA)[0])
        self.assertEqual(403, self.ask("DELETE", "anna/robots/ci", BERTA)[0])
        self.assertEqual(404, self.ask("DELETE", f"berta/tokens/{made['id']}", BERTA)[0])
        self.assertEqual(0, self.daemon.command("user", "admin", "berta"))
        self.assertEqual(204, self.ask("DELETE", f"anna/tokens/{made['id']}", BERTA)[0])
        self.assertEqual(404, self.ask("GET", "carla/tokens/", BERTA)[0])

    def test_mistakes(self) -> None:
        """What can not be made is refused with a sentence that says what to send."""
        wrong: list[dict[str, Any]] = [
            {},
            {"scopes": "x:pull"},
            {"scopes": []},
            {"scopes": ["x"]},
            {"scopes": [1]},
            {"scopes": ["x:pull"], "days": 0},
            {"scopes": ["x:pull"], "days": True},
            {"scopes": ["x:pull"], "days": "7"},
            {"scopes": ["x:pull"], "description": 7},
        ]
        for members in wrong:
            with self.subTest(members=members):
                status, document = self.ask("POST", "anna/tokens/", **members)
                self.assertEqual((400, ["error"]), (status, list(document)))
        self.assertEqual(400, self.ask("POST", "anna/robots/", name="A")[0])
        self.assertEqual(400, self.ask("POST", "anna/robots/")[0])
        self.assertEqual(404, self.ask("POST", "anna+ci/robots/", name="x")[0])
