"""The rules about imports that import-linter can not state."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import dockreg

ROOT = Path(dockreg.__file__).parent
#: The parts of twisted.web that are for clients.
CLIENT = (
    "twisted.web.client",
    "twisted.web.http_headers",
    "twisted.web.iweb",
    "twisted.web.error",
    "twisted.web.http.PotentialDataLoss",
)

#: What a daemon needs for some settings, or some requests, alone.
UNUSED = {
    "alembic",
    "argon2",
    "click",
    "hypothesis",
    "jwt",
    "klein",
    "ldap",
    "prometheus_client",
    "psycopg",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "treq",
    "twisted.web.client",
    "werkzeug",
    "zstandard",
    "dockreg.cli",
    "dockreg.model.filelist",
    "dockreg.providers.auth.certificates",
    "dockreg.providers.auth.htpasswd",
    "dockreg.providers.auth.ldapwire",
    "dockreg.providers.auth.outbound",
    "dockreg.providers.auth.tokenserver",
    "dockreg.providers.auth.trustedkeys",
    "dockreg.retention",
    "dockreg.supervision",
    "dockreg.testing",
    "dockreg.workers",
}


def imports_of(path: Path) -> Iterator[str]:
    """Every imported name, dotted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class ImportTests(SynchronousTestCase):
    """Where twisted.web may be used."""

    def test_the_server_side_is_in_web_alone(self) -> None:
        """Outside ``web/`` there are only clients, and in ``service.py`` the name of ``IResource``."""
        for path in ROOT.rglob("*.py"):
            folder = path.relative_to(ROOT).parts[0]
            for name in imports_of(path):
                if folder == "web" or not name.startswith(("twisted.web", "klein", "werkzeug")):
                    continue
                allowed = folder in ("providers", "testing", "cli") and name.startswith(CLIENT)
                # The engines to test with need the order of headers in their hands.
                allowed |= folder == "testing" and name.startswith("twisted.web._newclient.")
                named = folder == "service.py" and name == "twisted.web.resource.IResource"
                self.assertTrue(allowed or named, f"{path.relative_to(ROOT)} imports {name}")

    def test_the_interfaces_are_in_one_place(self) -> None:
        """What a provider promises is read in ``interfaces*.py``; a package may have interfaces of its own parts."""
        for path in ROOT.glob("*.py"):
            if not path.name.startswith("interfaces"):
                self.assertNotIn("zope.interface.Interface", list(imports_of(path)))

    def test_commands_start_light(self) -> None:
        """A command about people starts without what serves."""
        program = "import sys, dockreg.cli.user; print(*{name.partition('.')[0] for name in sys.modules})"
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        self.assertEqual(set(), {"klein", "werkzeug"} & set(done.stdout.split()))

    def test_daemon_starts_light(self) -> None:
        """What serves with the settings that nobody changed has nothing in memory that only other settings need."""
        program = (
            "import sys\n"
            "from twisted.internet import reactor\n"
            "from dockreg.config import load_config\n"
            "from dockreg.service import make_daemon_service\n"
            "service = make_daemon_service(load_config(None, sys.argv[1], [], {}), reactor, {})\n"
            "def started(_):\n"
            "    print(*sys.modules)\n"
            "    service.stopService().addBoth(lambda _: reactor.stop())\n"
            "def begin():\n"
            "    service.startService()\n"
            "    service.when_started().addBoth(started)\n"
            "reactor.callWhenRunning(begin)\n"
            "reactor.run()\n"
        )
        folder = self.mktemp()
        done = subprocess.run([sys.executable, "-c", program, folder], check=True, capture_output=True, text=True)
        imported = set(done.stdout.split())
        self.assertIn("dockreg.providers.metadata.sql", imported)
        self.assertEqual(set(), imported & UNUSED)
