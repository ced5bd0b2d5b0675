"""Small web servers that do what a test tells them."""

import hashlib
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from attrs import frozen
from twisted.internet.endpoints import serverFromString
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import TestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from dockreg.model.mediatypes import OCI_MANIFEST


@frozen
class Answer:
    """What to answer; a header whose value is empty is not sent, ``Date`` too."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}


@frozen
class Question:
    """What was asked."""

    method: str
    path: str
    query: str
    authorization: str
    body: bytes


Answering = Callable[[Question], Answer]


class _Everything(Resource):
    isLeaf = True

    def __init__(self, answering: Answering, asked: list[Question]) -> None:
        super().__init__()
        self._answering = answering
        self._asked = asked

    def render(self, request: Request) -> bytes:
        path, _, query = request.uri.decode().partition("?")
        authorization = (request.requestHeaders.getRawHeaders("authorization") or [""])[-1]
        content: Any = request.content
        question = Question(request.method.decode(), path, query, authorization, content.read())
        self._asked.append(question)
        answer = self._answering(question)
        request.setResponseCode(answer.status)
        request.setHeader(b"content-type", b"application/json")
        for name, value in answer.headers.items():
            if value:
                request.setHeader(name.encode(), value.encode())
            else:
                request.responseHeaders.removeHeader(name.encode())
        return answer.body


class _NoTLS(ProtocolWrapper):
    """Closes a connection that begins as TLS does."""

    def dataReceived(self, data: bytes) -> None:
        if data.startswith(b"\x16"):
            self.loseConnection()
        else:
            super().dataReceived(data)


class Server:
    """A server on 127.0.0.1 that keeps what it was asked."""

    def __init__(self, answering: Answering) -> None:
        self.asked: list[Question] = []
        self._site = Site(_Everything(answering, self.asked))
        self.port = 0

    async def start(self, test: TestCase, pem: Path | None = None, *, stalls: bool = False) -> "Server":
        """
        Listen until the test ends.

        :param pem: a key and a certificate for https.
        :param stalls: wait for more when a client greets with TLS where there is none.
        """
        from twisted.internet import reactor

        listen = "tcp:0:interface=127.0.0.1"
        if pem is not None:
            listen = f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}"
        factory = WrappingFactory(self._site)
        factory.noisy = False
        factory.protocol = ProtocolWrapper if stalls else _NoTLS
        port: Any = await serverFromString(reactor, listen).listen(factory)
        test.addCleanup(port.stopListening)
        self.port = port.getHost().port
        return self

    def requests(self, path: str) -> list[Question]:
        """What was asked of a path."""
        return [question for question in self.asked if question.path == path]


API = {"docker-distribution-api-version": "registry/2.0"}
MANIFEST = b'{"schemaVersion":2,"config":{"digest":"sha256:' + b"a" * 64 + b'"},"layers":[]}'
PASSWORD = "correct horse battery"  # of alice_1, the only account
_SECONDS = 300


class Registry:
    """
    A registry with one image, and a token service of its own, as they should be; a test changes what it gets wrong.

    ``answers`` go before what it would say itself, by method and path.
    """

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answer] = {}
        self.challenge = 'Bearer realm="{origin}/token",service="stand-in"'
        self.origin = ""
        #: Merged into the answer of the token service.
        self.members: dict[str, object] = {}

    def token(self, actions: list[str]) -> str:
        """A token for the one repository."""
        claims = {"access": [{"type": "repository", "name": "app", "actions": actions}]}
        return f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2lnbmF0dXJl"

    def __call__(self, question: Question) -> Answer:
        """Answer."""
        set_up = self.answers.get((question.method, question.path))
        if set_up is not None:
            return set_up
        if question.path == "/token":
            return self._give(question)
        if not question.path.startswith("/v2/"):
            return Answer(404, b"")
        if not question.authorization.startswith("Bearer e30."):
            return Answer(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {**API, "www-authenticate": self._challenge})
        return self._content(question)

    @property
    def _challenge(self) -> str:
        return self.challenge.format(origin=self.origin)

    def _give(self, question: Question) -> Answer:
        if question.method != "GET":
            return Answer(405)
        if (
            question.authorization
            and question.authorization != f"Basic {b64encode(f'alice_1:{PASSWORD}'.encode()).decode()}"
        ):
            return Answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}')
        scope = parse_qs(question.query).get("scope", [""])[0]
        actions = scope.rpartition(":")[2].split(",") if scope else []
        token = self.token([action for action in actions if question.authorization or action == "pull"])
        return Answer(
            200, json.dumps({"token": token, "access_token": token, "expires_in": _SECONDS} | self.members).encode()
        )

    def _content(self, question: Question) -> Answer:
        path = question.path.removeprefix("/v2/")
        if path == "app/tags/list":
            return Answer(200, b'{"name":"app","tags":["1.0"]}', API)
        if path == "app/manifests/1.0":
            digest = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
            return Answer(200, MANIFEST, {**API, "content-type": OCI_MANIFEST, "docker-content-digest": digest})
        if path == f"app/blobs/sha256:{'a' * 64}":
            return Answer(200, b"x" * 10, API)
        if (question.method, path) == ("POST", "app/blobs/uploads/"):
            return Answer(202, b"", {**API, "location": "/v2/app/blobs/uploads/1", "range": "0-0"})
        if path == "app/blobs/uploads/1":
            return Answer(204 if question.method == "DELETE" else 202, b"", API)
        return Answer(200, b"{}", API) if not path else Answer(404, b"{}", API)


async def start_stand_in(test: TestCase, registry: Registry, pem: Path | None = None) -> Server:
    """Serve ``registry`` until the test ends."""
    server = await Server(registry).start(test, pem)
    registry.origin = f"{'http' if pem is None else 'https'}://127.0.0.1:{server.port}"
    return server
