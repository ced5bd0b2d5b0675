"""Programs log in with access tokens, with every client that takes a password."""

import json
from collections.abc import Sequence

from tests.clients import logins
from tests.integration.test_refusals import basic

_OWNER = basic("alice", "a secret of alice")


class AccessTokenTests(logins.LoginCase):
    """The robot of an account pushes where its token reaches, and no longer once that is revoked."""

    settings = '[auth]\nanonymous = "none"\n'

    def setUp(self) -> None:
        super().setUp()
        made = self.daemon.command("user", "create", "alice", "--password-stdin", text="a secret of alice\n")
        self.assertEqual(0, made)
        self.assertEqual(0, self.daemon.command("robot", "create", "alice+ci"))
        self.assertEqual(0, self.daemon.command("grant", "create", "alice+ci", "alice/**:pull,push,overwrite"))
        scopes = {"scopes": ["alice/app:pull,push,overwrite"]}
        answer = self.daemon.request("POST", "/v1/users/alice+ci/tokens/", json.dumps(scopes).encode(), _OWNER)
        self.assertEqual(201, answer[0])
        self.token = json.loads(answer[1])

    def check(self, name: str, *login: str, tls: Sequence[str] = ()) -> None:
        """Log in, push within the scope and outside, and push again after the token was revoked."""
        client = self.client(name)
        self.place.run(
            *login, *tls, "--username=alice+ci", "--password-stdin", self.host, text=self.token["token"].encode()
        )
        target = self.reference("alice/app")
        client.push(self.archive, target)
        self.pulled_by((name,), target, self.sample.image)
        self.assertRaises(AssertionError, client.push, self.archive, self.reference("alice/other"))
        self.assertEqual(0, self.daemon.command("token", "revoke", self.token["id"]))
        self.assertRaises(AssertionError, client.push, self.archive, target)
