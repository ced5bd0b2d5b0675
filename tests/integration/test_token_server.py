"""A registry that trusts the tokens of another server, over sockets."""

import base64
import json
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.v2case import digest_of, make_sample
from tests.processes import PreparedDaemon

_SERVICE, _ISSUER = "registry.example", "tokens of the test"
#: Who may do what there.
_PEOPLE = {"anna": ("secret", ["pull", "push"]), "bert": ("secret", ["pull"]), "": ("", [])}


class TokenServer(ThreadingHTTPServer):
    """Makes tokens, and publishes the key; what it is asked is written down."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[str] = []
        self.renew("first")
        self._thread = Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def renew(self, key_id: str) -> None:
        """Sign with another key from now on."""
        self.key_id, self.key = key_id, ec.generate_private_key(ec.SECP256R1())

    def stop(self) -> None:
        """Take no more requests."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def token(self, access: list[dict[str, Any]], name: str = "anna", **claims: Any) -> str:
        """A token."""
        now = int(time.time())  # the daemon has the same clock
        usual = {"iss": _ISSUER, "aud": _SERVICE, "sub": name, "iat": now, "exp": now + 3600, "access": access}
        return jwt.encode({**usual, **claims}, self.key, "ES256", {"kid": self.key_id})

    @property
    def published(self) -> Mapping[str, Any]:
        """The key, as everybody may see it."""
        members = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**members, "kid": self.key_id}]}


