"""``twistd dockreg`` as a process: start, stop, systemd, several at once."""

import json
import os
import re
import signal
import socket
import ssl
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.processes import ROOT, DaemonProcess, Process, ask, program
from tests.pairs import authority, issued

_REFUSED = "everybody may push"


class StartTests(SynchronousTestCase):
    """How the daemon starts, and how it does not."""

    def setUp(self) -> None:
        """A folder for the data, which is not there yet."""
        self.data = Path(self.mktemp())

    def fails(self, *options: str, listen: str = "tcp:0:interface=127.0.0.1") -> str:
        """What a daemon says that ends at once, with another status than 0."""
        status, output = DaemonProcess.start(self, self.data, *options, listen=listen).rest()
        self.assertEqual(1, status, output)
        return output

    def test_serves(self) -> None:
        """The daemon serves, with the data folder for its owner alone, and ends when it is asked to."""
        daemon = DaemonProcess.start(self, self.data, itself=True)
        status, headers, body = ask(f"{daemon.url()}/v1/_ping")
        self.assertEqual((200, b"true"), (status, body))
        self.assertIn("X-Docker-Registry-Version", headers)
        self.assertEqual(0o700, self.data.stat().st_mode & 0o777)
        status, output = daemon.terminate()
        self.assertEqual(-signal.SIGTERM, status)
        self.assertNotIn("Traceback", output)

    def test_address_in_use(self) -> None:
        """A port that is taken ends the daemon with a sentence and no traceback."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            output = self.fails(listen=f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1")
        self.assertIn("Address already in use", output.splitlines()[-1])
        self.assertNotIn("Traceback", output)

    def test_bad_endpoint(self) -> None:
        """What is no endpoint is told by what was written."""
        output = self.fails(listen="tcp:99999")
        self.assertIn("tcp:99999", output.splitlines()[-1])
        self.assertNotIn("Traceback", output)

    def test_second_of_two(self) -> None:
        """When the second port can not be opened, the first does not keep the daemon alive."""
        output = self.fails("--listen=tcp:0")
        self.assertIn(_REFUSED, output.splitlines()[-1])

    def test_bad_configuration(self) -> None:
        """A mistake in the configuration is told before anything is touched."""
        file = Path(self.mktemp())
        file.write_text("[auth]\nanonymous = 'all'\n")
        output = self.fails(f"--config={file}")
        self.assertIn(f"{file}: auth.anonymous: must be one of push, pull, none", output)
        self.assertFalse(self.data.exists())

    def test_bad_provider(self) -> None:
        """A provider that can not be imported is told with file and key."""
        file = Path(self.mktemp())
        file.write_text("[blobs]\nprovider = 'nowhere.Store'\n")
        output = self.fails(f"--config={file}")
        self.assertIn(f"{file}: blobs.provider: nowhere.Store can not be imported", output)
        self.assertNotIn("Traceback", output)

    def test_data_folder_in_the_way(self) -> None:
        """A data folder that is a file ends the daemon with a sentence."""
        self.data.write_text("")
        output = self.fails()
        self.assertIn(str(self.data.name), output.splitlines()[-1])
        self.assertNotIn("Traceback", output)

    def test_in_background(self) -> None:
        """A daemon that goes to the background and can not start tells the one who started it."""
        log, pid = self.mktemp(), self.mktemp()
        command = [program("twistd"), f"--logfile={log}", f"--pidfile={pid}", "dockreg", f"--data-dir={self.data}"]
        status, output = Process(self, [*command, "--listen=tcp:0"]).rest()
        self.assertEqual(1, status)
        self.assertIn("StartFailed", output)
        self.assertFalse(Path(pid).exists())


class ReloadTests(SynchronousTestCase):
    """SIGHUP."""

    def setUp(self) -> None:
        """A folder with a certificate, and a daemon that uses it."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.authority = authority()
        self.write("first")
        config = self.folder / "dockreg.toml"
        listen = "tcp:0:interface=127.0.0.1"
        path = self.folder / "server.pem"
        config.write_text(f"[tls]\nlisten = ['{listen}']\ncertificate = '{path}'\nclient_ca = '{path}'\n")
        self.daemon = DaemonProcess.start(self, self.folder / "data", f"--config={config}")
        self.daemon.url()
        self.port = int(self.daemon.url().rpartition(":")[2])

    def write(self, name: str) -> None:
        """A new certificate."""
        issued(self.authority, name).write(self.folder, "server")

    def served(self) -> str:
        """The name of the certificate that a new connection gets."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            certificate: Any = secure.getpeercert()
            return str(certificate["subject"][0][0][1])

    def test_certificate(self) -> None:
        """The certificate is read again, again and again; one that can not be used changes nothing."""
        self.assertEqual("first", self.served())
        for name in ("second", "third"):
            self.write(name)
            self.daemon.running.send_signal(signal.SIGHUP)
            self.daemon.wait_for(re.compile("TLS with .*server.pem"))
            self.assertEqual(name, self.served())
        (self.folder / "server.pem").write_bytes(b"")
        self.daemon.running.send_signal(signal.SIGHUP)
        self.daemon.wait_for(re.compile("stays as it was read before: tls.certificate: .*server.pem"))
        self.assertEqual("third", self.served())
        status, output = self.daemon.terminate()
        self.assertEqual(-signal.SIGTERM, status)
        self.assertNotIn("Traceback", output)

    def test_command(self) -> None:
        """The unit of systemd reloads with the signal."""
        unit = (ROOT / "etc" / "systemd" / "dockreg.service").read_text()
        self.assertIn("\nExecReload=/bin/kill -HUP $MAINPID\n", unit)


class SystemdTests(SynchronousTestCase):
    """The daemon under something that behaves like systemd."""

    #: Where a socket is bound, the domain that its endpoint must name, and whether it may serve without accounts.
    PASSED: ClassVar[list[tuple[socket.AddressFamily, str, str, bool]]] = [
        (socket.AF_INET, "127.0.0.1", "INET", True),
        (socket.AF_INET, "0.0.0.0", "INET", False),
        (socket.AF_INET6, "::1", "INET6", True),
        (socket.AF_INET6, "::", "INET6", False),
    ]

    def setUp(self) -> None:
        """A folder for the data, and a socket for notifications."""
        self.data = Path(self.mktemp())
        self.path = f"/tmp/dockreg-test-{os.getpid()}-{id(self)}"
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notifications.close)
        self.notifications.bind(self.path)
        self.addCleanup(os.unlink, self.path)
        self.notifications.settimeout(30)

    def test_notifications(self) -> None:
        """Systemd is told when the daemon serves, that it is alive, and that it stops."""
        daemon = DaemonProcess.start(self, self.data, env={"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "400000"})
        url = daemon.url()
        messages: list[bytes] = []
        while messages.count(b"WATCHDOG=1") < 4:
            messages.append(self.notifications.recv(4096))
        self.assertEqual(1, messages.count(b"READY=1\nSTATUS=serving"))
        self.assertEqual(200, ask(f"{url}/readyz")[0])
        daemon.terminate()
        while not messages[-1].startswith(b"STOPPING=1"):
            messages.append(self.notifications.recv(4096))

    def test_not_ready(self) -> None:
        """A daemon that can not start never says that it is ready."""
        status, _ = DaemonProcess.start(self, self.data, listen="tcp:0", env={"NOTIFY_SOCKET": self.path}).rest()
        self.assertEqual(1, status)
        self.notifications.setblocking(False)
        while True:
            try:
                message = self.notifications.recv(4096)
            except BlockingIOError:
                break
            self.assertNotIn(b"READY", message)

    def test_activation(self) -> None:
        """A passed socket is served, unless everybody could push through it from elsewhere."""
        for family, host, domain, allowed in self.PASSED:
            with socket.create_server((host, 0), family=family) as passed:
                daemon = DaemonProcess.start(
                    self,
                    Path(self.mktemp()),
                    listen=f"systemd:domain={domain}:name=dockreg",
                    passed=(passed.fileno(), "dockreg"),
                )
                port = passed.getsockname()[1]
                passed.close()
                if allowed:
                    url = daemon.url()
                    self.assertTrue(url.endswith(f":{port}"), url)
                    self.assertEqual(200, ask(f"{url}/v1/_ping")[0])
                    daemon.terminate()
                else:
                    status, output = daemon.rest()
                    self.assertEqual((1, True), (status, _REFUSED in output), output)

    def test_passed_unix_socket(self) -> None:
        """A passed unix socket is local."""
        path = f"{self.path}-passed"
        with socket.socket(socket.AF_UNIX) as passed:
            passed.bind(path)
            self.addCleanup(os.unlink, path)
            passed.listen()
            listen = "systemd:domain=UNIX:name=dockreg"
            handed = (passed.fileno(), "dockreg")
            daemon = DaemonProcess.start(self, self.data, listen=listen, passed=handed, itself=True)
            self.assertEqual(f"http://{path}", daemon.url())

    def test_wrong_domain(self) -> None:
        """An endpoint that names the other kind of IP is refused with the right word."""
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as passed:
            listen = "systemd:domain=INET:name=dockreg"
            status, output = DaemonProcess.start(
                self, self.data, listen=listen, passed=(passed.fileno(), "dockreg")
            ).rest()
        self.assertEqual(1, status)
        self.assertIn("write domain=INET6", output)

    def test_wrong_name(self) -> None:
        """A name that systemd did not pass is told, with where names come from."""
        with socket.create_server(("127.0.0.1", 0)) as passed:
            listen = "systemd:domain=INET:name=dockreg"
            status, output = DaemonProcess.start(self, self.data, listen=listen, passed=(passed.fileno(), "web")).rest()
        self.assertEqual(1, status)
        self.assertIn("FileDescriptorName=", output)

    def test_state_directory(self) -> None:
        """Without ``--data-dir`` the state folder of systemd is used."""
        command = [program("twistd"), "--nodaemon", "--pidfile=", "dockreg", "--listen=tcp:0:interface=127.0.0.1"]
        daemon = DaemonProcess(self, command, {"STATE_DIRECTORY": str(self.data.absolute())}, fork=True)
        daemon.url()
        self.assertTrue((self.data / "metadata.sqlite3").exists())


class TogetherTests(SynchronousTestCase):
    """Several daemons on one folder."""

    def test_four_at_once(self) -> None:
        """Four that start at once on an empty folder agree on the schema and on the keys of tokens."""
        data = Path(self.mktemp())
        daemons = [DaemonProcess.start(self, data) for _ in range(4)]
        urls = [daemon.url() for daemon in daemons]
        images = json.dumps([]).encode()
        status, headers, _ = ask(f"{urls[0]}/v1/repositories/demo/four/", "PUT", images, X_Docker_Token="true")
        self.assertEqual(200, status)
        token = f"Token {headers['X-Docker-Token']}"
        for url in urls:
            status, _, body = ask(f"{url}/v1/repositories/demo/four/images", Authorization=token)
            self.assertEqual((200, b"[]"), (status, body))
        for daemon in daemons:
            self.assertNotIn("Traceback", daemon.terminate()[1])
