"""Several processes that serve one registry."""

import contextlib
import hashlib
import os
import re
import signal
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.commands import BEGIN
from tests.forkedworkers import BEGINS
from tests.integration.daemon import write_certificate
from tests.integration.processes import DaemonProcess, ask

_STARTED = re.compile(r"worker (\d+): dockreg listens on")
_AGAIN = re.compile(r"worker \d+ ended .*another one starts")
MEBIBYTE = 1024 * 1024


class WorkersCase(SynchronousTestCase):
    """Starts a daemon with two workers."""

    #: Whether the workers are forks, and no programs.
    forks = False

    def setUp(self) -> None:
        self.data = Path(self.mktemp())

    def start(
        self, text: str = "", *, passed: socket.socket | None = None, listen: str = "tcp:0:interface=127.0.0.1"
    ) -> DaemonProcess:
        """A daemon with this configuration."""
        config = Path(self.mktemp()).with_suffix(".toml")
        config.write_text(f"workers = 2\n{text}")
        descriptor = None if passed is None else (passed.fileno(), "dockreg")
        env = {BEGIN: BEGINS} if self.forks else None
        return DaemonProcess.start(self, self.data, f"--config={config}", passed=descriptor, listen=listen, env=env)

    def children(self, daemon: DaemonProcess) -> list[int]:
        """The processes of the workers."""
        pid = daemon.running.pid
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        # The first one is what workers that are forks come from.
        return children[1:] if self.forks else children

    def holder(self, daemon: DaemonProcess, connection: HTTPConnection) -> int:
        """The worker that has accepted a connection, once one has."""
        ports = [f":{name[1]:04X}" for name in (connection.sock.getpeername(), connection.sock.getsockname())]
        while True:
            lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
            # The two ends of each connection, its state, of which 01 is established, and, once accepted, its inode.
            inodes = [line[9] for line in lines if [line[1][-5:], line[2][-5:], line[3]] == [*ports, "01"]]
            for child in self.children(daemon):
                for each in Path(f"/proc/{child}/fd").iterdir():
                    with contextlib.suppress(FileNotFoundError):
                        if str(each.readlink()) in [f"socket:[{inode}]" for inode in inodes]:
                            return child

    def serving(self, daemon: DaemonProcess) -> str:
        """The URL, once both workers serve."""
        url = daemon.url()
        seen: set[str] = set()
        while len(seen) < 2:
            seen.add(daemon.wait_for(_STARTED)[1])
        return url

    def push(self, url: str, content: bytes) -> int:
        """Push a blob; the status."""
        location = ask(f"{url}/v2/a/b/blobs/uploads/", "POST", b"")[1]["Location"]
        digest = hashlib.sha256(content).hexdigest()
        return ask(f"{url}{location}?digest=sha256:{digest}", "PUT", content)[0]

    def answered(self, watched: str, method: str) -> float:
        """How many requests were answered well, as both workers count them."""
        counted = f'dockreg_requests_total{{door="v2",method="{method}",status="2xx"}} '
        lines = ask(f"{watched}/metrics")[2].decode().splitlines()
        return sum(float(line.removeprefix(counted)) for line in lines if line.startswith(counted))