class _Answer(BaseHTTPRequestHandler):
    """One request."""

    server: TokenServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/keys":
            self.answer(200, self.server.published)
            return
        _, _, given = self.headers.get("Authorization", "").partition(" ")
        name, _, password = base64.b64decode(given).decode().partition(":")
        if _PEOPLE.get(name, (None,))[0] != password:
            self.answer(401, {})
            return
        access = []
        for scope in parse_qs(urlsplit(self.path).query).get("scope", []):
            kind, repository, actions = scope.split(":")
            granted = [each for each in actions.split(",") if each in _PEOPLE[name][1]]
            access.append({"type": kind, "name": repository, "actions": granted})
        self.answer(200, {"token": self.server.token(access, name)})

    def answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class TokenServerTests(SynchronousTestCase):
    """What the server has granted is granted."""

    def setUp(self) -> None:
        self.server = TokenServer()
        self.addCleanup(self.server.stop)

    def start(self, keys: str) -> None:
        """A registry that trusts the server."""
        server = f"realm = '{self.server.url}/token'\nservice = '{_SERVICE}'\nissuer = '{_ISSUER}'\nreread_seconds = 1"
        config = f"[auth]\nanonymous = 'none'\ncheckers = []\n[auth.token_server]\n{server}\n{keys}\n"
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=config)
        self.addCleanup(self.daemon.stop)
        self.daemon.start()

    def ask(
        self, method: str, path: str, token: str = "", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.daemon.request(
            method, path, body, {**names, **({"Authorization": f"Bearer {token}"} if token else {})}
        )

    def granted(self, repository: str, *actions: str, name: str = "anna") -> str:
        """A token for a repository."""
        return self.server.token([{"type": "repository", "name": repository, "actions": [*actions]}], name)

    def follow(self, challenge: str, name: str) -> str:
        """What a client does with a challenge."""
        members = dict(part.split("=", 1) for part in challenge.removeprefix("Bearer ").split('",'))
        found = {key: value.strip('"') for key, value in members.items()}
        self.assertEqual((f"{self.server.url}/token", _SERVICE), (found["realm"], found["service"]))
        credentials = base64.b64encode(f"{name}:secret".encode()).decode()
        query = "&".join(f"scope={scope}" for scope in found.get("scope", "").split(" ") if scope)
        return self.server_answer(f"/token?service={_SERVICE}&{query}", credentials)

    def server_answer(self, path: str, credentials: str) -> str:
        connection = HTTPConnection(urlsplit(self.server.url).netloc, timeout=20)
        self.addCleanup(connection.close)
        connection.request("GET", path, headers={"Authorization": f"Basic {credentials}"})
        return str(json.loads(connection.getresponse().read())["token"])

    def push(self, name: str, token: str) -> int:
        """Push an image; the status of the first answer that is no success, else that of the last."""
        sample = make_sample("x", layers=1)
        status = 0
        for content in (*sample.blobs, sample.config):
            status, _, _ = self.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}", token, content)
            if status >= 400:
                return status
        path = f"/v2/{name}/manifests/1"
        status, _, _ = self.ask("PUT", path, token, sample.manifest, Content_Type=sample.media_type)
        return status

    def test_published_keys(self) -> None:
        """A client is sent to the server, and may what it has granted, and nothing else; keys may be replaced."""
        self.start(f"key_url = '{self.server.url}/keys'")
        status, _, headers = self.ask("GET", "/v2/")
        self.assertEqual(401, status)
        token = self.follow(headers["www-authenticate"], "anna")
        self.assertEqual(200, self.ask("GET", "/v2/", token)[0])
        # Nothing was asked for, so more may be had.
        status, _, headers = self.ask("POST", "/v2/demo/app/blobs/uploads/", token, b"")
        self.assertEqual(401, status)
        self.assertIn('scope="repository:demo/app:pull,push",error="insufficient_scope"', headers["www-authenticate"])
        self.assertEqual(201, self.push("demo/app", self.follow(headers["www-authenticate"], "anna")))
        pulling = self.follow(headers["www-authenticate"], "bert")
        self.assertEqual(200, self.ask("GET", "/v2/demo/app/manifests/1", pulling)[0])
        self.assertEqual(401, self.push("demo/app", pulling))
        self.assertEqual(401, self.ask("GET", "/v2/demo/app/manifests/1", self.granted("demo/other", "pull"))[0])
        self.assertEqual(1, self.server.asked.count("/keys"))
        self.server.renew("second")
        time.sleep(1.1)  # as long as the registry may be asked for unknown keys without asking again
        self.assertEqual(200, self.ask("GET", "/v2/", self.granted("demo/app", "pull"))[0])
        self.assertEqual(2, self.server.asked.count("/keys"))
        # The key of these is not published any more.
        self.assertEqual(401, self.ask("GET", "/v2/", token)[0])

    def test_catalog(self) -> None:
        """A token for the catalog shows all there is."""
        self.start(f"key_url = '{self.server.url}/keys'")
        self.assertEqual(201, self.push("demo/app", self.granted("demo/app", "pull", "push")))
        token = self.server.token([{"type": "registry", "name": "catalog", "actions": ["*"]}])
        status, body, _ = self.ask("GET", "/v2/_catalog", token)
        self.assertEqual((200, {"repositories": ["demo/app"]}), (status, json.loads(body)))

    def test_key_file(self) -> None:
        """The key may be in a file. The registry makes no tokens of its own, and takes none that others have made."""
        file = Path(self.mktemp()).absolute()
        file.write_bytes(self.server.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        self.start(f"key_files = ['{file}']")
        self.assertEqual(201, self.push("demo/app", self.granted("demo/app", "pull", "push")))
        for path in ("/v2/token", "/v2/token/jwks.json"):
            self.assertEqual(404, self.ask("GET", path)[0])
        access = [{"type": "repository", "name": "demo/app", "actions": ["pull"]}]
        for claims in ({"aud": "other"}, {"iss": "other"}, {"exp": 1}, {"iat": 1}):
            status, _, headers = self.ask("GET", "/v2/demo/app/manifests/1", self.server.token(access, **claims))
            self.assertEqual(401, status)
            self.assertIn('error="invalid_token"', headers["www-authenticate"])
        self.server.renew("second")
        self.assertEqual(401, self.ask("GET", "/v2/", self.granted("demo/app", "pull"))[0])
        self.assertEqual([], self.server.asked)

    def test_no_keys(self) -> None:
        """While the keys can not be had, a client is asked to come back; a file that is not there ends the start."""
        self.start(f"key_url = '{self.server.url}/token'")
        status, _, headers = self.ask("GET", "/v2/", self.granted("demo/app", "pull"))
        self.assertEqual(503, status)
        self.assertIn("retry-after", headers)
        self.assertIn("the keys of the token server can not be read", self.daemon.log())
        self.assertRaises(AssertionError, self.start, "key_files = ['/nowhere/keys.pem']")
        self.assertIn("/nowhere/keys.pem", self.daemon.log())
