"""Tests of :mod:`dockreg.web.mounting`."""

from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface.verify import verifyObject

from dockreg.web.mounting import MountedResource


class _Slow(Resource):
    """Answers when it is told to."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def render_GET(self, request: Request) -> int:
        self.requests.append(request)
        return NOT_DONE_YET


class MountedResourceTests(SynchronousTestCase):
    """:class:`dockreg.web.mounting.MountedResource`."""

    def setUp(self) -> None:
        """A registry that answers when it is told to."""
        self.slow = _Slow()
        self.clock = Clock()
        self.mounted = MountedResource(self.slow, self.clock)
        self.agent = RequestTraversalAgent(self.mounted)
        self.client = HTTPClient(self.agent)

    def test_interface(self) -> None:
        """It is a resource without children."""
        verifyObject(IResource, self.mounted)
        self.assertRaises(NotImplementedError, self.mounted.putChild, b"x", Resource())

    def test_closed(self) -> None:
        """Until it is opened it answers 503 with a reason, and asks for another try."""
        response = self.successResultOf(self.client.get("http://localhost/v1/_ping"))
        self.assertEqual((503, ["5"]), (response.code, response.headers.getRawHeaders("retry-after")))
        self.assertEqual('{"error": "the registry is starting"}', self.successResultOf(response.text()))

    def test_browsers(self) -> None:
        """What every answer says to browsers is said in a foreign site too."""
        response = self.successResultOf(self.client.get("http://localhost/v1/_ping"))
        found = [response.headers.getRawHeaders(name) for name in ("x-content-type-options", "referrer-policy")]
        self.assertEqual([["nosniff"], ["no-referrer"]], found)
        self.assertIn("default-src 'none'", response.headers.getRawHeaders("content-security-policy")[0])
        self.mounted.set_closed(None)
        cases: list[tuple[dict[bytes | str, bytes | str], object]] = [
            ({}, None),
            ({"Authorization": "Basic YTpi"}, ["private"]),
        ]
        for headers, expected in cases:
            asked = self.client.get("http://localhost/", headers=headers)
            self.slow.requests.pop().finish()
            self.agent.flush()
            answer = self.successResultOf(asked)
            self.assertEqual(expected, answer.headers.getRawHeaders("cache-control"))

    def test_nothing_under_way(self) -> None:
        """With no request under way it is drained at once."""
        self.successResultOf(self.mounted.drain(10))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_waits(self) -> None:
        """It is drained when the last request under way has ended, and the grace time is forgotten then."""
        self.mounted.set_closed(None)
        asked = [self.client.get("http://localhost/") for _ in range(2)]
        drained = self.mounted.drain(10)
        for request in self.slow.requests:
            self.assertNoResult(drained)
            request.finish()
        self.successResultOf(drained)
        self.agent.flush()
        self.assertEqual([200, 200], [self.successResultOf(each).code for each in asked])
        self.assertEqual([], self.clock.getDelayedCalls())
