"""People of a real LDAP server, at the door of a service."""

from dockreg.cli.checkconfig import check
from dockreg.config import ConfigError, read_config
from dockreg.lifecycle import RegistryService, StartFailed
from tests.integration import test_service
from tests.integration.slapd import GROUPS, PEOPLE, READER, READER_PASSWORD, Server
from tests.integration.test_checkers import entry
from tests.support import require_module

_PATH = "/v1/repositories/demo/x/"


class LDAPServiceTests(test_service.ServiceTestCase):
    """A service that knows somebody from a file, and the people of a directory."""

    timeout = 60

    def setUp(self) -> None:
        super().setUp()
        require_module("ldap")
        self.server = Server()
        self.addCleanup(self.server.remove)
        self.server.start()
        self.secret = self.new_path()
        self.secret.write_text(READER_PASSWORD)
        self.others = self.new_path()
        self.others.write_bytes(entry("root", b"another"))

    def settings(self, **more: object) -> str:
        every = {
            "url": self.server.tls_url,
            "ca_file": str(self.server.authority),
            "bind_dn": READER,
            "bind_password_file": str(self.secret),
            "user_base": PEOPLE,
            "group_base": GROUPS,
            "timeout_seconds": 5,
            **more,
        }
        lines = "".join(f"{key} = {value!r}\n" for key, value in every.items())
        head = f"auth.anonymous = 'none'\nauth.checkers = ['htpasswd:{self.others}', 'ldap']\n"
        return f"{head}auth.remember_seconds = 0\n[auth.ldap]\n{lines}"

    async def start_with(self, **more: object) -> RegistryService:
        """A service with these settings of the directory."""
        return await self.start(self.settings(**more))

    async def status(self, service: RegistryService, name: str, password: str) -> int:
        return (await self.ask(service, "/v1/users/", auth=(name, password)))[0]

    async def test_logins(self) -> None:
        """Who is in the directory gets in over TLS; a wrong password and a name that is nobody's are refused alike."""
        service = await self.start_with()
        self.assertEqual(200, await self.status(service, "anna", "secret"))
        self.assertEqual(200, await self.status(service, "root", "another"))
        refusals = [await self.ask(service, "/v1/users/", auth=who) for who in (("anna", "x"), ("nobody", "x"))]
        self.assertEqual(401, refusals[0][0])
        self.assertEqual(refusals[0], refusals[1])

    async def test_token(self) -> None:
        """The token of somebody who is no longer in the directory is refused."""
        service = await self.start_with(user_filter="(&(uid={name})(!(description=left)))")
        headers: dict[bytes | str, bytes | str] = {"X-Docker-Token": "true"}
        url = f"http://127.0.0.1:{self.port(service)}"
        answer = await self.client.put(f"{url}{_PATH}", data=b"[]", auth=("anna", "secret"), headers=headers)
        self.assertEqual(200, answer.code)
        token = answer.headers.getRawHeaders("X-Docker-Token")[0]
        await answer.content()
        bearer = {"Authorization": f"Token {token}"}
        self.assertEqual(200, (await self.ask(service, f"{_PATH}images", headers=bearer))[0])
        self.server.modify(f"uid=anna,{PEOPLE}", "description", "left")
        self.assertEqual(401, (await self.ask(service, f"{_PATH}images", headers=bearer))[0])
        self.assertEqual(401, await self.status(service, "anna", "secret"))

    async def test_no_answer(self) -> None:
        """While the directory does not answer, its people are told to come back, and others get in."""
        service = await self.start_with()
        self.server.stop()
        self.assertEqual(200, await self.status(service, "root", "another"))
        for name in ("anna", "nobody"):
            self.assertEqual(503, await self.status(service, name, "secret"))
        self.server.start()
        self.assertEqual(200, await self.status(service, "anna", "secret"))

    async def test_start(self) -> None:
        """A service starts while the directory does not answer, and does not without the files that it needs."""
        self.server.stop()
        service = await self.start_with()
        self.assertEqual(503, await self.status(service, "anna", "secret"))
        await service.stopService()
        other = self.make(self.settings(bind_password_file=str(self.new_path())))
        other.startService()
        with self.assertRaises(StartFailed) as caught:
            await other.when_started()
        self.assertIn("can not be read", str(caught.exception))

    def test_check_config(self) -> None:
        """The directory is asked beforehand, when that is wished for."""
        config = read_config(f"data_dir = {str(self.data)!r}\n{self.settings()}")
        check(config, self.reactor, connect=True)
        self.secret.write_text("another")
        check(config, self.reactor)
        with self.assertRaises(ConfigError) as caught:
            check(config, self.reactor, connect=True)
        self.assertEqual(("auth.ldap", f"it refuses {READER}"), (caught.exception.key, caught.exception.reason))
