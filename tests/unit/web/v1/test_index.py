"""Tests for dockreg.web.v1.index."""

import base64
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from dockreg.interfaces_access import IAuthorizer, ITokenIssuer
from dockreg.model.access import Access, Action, Caller, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.networks import Networks
from dockreg.registry import Registry
from dockreg.testing.authorizers import OneByOne
from dockreg.web.exchange import DocumentRoom, Exchange
from dockreg.web.proxies import Proxies
from dockreg.web.requests import Request
from dockreg.web.v1.index import WRITE, IndexHeaders
from tests.unit.web.wire import Server

NAME = RepositoryName("demo/app")


@implementer(IAuthorizer)
class MayPush(OneByOne):
    """Grants pull and push, nothing else."""

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        return wanted.actions & {Action.PULL, Action.PUSH}


@implementer(ITokenIssuer)
class Issuer:
    """A token that says what it is for."""

    async def issue(self, principal: Principal, repository: RepositoryName, actions: frozenset[Action]) -> str:
        return f"{principal.name}/{repository}/" + "+".join(sorted(action.value for action in actions))


class IndexHeadersTests(SynchronousTestCase):
    """Tests for IndexHeaders."""

    def answer(self, request: bytes, endpoints: tuple[str, ...] = (), proxies: Proxies | None = None) -> str:
        """The head of the response to ``request``."""
        nothing: Any = None
        registry = Registry(nothing, nothing, MayPush(), nothing, nothing)
        headers = IndexHeaders(registry, Issuer(), endpoints)

        async def handle(request: Request) -> bytes:
            await headers.add(Exchange(request, Caller(Principal("joe")), DocumentRoom()), NAME, WRITE)
            return b""

        channel, transport = Server(handle, proxies=proxies).connect()
        channel.dataReceived(request)
        sent: bytes = transport.value()
        return sent.decode("ascii")

    def test_no_more_than_granted(self) -> None:
        """A token says what its bearer may do now, not all that such a token could say."""
        head = self.answer(b"GET / HTTP/1.1\r\nHost: r.example.org:5000\r\n\r\n")
        self.assertIn("\r\nX-Docker-Token: joe/demo/app/pull+push\r\n", head)
        self.assertIn("\r\nWWW-Authenticate: Token joe/demo/app/pull+push\r\n", head)

    def test_endpoints(self) -> None:
        """Each configured endpoint has a line of its own; without any, the Host header is the endpoint."""
        request = b"GET / HTTP/1.1\r\nHost: r.example.org:5000\r\n\r\n"
        self.assertEqual(["r.example.org:5000"], re.findall(r"X-Docker-Endpoints: (.*)\r\n", self.answer(request)))
        configured = self.answer(request, ("a.example.org", "b.example.org:1"))
        self.assertEqual(["a.example.org", "b.example.org:1"], re.findall(r"X-Docker-Endpoints: (.*)\r\n", configured))

    def test_hint(self) -> None:
        """The cookie holds the token, and scripts of a browser do not see it."""
        head = self.answer(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        match = re.search(r"Set-Cookie: dockreg-repository=([^;]*); Path=/v1/; HttpOnly; SameSite=Strict", head)
        assert match is not None
        self.assertEqual(b"joe/demo/app/pull+push", base64.urlsafe_b64decode(match.group(1)))
        self.assertNotIn("Secure", head)

    def test_hint_by_tls(self) -> None:
        """Who came by TLS, as a trusted proxy says, does not show the cookie without it."""
        proxies = Proxies(Networks.parse(["192.0.2.1"]))
        for scheme, secure in (("https", True), ("http", False)):
            request = f"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: {scheme}\r\n\r\n".encode()
            self.assertEqual(secure, "SameSite=Strict; Secure\r\n" in self.answer(request, proxies=proxies))
            self.assertNotIn("Secure\r\n", self.answer(request))

    def test_not_kept(self) -> None:
        """No cache keeps an answer with a token."""
        self.assertIn("\r\nCache-Control: no-store\r\n", self.answer(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
