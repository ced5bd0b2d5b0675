"""The token service over sockets, asked in the ways in which clients ask it."""

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import jwt

from tests.integration.tokencase import FORM, PASSWORDS, TokenCase, basic


class FlowTests(TokenCase):
    """From the challenge to the content."""

    def test_challenge(self) -> None:
        """Without credentials the base is a 401 that names the token service of this very host, and no scope."""
        reply = self.ask("GET", "/v2/")
        self.refused(401, "UNAUTHORIZED", reply)
        self.assertEqual(
            f'Bearer realm="http://{self.host}/v2/token",service="{self.host}"', reply.headers["www-authenticate"]
        )

    def test_host(self) -> None:
        """The realm is where the client said that it is, and the token is good there."""
        reply = self.ask("GET", "/v2/", Host="r.example:5000")
        self.assertEqual(
            'Bearer realm="http://r.example:5000/v2/token",service="r.example:5000"', reply.headers["www-authenticate"]
        )
        made = self.ask("GET", "/v2/token?service=r.example:5000", Host="r.example:5000", Authorization=basic("alice"))
        bearer = self.bearer(made.document["token"])
        self.assertEqual(200, self.ask("GET", "/v2/", Host="r.example:5000", Authorization=bearer).status)
        self.refused(401, "UNAUTHORIZED", self.ask("GET", "/v2/", Authorization=bearer))

    def test_login(self) -> None:
        """A token without scope is what a login asks for; with it the base is there, and with a wrong password none is."""
        reply = self.token_reply(
            authorization=basic("alice"), account="alice", client_id="docker", offline_token="true"
        )
        self.assertEqual(200, self.ask("GET", "/v2/", Authorization=self.bearer(reply.document["token"])).status)
        wrong = self.token_reply(authorization=basic("alice", "wrong"), account="alice")
        self.refused(401, "UNAUTHORIZED", wrong)
        # Another token would not help.
        self.assertEqual('Basic realm="dockreg"', wrong.headers["www-authenticate"])

    def test_push_and_pull(self) -> None:
        """A token with the scope of the challenge lets its bearer push, and everybody pull with one of nobody."""
        start = self.ask("POST", "blobs/uploads/", b"")
        self.refused(401, "UNAUTHORIZED", start)
        self.assertIn(f'scope="{self.scope("pull", "push")}"', start.headers["www-authenticate"])
        self.push_as(self.name, self.bearer(self.token(self.scope("pull", "push"), name="alice")))
        anonymous = self.bearer(self.token(self.scope("pull")))
        reply = self.ask("GET", "manifests/1", Authorization=anonymous)
        self.assertEqual(200, reply.status, reply.content)
        for blob in (reply.document["config"], *reply.document["layers"]):
            self.assertEqual(200, self.ask("GET", f"blobs/{blob['digest']}", Authorization=anonymous).status)

    def test_mount(self) -> None:
        """A mount is challenged with both scopes, the source's second, and works with a token that has both."""
        self.push_as(self.name, basic("alice"))
        layer = self.ask("GET", "manifests/1").document["layers"][0]["digest"]
        query = f"blobs/uploads/?mount={layer}&from={self.name}"
        target = f"/v2/alice/copy-{self.daemon.port}/"
        reply = self.ask("POST", target + query, b"")
        self.refused(401, "UNAUTHORIZED", reply)
        scopes = f"{self.scope('pull', 'push', name=target[4:-1])} {self.scope('pull')}"
        self.assertIn(f'scope="{scopes}"', reply.headers["www-authenticate"])
        token = self.token(*scopes.split(), name="alice")
        self.assertEqual(201, self.ask("POST", target + query, b"", Authorization=self.bearer(token)).status)

    def test_scopes_separated_by_blanks(self) -> None:
        """Several scopes may be in one parameter."""
        reply = self.token_reply(f"{self.scope('pull', 'push')} registry:catalog:*", authorization=basic("alice"))
        self.assertEqual(f"{self.scope('pull', 'push')} registry:catalog:*", reply.document["scope"])

    def test_insufficient_scope(self) -> None:
        """A token that was not asked for with the scope is told which one to ask for."""
        token = self.token(self.scope("pull"), name="alice")
        for method, path, scope in (
            ("POST", "blobs/uploads/", self.scope("pull", "push")),
            ("DELETE", "manifests/1", self.scope("pull", "delete")),
            ("GET", "/v2/berta/other/tags/list", "repository:berta/other:pull"),
            ("GET", "/v2/_catalog", "registry:catalog:*"),
        ):
            reply = self.ask(method, path, b"" if method == "POST" else None, Authorization=self.bearer(token))
            self.refused(401, "UNAUTHORIZED", reply)
            self.assertIn(f'scope="{scope}",error="insufficient_scope"', reply.headers["www-authenticate"])

    def test_without_the_right(self) -> None:
        """Who may not is told so, though the token was asked for with the scope: no other token would help."""
        self.push_as(self.name, basic("alice"))
        self.make_private(self.name)
        token = self.token(self.scope("pull", "push"), name="berta")
        for method, path in (("GET", "manifests/1"), ("GET", "tags/list"), ("POST", "blobs/uploads/")):
            reply = self.ask(method, path, b"" if method == "POST" else None, Authorization=self.bearer(token))
            self.refused(404, "NAME_UNKNOWN", reply)
            self.assertNotIn("www-authenticate", reply.headers)
        # Nobody would be somebody with a password.
        anonymous = self.token(self.scope("pull", "push"))
        reply = self.ask("GET", "manifests/1", Authorization=self.bearer(anonymous))
        self.refused(401, "UNAUTHORIZED", reply)
        self.assertNotIn("error=", reply.headers["www-authenticate"])

    def test_rights_of_the_moment(self) -> None:
        """What may be done is decided at each request: a token that was good for it ends with the right."""
        self.push_as(self.name, basic("alice"))
        token = self.bearer(self.token(self.scope("pull"), name="berta"))
        self.assertEqual(200, self.ask("GET", "manifests/1", Authorization=token).status)
        self.make_private(self.name)
        self.refused(404, "NAME_UNKNOWN", self.ask("GET", "manifests/1", Authorization=token))

    def test_disabled_account(self) -> None:
        """The tokens of an account that is disabled end with the next request."""
        made = self.form(grant_type="password", username="carla", password=PASSWORDS["carla"], access_type="offline")
        token, refresh_token = made.document["token"], made.document["refresh_token"]
        self.assertEqual(200, self.ask("GET", "/v2/", Authorization=self.bearer(token)).status)
        self.daemon.command("user", "disable", "carla")
        self.addCleanup(self.daemon.command, "user", "enable", "carla")
        reply = self.ask("GET", "/v2/", Authorization=self.bearer(token))
        self.refused(401, "UNAUTHORIZED", reply)
        self.assertIn('error="invalid_token"', reply.headers["www-authenticate"])
        self.refused_as("invalid_grant", self.form(grant_type="refresh_token", refresh_token=refresh_token))
        self.refused_as(
            "invalid_grant", self.form(grant_type="password", username="carla", password=PASSWORDS["carla"])
        )
        self.refused(403, "DENIED", self.token_reply(authorization=basic("carla")))

    def test_access_token(self) -> None:
        """What is had for an access token reaches no further than that, in v1 too, and ends when it is revoked."""
        made = self.daemon.told(
            "token", "create", "alice", "--scope", f"{self.name}:pull,push", "--scope", "berta/*:pull"
        )
        self.push_as(self.name, basic("alice", made["token"]))
        reply = self.token_reply(
            self.scope("pull", "push", "delete"), authorization=basic("alice", made["token"]), offline_token="true"
        )
        self.assertEqual(self.scope("pull", "push"), reply.document["scope"])
        bearer, refresh_token = self.bearer(reply.document["token"]), reply.document["refresh_token"]
        self.push_as(self.name, bearer)
        # It was asked for: another token would not help.
        self.refused(403, "DENIED", self.ask("DELETE", "manifests/1", Authorization=bearer))
        renewed = self.form(grant_type="refresh_token", refresh_token=refresh_token, scope=self.scope("pull", "delete"))
        self.assertEqual(self.scope("pull"), renewed.document["scope"])
        listed: Any = {"X_Docker_Token": "true", "Authorization": basic("alice", made["token"])}
        v1 = "Token " + self.ask("GET", f"/v1/repositories/{self.name}/images", **listed).headers["x-docker-token"]
        tags = f"/v1/repositories/{self.name}/tags"
        self.assertEqual(200, self.ask("GET", tags, Authorization=v1).status)
        self.daemon.told("token", "revoke", made["id"])
        for authorization in (bearer, self.bearer(renewed.document["token"]), basic("alice", made["token"])):
            self.refused(401, "UNAUTHORIZED", self.ask("GET", "/v2/", Authorization=authorization))
        self.assertEqual(401, self.ask("GET", tags, Authorization=v1).status)
        self.refused_as("invalid_grant", self.form(grant_type="refresh_token", refresh_token=refresh_token))

    def test_catalog(self) -> None:
        """A token for the catalog shows what its bearer may pull."""
        private = f"{self.name}-private"
        for name in (self.name, private):
            self.push_as(name, basic("alice"))
        self.make_private(private)
        for who, seen in (("alice", {self.name, private}), ("berta", {self.name}), ("", {self.name})):
            token = self.token("registry:catalog:*", name=who)
            reply = self.ask("GET", "/v2/_catalog", Authorization=self.bearer(token))
            self.assertEqual(seen, {self.name, private} & set(reply.document["repositories"]))

    def test_not_a_token(self) -> None:
        """What is no token is refused as one that is invalid, where none is needed too; Basic works beside."""
        for path in ("/v2/", "tags/list"):
            for value in ("x", "a.b.c", ""):
                reply = self.ask("GET", path, Authorization=f"Bearer {value}")
                self.refused(401, "UNAUTHORIZED", reply)
                self.assertIn('error="invalid_token"', reply.headers["www-authenticate"])
        self.assertEqual(200, self.ask("GET", "/v2/", Authorization=basic("alice")).status)