class ServingTests(WorkersCase):
    """What two workers do together."""

    def test_together(self) -> None:
        """Sessions go on in whichever worker is met, what one stores the other serves, and figures are added up."""
        daemon = self.start("[metrics]\nlisten = ['tcp:0:interface=127.0.0.1']\n")
        url = daemon.url()
        watched = daemon.url()
        for number in range(12):
            # Those in files, and those in the database.
            content = b"blob %d" % number * (4000 if number % 2 else 1)
            self.assertEqual(201, self.push(url, content))
            self.assertEqual(content, ask(f"{url}/v2/a/b/blobs/sha256:{hashlib.sha256(content).hexdigest()}")[2])
        self.assertEqual(2, len(self.children(daemon)))
        # An answer may be here before it is counted.
        ends = time.monotonic() + 30
        while self.answered(watched, "GET") < 12 and time.monotonic() < ends:
            time.sleep(0.01)
        figures = {ask(f"{watched}/metrics")[2].decode() for _ in range(6)}
        for text in figures:
            self.assertIn('dockreg_requests_total{door="v2",method="PUT",status="2xx"} 12.0', text)
            self.assertIn('dockreg_requests_total{door="v2",method="GET",status="2xx"} 12.0', text)
        status, output = daemon.terminate()
        self.assertEqual(-signal.SIGTERM, status)
        self.assertNotIn("Traceback", output)
        # Each has settled its series when it was stopped.
        blobs = self.data / "blobs"
        self.assertEqual((6, []), (len(list(blobs.glob("sha256/*/*"))), list((blobs / "series").iterdir())))

    def test_tags_everywhere(self) -> None:
        """A moved or deleted tag is seen by every worker at once."""
        url = self.serving(self.start())
        empty = hashlib.sha256(b"{}").hexdigest()
        self.push(url, b"{}")
        for version in range(8):
            config = f'{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{empty}","size":2}}'
            body = (
                f'{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},'
                f'"layers":[],"annotations":{{"version":"{version}"}}}}'
            ).encode()
            tag = f"{url}/v2/a/b/manifests/latest"
            put = ask(tag, "PUT", body, Content_Type="application/vnd.oci.image.manifest.v1+json")
            self.assertEqual(201, put[0], put)
            for _ in range(4):
                self.assertEqual(body, ask(tag)[2])
        self.assertEqual(202, ask(f"{url}/v2/a/b/manifests/latest", "DELETE")[0])
        for _ in range(8):
            self.assertEqual(404, ask(f"{url}/v2/a/b/manifests/latest")[0])

    def test_killed(self) -> None:
        """A worker that is killed in a push takes that connection alone; the retry succeeds, and another one starts."""
        daemon = self.start()
        url = self.serving(daemon)
        place = url.removeprefix("http://")
        content = os.urandom(4 * MEBIBYTE)
        digest = hashlib.sha256(content).hexdigest()
        pushes: list[HTTPConnection] = []
        holders: list[int] = []
        while len(set(holders)) < 2:
            self.assertLess(len(holders), 64)
            location = ask(f"{url}/v2/a/b/blobs/uploads/", "POST", b"")[1]["Location"]
            connection = HTTPConnection(place, timeout=30)
            self.addCleanup(connection.close)
            connection.putrequest("PUT", f"{location}?digest=sha256:{digest}")
            connection.putheader("Content-Length", str(len(content)))
            connection.endheaders(content[:MEBIBYTE])
            pushes.append(connection)
            holders.append(self.holder(daemon, connection))
        os.kill(holders[0], signal.SIGKILL)
        daemon.wait_for(_AGAIN)
        statuses = []
        for connection in pushes:
            try:
                connection.send(content[MEBIBYTE:])
                statuses.append(connection.getresponse().status)
            except (OSError, HTTPException, RemoteDisconnected):
                statuses.append(0)
        self.assertEqual([0 if each == holders[0] else 201 for each in holders], statuses)
        self.assertEqual(201, self.push(url, content))
        self.assertEqual(content, ask(f"{url}/v2/a/b/blobs/sha256:{digest}")[2])
        daemon.wait_for(_STARTED)
        self.assertEqual(2, len(self.children(daemon)))

    def test_parent_killed(self) -> None:
        """When the parent is gone, the workers end, and the port is free."""
        daemon = self.start()
        url = self.serving(daemon)
        children = self.children(daemon)
        daemon.running.kill()
        _, output = daemon.rest()  # at the end of its output nobody is left that could write to it
        self.assertEqual([], [each for each in children if Path(f"/proc/{each}/exe").exists()])
        place = url.removeprefix("http://").rsplit(":", 1)
        with socket.create_server((place[0], int(place[1]))):
            self.assertNotIn("Traceback", output)


