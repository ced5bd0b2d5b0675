"""Answers that are given again: the same bytes, for a second, and for no longer than nobody writes."""

import re
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from attrs import evolve
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from dockreg.config import read_config
from dockreg.configured import door_settings
from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import Access, Action, Caller, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.networks import NO_ADDRESS, Networks
from dockreg.providers.auth.certificates import CertificatesChecker
from dockreg.service import open_registry
from dockreg.testing.authorizers import OneByOne
from dockreg.web.access import Gate
from dockreg.web.assembly import make_resource
from dockreg.web.entrance import Entrance
from dockreg.web.exchange import DocumentRoom, Exchange
from dockreg.web.proxies import Proxies
from dockreg.web.rates import RateLimit
from dockreg.web.records import RequestRecord
from dockreg.web.repeats import LARGEST_BYTES, Repeat, Repeats, Varying
from dockreg.web.requests import Request
from dockreg.web.site import Site
from tests.unit.web.wire import Transport, head

PING = head("GET /v2/")


class Counting(Resource):
    """Answers with how often it was asked, for as long as its ``version`` stays the same."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.version: object | None = object()
        self.repeats = True
        self.closes = False
        self.body = b""
        # What comes in the place of the body, one for each who is answered again.
        self.next: list[bytes | None] | None = None

    def render(self, request: Any) -> Any:
        request.remember(self, self.answer)
        return self.answer(request)

    def answer(self, request: Request) -> Any:
        self.asked += 1
        body = self.body or b"%d" % self.asked
        request.setHeader(b"Content-Length", b"%d" % len(body))
        if self.closes:
            request.setHeader(b"Connection", b"close")
        request.repeats = self.repeats
        if self.next is not None:
            request.varying = Varying(body, partial(self.next.pop, 0))
        request.end_with(body)
        if request.is_known and self.version is not None:
            request.keep_answer(self.version, lambda: self.version)
        return NOT_DONE_YET


class Served:
    """A site with such answers, and one connection to it."""

    def __init__(self, proxies: Proxies | None = None, entrance: Entrance | None = None) -> None:
        self.resource = Counting()
        self.clock = Clock()
        self.clock.advance(5.25)
        self.records: list[RequestRecord] = []
        self.site = Site(self.resource, self.clock, None, self.records.append, proxies, entrance)
        self.connect()

    def connect(self) -> None:
        """Another connection."""
        channel = self.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1024))
        assert channel is not None
        self.channel, self.transport = channel, Transport()
        self.transport.protocol = channel
        channel.makeConnection(self.transport)

    def ask(self, data: bytes = PING) -> bytes:
        """What is sent in answer to these bytes."""
        self.transport.clear()
        self.channel.dataReceived(data)
        sent: bytes = self.transport.value()
        return sent

    def bodies(self, times: int, data: bytes = PING) -> list[bytes]:
        """The bodies of the answers to so many requests, one after the other."""
        return [self.ask(data).partition(b"\r\n\r\n")[2] for _ in range(times)]


class GivenTests(SynchronousTestCase):
    """When an answer is given again."""

    def test_again(self) -> None:
        """The second time that a head comes its answer is kept; from then on it is given, to others too."""
        served = Served()
        self.assertEqual([b"1", b"2", b"2", b"2"], served.bodies(4))
        served.connect()
        self.assertEqual([b"2"], served.bodies(1))
        self.assertEqual([b"3"], served.bodies(1, head("GET /v2/", "Accept: x")))

    def test_head_of_others(self) -> None:
        """HEAD has an answer of its own, without a body."""
        served = Served()
        self.assertEqual([b"1", b"2", b"2"], served.bodies(3))
        self.assertEqual([b"", b"", b""], served.bodies(3, head("HEAD /v2/")))

    def test_second(self) -> None:
        """In the next second, and when the clock was set back, it is found out anew; so the date is right."""
        served = Served()
        served.bodies(3)
        served.clock.advance(0.74)
        self.assertEqual([b"2"], served.bodies(1))
        served.clock.advance(0.01)
        answer = served.ask()
        self.assertTrue(answer.endswith(b"3"))
        self.assertIn(b"Date: Thu, 01 Jan 1970 00:00:06 GMT", answer)
        self.assertEqual([b"3"], served.bodies(1))
        served.clock.rightNow = 2.0
        self.assertEqual([b"4"], served.bodies(1))

    def test_written(self) -> None:
        """When somebody has written it is found out anew, and kept from then on; when that is not known, it is not kept."""
        served = Served()
        served.bodies(3)
        served.resource.version = object()
        self.assertEqual([b"3", b"3"], served.bodies(2))
        served.resource.version = None
        self.assertEqual([b"4", b"5"], served.bodies(2))

    def test_unasked(self) -> None:
        """What is not said to be the same for all is not."""
        served = Served()
        served.resource.repeats = False
        self.assertEqual([b"1", b"2", b"3"], served.bodies(3))

    def test_last(self) -> None:
        """An answer that ends its connection ends no other one."""
        served = Served()
        served.bodies(1)
        served.resource.closes = True
        served.bodies(1)
        self.assertTrue(served.transport.disconnecting)
        served.resource.closes = False
        served.connect()
        self.assertEqual([b"3"], served.bodies(1))

    def test_draining(self) -> None:
        """A site that stops tells its clients so."""
        served = Served()
        served.bodies(3)
        served.site.draining = True
        self.assertIn(b"Connection: close\r\n", served.ask())

    def test_proxies(self) -> None:
        """Who speaks for others is looked at each time: what it says of them may matter."""
        served = Served(Proxies(Networks.parse(["192.0.2.1"])))
        self.assertEqual([b"1", b"2", b"3"], served.bodies(3))
        self.assertEqual(0, len(served.site.repeats))

    def test_rates(self) -> None:
        """They count against the limit of requests like others, each once."""
        served = Served()
        served.site.entrance = Entrance(rates=RateLimit(1, 4, served.clock))
        answers = [served.ask() for _ in range(6)]
        statuses = [int(re.findall(rb"HTTP/1\.1 (\d+) ", each)[0]) for each in answers]
        self.assertEqual([200, 200, 200, 200, 429, 429], statuses)

    def test_recorded(self) -> None:
        """Each is in the log and the figures, as the first one was."""
        served = Served()
        served.bodies(4, head("GET /v2/", "User-Agent: docker/29"))
        self.assertEqual(4, len(served.records))
        self.assertEqual([served.records[1]] * 3, served.records[1:])
        self.assertEqual(("docker/29", "/v2/", 1), (served.records[3].user_agent, served.records[3].path, 1))
        self.assertEqual((0, 0), (served.site.requests_in_flight, served.site.half_read.total))

    def test_kept_alive(self) -> None:
        """The connection stays open for as long after it as after every answer."""
        served = Served()
        served.bodies(3)
        half = served.site.limits.keep_alive_seconds / 2 + 1
        for closed in (False, True):
            served.clock.pump([1.0] * int(half))
            self.assertEqual(closed, served.transport.disconnecting)
        served.connect()
        for _ in range(4):
            served.bodies(3)
            served.clock.pump([1.0] * int(half))
            self.assertFalse(served.transport.disconnecting)

    def test_unread(self) -> None:
        """Who sends requests and reads no answers is not read from any more."""
        served = Served()
        served.bodies(3)
        served.channel.pauseProducing()
        self.assertFalse(served.transport.reading)
        served.channel.resumeProducing()
        self.assertTrue(served.transport.reading)
        self.assertEqual([b"2"], served.bodies(1))


class BoundTests(SynchronousTestCase):
    """How much is kept."""

    def answer(self, size: int) -> Repeat:
        return Repeat(b"x" * size, 200, size, ("GET", "/", ""))

    def test_bounded(self) -> None:
        """When there is no room left nothing more is kept, until all are forgotten."""
        clock, version = Clock(), object()
        repeats = Repeats(clock)
        repeats.keep(b"a", self.answer(100), 0, version, lambda: version)
        repeats = Repeats(clock, most_bytes=2 * repeats.weight)
        for each in (b"a", b"b", b"c"):
            repeats.keep(each, self.answer(100), 0, version, lambda: version)
        found = [repeats.find(each) is not None for each in (b"a", b"b", b"c")]
        self.assertEqual([True, True, False], found)
        repeats.keep(b"a", self.answer(100), 0, version, lambda: version)
        self.assertEqual(2, len(repeats))
        clock.advance(1)
        self.assertIsNone(repeats.find(b"a"))
        self.assertEqual((0, 0), (len(repeats), repeats.weight))
        repeats.keep(b"c", self.answer(100), 1, version, lambda: version)
        self.assertIsNotNone(repeats.find(b"c"))

    def test_apart(self) -> None:
        """Each lasts as long as what it depends on, and weighs nothing from then on."""
        clock, versions = Clock(), [object(), object()]
        repeats = Repeats(clock)
        repeats.keep(b"a", self.answer(100), 0, versions[0], lambda: versions[0])
        weight = repeats.weight
        repeats.keep(b"b", self.answer(200), 0, versions[1], lambda: versions[1])
        versions[1] = object()
        found = [repeats.find(each) is not None for each in (b"a", b"b")]
        self.assertEqual(([True, False], 1, weight), (found, len(repeats), repeats.weight))
        repeats.keep(b"b", self.answer(200), 0, versions[1], lambda: versions[1])
        self.assertIsNotNone(repeats.find(b"b"))

    def test_heads_weigh(self) -> None:
        """What was asked weighs as well: heads of four KiB may have answers of a few bytes."""
        clock, version = Clock(), object()
        repeats = Repeats(clock, most_bytes=100_000)
        for number in range(100):
            repeats.keep(b"%d" % number + b"x" * 4000, self.answer(10), 0, version, lambda: version)
        self.assertLessEqual(4000 * len(repeats), 100_000)
        self.assertLessEqual(4000 * len(repeats), repeats.weight)

    def test_large(self) -> None:
        """A large answer is not kept."""
        served = Served()
        served.resource.body = b"x" * LARGEST_BYTES
        served.bodies(3)
        self.assertEqual((3, 0), (served.resource.asked, len(served.site.repeats)))

    def test_late(self) -> None:
        """What was made in the second before is not given in this one."""
        clock, version = Clock(), object()
        clock.advance(1)
        repeats = Repeats(clock)
        repeats.keep(b"a", self.answer(1), 0, version, lambda: version)
        self.assertIsNone(repeats.find(b"a"))


class RatedTests(SynchronousTestCase):
    """Whose requests are not counted."""

    def test_unlimited(self) -> None:
        """Where there is no limit, none is asked for."""
        served = Served()
        served.channel.rated_as = NO_ADDRESS
        served.site.entrance = Entrance(rates=RateLimit(1, 1, served.clock))
        self.assertEqual([b"1", b"2", b"2", b"2"], served.bodies(4))


class Opened:
    """The resource of a registry whose store says that nobody writes, and a connection to its site."""

    def __init__(self, text: str = "", audit: Any = None, **core: Any) -> None:
        reactor: Any = MemoryReactorClock()
        config = read_config(text)
        opened = open_registry(config, reactor, audit=audit)
        metadata: Any = opened.core.registry.metadata
        metadata.version = object
        metadata.lasting_version = lambda: metadata
        clock, settings = Clock(), door_settings(config)
        self.site = Site(make_resource(evolve(opened.core, **core), settings, clock, lambda: "an-id"), clock)
        channel = self.site.buildProtocol(None)
        assert channel is not None
        self.channel, self.transport = channel, Transport()
        channel.makeConnection(self.transport)

    def kept(self, data: bytes = PING) -> int:
        """How many answers are kept when the same is asked several times."""
        for _ in range(3):
            self.channel.dataReceived(data)
        return len(self.site.repeats)


class WhoTests(SynchronousTestCase):
    """To whom a registry gives answers again."""

    def test_anybody(self) -> None:
        """To who sends no credentials, by the rules of the registry itself."""
        self.assertEqual(1, Opened().kept())
        self.assertEqual(1, Opened('auth.new_repositories = "private"').kept())

    def test_written(self) -> None:
        """While others write, what does not depend on that is given again."""
        opened = Opened()
        opened.kept()
        self.assertIsNotNone(opened.site.repeats.find(PING))

    def test_credentials(self) -> None:
        """Not to who sends some, even if they say that he has no name, nor to who is refused."""
        self.assertEqual(0, Opened().kept(head("GET /v2/", "Authorization: Basic Og==")))
        self.assertEqual(0, Opened('auth.anonymous = "pull"').kept())

    def test_others(self) -> None:
        """Not where rules of somebody else decide, who may look at the time of day."""
        self.assertEqual(0, Opened('auth.authorizer = "tests.unit.web.test_repeats.Anything"').kept())

    def test_certificates(self) -> None:
        """Not where the certificate of a connection says who somebody is."""
        self.assertEqual(0, Opened(takes_certificates=True).kept())
        closed = "auth.checkers = ['certificates']\nauth.registration = 'closed'"
        for text, own, takes in (("", None, False), (closed, None, True), ("", CertificatesChecker(Clock()), True)):
            reactor: Any = MemoryReactorClock()
            self.assertEqual(takes, open_registry(read_config(text), reactor, own).core.takes_certificates)

    def test_audit(self) -> None:
        """Not where each request has an id of its own."""
        lines: Any = SimpleNamespace(record=lambda _event: None)
        self.assertEqual(0, Opened(audit=lines).kept())

    def test_tokens(self) -> None:
        """To who has a token without a name that the registry itself has made."""
        ceiling = Ceiling.of(RepositoryName("a"), frozenset({Action.PULL}))
        anybody, token = Principal(None), Principal(None, ceiling=ceiling)
        for who, repository, headers, alike in (
            (anybody, None, {}, True),
            (anybody, RepositoryName("a"), {}, False),
            (anybody, None, {b"authorization": [b"Basic Og=="]}, False),
            (token, RepositoryName("a"), {b"authorization": [b"Token x"]}, True),
            (evolve(token, renewable=True), None, {b"authorization": [b"Bearer x"]}, True),
            (evolve(token, decided=True), None, {b"authorization": [b"Bearer x"]}, False),
            (evolve(token, name="anna"), RepositoryName("a"), {b"authorization": [b"Token x"]}, False),
            (evolve(token, name="anna"), None, {}, False),
        ):
            request: Any = SimpleNamespace(requestHeaders=Headers(headers))
            exchange = Exchange(request, Caller(who, repository), DocumentRoom())
            for settled in (True, False):
                gate = Gate(cast("Any", None), cast("Any", None), str, settled_tokens=settled)
                self.assertEqual(alike and (settled or not headers), gate.admits_alike(exchange), who)

    def test_settled(self) -> None:
        """Tokens are such ones unless somebody else knows them."""

        def settled(authenticator: Any, text: str = "") -> bool:
            reactor: Any = MemoryReactorClock()
            return open_registry(read_config(text), reactor, authenticator).core.settled_tokens

        others = InMemoryUsernamePasswordDatabaseDontUse()
        self.assertEqual((True, True), (settled(None), settled(others)))
        index = 'role = "registry"\n[index]\nurl = "https://index.example"\n'
        self.assertFalse(settled(None, index))

    def test_other_routes(self) -> None:
        """Not what depends on something else."""
        self.assertEqual(0, Opened().kept(head("GET /v1/_ping")))


@implementer(IAuthorizer)
class Anything(OneByOne):
    """Allows everything, for now."""

    def __init__(self, repositories: Any) -> None:
        self.repositories = repositories

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """All that is wanted."""
        return wanted.actions
