"""Answers that are given again to who has a name."""

from types import SimpleNamespace
from typing import Any, cast

from attrs import evolve
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.web.http_headers import Headers

from dockreg.config import read_config
from dockreg.model.access import Action, Caller, Ceiling, Principal
from dockreg.model.names import RepositoryName
from dockreg.service import open_registry
from dockreg.web.access import Gate
from dockreg.web.exchange import DocumentRoom, Exchange
from dockreg.web.identified import Identified
from tests.unit.providers.auth.support import cheap_hasher
from tests.unit.web.namedcase import CLOSED, NamedCase, asking
from tests.unit.web.wire import head


class NamedTests(NamedCase):
    """To whom, and for how long."""

    def settle(self) -> None:
        """The answer is kept from now on."""
        for _ in range(3):
            self.ask(asking())
        self.assertEqual((200, 0), self.ask(asking()))

    def test_again(self) -> None:
        """Who has shown his password is answered again, under his name, until the second is over."""
        self.settle()
        self.assertEqual({("joe", 200)}, {(each.principal, each.status) for each in self.records})
        self.reactor.advance(1)
        self.assertEqual((200, 1), self.ask(asking()))

    def test_sessions(self) -> None:
        """Each upload session that is begun so is one of his own."""
        begin, ids = asking(line="POST /v2/joe/app/blobs/uploads/"), set()
        for _ in range(5):
            self.ask(begin)
            ids.add(self.channel.transport.value().partition(b"Docker-Upload-Uuid: ")[2].split()[0].decode())
        self.assertEqual((202, 0), self.ask(begin))
        self.assertEqual(5, len(ids))
        for each in ids:
            path = f"/v2/joe/app/blobs/uploads/{each}"
            self.assertEqual(204, self.ask(asking(line=f"GET {path}"))[0])
            self.assertEqual(401, self.ask(head(f"GET {path}"))[0])

    def test_address(self) -> None:
        """At another address he is looked at, so that who has to wait there waits."""
        self.settle()
        other = self.connect("198.51.100.1")
        self.assertEqual([(200, 1), (200, 0)], [self.ask(asking(), other) for _ in range(2)])
        for _ in range(6):
            self.ask(asking("wrong"), other)
        self.assertEqual((429, 1), self.ask(asking(), other))
        self.assertEqual((200, 0), self.ask(asking()))

    def test_failed(self) -> None:
        """When somebody has failed at the same address he is looked at again, and may have to wait, too."""
        self.settle()
        self.assertEqual((401, 1), self.ask(asking("wrong")))
        self.assertEqual((200, 1), self.ask(asking()))
        self.assertEqual((200, 0), self.ask(asking()))
        for _ in range(6):
            self.ask(asking("wrong"))
        self.assertEqual((429, 1), self.ask(asking()))

    def test_changed(self) -> None:
        """Another password, and an account that is closed or gone, count from the next request on."""
        accounts, later = self.metadata.accounts, asking("later")
        self.settle()
        other = self.result(cheap_hasher().hash(b"later"))
        self.result(accounts.change("joe", password_hash=other))
        self.assertEqual([401, 200], [self.ask(each)[0] for each in (asking(), later)])
        for _ in range(3):
            self.ask(later)
        self.assertEqual((200, 0), self.ask(later))
        self.result(accounts.change("joe", active=False))
        self.assertEqual(403, self.ask(later)[0])
        self.result(accounts.change("joe", active=True))
        self.assertEqual(200, self.ask(later)[0])
        self.result(accounts.delete("joe", 2000.0))
        self.assertEqual(401, self.ask(later)[0])

    def test_tokens(self) -> None:
        """A token is as good as a password, but not that of another server, nor an access token, which are looked up."""
        anna = Principal("anna", ceiling=Ceiling.of(RepositoryName("a"), frozenset({Action.PULL})))
        request: Any = SimpleNamespace(requestHeaders=Headers({b"authorization": [b"Token x"]}))
        for who, alike in (
            (anna, True),
            (Principal("anna", admin=True), True),
            (evolve(anna, token_id="x"), False),
            (evolve(anna, decided=True), False),
        ):
            exchange = Exchange(request, Caller(who), DocumentRoom())
            for stored in (True, False):
                known = Identified(object, Clock(), lambda *_: True) if stored else None
                gate = Gate(cast("Any", None), cast("Any", None), str, identified=known)
                self.assertEqual(alike and stored, gate.admits_alike(exchange), who)

    def test_others(self) -> None:
        """Not where somebody else may know the name."""
        for checkers, stored in (("['accounts']", True), ("['htpasswd:/etc/people', 'accounts']", False)):
            text = f"data_dir = {self.mktemp()!r}{CLOSED}checkers = {checkers}"
            reactor: Any = MemoryReactorClock()
            self.assertEqual(stored, open_registry(read_config(text), reactor).core.let_in is not None)
            own = InMemoryUsernamePasswordDatabaseDontUse()
            self.assertIsNone(open_registry(read_config(CLOSED), reactor, own).core.let_in)
