"""Tests of looking at a configuration."""

import json
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.checkconfig import check, shown_settings
from dockreg.config import Config, ConfigError, read_config
from tests.pairs import authority, issued
from tests.support import require_module


class CheckTests(SynchronousTestCase):
    """What the configuration names is looked at, and nothing is made."""

    def config(self, text: str = "", folder: str | None = None) -> Config:
        return read_config(f'data_dir = "{folder or Path(self.mktemp()).absolute()}"\n{text}')

    def refused(self, config: Config) -> ConfigError:
        error = self.assertRaises(ConfigError, check, config, MemoryReactorClock())
        assert isinstance(error, ConfigError)
        return error

    def test_nothing_is_made(self) -> None:
        """A folder that can be made is all right, and is not made."""
        config = self.config()
        check(config, MemoryReactorClock())
        self.assertFalse(config.data_dir.exists())

    def test_room(self) -> None:
        """Who would have every upload refused is told why."""
        self.assertEqual([], check(self.config("blobs.reserve_bytes = 1\n"), MemoryReactorClock()))
        (note,) = check(self.config(f"blobs.reserve_bytes = {1 << 60}\n"), MemoryReactorClock())
        self.assertIn("uploads would be refused", note)
        self.assertIn("1048576 TiB", note)

    def test_folder(self) -> None:
        """A data folder that is a file, or lies in one, is refused."""
        path = Path(self.mktemp()).absolute()
        path.write_bytes(b"")
        for folder in (path, path / "below"):
            with self.subTest(folder=folder):
                self.assertEqual("data_dir", self.refused(self.config(folder=str(folder))).key)

    def test_blob_folder(self) -> None:
        """So is such a folder of blobs."""
        path = Path(self.mktemp()).absolute()
        path.write_bytes(b"")
        self.assertEqual("blobs.folder", self.refused(self.config(f'[blobs]\nfolder = "{path}"')).key)

    def test_providers(self) -> None:
        """A provider that can not be imported is named by its key."""
        cases = {
            "metadata.provider": '[metadata]\nprovider = "nowhere.at.all"',
            "blobs.provider": '[blobs]\nprovider = "dockreg.config.NothingOfTheKind"',
            "auth.checkers": '[auth]\ncheckers = ["nowhere.at.all"]',
            "auth.authorizer": '[auth]\nauthorizer = "nowhere.at.all"',
        }
        for key, text in cases.items():
            with self.subTest(key=key):
                self.assertEqual(key, self.refused(self.config(text)).key)

    def test_htpasswd(self) -> None:
        """A password file that can not be used is refused; lines of it that are not used are told by their numbers."""
        path = Path(self.mktemp()).absolute()
        config = self.config(f'[auth]\ncheckers = ["htpasswd:{path}"]')
        error = self.refused(config)
        self.assertEqual("auth.checkers", error.key)
        self.assertIn(f"{path} can not be read", error.reason)
        path.write_bytes(b"anna:$2y$04$half\n")
        self.assertIn("is no htpasswd file", self.refused(config).reason)
        path.write_bytes(b"anna:hunter2\n")
        (note,) = check(config, MemoryReactorClock())
        self.assertIn(f"line 1 of {path} is not used", note)
        self.assertNotIn("hunter2", note)
        path.write_bytes(b"")
        self.assertEqual([], check(config, MemoryReactorClock()))

    def test_keys_of_a_token_server(self) -> None:
        """A file without the public keys that it should have is refused."""
        path = Path(self.mktemp()).absolute()
        server = "realm = 'https://auth.example/token'\nservice = 'r'\nissuer = 'i'"
        config = self.config(f"[auth.token_server]\n{server}\nkey_files = ['{path}']")
        for content in (None, b"", b"nonsense"):
            if content is not None:
                path.write_bytes(content)
            error = self.refused(config)
            self.assertEqual("auth.token_server.key_files", error.key)
            self.assertIn(str(path), error.reason)
        path.write_bytes(authority().pem)
        self.assertEqual([], check(config, MemoryReactorClock()))

    def test_checkers_of_twistd(self) -> None:
        """A checker that twistd does not have, or that does not take its argument, is refused."""
        for entry in ("flie:/etc/people", "memory:odd", "anonymous"):
            with self.subTest(entry=entry):
                self.assertEqual("auth.checkers", self.refused(self.config(f'[auth]\ncheckers = ["{entry}"]')).key)
        check(self.config('[auth]\ncheckers = ["memory:anna:secret", "unix"]'), MemoryReactorClock())

    def test_certificates(self) -> None:
        """That nobody will come with a certificate is told."""
        config = self.config('auth.checkers = ["certificates"]')
        self.assertIn("tls.client_ca", check(config, MemoryReactorClock())[0])

    def test_directory(self) -> None:
        """Files that a directory needs are looked at, and it is not asked; who else may read a password is told."""
        require_module("ldap")
        secret = Path(self.mktemp()).absolute()
        lines = f'url = "ldaps://127.0.0.1:1"\nuser_base = "dc=x"\nbind_dn = "cn=x"\nbind_password_file = "{secret}"'
        config = self.config(f'[auth]\ncheckers = ["ldap"]\n[auth.ldap]\n{lines}')
        error = self.refused(config)
        self.assertEqual("auth.ldap", error.key)
        self.assertIn(str(secret), error.reason)
        secret.write_text("sesame")
        secret.chmod(0o600)
        self.assertEqual([], check(config, MemoryReactorClock()))
        secret.chmod(0o644)
        self.assertEqual([f"{secret} can be read by everybody"], check(config, MemoryReactorClock()))
        error = self.assertRaises(ConfigError, check, config, MemoryReactorClock(), connect=True)
        self.assertIn("127.0.0.1:1: Connection refused", error.reason)

    def test_endpoints(self) -> None:
        """An endpoint that is none is refused; sockets of systemd are not looked for."""
        self.assertEqual("listen", self.refused(self.config('listen = ["nonsense:1"]')).key)
        self.assertEqual("metrics.listen", self.refused(self.config('[metrics]\nlisten = ["tcp:x:y"]')).key)
        check(self.config('listen = ["systemd:domain=INET:name=dockreg"]'), MemoryReactorClock())

    def test_reach(self) -> None:
        """While everybody may push, an endpoint that says that others can reach it is refused as at the start."""
        for endpoint in (
            "tcp:5000",
            "tcp:5000:interface=0.0.0.0",
            "tcp:port=5000:interface=192.0.2.1",
            "tcp:5000:interface=\\\\:\\\\:",
            "tcp6:5000",
            f"tls:{self.mktemp()}",
            "haproxy:tcp:5000",
        ):
            with self.subTest(endpoint=endpoint):
                settings = (
                    f'listen = ["tcp:5000:interface=127.0.0.1", "{endpoint}"]\nhttp.trusted_proxies = ["192.0.2.9"]'
                )
                error = self.refused(self.config(settings))
                self.assertEqual("listen", error.key)
                self.assertIn("everybody may push", error.reason)
                for more in ("allow_unauthenticated = true", 'auth.anonymous = "pull"', 'auth.anonymous = "none"'):
                    check(self.config(f"{settings}\n{more}"), MemoryReactorClock())

    def test_reach_over_tls(self) -> None:
        """So is an endpoint with a certificate."""
        both = Path(self.mktemp()).absolute()
        server = issued(authority(), "registry")
        both.write_bytes(server.pem + server.key_pem())
        error = self.refused(self.config(f'listen = ["ssl:5000:privateKey={both}:certKey={both}"]'))
        self.assertIn("everybody may push", error.reason)
        check(self.config(f'listen = ["ssl:5000:privateKey={both}:interface=127.0.0.1"]'), MemoryReactorClock())

    def test_not_reached(self) -> None:
        """What others can not reach, and what is known only when it is bound, is no mistake; nothing is opened."""
        for endpoint in (
            "tcp:5000:interface=127.0.0.1",
            "tcp6:5000:interface=\\\\:\\\\:1",
            "haproxy:tcp:5000:interface=127.0.0.1",
            "tcp:5000:interface=localhost",
            "unix:/run/dockreg/http.socket",
            "systemd:domain=INET:name=dockreg",
            "haproxy:systemd:domain=INET:name=dockreg",
        ):
            with self.subTest(endpoint=endpoint):
                reactor = MemoryReactorClock()
                check(self.config(f'listen = ["{endpoint}"]\nhttp.trusted_proxies = ["192.0.2.9"]'), reactor)
                self.assertEqual(([], [], []), (reactor.tcpServers, reactor.sslServers, reactor.unixServers))

    def test_proxied(self) -> None:
        """An endpoint to which nobody may connect, for no proxy is named, is refused."""
        for endpoint in ("haproxy:tcp:5000:interface=127.0.0.1", "HAProxy:tcp:5000:interface=127.0.0.1"):
            error = self.refused(self.config(f'listen = ["{endpoint}"]'))
            self.assertEqual("http.trusted_proxies", error.key)
            self.assertIn(endpoint, error.reason)
        check(self.config('listen = ["haproxy:unix:/run/dockreg/http.socket"]'), MemoryReactorClock())
        twice = self.refused(self.config('listen = ["haproxy:haproxy:tcp:5000"]\nhttp.trusted_proxies = ["::1"]'))
        self.assertEqual("listen", twice.key)

    def test_figures_elsewhere(self) -> None:
        """The listener of the figures may be reached by others, for nobody can push there."""
        check(self.config('[metrics]\nlisten = ["tcp:5001"]'), MemoryReactorClock())


