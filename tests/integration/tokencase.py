"""A registry where people log in, and the words of its token service."""

import base64
import json
from urllib.parse import urlencode

from tests.integration.v2case import Reply, V2Case, digest_of, make_sample

PASSWORDS = {"alice": "secret of alice", "berta": "secret of berta", "carla": "secret of carla"}
FORM = "application/x-www-form-urlencoded"


def basic(name: str, password: str | None = None) -> str:
    """The header of somebody with a password."""
    given = PASSWORDS[name] if password is None else password
    return "Basic " + base64.b64encode(f"{name}:{given}".encode()).decode()


class TokenCase(V2Case):
    """Everybody may pull what is public, and people with accounts push."""

    CONFIG = '[auth]\nanonymous = "pull"\n'

    def setUp(self) -> None:
        super().setUp()
        for name, password in PASSWORDS.items():
            # They are there already when this is not the first test.
            self.ask("POST", "/v1/users/", json.dumps({"username": name, "password": password}).encode())
        self.name = f"alice/{self.name.replace('/', '-')}"
        self.host = f"127.0.0.1:{self.daemon.port}"

    def token_reply(self, *scopes: str, authorization: str = "", **parameters: str) -> Reply:
        """The answer to a GET."""
        query = urlencode([("service", self.host), *(("scope", scope) for scope in scopes), *parameters.items()])
        headers = {"Authorization": authorization} if authorization else {}
        return self.ask("GET", f"/v2/token?{query}", None, **headers)

    def token(self, *scopes: str, name: str = "") -> str:
        """A token for the scopes."""
        reply = self.token_reply(*scopes, authorization=basic(name) if name else "")
        self.assertEqual(200, reply.status, reply.content)
        return str(reply.document["token"])

    def form(self, **fields: str) -> Reply:
        """The answer to a POST."""
        body = urlencode({"service": self.host, "client_id": "test", **fields}).encode()
        return self.ask("POST", "/v2/token", body, Content_Type=FORM)

    def scope(self, *actions: str, name: str | None = None) -> str:
        """The scope for actions in the repository of this test."""
        return f"repository:{name or self.name}:{','.join(actions)}"

    def push_as(self, name: str, authorization: str) -> None:
        """Push an image there."""
        sample = make_sample(name, layers=1)
        for content in (*sample.blobs, sample.config):
            reply = self.ask(
                "POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}", content, Authorization=authorization
            )
            self.assertEqual(201, reply.status, reply.content)
        reply = self.ask(
            "PUT",
            f"/v2/{name}/manifests/1",
            sample.manifest,
            Authorization=authorization,
            Content_Type=sample.media_type,
        )
        self.assertEqual(201, reply.status, reply.content)

    def make_private(self, name: str) -> None:
        """Close a repository to everybody but its owner."""
        body = b'{"access": "private"}'
        reply = self.ask("PUT", f"/v1/repositories/{name}/properties", body, Authorization=basic("alice"))
        self.assertEqual(200, reply.status, reply.content)

    def bearer(self, token: str) -> str:
        return f"Bearer {token}"

    def refused_as(self, error: str, reply: Reply) -> None:
        """Check an error of OAuth2."""
        self.assertEqual(400, reply.status, reply.content)
        self.assertEqual(error, reply.document["error"])
        self.assertNotEqual("", reply.document["error_description"])
        self.assertEqual(reply.document["error_description"], reply.document["errors"][0]["message"])
        self.assertEqual("no-store", reply.headers["cache-control"])
        self.assertNotIn("www-authenticate", reply.headers)
