"""Tests of :mod:`dockreg.providers.tls`; ``tests/integration/test_tls.py`` has the connections."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from OpenSSL import SSL
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dockreg.providers.tls import WARN_SECONDS, ServerTLS, TLSFiles, TLSInvalid
from tests.pairs import Pair, authority, issued

_DAY = 86400.0
_NOW = 20_000 * _DAY


class FilesCase(SynchronousTestCase):
    """A folder with a certificate."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = authority()
        self.server = issued(self.authority, "server")
        self.path = self.server.write(self.folder, "server")
        self.files = TLSFiles(self.path, self.path)

    def file(self, name: str, content: bytes) -> Path:
        """A file with a content."""
        path = self.folder / name
        path.write_bytes(content)
        return path


class ReadTests(FilesCase):
    """What the files hold."""

    def refused(self, files: TLSFiles) -> TLSInvalid:
        error = self.assertRaises(TLSInvalid, lambda: files.read().context())
        assert isinstance(error, TLSInvalid)
        return error

    def files_with(self, name: str, path: Path) -> TLSFiles:
        """The files, but for one."""
        changed: dict[str, Any] = {name: path}
        return evolve(self.files, **changed)

    def test_one_file(self) -> None:
        """Certificate, chain and key may be in one file, in any order but that of the certificates."""
        middle = authority("middle", self.authority)
        server = issued(middle, "server")
        path = self.file("all", server.key_pem() + server.pem + middle.pem)
        credentials = TLSFiles(path, path).read()
        self.assertEqual([server.certificate, middle.certificate], list(credentials.chain))
        credentials.context()

    def test_two_files(self) -> None:
        """The key may have a file of its own."""
        key = self.file("key", self.server.key_pem())
        self.assertEqual([self.server.certificate], TLSFiles(self.file("cert", self.server.pem), key).read().chain)

    def test_absent(self) -> None:
        """A file that is not there is named, with its setting."""
        absent = self.folder / "absent"
        for name in ("certificate", "key", "client_ca"):
            error = self.refused(self.files_with(name, absent))
            self.assertEqual((f"tls.{name}", True), (error.key, str(absent) in error.reason))
            self.assertIn("No such file", str(error))

    def test_content(self) -> None:
        """A file without what it should have is named, with what is wrong."""
        other, folder = issued(self.authority, "other"), self.folder
        cases: list[tuple[str, Path, str]] = [
            ("certificate", self.file("empty", b""), "no certificate in PEM"),
            ("certificate", self.file("garbled", self.server.pem.replace(b"A", b"B", 40)), "no certificate in PEM"),
            ("certificate", self.file("only-key", self.server.key_pem()), "no certificate in PEM"),
            ("certificate", folder, "Is a directory"),
            ("key", self.file("no-key", self.server.pem), "no private key in PEM"),
            ("key", self.file("locked", self.server.key_pem(b"secret")), "encrypted"),
            ("key", self.file("other", other.key_pem()), "not the key of the first certificate"),
            ("client_ca", self.file("no-ca", b"nothing"), "no certificate in PEM"),
        ]
        for name, path, part in cases:
            error = self.refused(self.files_with(name, path))
            self.assertEqual(f"tls.{name}", error.key)
            self.assertIn(part, error.reason)

    def test_order(self) -> None:
        """The certificate of the key comes first."""
        path = self.file("order", self.authority.pem + self.server.pem + self.server.key_pem())
        self.assertEqual("tls.key", self.refused(TLSFiles(path, path)).key)

    def test_secret(self) -> None:
        """The key is not shown by what holds it."""
        self.assertNotIn("key=", repr(self.files.read()).replace("key=PosixPath", ""))


