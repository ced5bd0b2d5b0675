"""The examples of the documentation, run as the documentation says."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import ROOT, Process, ask, program

_SITE = re.compile(r"Site starting on (?P<port>\d+)")
_REGISTRY = re.compile(r"dockreg listens on (?P<place>\S+)")
_BASIC = "Basic YW5uYTphIHNlY3JldCBvZiBhbm5h"


class ExampleTests(SynchronousTestCase):
    """``docs/examples``."""

    def run_example(self, name: str) -> Process:
        """The example as a daemon, in a folder of its own."""
        folder = Path(self.mktemp())
        folder.mkdir()
        example = str(ROOT / "docs" / "examples" / name)
        command = [program("twistd"), "--nodaemon", "--pidfile=", f"--rundir={folder}", "--python", example]
        return Process(self, command, {"EXAMPLE_LISTEN": "tcp:0:interface=127.0.0.1"})

    def test_site(self) -> None:
        """An application keeps its own paths, and its people may push to the registry beside them; strangers may not."""
        running = self.run_example("embed_site.py")
        url = f"http://127.0.0.1:{running.wait_for(_SITE)['port']}"
        self.assertEqual((200, b"the application: /"), ask(f"{url}/")[::2])
        self.assertEqual((200, b"the application: /shop"), ask(f"{url}/shop")[::2])
        self.assertEqual((200, b"true"), ask(f"{url}/v1/_ping")[::2])
        self.assertEqual((200, b"true"), ask(f"{url}/_ping")[::2])
        self.assertEqual(401, ask(f"{url}/v2/")[0])
        self.assertEqual(200, ask(f"{url}/v2/", Authorization=_BASIC)[0])
        self.assertEqual(404, ask(f"{url}/readyz")[0])
        path = f"{url}/v1/repositories/demo/x/"
        self.assertEqual(401, ask(path, "PUT", b"[]")[0])
        self.assertEqual(200, ask(path, "PUT", b"[]", Authorization=_BASIC)[0])
        self.assertEqual((200, b"[]"), ask(f"{path}images", Authorization=_BASIC)[::2])
        _, output = running.terminate()
        self.assertNotIn("Traceback", output)

    def test_service(self) -> None:
        """A registry that is one service of several serves like any other."""
        running = self.run_example("embed_service.py")
        url = f"http://{running.wait_for(_REGISTRY)['place']}"
        self.assertEqual((200, b"true"), ask(f"{url}/v1/_ping")[::2])
        _, output = running.terminate()
        self.assertIn("at work", output)
        self.assertNotIn("Traceback", output)
