"""People from elsewhere, asked for by a service that serves."""

import bcrypt
from twisted.internet.task import deferLater

from dockreg.lifecycle import RegistryService, StartFailed
from tests.integration import test_service


def entry(name: str, password: bytes) -> bytes:
    """A line of an htpasswd file, as cheap as can be."""
    return b"%s:%s\n" % (name.encode(), bcrypt.hashpw(password, bcrypt.gensalt(4)))


class HtpasswdTests(test_service.ServiceTestCase):
    """A service that knows people from a password file, and one more from a checker of twistd."""

    timeout = 30

    async def status(self, service: RegistryService, name: str, password: str) -> int:
        """What somebody is told at the door."""
        return (await self.ask(service, "/v1/users/", auth=(name, password)))[0]

    def settings(self, *checkers: str) -> str:
        return f"auth.registration = 'closed'\nauth.checkers = {list(checkers)!r}\n"

    async def test_logins(self) -> None:
        """Who is in the file, or known to the next checker, gets in; a line that is gone counts at once."""
        path = self.new_path()
        path.write_bytes(entry("anna", b"secret") + entry("berta", b"other"))
        service = await self.start(self.settings(f"htpasswd:{path}", "accounts", "memory:carla:third"))
        for name, password in (("anna", "secret"), ("berta", "other"), ("carla", "third")):
            self.assertEqual(200, await self.status(service, name, password), name)
        for name, password in (("anna", "other"), ("berta", "x" * 100), ("carla", "secret"), ("nobody", "secret")):
            self.assertEqual(401, await self.status(service, name, password), name)
        path.write_bytes(entry("anna", b"secret"))
        await self.until_refused(service, "berta", "other")
        self.assertEqual(200, await self.status(service, "anna", "secret"))

    async def until_refused(self, service: RegistryService, name: str, password: str) -> None:
        """Come back once somebody is not let in any more; the test's own time ends an endless wait."""
        while await self.status(service, name, password) == 200:
            await deferLater(self.reactor, 0.1)

    async def test_no_file(self) -> None:
        """Without its password file the service does not start, and says which file that is."""
        path = self.new_path()
        service = self.make(self.settings(f"htpasswd:{path}"))
        await self.turn()
        service.startService()
        with self.assertRaises(StartFailed) as caught:
            await service.when_started()
        self.assertIn(f"the password file {path} can not be read", str(caught.exception))
