"""The ``dockreg`` command as a program: exit statuses, standard input and output, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from dockreg.testing.samples import layered_image
from tests.commands import run_command
from tests.integration.daemon import RunningRegistry, start_registry
from tests.support import require_program
from tests.unit.cli.saved import v1_members, write_tar

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
HELLO = EXAMPLES / "hello.tar"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


async def run(*command: str | Path, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a program to its end."""
    return await deferToThread(
        subprocess.run, [*map(str, command)], input=stdin, text=True, capture_output=True, env=ENVIRONMENT, timeout=60
    )


async def dockreg(*arguments: str | Path, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the command, in a process that need not import anything."""
    done = await deferToThread(run_command, [*map(str, arguments)], stdin.encode())
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


async def dockreg_itself(*arguments: str | Path, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the command as a shell does."""
    return await run(sys.executable, "-m", "dockreg.cli", *arguments, stdin=stdin)


class ProgramTests(TestCase):
    """The command beside a daemon that runs."""

    timeout = 120

    async def start(self, settings: str = "") -> RunningRegistry:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        return await start_registry(self, settings=settings)

    async def test_v1(self) -> None:
        """The example is pushed and pulled; results go to standard output, progress to standard error."""
        registry = await self.start()
        pushed = await dockreg_itself("v1", "push", HELLO, f"{registry.url}/demo/hello:1.0")
        self.assertEqual((0, 1), (pushed.returncode, len(pushed.stdout.splitlines())))
        self.assertIn("2 images sent", pushed.stdout)
        self.assertEqual(2, pushed.stderr.count(": pushed"))
        out = self.folder / "out.tar"
        pulled = await dockreg("v1", "pull", "--json", "--quiet", f"{registry.url}/demo/hello:1.0", out)
        self.assertEqual((0, ""), (pulled.returncode, pulled.stderr))
        self.assertEqual(["1.0"], list(json.loads(pulled.stdout)["tags"]))
        quiet = await dockreg("v1", "push", "--quiet", out, f"{registry.url}/demo/hello:2.0")
        self.assertEqual((0, "", ""), (quiet.returncode, quiet.stdout, quiet.stderr))
        compared = await run(sys.executable, EXAMPLES / "compare_archives.py", HELLO, out)
        self.assertEqual(0, compared.returncode, compared.stderr)
        self.assertIn("2 images with", compared.stdout)

    async def test_compare_differs(self) -> None:
        """The example that compares archives notices one byte."""
        await self.start()
        content = bytearray(HELLO.read_bytes())
        content[content.index(b"hello from the base layer")] = ord("H")
        changed = self.folder / "changed.tar"
        changed.write_bytes(content)
        compared = await run(sys.executable, EXAMPLES / "compare_archives.py", HELLO, changed)
        self.assertEqual(1, compared.returncode)
        self.assertIn("layer.tar differs", compared.stderr)

    async def test_failure(self) -> None:
        """A failure is one sentence on standard error and status 1, without a traceback."""
        registry = await self.start()
        failed = await dockreg_itself("v1", "pull", f"{registry.url}/demo/none", self.folder / "out.tar")
        self.assertEqual((1, ""), (failed.returncode, failed.stdout))
        self.assertEqual(f"Error: there is no repository demo/none at {registry.host}\n", failed.stderr)

    async def test_users(self) -> None:
        """Accounts that are made and changed beside the daemon count from its next request on."""
        registry = await self.start('[auth]\nanonymous = "none"\n')
        config = self.folder / "dockreg.toml"
        config.write_text(f'data_dir = "{registry.config.data_dir}"\n')
        where = ("--config", config)
        made = await dockreg(
            "user", "create", "alice", "--admin", "--password-stdin", "--json", *where, stdin="secret\n"
        )
        self.assertEqual((0, ""), (made.returncode, made.stderr))
        members = json.loads(made.stdout)
        self.assertEqual(("alice", True, True), (members["name"], members["active"], members["admin"]))
        self.assertNotIn("hash", made.stdout)

        async def push(password: str) -> int:
            login = ("--user", "alice", "--password-stdin")
            done = await dockreg("v1", "push", HELLO, f"{registry.url}/demo/hello", *login, stdin=f"{password}\n")
            return done.returncode

        self.assertEqual(0, await push("secret"))
        changed = await dockreg_itself("user", "password", "alice", "--password-stdin", *where, stdin="another\n")
        self.assertEqual(0, changed.returncode)
        self.assertEqual([1, 0], [await push("secret"), await push("another")])
        await dockreg("user", "disable", "alice", *where)
        self.assertEqual(1, await push("another"))
        listed = await dockreg("user", "list", *where)
        self.assertEqual("alice\tdisabled\tadmin\t\n", listed.stdout)
        await dockreg("user", "enable", "alice", *where)
        self.assertEqual(0, await push("another"))
        as_json = json.loads((await dockreg("user", "list", "--json", *where)).stdout)
        self.assertEqual([("alice", True)], [(each["name"], each["active"]) for each in as_json])

    async def test_nouns(self) -> None:
        """What other tests start in a shorter way starts as a shell does it, too."""
        registry = await self.start()
        for noun in ("group", "namespace", "grant", "robot", "token", "key"):
            done = await dockreg_itself(noun, "list", "--json", "--data-dir", registry.config.data_dir)
            self.assertEqual((0, ""), (done.returncode, done.stderr), noun)
            json.loads(done.stdout)
            self.assertEqual(
                done.stdout, (await dockreg(noun, "list", "--json", "--data-dir", registry.config.data_dir)).stdout
            )

    async def test_user_mistakes(self) -> None:
        """A name that is taken, unknown or outside the rules, and a short password, are told in a sentence."""
        registry = await self.start()
        where = ("--data-dir", registry.config.data_dir)
        stdin = ("--password-stdin", *where)
        await dockreg("user", "create", "alice", *stdin, stdin="secret\n")
        for arguments, password in (
            (("create", "alice", *stdin), "secret"),
            (("create", "A", *stdin), "secret"),
            (("create", "bobby", *stdin), "abc"),
            (("password", "nobody", *stdin), "secret"),
            (("disable", "nobody", *where), ""),
        ):
            with self.subTest(arguments=arguments):
                failed = await dockreg("user", *arguments, stdin=f"{password}\n")
                self.assertEqual((1, ""), (failed.returncode, failed.stdout))
                self.assertRegex(failed.stderr, r"\AError: [^\n]+\n\Z")

    async def test_wrong_folder(self) -> None:
        """Where no registry is, none is made but to create the first account, and where that is made is said."""
        folder = Path(self.mktemp()).absolute()
        for arguments in (("list",), ("disable", "alice"), ("password", "alice", "--password-stdin")):
            failed = await dockreg("user", *arguments, "--data-dir", folder, stdin="secret\n")
            self.assertEqual((1, ""), (failed.returncode, failed.stdout))
            self.assertIn(f"{folder}/metadata.sqlite3 does not exist", failed.stderr)
            self.assertFalse(folder.exists())
        made = await dockreg("user", "create", "alice", "--password-stdin", "--data-dir", folder, stdin="secret\n")
        self.assertEqual(f"alice: created in {folder}/metadata.sqlite3\n", made.stdout)

    async def test_check_config(self) -> None:
        """A configuration is shown with status 0, or its mistake with status 1, in JSON too."""
        await self.start()
        config = self.folder / "dockreg.toml"
        config.write_text(f'data_dir = "{self.folder}/data"\n[auth]\nanonymous = "pull"\n')
        good = await dockreg_itself("check-config", "--config", config)
        self.assertEqual((0, ""), (good.returncode, good.stderr))
        self.assertIn('auth.anonymous = "pull"\n', good.stdout)
        shown = json.loads((await dockreg("check-config", "--json", "--config", config)).stdout)
        self.assertEqual((True, "pull"), (shown["ok"], shown["settings"]["auth"]["anonymous"]))
        config.write_text('[blobs]\nprovider = "nowhere.at.all"\n')
        bad = await dockreg("check-config", "--config", config)
        self.assertEqual((1, ""), (bad.returncode, bad.stdout))
        self.assertIn(f"Error: {config}: blobs.provider: ", bad.stderr)
        told = await dockreg("check-config", "--json", "--config", config)
        outcome = json.loads(told.stdout)
        self.assertEqual((1, str(config), "blobs.provider"), (told.returncode, outcome["file"], outcome["key"]))

    async def test_enough_read(self) -> None:
        """Who reads a part of what is told, as ``head`` does, sees no failure of the program."""
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "dockreg.cli", "check-config"]
        done = await deferToThread(
            subprocess.run, command, stdout=writing, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=60, check=False
        )
        os.close(writing)
        self.assertEqual((1, b""), (done.returncode, done.stderr))

    async def test_interrupted(self) -> None:
        """Ctrl-C ends a pull with status 130; nothing is left behind, and nothing is printed but what was."""
        await self.start()
        silent = Silent()
        port = await self.serve(silent)
        out = self.folder / "out.tar"
        command = [sys.executable, "-m", "dockreg.cli", "v1", "pull", f"http://127.0.0.1:{port}/demo/app", str(out)]
        process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            await silent.asked
            self.assertEqual(1, len(list(self.folder.iterdir())))
            process.send_signal(signal.SIGINT)
            stdout, stderr = await deferToThread(process.communicate, timeout=30)
        finally:
            process.kill()
            process.wait()
        self.assertEqual((130, "", ""), (process.returncode, stdout, stderr))
        self.assertEqual([], list(self.folder.iterdir()))

    async def serve(self, factory: Factory) -> int:
        from twisted.internet import reactor

        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        assert isinstance(number, int)
        return number

    async def test_skopeo(self) -> None:
        """What is pulled is an archive that skopeo reads, with the layers and the config that it names."""
        skopeo = require_program("skopeo")
        registry = await self.start()
        images = layered_image()
        path = write_tar(self.folder / "sample.tar", v1_members(images, {"demo/app": {"1.0": images[-1].id}}))
        out, copy = self.folder / "out.tar", self.folder / "copy"
        await dockreg("v1", "push", path, f"{registry.url}/demo/app:1.0")
        await dockreg("v1", "pull", f"{registry.url}/demo/app:1.0", out)
        copied = await run(skopeo, "--insecure-policy", "copy", f"docker-archive:{out}", f"dir:{copy}")
        self.assertEqual(0, copied.returncode, copied.stderr)
        manifest: dict[str, Any] = json.loads((copy / "manifest.json").read_text())
        layers = [(copy / layer["digest"].partition(":")[2]).read_bytes() for layer in manifest["layers"]]
        self.assertEqual([image.layer for image in images[:2]], layers)

    async def test_from_skopeo(self) -> None:
        """An archive that skopeo writes is pushed, and comes back with the same layers."""
        skopeo = require_program("skopeo")
        registry = await self.start()
        theirs, out = self.folder / "theirs.tar", self.folder / "out.tar"
        copied = await run(
            skopeo, "--insecure-policy", "copy", f"docker-archive:{HELLO}", f"docker-archive:{theirs}:demo/hello:1.0"
        )
        self.assertEqual(0, copied.returncode, copied.stderr)
        pushed = await dockreg("v1", "push", theirs, f"{registry.url}/demo/hello")
        self.assertEqual(0, pushed.returncode, pushed.stderr)
        await dockreg("v1", "pull", f"{registry.url}/demo/hello", out)
        compared = await run(sys.executable, EXAMPLES / "compare_archives.py", HELLO, out)
        self.assertIn("same rootfs in the configs", compared.stdout)

    async def test_example_archive(self) -> None:
        """The example archive is what the example program makes of the example folders, byte for byte."""
        await self.start()
        made = self.folder / "hello.tar"
        program = EXAMPLES / "make_archive.py"
        folders = (EXAMPLES / "hello" / "base", EXAMPLES / "hello" / "greeting")
        result = await run(sys.executable, program, *folders, "-o", made, "--tag", "demo/hello:1.0")
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertEqual(HELLO.read_bytes(), made.read_bytes())
        self.assertLess(HELLO.stat().st_size, 20 * 1024)


class _SilentConnection(Protocol):
    factory: "Silent"

    def connectionMade(self) -> None:
        self.factory.connections += 1

    def dataReceived(self, data: bytes) -> None:
        if not self.factory.asked.called:
            self.factory.asked.callback(None)


class Silent(Factory):
    """Takes requests, and never answers."""

    noisy = False

    def __init__(self) -> None:
        self.asked: Deferred[None] = Deferred()
        self.connections = 0

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        connection = _SilentConnection()
        connection.factory = self
        return connection
