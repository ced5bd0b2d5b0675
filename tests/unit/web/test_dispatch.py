"""The shorter way to a route is the way that Klein goes."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from werkzeug.exceptions import HTTPException

from dockreg.config import read_config
from dockreg.service import open_registry
from dockreg.web.app import Routing

METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "TRACE")
DIGEST = "sha256:" + "a" * 64
SEGMENTS = st.sampled_from(
    f"a b-c x.y v1 v2 blobs uploads manifests tags list referrers _catalog token images json layer ancestry 1.0 k {DIGEST}"
    " repositories users search _ping %41 ".split(" ")
)
PATHS = st.lists(SEGMENTS, max_size=8).map(lambda segments: "/" + "/".join(segments))
V2_PATHS = PATHS.map(lambda path: f"/v2{path}")


def routing(text: str = "") -> Routing:
    """Routes of a registry."""
    resource: Any = open_registry(read_config(text), MemoryReactorClock()).resource
    found: Routing = resource._routing
    return found


class AgreementTests(SynchronousTestCase):
    """What is found is what Klein finds, and what is asked for all the time is found."""

    ways = {role: routing(f'role = "{role}"') for role in ("standalone", "index")}

    def by_klein(self, way: Routing, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """The endpoint and its arguments."""
        try:
            name, values = way.klein.url_map.bind("h").match(path, method=method)
        except HTTPException:
            return None
        return name, dict(values)

    def check(self, role: str, method: str, path: str) -> bool:
        """Compare; whether it was found."""
        way = self.ways[role]
        found = way.dispatcher.find(method.encode(), path.encode())
        # The way to the last segment may be known the second time.
        self.assertEqual(found, way.dispatcher.find(method.encode(), path.encode()))
        if found is None:
            return False
        endpoint, parts = found
        expected = self.by_klein(way, method, path)
        self.assertIsNotNone(expected, (method, path))
        assert expected is not None
        # The name of an endpoint in Klein begins with that of the route.
        self.assertEqual((endpoint.route.endpoint, parts), (expected[0].split(" ")[0], expected[1]), (method, path))
        return True

    @settings(max_examples=800, deadline=None)
    @given(st.sampled_from(["standalone", "index"]), st.sampled_from(METHODS), st.one_of(PATHS, V2_PATHS))
    @example("standalone", "GET", "/v2/a/blobs/uploads")
    @example("standalone", "POST", "/v2/a/blobs/uploads")
    @example("standalone", "GET", "/v2/a/blobs/uploads/")
    @example("standalone", "GET", "/v2/blobs/uploads/manifests/1.0")
    @example("standalone", "GET", "/v2/a/tags/list/manifests/tags/list")
    @example("standalone", "PUT", "/v1/images/")
    @example("standalone", "GET", "/v2//manifests/1.0")
    def test_agree(self, role: str, method: str, path: str) -> None:
        """No path leads elsewhere on the shorter way."""
        self.check(role, method, path)

    def test_common(self) -> None:
        """The paths of every push and pull are found."""
        session = "/v2/a/b/blobs/uploads/0123456789abcdef"
        for line in (
            "GET /v2/",
            "GET /v2",
            "HEAD /v2/a/manifests/1.0",
            f"GET /v2/a/b/c/manifests/{DIGEST}",
            "PUT /v2/a/manifests/1.0",
            f"GET /v2/library/a/blobs/{DIGEST}",
            f"HEAD /v2/a/blobs/{DIGEST}",
            "POST /v2/a/blobs/uploads/",
            f"PATCH {session}",
            f"PUT {session}",
            f"GET {session}",
            "GET /v2/a/tags/list",
            "GET /v2/_catalog",
            f"GET /v2/a/referrers/{DIGEST}",
            "GET /v1/_ping",
            f"GET /v1/images/{'0' * 64}/json",
            f"PUT /v1/images/{'0' * 64}/layer",
        ):
            self.assertTrue(self.check("standalone", *line.split(" ")), line)

    def test_for_klein(self) -> None:
        """What has to be decoded, and what is nowhere, is for Klein."""
        for path in (
            "/v2/%61/manifests/1.0",
            "/v2/a//manifests/1.0",
            "/v2/a/manifests/",
            "/nowhere",
            "/v2/a/b",
            "*",
            "",
        ):
            self.assertFalse(self.check("standalone", "GET", path), path)
        self.assertFalse(self.check("standalone", "TRACE", "/v2/"))
