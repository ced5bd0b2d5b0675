"""Who was found to show some credentials, and for how long that is believed."""

import json
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.access import Action, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.web.identified import Identified
from tests.unit.providers.auth.support import cheap_hasher
from tests.unit.web.namedcase import NamedCase, asking
from tests.unit.web.wire import head

#: What is answered anew each time.
TAGS = "GET /v2/joe/app/tags/list"
ANNA = Principal("anna")
SHOWN = (b"Basic x", b"registry", False, "192.0.2.1")


class PasswordTests(NamedCase):
    """Who shows a password."""

    def tags(self, password: str = "secret", channel: Any = None) -> tuple[int, int]:
        return self.ask(asking(password, TAGS), channel)

    def test_same(self) -> None:
        """Within a second he is looked at once; in the next one again."""
        self.assertEqual([(404, 1), (404, 0), (404, 0)], [self.tags() for _ in range(3)])
        self.assertEqual({"joe"}, {each.principal for each in self.records})
        self.reactor.advance(1)
        self.assertEqual([(404, 1), (404, 0)], [self.tags() for _ in range(2)])

    def test_elsewhere(self) -> None:
        """At another address, and with anything else, he is looked at."""
        self.assertEqual([(404, 1), (404, 0)], [self.tags() for _ in range(2)])
        other = self.connect("198.51.100.1")
        self.assertEqual([(404, 1), (404, 0)], [self.tags(channel=other) for _ in range(2)])
        self.assertEqual((401, 1), self.tags("wrong", other))
        self.assertEqual((404, 1), self.tags(channel=other))
        self.assertEqual((404, 0), self.tags())

    def test_failed(self) -> None:
        """Who has to wait waits, whatever he has shown before."""
        self.assertEqual([(404, 1), (404, 0)], [self.tags() for _ in range(2)])
        for _ in range(6):
            self.tags("wrong")
        self.assertEqual([(429, 1)] * 2, [self.tags() for _ in range(2)])

    def test_changed(self) -> None:
        """Another password, and an account that is closed, count from the next request on."""
        accounts = self.metadata.accounts
        self.assertEqual([(404, 1), (404, 0)], [self.tags() for _ in range(2)])
        self.result(accounts.change("joe", password_hash=self.result(cheap_hasher().hash(b"later"))))
        self.assertEqual([(401, 1), (404, 1), (404, 0)], [self.tags(), self.tags("later"), self.tags("later")])
        self.result(accounts.change("joe", active=False))
        self.assertEqual((403, 1), self.tags("later"))


class TokenTests(NamedCase):
    """Who shows a token."""

    def test_token(self) -> None:
        """It is for one host, until the end of its account, and no password: none is given for it."""
        self.ask(asking(line="GET /v2/token?service=registry&scope=repository:joe/app:pull"))
        token = json.loads(self.channel.transport.value().partition(b"\r\n\r\n")[2])["token"]
        bearer = f"Authorization: Bearer {token}"

        def status(line: str, *headers: str) -> int:
            return self.ask(head(line, bearer, *headers))[0]

        self.assertEqual([404] * 3, [status(TAGS) for _ in range(3)])
        self.assertEqual(401, status("GET /v2/token?service=registry&scope=repository:joe/app:pull"))
        elsewhere = head(TAGS, bearer).replace(b"Host: registry", b"Host: elsewhere")
        self.assertEqual(401, self.ask(elsewhere)[0])
        self.assertEqual(404, status(TAGS))
        self.result(self.metadata.accounts.delete("joe", 2000.0))
        self.assertEqual(401, status(TAGS))


class KeptTests(SynchronousTestCase):
    """What is kept, and of what."""

    def setUp(self) -> None:
        self.clock, self.may = Clock(), True
        self.version: object | None = object()
        self.clock.advance(10.5)
        self.known = Identified(lambda: self.version, self.clock, lambda *_: self.may)

    def kept(self, principal: Principal) -> Principal | None:
        """What is found after this one was kept."""
        asked = self.known.now()
        self.known.keep(SHOWN, principal, asked)
        return self.known.find(SHOWN, self.known.now())

    def test_who(self) -> None:
        """People, but not by access tokens, or by the word of others; and nobody without a name."""
        self.assertIs(ANNA, self.kept(ANNA))
        for other in (evolve(ANNA, token_id="x"), evolve(ANNA, decided=True), Principal(None)):
            self.version = object()
            self.assertIsNone(self.kept(other))

    def test_counted(self) -> None:
        """Who shows a password has to be one who is not counted; a token is none."""
        token = evolve(ANNA, ceiling=Ceiling.of(RepositoryName("a"), frozenset({Action.PULL})))
        self.may = False
        self.assertIsNone(self.kept(ANNA))
        self.assertIs(token, self.kept(token))

    def test_meanwhile(self) -> None:
        """What was asked of another second or version is not kept, nor is what has none."""
        for change in (lambda: self.clock.advance(1), lambda: setattr(self, "version", object())):
            asked = self.known.now()
            change()
            self.known.keep(SHOWN, ANNA, asked)
            self.assertIsNone(self.known.find(SHOWN, self.known.now()))
        self.version = None
        self.assertIsNone(self.kept(ANNA))

    def test_bounded(self) -> None:
        """There is an end to what is kept, which tells nothing when it is shown."""
        asked = self.known.now()
        for number in range(5000):
            self.known.keep((b"Basic %d" % number, *SHOWN[1:]), ANNA, asked)
        self.assertLessEqual(len(self.known._found), 1024)
        for number in range(1024):
            self.known.keep((b"Basic %d" % number + b" " * 16_000, *SHOWN[1:]), ANNA, asked)
        self.assertLess(sum(len(shown[0]) for shown in self.known._found), 5_000_000)
        self.assertNotIn("Basic", repr(self.known))
