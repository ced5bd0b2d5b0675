"""``dockreg doctor`` at dockreg, and as a program."""

import json
from pathlib import Path

from dockreg.cli.doctor.findings import Verdict
from dockreg.cli.progress import reporting
from dockreg.cli.tls import AnyCertificate
from dockreg.cli.transport import Transport
from dockreg.cli.v1 import Asked as PushAsked
from dockreg.cli.v1 import push_archive
from dockreg.cli.v1session import Target
from dockreg.testing.samples import layered_image
from tests.integration.daemon import RunningRegistry, start_registry
from tests.integration.doctorcase import ALICE, WRONG, DoctorCase
from tests.integration.misbehaving import PASSWORD, Registry, start_stand_in
from tests.integration.test_command import dockreg, dockreg_itself
from tests.unit.cli.saved import v1_members, write_tar

CLOSED = '[auth]\nanonymous = "none"\n'
BASIC = f'{CLOSED}challenge = "basic"\n'


class OwnTests(DoctorCase):
    """dockreg is well, and says what is not."""

    async def start(self, *, tls: bool = False, settings: str = CLOSED) -> RunningRegistry:
        from twisted.internet import reactor

        registry = await start_registry(self, tls=tls, settings=settings)
        self.authority = registry.config.data_dir.parent / "server.pem"
        document = {"username": "alice_1", "password": PASSWORD, "email": "", "auth": ""}
        transport = Transport(reactor, AnyCertificate())
        made = await transport.request("POST", f"{registry.url}/v1/users/", {}, json.dumps(document).encode())
        self.assertEqual(201, made.status, made.body)
        await transport.close()
        return registry

    async def push(self, registry: RunningRegistry) -> None:
        """An image of alice_1."""
        from twisted.internet import reactor

        archive = write_tar(Path(self.mktemp()), v1_members(layered_image()))
        target = Target.parse(f"{registry.url}/alice_1/app:1.0")
        asked = PushAsked(archive, target, ALICE, None, insecure=True, quiet=True, all_tags=False, as_json=False)
        with reporting(quiet=True) as reporter:
            await push_archive(reactor, asked, None, reporter)

    async def check_well(self, settings: str, *login: str) -> None:
        """Login, pull and push go well, and nothing stays of the push."""
        registry = await self.start(tls=True, settings=settings)
        await self.push(registry)
        await self.examine(registry.url, ALICE, repository="alice_1/app", push=True, authorities=self.authority)
        self.assert_well()
        begin = ["name", "connection", "TLS", "/v2/", "clock", "challenge"]
        rest = ["tags", "manifest", "blob", "upload", "chunk", "cancel", "v1 ping", "v1 login"]
        expected = [*begin, *login, *rest]
        self.assertEqual(expected, [name for name in self.names() if name not in ("token to pull", "token to push")])
        self.assertEqual([], list((registry.config.data_dir / "blobs" / "staging").glob("*")))

    async def test_well(self) -> None:
        """All goes well over https, with the authority, at the token service of the registry."""
        await self.check_well(CLOSED, "anonymous token", "token", "token by form", "login")
        self.assertIn("for pull, push", next(step.came for step in self.report.steps if step.name == "token to push"))

    async def test_well_with_basic(self) -> None:
        """All goes well where clients are asked for their password."""
        await self.check_well(BASIC, "login")
        self.assertIn("Basic realm=", next(step.came for step in self.report.steps if step.name == "challenge"))

    async def test_not_trusted(self) -> None:
        """A certificate of its own making fails with what to copy where; the rest is looked at without a password."""
        registry = await self.start(tls=True)
        await self.examine(registry.url, ALICE, repository="alice_1/app")
        self.assertIn(f"/etc/docker/certs.d/{registry.host}/ca.crt", self.told("TLS", Verdict.FAIL))
        self.assertIn("--insecure", self.told("trust", Verdict.WARN))
        self.assertNotIn("v1 login", self.names())
        self.assertIn("--user", self.told("tags", Verdict.FAIL))
        with self.subTest("insecure"):
            await self.examine(registry.url, ALICE, insecure=True)
            self.assertIn("signed itself", self.told("TLS", Verdict.WARN))
            self.assertEqual("", self.told("v1 login", Verdict.OK))
            self.assertFalse(self.report.failed)

    async def test_other_name(self) -> None:
        """A name that the certificate does not have fails, although its authority is trusted."""
        registry = await self.start(tls=True)
        await self.examine(f"https://localhost:{registry.port}", authorities=self.authority)
        self.assertIn("for 127.0.0.1, not for localhost", self.told("TLS", Verdict.FAIL))

    async def test_wrong_scheme(self) -> None:
        """http to a port with TLS, and https to one without, end with the URL to use."""
        registry = await self.start(tls=True)
        await self.examine(f"http://{registry.host}")
        self.assertIn(f"https://{registry.host}", self.told("TLS", Verdict.FAIL))
        registry = await self.start()
        await self.examine(f"https://{registry.host}")
        self.assertIn(f"http://{registry.host}", self.told("TLS", Verdict.FAIL))
        self.assertEqual(["name", "connection", "TLS"], self.names())

    async def test_wrong_password(self) -> None:
        """A wrong password fails in v2, where it is sent to, and in v1; no pull is tried with it."""
        for settings, step, advice in ((BASIC, "login", "type them again"), (CLOSED, "token", "type it again")):
            registry = await self.start(settings=settings)
            await self.examine(registry.url, WRONG, repository="alice_1/app")
            self.assertIn(advice, self.told(step, Verdict.FAIL))
            self.assertIn("alice_1", self.told("v1 login", Verdict.FAIL))
            self.assertNotIn("tags", self.names())

    async def test_nobody(self) -> None:
        """Without a name a closed registry lets nobody pull; an open one needs no login at all."""
        registry = await self.start()
        await self.examine(registry.url, repository="alice_1/app")
        self.assertIn("--user", self.told("tags", Verdict.FAIL))
        registry = await self.start(settings="")
        await self.push(registry)
        await self.examine(registry.url, repository="alice_1/app", tag="1.0", push=True)
        self.assert_well()
        self.assertNotIn("challenge", self.names())

    async def test_only_v1(self) -> None:
        """A listener that is limited to v1 is warned of, and its v1 looked at."""
        registry = await start_registry(self, only_v1=True)
        await self.examine(registry.url)
        self.assertIn("17.05", self.told("/v2/", Verdict.WARN))
        self.assertEqual("", self.told("v1 ping", Verdict.OK))