class AnswerTests(TokenCase):
    """What comes with a token."""

    def test_members(self) -> None:
        """A token under both names, for how long, since when; nothing that a cache keeps."""
        reply = self.token_reply(self.scope("pull", "push"), authorization=basic("alice"))
        self.assertEqual(200, reply.status)
        document = reply.document
        self.assertEqual(document["token"], document["access_token"])
        self.assertEqual(("Bearer", 300), (document["token_type"], document["expires_in"]))
        self.assertRegex(document["issued_at"], r"\A20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
        self.assertEqual(self.scope("pull", "push"), document["scope"])
        self.assertNotIn("refresh_token", document)
        self.assertEqual("no-store", reply.headers["cache-control"])
        self.assertEqual("application/json", reply.headers["content-type"])

    def test_reduced(self) -> None:
        """What somebody may not do is left out, without an error; anonymous gets a token, too."""
        self.push_as(self.name, basic("alice"))
        wanted = self.scope("pull", "push", "delete")
        self.assertEqual(self.scope("pull", "push", "delete"), self.reply_scope(wanted, "alice"))
        self.assertEqual(self.scope("pull"), self.reply_scope(wanted, ""))
        self.make_private(self.name)
        for name in ("berta", ""):
            self.assertEqual("", self.reply_scope(wanted, name))
        self.assertEqual("", self.reply_scope(f"user:alice:* {self.scope('fly')} x::y", "alice"))

    def reply_scope(self, wanted: str, name: str) -> object:
        return self.token_reply(wanted, authorization=basic(name) if name else "").document["scope"]

    def test_keys(self) -> None:
        """Whoever fetches the published keys can verify a token, by the key id in it."""
        reply = self.ask("GET", "/v2/token/jwks.json")
        self.assertEqual("application/jwk-set+json", reply.headers["content-type"])
        (key,) = jwt.PyJWKSet.from_dict(reply.document).keys
        token = self.token(self.scope("pull", "push"), name="alice")
        self.assertEqual(key.key_id, jwt.get_unverified_header(token)["kid"])
        claims: Any = jwt.decode(token, key, algorithms=["ES256"], audience=self.host, issuer="dockreg")
        self.assertEqual("alice", claims["sub"])
        self.assertEqual([{"type": "repository", "name": self.name, "actions": ["pull", "push"]}], claims["access"])

    def test_head(self) -> None:
        """HEAD comes with GET."""
        self.assertEqual((200, b""), (self.ask("HEAD", "/v2/token").status, self.ask("HEAD", "/v2/token").content))

    def test_other_methods(self) -> None:
        """Nothing else can be done to a token service."""
        for method in ("PUT", "DELETE", "PATCH"):
            reply = self.ask(method, "/v2/token", b"")
            self.refused(405, "UNSUPPORTED", reply)

    def test_many_scopes(self) -> None:
        """However many scopes are asked for, the token fits into a header."""
        scopes = [self.scope("pull", "push", name=f"alice/{'x' * 80}{number}") for number in range(50)]
        token = self.bearer(self.token(" ".join(scopes), name="alice"))
        self.assertEqual(200, self.ask("GET", "/v2/", Authorization=token).status)

    def test_other_service(self) -> None:
        """A token for another service is not made here."""
        reply = self.ask(
            "GET", "/v2/token?service=registry.example&scope=repository:a:pull", Authorization=basic("alice")
        )
        self.refused(400, "UNSUPPORTED", reply)
        self.refused_as("invalid_request", self.form(grant_type="password", service="registry.example"))

    def test_tokens_get_no_tokens(self) -> None:
        """A token is had for a password: not for another token, which would make that one endless."""
        bearer = self.bearer(self.token(self.scope("pull"), name="alice"))
        for authorization in (bearer, "Token signature=x", "Digest x"):
            reply = self.token_reply(self.scope("pull"), authorization=authorization)
            self.refused(401, "UNAUTHORIZED", reply)
            self.assertEqual('Basic realm="dockreg"', reply.headers["www-authenticate"])


class FormTests(TokenCase):
    """The POST of OAuth2."""

    def test_password(self) -> None:
        """Name and password in a form give a token, and what renews it if that is asked for."""
        wanted = f"{self.scope('pull', 'push')} registry:catalog:*"
        for more, renewable in (({}, False), ({"access_type": "offline"}, True), ({"access_type": "online"}, False)):
            reply = self.form(
                grant_type="password", username="alice", password=PASSWORDS["alice"], scope=wanted, **more
            )
            self.assertEqual(200, reply.status, reply.content)
            self.assertEqual(wanted, reply.document["scope"])
            self.assertEqual(renewable, "refresh_token" in reply.document)
            self.assertEqual("no-store", reply.headers["cache-control"])
            self.push_as(self.name, self.bearer(reply.document["access_token"]))

    def test_refresh(self) -> None:
        """A refresh token gives tokens again and again, and another one that ends no later."""
        made = self.token_reply(authorization=basic("alice"), offline_token="true")
        refresh_token = made.document["refresh_token"]
        for _ in range(2):
            reply = self.form(grant_type="refresh_token", refresh_token=refresh_token, scope=self.scope("pull", "push"))
            self.assertEqual(200, reply.status, reply.content)
            self.assertNotIn("refresh_token", reply.document)
            self.push_as(self.name, self.bearer(reply.document["access_token"]))
        second = self.form(grant_type="refresh_token", refresh_token=refresh_token, access_type="offline")
        ends = [
            jwt.decode(each, options={"verify_signature": False})["exp"]
            for each in (refresh_token, second.document["refresh_token"])
        ]
        self.assertEqual(ends[0], ends[1])

    def test_refresh_token_is_no_bearer(self) -> None:
        """A refresh token opens nothing by itself."""
        refresh_token = self.token_reply(authorization=basic("alice"), offline_token="true").document["refresh_token"]
        self.refused(401, "UNAUTHORIZED", self.ask("GET", "/v2/", Authorization=self.bearer(refresh_token)))
        self.refused_as("invalid_grant", self.form(grant_type="refresh_token", refresh_token=self.token(name="alice")))

    def test_changed_password(self) -> None:
        """A refresh token ends with the password that it was had for."""
        made = self.form(grant_type="password", username="berta", password=PASSWORDS["berta"], access_type="offline")
        refresh_token = made.document["refresh_token"]
        self.set_password("berta", PASSWORDS["berta"], "another secret")
        self.addCleanup(self.set_password, "berta", "another secret", PASSWORDS["berta"])
        self.refused_as("invalid_grant", self.form(grant_type="refresh_token", refresh_token=refresh_token))

    def set_password(self, name: str, old: str, new: str) -> None:
        body = json.dumps({"password": new}).encode()
        self.assertEqual(204, self.ask("PUT", f"/v1/users/{name}/", body, Authorization=basic(name, old)).status)

    def test_anonymous_has_nothing_to_renew(self) -> None:
        """Nobody gets no refresh token, asked for or not."""
        self.assertNotIn("refresh_token", self.token_reply(self.scope("pull"), offline_token="true").document)

    def test_wrong(self) -> None:
        """What is missing, wrong or unknown is told in the words of OAuth2."""
        for error, fields in (
            ("invalid_request", {}),
            ("invalid_request", {"grant_type": "password"}),
            ("invalid_request", {"grant_type": "password", "username": "alice"}),
            ("invalid_request", {"grant_type": "password", "username": "", "password": "x"}),
            ("invalid_grant", {"grant_type": "password", "username": "alice", "password": "wrong"}),
            ("invalid_grant", {"grant_type": "password", "username": "stranger", "password": "wrong"}),
            ("invalid_grant", {"grant_type": "password", "username": "alice\0", "password": ""}),
            ("invalid_grant", {"grant_type": "refresh_token"}),
            ("invalid_grant", {"grant_type": "refresh_token", "refresh_token": "a.b.c"}),
            ("unsupported_grant_type", {"grant_type": "client_credentials"}),
            ("unsupported_grant_type", {"grant_type": ""}),
        ):
            self.refused_as(error, self.form(**fields))

    def test_bad_forms(self) -> None:
        """A body that is no form, has a field twice, or too many of them is refused; one that is too large, unread."""
        good = f"grant_type=password&username=alice&password={PASSWORDS['alice']}".replace(" ", "+").encode()
        for body, kind in (
            (good, "application/json"),
            (good, ""),
            (json.dumps({"grant_type": "password"}).encode(), "application/json"),
            (good + b"&grant_type=password", FORM),
            (good + b"&username=berta", FORM),
            (good + b"&x=%ff", FORM),
            (good + "&x=é".encode(), FORM),
            (good + b"&a=1" * 100, FORM),
        ):
            reply = self.ask("POST", "/v2/token", body, **({"Content_Type": kind} if kind else {}))
            self.refused_as("invalid_request", reply)
        for kind in (FORM, f"{FORM}; charset=UTF-8", FORM.upper()):
            self.assertEqual(200, self.ask("POST", "/v2/token", good, Content_Type=kind).status)
        large = self.ask("POST", "/v2/token", good + b"&x=" + b"y" * 100_000, Content_Type=FORM)
        self.refused(413, "SIZE_INVALID", large)

    def test_large_is_not_read(self) -> None:
        """A form that says that it is too large is answered before it comes."""
        connection = HTTPConnection("127.0.0.1", self.daemon.port, timeout=20)
        self.addCleanup(connection.close)
        connection.putrequest("POST", "/v2/token")
        for name, value in (("Content-Type", FORM), ("Content-Length", str(2**40))):
            connection.putheader(name, value)
        connection.endheaders()
        self.assertEqual(413, connection.getresponse().status)

    def test_the_query_is_no_form(self) -> None:
        """What stands in the URL, where logs keep it, is not read from there."""
        query = urlencode({"grant_type": "password", "username": "alice", "password": PASSWORDS["alice"]})
        self.refused_as("invalid_request", self.ask("POST", f"/v2/token?{query}", b"", Content_Type=FORM))


class BasicTests(TokenCase):
    """A registry that asks for passwords."""

    CONFIG = TokenCase.CONFIG + 'challenge = "basic"\n'

    def test_challenge(self) -> None:
        """The challenge is Basic; who has a token all the same may come with it, and is helped to another."""
        reply = self.ask("GET", "/v2/")
        self.assertEqual('Basic realm="dockreg"', reply.headers["www-authenticate"])
        token = self.bearer(self.token(self.scope("pull"), name="alice"))
        self.assertEqual(200, self.ask("GET", "/v2/", Authorization=token).status)
        reply = self.ask("POST", "blobs/uploads/", b"", Authorization=token)
        self.assertIn('error="insufficient_scope"', reply.headers["www-authenticate"])
