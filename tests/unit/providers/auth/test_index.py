"""Tests of :mod:`dockreg.providers.auth.index`, with an index in memory."""

import json
from collections.abc import Coroutine, Sequence
from typing import Any

from attrs import define, field
from treq.testing import RequestTraversalAgent
from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from dockreg.errors import IndexUnavailable, Unauthorized
from dockreg.interfaces_access import IAuthenticator, IAuthorizer
from dockreg.interfaces_v1 import IImageList
from dockreg.model.access import ANONYMOUS, Access, Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.v1 import ImageID
from dockreg.providers.auth.index import IndexAuthorizer, RemoteIndex
from dockreg.testing import contracts_auth

APP = RepositoryName("demo/app")
ONE, TWO = ImageID("1" * 64), ImageID("2" * 64)
WRITE = 'signature=opaque,repository="demo/app",access=write'
PUSH = frozenset({Action.PULL, Action.PUSH, Action.OVERWRITE})


class FakeIndex(Resource):
    """Answers every request with what the test says, and remembers what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.ids = [ONE.value]
        self.body: bytes | None = None
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[bytes, bytes, Sequence[str], Sequence[str]]] = []

    def render(self, request: Request) -> bytes:
        sent = request.requestHeaders
        self.asked.append(
            (request.method, request.uri, sent.getRawHeaders("Authorization", []), sent.getRawHeaders("Cookie", []))
        )
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        return self.body if self.body is not None else json.dumps([{"id": name} for name in self.ids]).encode()


class Silent(Resource):
    """Takes a request, sends a little, and then nothing any more."""

    isLeaf = True

    def __init__(self, first: bytes) -> None:
        super().__init__()
        self._first = first
        self.gone = False

    def render(self, request: Request) -> int:
        _finished = request.notifyFinish().addErrback(self._left)
        if self._first:
            request.write(self._first)
        return NOT_DONE_YET

    def _left(self, _reason: object) -> None:
        self.gone = True


@implementer(IAgent)
@define(eq=False)
class BrokenAgent:
    """Never gets through, or never hears anything."""

    error: Exception | None = None
    cancelled: list[object] = field(factory=list)

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> "Deferred[Any]":
        answer: Deferred[Any] = Deferred(self.cancelled.append)
        if self.error is not None:
            answer.errback(self.error)
        return answer


class IndexCase(contracts_auth.ContractCase):
    """A registry whose index is a resource in memory; waiting pumps what is between them."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.fake = FakeIndex()
        self.connect(self.fake)

    def connect(self, resource: Resource, **options: Any) -> None:
        self.agent = RequestTraversalAgent(resource)
        self.index = RemoteIndex("http://index.example", self.agent, self.clock, **options)

    def start(self, work: Coroutine[Any, Any, Any]) -> "Deferred[Any]":
        started = Deferred.fromCoroutine(work)
        for _ in range(3):
            self.agent.flush()
        return started

    def now(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(self.start(work))

    def fails(self, kind: type[Exception], work: Coroutine[Any, Any, Any]) -> Exception:
        error: Exception = self.failureResultOf(self.start(work), kind).value
        return error


class RemoteAuthenticatorTests(IndexCase, contracts_auth.AuthenticatorContract):
    def make_authenticator(self) -> IAuthenticator:
        self.fake.status = 401
        return self.index


class RemoteImageListTests(IndexCase, contracts_auth.ImageListContract):
    def make_image_list(self) -> IImageList:
        self.fake.ids = []
        return self.index


class IndexAuthorizerContractTests(contracts_auth.AuthorizerContract):
    def make_authorizer(self) -> IAuthorizer:
        return IndexAuthorizer()


class RedeemTests(IndexCase):
    def test_asks_with_the_same_token(self) -> None:
        """The index is shown what the client showed, for the image list of the repository that the token names."""
        for token, path in (
            (WRITE, b"/v1/repositories/demo/app/images"),
            ("Token signature=a,repository=app,access=read", b"/v1/repositories/library/app/images"),
            ("signature=a,repository=a/b/c.d,access=read", b"/v1/repositories/a/b/c.d/images"),
        ):
            self.fake.asked.clear()
            self.now(self.index.redeem(token))
            self.assertEqual([(b"GET", path, [f"Token {token}"], [])], self.fake.asked)

    def test_url(self) -> None:
        """The address of the index may be given with or without a slash and the version."""
        for url in (
            "http://index.example",
            "http://index.example/",
            "http://index.example/v1",
            "http://index.example/v1/",
        ):
            self.fake.asked.clear()
            self.now(RemoteIndex(url, self.agent, self.clock).redeem(WRITE))
            self.assertEqual(b"/v1/repositories/demo/app/images", self.fake.asked[0][1])

    def test_principal(self) -> None:
        """The bearer has no name, no rights of its own, and the ceiling that the words of the token stand for."""
        for word, actions in (
            ("read", {Action.PULL}),
            ("write", {Action.PULL, Action.PUSH, Action.OVERWRITE}),
            ("delete", {Action.PULL, Action.DELETE}),
        ):
            principal = self.now(self.index.redeem(f'signature=a,repository="demo/app",access={word}'))
            self.assertEqual(
                (None, False, Ceiling.of(APP, frozenset(actions))), (principal.name, principal.admin, principal.ceiling)
            )

    def test_says_too_little(self) -> None:
        """A token that names no repository or access, or an impossible one, is refused without asking."""
        for token in (
            "signature=a",
            "a.b.c",
            "signature=a,access=read",
            "signature=a,repository=demo/app",
            "signature=a,repository=demo/app,access=",
            "signature=a,repository=demo/app,access=admin",
            "signature=a,repository=demo/../app,access=read",
            "signature=a,repository=demo/app/images,access=read",
            "signature=a,repository=demo%2fapp,access=read",
            "signature=a,repository=demo/app?x,access=read",
            "signature=a\r\nX-Evil: 1,repository=demo/app,access=read",
            "signature=é,repository=demo/app,access=read",
        ):
            self.fails(Unauthorized, self.index.redeem(token))
        self.assertEqual([], self.fake.asked)

    def test_refused(self) -> None:
        """What the index refuses is refused, and the refusal is not remembered."""
        for status in (401, 403, 404):
            self.fake.status = status
            self.fails(Unauthorized, self.index.redeem(WRITE))
        self.assertEqual(3, len(self.fake.asked))
        self.fake.status = 200
        self.now(self.index.redeem(WRITE))

    def test_no_answer_is_no_refusal(self) -> None:
        """Any other status, a redirect among them, says that the index does not work; redirects are not followed."""
        self.fake.headers = {"Location": "http://elsewhere.example/"}
        for status in (201, 204, 206, 301, 302, 307, 308, 400, 402, 418, 429, 500, 502, 503):
            self.fake.asked.clear()
            self.fake.status = status
            self.fails(IndexUnavailable, self.index.redeem(WRITE))
            self.assertEqual(1, len(self.fake.asked), status)

    def test_no_list(self) -> None:
        """An answer that is no image list says that the index does not work."""
        for body in (b"", b"{}", b"true", b"null", b"[", b'["\xff"]', b"[" * 5_000, b"<html>", b"[NaN]"):
            self.fake.body = body
            self.fails(IndexUnavailable, self.index.redeem(WRITE))

    def test_strange_entries(self) -> None:
        """Entries that name no image are passed over, like members that we do not know."""
        self.fake.body = json.dumps(
            [
                None,
                1,
                "x",
                [],
                {},
                {"id": None},
                {"id": 7},
                {"id": "x"},
                {"id": ONE.value, "Tag": "latest", "more": [{}]},
            ]
        ).encode()
        bearer = self.now(self.index.redeem(WRITE))
        self.assertTrue(self.now(self.index.allows(bearer, APP, ONE)))

    def test_too_large(self) -> None:
        """An answer over the limit is not read to its end, whatever its status."""
        self.connect(self.fake, max_body_bytes=100)
        self.fake.body = b"[" + b" " * 98 + b"]"
        self.now(self.index.redeem(WRITE))
        for status in (200, 401):
            self.connect(self.fake, max_body_bytes=99)
            self.fake.status = status
            self.fails(IndexUnavailable, self.index.redeem(WRITE))

    def test_unreachable(self) -> None:
        """An index that can not be reached says so in the log, without the token."""
        index = RemoteIndex("http://index.example", BrokenAgent(Refused("no")), self.clock)
        with capturedLogs() as events:
            self.fails(IndexUnavailable, index.redeem(WRITE))
        self.assertEqual(1, len(events))
        self.assertNotIn("opaque", repr(events))

    def test_silent(self) -> None:
        """An index that does not answer in time is given up, and so is one that stops in the middle of an answer."""
        agent = BrokenAgent()
        index = RemoteIndex("http://index.example", agent, self.clock, timeout_seconds=10)
        redeemed = self.start(index.redeem(WRITE))
        self.clock.advance(9.9)
        self.assertNoResult(redeemed)
        self.clock.advance(0.1)
        self.failureResultOf(redeemed, IndexUnavailable)
        self.assertEqual(1, len(agent.cancelled))
        for first in (b"", b"["):
            silent = Silent(first)
            self.connect(silent, timeout_seconds=10)
            redeemed = self.start(self.index.redeem(WRITE))
            self.clock.advance(10)
            self.failureResultOf(redeemed, IndexUnavailable)
            self.agent.flush()
            self.assertTrue(silent.gone, first)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_client_went_away(self) -> None:
        """When the client goes away, the index is no longer waited for."""
        agent = BrokenAgent()
        index = RemoteIndex("http://index.example", agent, self.clock)
        redeemed = self.start(index.redeem(WRITE))
        redeemed.cancel()
        self.failureResultOf(redeemed, CancelledError)
        self.assertEqual(1, len(agent.cancelled))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_remembered(self) -> None:
        """The answer for a token is remembered for a minute; another token is asked for itself."""
        self.now(self.index.redeem(WRITE))
        self.clock.advance(59)
        self.now(self.index.redeem(WRITE))
        self.assertEqual(1, len(self.fake.asked))
        self.fake.status = 401
        self.fails(Unauthorized, self.index.redeem(WRITE.replace("opaque", "other")))
        self.fails(Unauthorized, self.index.redeem(WRITE.replace("write", "delete")))
        self.clock.advance(1)
        self.fails(Unauthorized, self.index.redeem(WRITE))

    def test_a_minute_at_most(self) -> None:
        """Nobody can configure a longer memory than a minute."""
        with self.assertRaises(ValueError):
            self.connect(self.fake, cache_seconds=61)

    def test_cookies(self) -> None:
        """A cookie that the index sets for one token is not sent with the next."""
        self.fake.headers = {"Set-Cookie": "session=of-the-first; Path=/"}
        self.now(self.index.redeem(WRITE))
        self.now(self.index.redeem(WRITE.replace("opaque", "other")))
        self.assertEqual([[], []], [cookies for _, _, _, cookies in self.fake.asked])

    def test_token_is_not_shown(self) -> None:
        """The token is not in what a principal prints, and does not tell two bearers apart."""
        one, two = (self.now(self.index.redeem(WRITE.replace("opaque", name))) for name in ("first", "second"))
        self.assertNotIn("first", repr(one))
        self.assertEqual(one, two)

    def test_password(self) -> None:
        """A password is refused with a sentence that says where it goes, and never sent there by us."""
        error = self.fails(Unauthorized, self.index.login(UsernamePassword(b"anna", b"secret")))
        self.assertIn("http://index.example", str(error))
        self.assertEqual([], self.fake.asked)

    def test_challenge_values(self) -> None:
        """A client is asked for a token only."""
        self.assertEqual(("Token",), self.index.challenge(None).values)


class AllowsTests(IndexCase):
    def setUp(self) -> None:
        super().setUp()
        self.bearer: Principal = self.now(self.index.redeem(WRITE))
        self.fake.asked.clear()

    def test_from_memory(self) -> None:
        """An image that is in the remembered list is allowed without asking."""
        self.assertTrue(self.now(self.index.allows(self.bearer, APP, ONE)))
        self.assertEqual([], self.fake.asked)

    def test_announced_meanwhile(self) -> None:
        """For an image that is not in the remembered list the index is asked once more, with the same token."""
        self.fake.ids.append(TWO.value)
        self.assertTrue(self.now(self.index.allows(self.bearer, APP, TWO)))
        self.assertTrue(self.now(self.index.allows(self.bearer, APP, TWO)))
        self.assertEqual([[f"Token {WRITE}"]], [authorization for _, _, authorization, _ in self.fake.asked])

    def test_not_announced(self) -> None:
        """An image that was not announced is not allowed, after one question."""
        self.assertFalse(self.now(self.index.allows(self.bearer, APP, TWO)))
        self.assertEqual(1, len(self.fake.asked))

    def test_forgotten(self) -> None:
        """When the list is no longer remembered the index is asked."""
        self.clock.advance(60)
        self.assertTrue(self.now(self.index.allows(self.bearer, APP, ONE)))
        self.assertEqual(1, len(self.fake.asked))

    def test_refused_meanwhile(self) -> None:
        """When the index does not accept the token any more nothing is allowed, and the next request is refused."""
        self.fake.status = 401
        self.assertFalse(self.now(self.index.allows(self.bearer, APP, TWO)))
        self.fails(Unauthorized, self.index.redeem(WRITE))

    def test_index_down(self) -> None:
        """When the index can not be asked, that is not a no."""
        self.fake.status = 500
        self.fails(IndexUnavailable, self.index.allows(self.bearer, APP, TWO))

    def test_elsewhere(self) -> None:
        """In another repository, and to who brought no token, nothing is allowed, and nobody is asked."""
        for principal, repository in (
            (self.bearer, RepositoryName("demo/other")),
            (ANONYMOUS, APP),
            (Principal("anna", admin=True), APP),
            (Principal(None, ceiling=Ceiling.of(APP, PUSH)), APP),
        ):
            self.assertFalse(self.now(self.index.allows(principal, repository, ONE)))
        self.assertEqual([], self.fake.asked)


class IndexAuthorizerTests(contracts_auth.ContractCase):
    def test_exactly_the_ceiling(self) -> None:
        """In its repository a token gives what it says, elsewhere nothing, and without one there is nothing."""
        authorizer = IndexAuthorizer()
        everything = frozenset(Action)
        bearer = Principal(None, ceiling=Ceiling.of(APP, PUSH))
        for principal, repository, expected in (
            (bearer, APP, PUSH),
            (bearer, RepositoryName("demo/other"), frozenset()),
            (bearer, None, frozenset()),
            (ANONYMOUS, APP, frozenset()),
            (Principal("root", admin=True), APP, frozenset()),
        ):
            self.assertEqual(expected, self.now(authorizer.granted(principal, Access(repository, everything))))
            if repository is not None:
                listed = [repository] if Action.PUSH in expected else []
                self.assertEqual(listed, list(self.now(authorizer.granted_each(principal, Action.PUSH, [repository]))))