class TLSTests(SynchronousTestCase):
    """The files of ``[tls]`` are looked at."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.authority = authority()
        self.path = issued(self.authority, "registry").write(self.folder, "server")

    def config(self, text: str = "", listen: str = "tcp:5443:interface=127.0.0.1") -> Config:
        top = f'data_dir = "{self.folder}"\n[tls]\nlisten = ["{listen}"]\ncertificate = "{self.path}"\n'
        return read_config(top + text)

    def refused(self, config: Config) -> ConfigError:
        error = self.assertRaises(ConfigError, check, config, MemoryReactorClock())
        assert isinstance(error, ConfigError)
        return error

    def test_good(self) -> None:
        """A certificate and its key, which are good for long, are all right."""
        reactor = MemoryReactorClock()
        reactor.advance(1_700_000_000)
        self.assertEqual([], check(self.config(), reactor))

    def test_bad(self) -> None:
        """What is not there, or is not what it should be, is named by its setting."""
        other = self.folder / "other.pem"
        other.write_bytes(issued(self.authority, "other").key_pem())
        for key, path, part in (
            ("tls.key", self.folder / "absent", "No such file"),
            ("tls.key", other, "not the key"),
            ("tls.client_ca", other, "no certificate in PEM"),
        ):
            error = self.refused(self.config(f'{key.partition(".")[2]} = "{path}"'))
            self.assertEqual((key, True), (error.key, part in error.reason))
        self.path.write_bytes(b"")
        self.assertEqual("tls.certificate", self.refused(self.config()).key)

    def test_doubts(self) -> None:
        """What will have to be looked after is told, and is no mistake."""
        reactor = MemoryReactorClock()
        reactor.advance(1_700_000_000)
        issued(self.authority, "registry", end=1_700_086_400).write(self.folder, "server")
        (note,) = check(self.config(), reactor)
        self.assertTrue(note.startswith("tls.certificate: the certificate of CN=registry expires on 2023-11-15"), note)

    def test_endpoints(self) -> None:
        """The endpoints are looked at as those of plain listeners are."""
        self.assertEqual("tls.listen", self.refused(self.config(listen="nonsense:1")).key)
        error = self.refused(self.config(listen="tcp:5443"))
        self.assertEqual("tls.listen", error.key)
        self.assertIn("everybody may push", error.reason)


class ShownSettingsTests(SynchronousTestCase):
    """What is shown of a configuration."""

    def test_as_in_the_file(self) -> None:
        """Every setting is shown by its key, in values that JSON has."""
        shown = json.loads(json.dumps(shown_settings(Config())))
        self.assertEqual("push", shown["auth"]["anonymous"])
        self.assertEqual(["tcp:5000:interface=127.0.0.1"], shown["listen"])
        self.assertEqual("sqlite:///dockreg-data/metadata.sqlite3", shown["metadata"]["url"])

    def test_secrets(self) -> None:
        """No password is shown, wherever a URL holds it, and no option of somebody else's provider."""
        secret = "v3ry:s3cret"
        for url in (
            f"postgresql+psycopg://joe:{secret}@db/registry",
            f"postgresql+psycopg:///registry?user=joe&password={secret}",
        ):
            with self.subTest(url=url):
                text = json.dumps(shown_settings(read_config(f'[metadata]\nurl = "{url}"')))
                self.assertNotIn("s3cret", text)
                self.assertIn("registry", text)
        checkers = read_config(f'[auth]\ncheckers = ["memory:joe:{secret}"]')
        self.assertEqual(["memory:(not shown)"], shown_settings(checkers)["auth"]["checkers"])
        reader = f'url = "ldaps://a"\nuser_base = "dc=x"\nbind_dn = "cn=x"\nbind_password = "{secret}"'
        directory = read_config(f'auth.checkers = ["ldap"]\n[auth.ldap]\n{reader}')
        self.assertEqual("(not shown)", shown_settings(directory)["auth"]["ldap"]["bind_password"])
        text = f'[blobs]\nprovider = "a.b"\n[blobs.options]\nkey = "{secret}"'
        shown = shown_settings(read_config(text))["blobs"]["options"]
        self.assertEqual(["key"], list(shown))
        self.assertNotIn("s3cret", json.dumps(shown))
