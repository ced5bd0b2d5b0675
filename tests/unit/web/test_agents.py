"""Tests for dockreg.web.agents."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.web.agents import Agent, agent_of, parse_agent
from tests.unit.web.v2.exchanges import exchange_of

OTHERS = (
    "docker/1.10.0", "docker/1.13.1", "docker/1.50.0", "docker/17.05.0", "docker/20.10", "", "docker", "docker/", "docker/x",
    "mydocker/1.5.0", "Docker-Client/1.5.0", "Go-http-client/1.1", "Go 1.1 package", "\u00ff", "x docker/1.6.0",
)  # fmt: skip


class AgentTests(SynchronousTestCase):
    """Programs that are treated in ways of their own."""

    def test_old(self) -> None:
        """Engines before 1.6 must not learn of v2, released or not."""
        for version in ("0.6.0", "0.11.1", "1.0.0", "1.0.1-dev", "1.5.0", "1.5"):
            self.assertEqual(Agent(hides_v2=True), parse_agent(f"docker/{version} go/go1.3.3".encode()), version)
        self.assertEqual(Agent(hides_v2=True), parse_agent(b"Go 1.1 package http"))

    def test_schema1(self) -> None:
        """Engines up to 1.9 push schema1; the first two want locations with a host."""
        for version in ("1.6.0", "1.7.1-dev", "1.8.3", "1.9"):
            expected = Agent(wants_absolute=version < "1.8", pushes_schema1=True)
            self.assertEqual(expected, parse_agent(f"docker/{version} go/go1.4".encode()), version)

    def test_others(self) -> None:
        """Nobody else is, and names that begin alike are no engines."""
        for agent in OTHERS:
            self.assertEqual(Agent(), parse_agent(agent.encode("latin-1")), agent)

    def test_header(self) -> None:
        """The last of several headers counts, also where it is long; without one it is nobody."""
        self.assertEqual(Agent(), agent_of(exchange_of().request))
        for more in ("", " " + "x" * 1000):
            old, new = "User-Agent: docker/1.5.0" + more, "User-Agent: docker/1.8.0" + more
            self.assertEqual(Agent(hides_v2=True), exchange_of("GET /", new, old).agent)
            self.assertEqual(Agent(pushes_schema1=True), exchange_of("GET /", old, new).agent)