class ProgramTests(DoctorCase):
    """The command line."""

    async def test_statuses(self) -> None:
        """Status 0 when all goes well, 1 when a step fails; the password is read from standard input, and never shown."""
        stand_in = Registry()
        await start_stand_in(self, stand_in)
        arguments = ["doctor", stand_in.origin, "--user", "alice_1", "--password-stdin", "--repository", "app"]
        done = await dockreg_itself(*arguments, stdin=PASSWORD)
        self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)
        self.assertIn("\nok    manifest\n      asked: GET and HEAD ", done.stdout)
        self.assertRegex(done.stdout, r"a token of \d+ characters, expires_in 300")
        self.assertRegex(done.stdout, r"All \d+ steps went well\.\n\Z")
        wrong = await dockreg(*arguments, "--json", stdin="wrong password")
        self.assertEqual((1, ""), (wrong.returncode, wrong.stderr))
        document = json.loads(wrong.stdout)
        self.assertEqual((False, stand_in.origin), (document["ok"], document["registry"]))
        self.assertEqual(["token"], [step["step"] for step in document["steps"] if step["verdict"] == "fail"])
        for secret in (PASSWORD, "wrong password", "e30.", "Bearer e", "Basic Y"):
            self.assertNotIn(secret, done.stdout + wrong.stdout)
