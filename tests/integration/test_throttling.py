"""Failed attempts to log in, over real sockets."""

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.test_refusals import basic
from tests.processes import Daemon, PreparedDaemon

RIGHT, WRONG = basic("anna", "secret"), basic("anna", "wrong")


def account(name: str) -> bytes:
    return json.dumps({"username": name, "password": "secret", "email": "", "auth": ""}).encode()


class ThrottlingTests(SynchronousTestCase):
    """A client that guesses is told to wait, at whatever door."""

    def start(self, attempts: str, workers: int = 1) -> Daemon:
        config = f'workers = {workers}\nauth.anonymous = "none"\n[auth.attempts]\nfirst_seconds = 600\nmost_seconds = 600\n{attempts}\n'
        daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=config)
        daemon.forks_workers = True
        daemon.start()
        self.addCleanup(daemon.kill)
        return daemon

    def test_every_door(self) -> None:
        """Failures at one door count at all: then even the right password is refused unseen, with the time to wait."""
        daemon = self.start("per_client = 3")
        self.assertEqual(201, daemon.request("POST", "/v1/users/", account("anna"))[0])
        for path in ("/v1/users/", "/v2/", "/v1/search?q=x"):
            self.assertEqual(401, daemon.request("GET", path, headers=WRONG)[0], path)
        for path in ("/v1/users/", "/v2/", "/v1/search?q=x"):
            for headers in (WRONG, RIGHT):
                status, body, answered = daemon.request("GET", path, headers=headers)
                self.assertEqual(429, status, path)
                self.assertTrue(590 < int(answered["retry-after"]) <= 600, answered)
                if path == "/v2/":
                    self.assertEqual("TOOMANYREQUESTS", json.loads(body)["errors"][0]["code"])
                else:
                    self.assertIn("try again in", json.loads(body)["error"])
        self.assertEqual(401, daemon.request("GET", "/v2/", headers=basic("berta", "wrong"))[0])

    def test_workers(self) -> None:
        """All processes count together, and what they have counted outlives them."""
        daemon = self.start("per_client = 3", workers=2)
        self.assertEqual(0, daemon.command("user", "create", "anna", "--password-stdin", text="secret"))
        answers = [daemon.request("GET", "/v2/", headers=WRONG)[0] for _ in range(12)]
        self.assertEqual([401] * 3 + [429] * 9, answers)
        self.assertEqual({429}, {daemon.request("GET", "/v2/", headers=RIGHT)[0] for _ in range(8)})
        daemon.stop()
        daemon.start()
        self.assertEqual({429}, {daemon.request("GET", "/v2/", headers=RIGHT)[0] for _ in range(8)})
        self.assertEqual(401, daemon.request("GET", "/v2/", headers=basic("berta", "wrong"))[0])

    def test_others_are_let_in(self) -> None:
        """Who has logged in from an address is not slowed by others who fail there."""
        daemon = self.start("per_client = 3\nper_address = 4")
        self.assertEqual(201, daemon.request("POST", "/v1/users/", account("anna"))[0])
        self.assertEqual(200, daemon.request("GET", "/v1/users/", headers=RIGHT)[0])
        statuses = [daemon.request("GET", "/v2/", headers=basic(f"user{number}", "x"))[0] for number in range(6)]
        self.assertEqual([401] * 4 + [429] * 2, statuses)
        self.assertEqual(200, daemon.request("GET", "/v2/", headers=RIGHT)[0])

    def test_registrations(self) -> None:
        """Attempts to make accounts are limited by address, but not those of who is logged in there."""
        daemon = self.start("registrations = 3")
        statuses = [
            daemon.request("POST", "/v1/users/", account(name))[0] for name in ("anna", "berta", "anna", "carla")
        ]
        self.assertEqual([201, 201, 400, 429], statuses)
        self.assertEqual(200, daemon.request("GET", "/v1/users/", headers=RIGHT)[0])
        again = daemon.request("POST", "/v1/users/", account("anna"))
        self.assertEqual((400, b'"Username or email already exists"'), again[:2])