class StartedTests(WorkersCase):
    """How workers come to be."""

    def program(self, pid: int) -> list[str]:
        """What a process was started as; a fork is what it is a fork of."""
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")

    def test_programs(self) -> None:
        """Each is a program of its own, outside of tests."""
        daemon = self.start()
        self.serving(daemon)
        own = [sys.executable, "-m", "dockreg.worker"]
        self.assertEqual([own, own], [self.program(each) for each in self.children(daemon)])

    def test_forks(self) -> None:
        """
        In tests that ask for it each is a fork, and so is the one in place of one that has ended: Twisted still asks what
        :mod:`tests.forkedworkers` replaces of it.
        """
        self.forks = True
        daemon = self.start()
        self.serving(daemon)
        before = self.children(daemon)
        # The first one: of the other one it is not known here whether it has told yet that it serves.
        os.kill(before[0], signal.SIGKILL)
        daemon.wait_for(_STARTED)
        own = self.program(daemon.running.pid)
        self.assertNotIn("dockreg.worker", own)
        self.assertEqual([own, own], [self.program(each) for each in self.children(daemon)])
        self.assertEqual([before[1]], [each for each in self.children(daemon) if each in before])


class StoppedTests(WorkersCase):
    """A daemon that is stopped while it starts ends as any that is stopped: nothing is wrong with it."""

    forks = True

    def starting(self, text: str = "") -> DaemonProcess:
        """One that will never have started."""
        daemon = self.start(f"{text}[blobs]\nprovider = 'tests.integration.thirdparty.endless_blobs'\n")
        daemon.wait_for(re.compile("recovering for ever"))
        return daemon

    def ended_well(self, daemon: DaemonProcess) -> None:
        """A plain line says so."""
        status, output = daemon.rest()
        self.assertEqual(-signal.SIGTERM, status)
        self.assertRegex(output, r"dockreg\.(lifecycle|workers)#info\] dockreg was stopped while it started")
        for wrong in ("critical", "#error", "warn", "can not start", "the daemon ends", "Traceback"):
            self.assertNotIn(wrong, output)

    def terminate_all(self, daemon: DaemonProcess, children: Sequence[int]) -> None:
        """Tell all processes, so that the daemon hears that its workers have ended and that it is to end in one moment."""
        os.kill(daemon.running.pid, signal.SIGSTOP)
        for each in children:
            os.kill(each, signal.SIGTERM)
        while {Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0] for each in children} != {"Z"}:
            time.sleep(0.001)
        os.kill(daemon.running.pid, signal.SIGTERM)
        os.kill(daemon.running.pid, signal.SIGCONT)

    def test_stopped(self) -> None:
        """One with workers is told to stop."""
        daemon = self.starting()
        daemon.running.send_signal(signal.SIGTERM)
        self.ended_well(daemon)

    def test_alone(self) -> None:
        """So is one without."""
        text = "[blobs]\nprovider = 'tests.integration.thirdparty.endless_blobs'\n"
        config = Path(self.mktemp()).with_suffix(".toml")
        config.write_text(text)
        daemon = DaemonProcess.start(self, self.data, f"--config={config}")
        daemon.wait_for(re.compile("recovering for ever"))
        daemon.running.send_signal(signal.SIGTERM)
        self.ended_well(daemon)

    def test_later_worker(self) -> None:
        """One of whose workers the first one serves."""
        daemon = self.start()
        daemon.wait_for(_STARTED)
        while len(self.children(daemon)) < 2:
            time.sleep(0.001)
        daemon.running.send_signal(signal.SIGTERM)
        status, output = daemon.rest()
        self.assertEqual(-signal.SIGTERM, status)
        # It may have come to serve in that very moment.
        self.assertNotIn("critical", output)

    def test_serving(self) -> None:
        """Workers that serve may be told twice, by their parent as well."""
        daemon = self.start()
        self.serving(daemon)
        for each in (daemon.running.pid, *self.children(daemon)):
            # It may have ended already.
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGTERM)
        status, output = daemon.rest()
        self.assertEqual(-signal.SIGTERM, status)
        self.assertNotIn("critical", output)

    def test_all_processes(self) -> None:
        """All processes are told, as systemd does, the workers first."""
        daemon = self.starting()
        self.terminate_all(daemon, self.children(daemon))
        self.ended_well(daemon)

    def test_at_once(self) -> None:
        """So they are when a worker has just been started, and knows nothing of signals."""
        self.forks = False
        daemon = self.start()
        while not (children := self.children(daemon)):
            time.sleep(0.001)
        self.terminate_all(daemon, children)
        self.ended_well(daemon)

    def test_only_a_worker(self) -> None:
        """Where only a worker was told, the daemon could not start, and says so."""
        daemon = self.starting()
        os.kill(self.children(daemon)[0], signal.SIGTERM)
        status, output = daemon.rest()
        self.assertEqual(1, status)
        self.assertIn("#critical] dockreg can not start: worker 0 ended before it served", output)