class DoubtTests(FilesCase):
    """What should be looked after."""

    def doubts(self, server: Pair, client_ca: Path | None = None) -> list[str]:
        path = server.write(self.folder, "doubtful")
        return [f"{key}: {doubt}" for key, doubt in TLSFiles(path, path, client_ca).read().doubts(_NOW)]

    def test_none(self) -> None:
        """A certificate that is good for long raises no doubt."""
        self.assertEqual([], self.doubts(issued(self.authority, "x", end=_NOW + WARN_SECONDS + 1)))

    def test_times(self) -> None:
        """One that has expired, soon will, or is not good yet, does."""
        for begin, end, part in (
            (_NOW - 400 * _DAY, _NOW, "expired on 2024-10-04 00:00 UTC"),
            (_NOW - 400 * _DAY, _NOW + _DAY, "expires on 2024-10-05 00:00 UTC"),
            (_NOW - 400 * _DAY, _NOW + WARN_SECONDS, "expires on"),
            (_NOW + _DAY, _NOW + 400 * _DAY, "not good before 2024-10-05 00:00 UTC"),
        ):
            (doubt,) = self.doubts(issued(self.authority, "registry", begin=begin, end=end))
            self.assertIn(part, doubt)
            self.assertTrue(doubt.startswith("tls.certificate: the certificate of CN=registry "), doubt)

    def test_authorities(self) -> None:
        """So does such an authority."""
        good = issued(self.authority, "x", end=_NOW + 400 * _DAY)
        expired = self.file("ca", issued(self.authority, "old", end=_NOW - 1).pem)
        (doubt,) = self.doubts(good, expired)
        self.assertTrue(doubt.startswith("tls.client_ca: the certificate of CN=old expired on"), doubt)

    def test_permissions(self) -> None:
        """So does a key that everybody can read."""
        self.path.chmod(0o644)
        now = 20_000 * _DAY
        self.assertEqual(["tls.key"], [key for key, _ in self.files.read().doubts(now)])


class ServerTLSTests(FilesCase):
    """:class:`dockreg.providers.tls.ServerTLS`."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(_NOW)
        self.tls = ServerTLS(self.files, maybeDeferred, self.clock)

    def load(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.tls.load()))

    def context(self) -> SSL.Context:
        connection: Any = self.tls.serverConnectionForTLS(None)  # type: ignore[arg-type]  # whose it is does not count
        found: SSL.Context = connection.get_context()
        return found

    def test_interface(self) -> None:
        """It makes the connections of servers."""
        verifyObject(IOpenSSLServerConnectionCreator, self.tls)

    def test_load(self) -> None:
        """What is read counts for later connections, and its end is known."""
        self.load()
        first = self.context()
        self.assertIs(first, self.context())
        issued(self.authority, "later", end=_NOW + 100 * _DAY).write(self.folder, "server")
        self.load()
        self.assertIsNot(first, self.context())
        self.assertEqual(_NOW + 100 * _DAY, self.tls.expires_at)

    def test_bad(self) -> None:
        """What can not be used changes nothing."""
        self.load()
        first, end = self.context(), self.tls.expires_at
        self.path.write_bytes(b"half a certif")
        self.failureResultOf(Deferred.fromCoroutine(self.tls.load()), TLSInvalid)
        self.assertEqual((True, end), (self.context() is first, self.tls.expires_at))

    def test_order(self) -> None:
        """When it is told to read twice, what was read last counts, however long the first took."""
        waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

        def in_thread(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
            waiting.append((Deferred(), function, args))
            return waiting[-1][0]

        self.tls = ServerTLS(self.files, in_thread, self.clock)
        both = [Deferred.fromCoroutine(self.tls.load()) for _ in range(2)]
        for end in (100, 200):
            issued(self.authority, "server", end=_NOW + end * _DAY).write(self.folder, "server")
            (begun,) = waiting
            waiting.clear()
            begun[0].callback(begun[1](*begun[2]))
        for each in both:
            self.successResultOf(each)
        self.assertEqual(_NOW + 200 * _DAY, self.tls.expires_at)

    def test_doubts(self) -> None:
        """What should be looked after is told to the log."""
        issued(self.authority, "soon", end=_NOW + _DAY).write(self.folder, "server")
        with capturedLogs() as events:
            self.load()
        self.assertEqual(["tls.certificate"], [event["key"] for event in events if event["log_level"].name == "warn"])

    def test_nobody_behind(self) -> None:
        """Where the factory makes no connection, neither does TLS around it."""

        class Refusing(Factory[Any]):
            def buildProtocol(self, addr: object) -> None:
                return None

        self.load()
        self.assertIsNone(self.tls.around(Refusing()).buildProtocol(None))
