"""Quotas in a daemon: what clients are told, and what administrators see."""

import socket

from tests.integration.v2case import V2Case, digest_of, make_sample


class QuotaTests(V2Case):
    """A small quota for every namespace; each test has one of its own."""

    CONFIG = """
workers = 2
[quotas]
default_bytes = 4000
[[auth.rules]]
who = ["anonymous"]
repositories = ["**"]
allow = ["pull", "push", "overwrite"]
"""

    def setUp(self) -> None:
        super().setUp()
        self.namespace = self.name.replace("/", "-")
        self.name = f"{self.namespace}/app"

    def figures(self) -> tuple[int, int]:
        """What is used, and what the quota is."""
        told = self.daemon.told("namespace", "show", self.namespace)
        self.assertEqual(0, told["reserved"])
        return told["used"], told["quota"]

    def test_refused(self) -> None:
        """What can not fit is refused with a sentence; what fits is pushed, and once more for nothing."""
        self.daemon.told("namespace", "create", self.namespace, "--owner", "anna")
        self.push_blob(b"x" * 3000)
        self.push_blob(b"x" * 3000, f"{self.namespace}/other")
        self.assertEqual((3000, 4000), self.figures())
        content = b"y" * 1001
        reply = self.ask("POST", f"blobs/uploads/?digest={digest_of(content)}", content)
        self.assertEqual((403, ["DENIED"]), (reply.status, reply.codes))
        sentence = f"the quota of namespace {self.namespace} is 4000 bytes, of which 3000 are used: there is no room for 1001 more"
        self.assertEqual(sentence, reply.document["errors"][0]["message"])
        location = self.start()
        self.assertEqual(403, self.ask("PATCH", location, content).status)
        self.assertEqual(201, self.ask("PUT", f"{location}?digest={digest_of(content[:1000])}", content[:1000]).status)
        self.assertEqual((4000, 4000), self.figures())
        self.assertEqual(403, self.ask("POST", "blobs/uploads/", b"").status)

    def test_before_the_body(self) -> None:
        """A body that can not fit is refused before it is sent."""
        location = self.start()
        with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=30) as client:
            head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 4001\r\nExpect: 100-continue\r\n\r\n"
            client.sendall(head.encode())
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 403 "))

    def test_command(self) -> None:
        """A namespace gets a quota of its own, which is shown; what is noted is what is counted again."""
        self.daemon.told("namespace", "create", self.namespace, "--owner", "anna", "--quota", "10KiB")
        self.push(make_sample(self.name))
        self.push_blob(b"x" * 5000)
        used, quota = self.figures()
        self.assertGreater(used, 5000)
        self.assertEqual(10240, quota)
        (counted,) = self.daemon.told("namespace", "recount", self.namespace)
        self.assertEqual((used, used, True), (counted["used"], counted["real_used"], counted["is_right"]))
        changed = self.daemon.told("namespace", "change", self.namespace, "--quota", "default")
        self.assertEqual((4000, None), (changed["quota"], changed["own_quota"]))
        self.assertEqual(403, self.ask("POST", "blobs/uploads/", b"").status)
        self.assertEqual(0, self.daemon.told("namespace", "change", self.namespace, "--quota", "none")["quota"])
        self.push_blob(b"z" * 9000)
        (listed,) = [each for each in self.daemon.told("namespace", "list") if each["name"] == self.namespace]
        self.assertEqual((used + 9000, 0, 0), (listed["used"], listed["quota"], listed["own_quota"]))
        self.assertEqual(1, self.daemon.command("namespace", "change", self.namespace, "--quota", "much"))
        # Nothing at all is no quota that can be said by a number: it would read as none.
        self.assertEqual(2, self.daemon.command("namespace", "change", self.namespace, "--quota", "0"))