class ListeningTests(WorkersCase):
    """Every kind of listener."""

    forks = True

    def test_tls(self) -> None:
        """TLS is served by the workers, and reloaded by all of them."""
        folder = Path(self.mktemp())
        folder.mkdir()
        write_certificate(folder)
        pem = folder / "server.pem"
        if not pem.exists():
            pem.write_bytes((folder / "server.key").read_bytes() + (folder / "server.crt").read_bytes())
        daemon = self.start(f"[tls]\nlisten = ['tcp:0:interface=127.0.0.1']\ncertificate = '{pem}'\n")
        daemon.url()
        place = daemon.url().removeprefix("http://").rsplit(":", 1)
        while len(self.children(daemon)) < 2:
            time.sleep(0.005)
        # One serves, the other one has just begun to start.
        daemon.running.send_signal(signal.SIGHUP)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for _ in range(4):
            with (
                socket.create_connection((place[0], int(place[1])), timeout=30) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
            ):
                secure.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertTrue(secure.recv(15).startswith(b"HTTP/1.1 200"))
        seen: list[str] = []
        while sorted(seen) != ["0", "0", "1", "1"]:
            seen.append(daemon.wait_for(re.compile("worker ([01]): .*TLS with .*server.pem"))[1])

    def test_unix(self) -> None:
        """A UNIX socket keeps its mode, lives as long as the daemon, and survives a worker."""
        path = Path(f"/tmp/dockreg-test-{os.getpid()}-{id(self)}")
        daemon = self.start(listen=f"unix:{path}:mode=600")
        for _ in range(2):
            daemon.wait_for(_STARTED)
        self.assertEqual(0o600, path.stat().st_mode & 0o777)
        # See above.
        os.kill(self.children(daemon)[0], signal.SIGTERM)
        daemon.wait_for(re.compile(f"{_AGAIN.pattern}|{_STARTED.pattern}"))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(path))
            client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertTrue(client.recv(15).startswith(b"HTTP/1.1 200"))
        daemon.terminate()
        self.assertFalse(path.exists())

    def test_passed_socket(self) -> None:
        """A socket that systemd passes is served by all."""
        with socket.create_server(("127.0.0.1", 0)) as passed:
            daemon = self.start(passed=passed, listen="systemd:domain=INET:name=dockreg")
            url = self.serving(daemon)
            self.assertTrue(url.endswith(f":{passed.getsockname()[1]}"))
            self.assertEqual(200, ask(f"{url}/v2/")[0])


class FailingTests(WorkersCase):
    """A daemon that can not start says why, and ends with status 1."""

    forks = True

    def test_port_in_use(self) -> None:
        """A port that another daemon has is not shared with it."""
        url = self.serving(self.start())
        self.data = Path(self.mktemp())
        status, output = self.start(listen=f"tcp:{url.rsplit(':', 1)[1]}:interface=127.0.0.1").rest()
        self.assertEqual(1, status)
        self.assertIn("can not listen on", output)

    def test_worker_fails(self) -> None:
        """What keeps a worker from starting is what the daemon ends with."""
        self.data.mkdir()
        (self.data / "metadata.sqlite3").write_bytes(b"no database" * 1000)
        status, output = self.start().rest()
        self.assertEqual(1, status)
        self.assertIn("the metadata store", output)

    def test_not_public(self) -> None:
        """Serving everybody who may push is refused as by one process."""
        status, output = self.start(listen="tcp:0").rest()
        self.assertEqual(1, status)
        self.assertIn("everybody may push", output)
