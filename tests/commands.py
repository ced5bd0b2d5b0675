"""
The ``dockreg`` command and ``twistd dockreg``, started without importing everything each time.

A process that has imported what they need, a :class:`Source`, starts each of them as a fork of itself, with arguments,
standard input, output and exit status of its own. It is this file, as a program: each message on its socket is one program
to start.
"""

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from threading import Lock
from types import ModuleType
from typing import IO, Any, NoReturn, Self

from tests.forks import run_and_end

#: A command that takes longer is killed.
_PATIENCE_SECONDS = 300.0
_MOST_BYTES = 1024 * 1024
#: In the environment of a program: what it calls before anything else, as ``module:function``.
BEGIN = "DOCKREG_TEST_BEGIN"
#: What ``dockreg`` and ``twistd dockreg`` import later than they are imported themselves.
NEEDED = (
    "dockreg.providers.blobs.filesystem",
    "dockreg.providers.metadata.sql",
    "dockreg.service",
    "dockreg.tap",
    "sqlalchemy.dialects.sqlite",
    "twisted.plugins.dockreg_plugin",
    "twisted.scripts.twistd",
)


def run_command(arguments: Sequence[str], stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run ``dockreg ARGUMENTS`` to its end. Blocks; several threads may do so at once."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin)
        given.seek(0)
        command = ["dockreg", *arguments]
        with Fork(command, (given.fileno(), out.fileno(), err.fileno())) as fork:
            status = fork.wait(_PATIENCE_SECONDS)
        return subprocess.CompletedProcess(command, status, _content(out), _content(err))


class Fork:
    """
    A running program, with what is used of :class:`subprocess.Popen`.

    :param command: its arguments; the first is ``dockreg``, ``twistd`` or a path of it, or a module with a ``main`` that is
        called with the others.
    :param standard: the descriptors of its standard input, output and error, and of a socket that is passed to it as
        systemd does, if one is.
    :param environ: what its environment has beside that of the tests.
    :param source: what it is a fork of, if not of that of all.
    """

    def __init__(
        self,
        command: Sequence[str],
        standard: Sequence[int],
        folder: Path | None = None,
        environ: Mapping[str, str] | None = None,
        source: "Source | None" = None,
    ) -> None:
        self._command = command
        self._status: int | None = None
        order = json.dumps([{**os.environ, **(environ or {})}, str(folder or Path.cwd()), *command]).encode()
        self._teller, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            (source or _COMMON).start(order, [theirs.fileno(), *standard])
        #: The process id.
        self.pid = int(self._told(_PATIENCE_SECONDS))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_about: object) -> None:
        self._teller.close()

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        with suppress(BlockingIOError):
            return self.wait(0)
        return None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens once it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """``kill -9``."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """
        The exit status, once it has ended.

        :param timeout: how many seconds it may take; None: as many as it takes.
        :raises TimeoutExpired: it runs on.
        """
        if self._status is None:
            try:
                self._status = int(self._told(timeout))
            except TimeoutError:
                raise subprocess.TimeoutExpired(self._command, timeout or 0) from None
            self._teller.close()
        return self._status

    def _told(self, seconds: float | None) -> bytes:
        self._teller.settimeout(seconds)
        told = self._teller.recv(100)
        assert told, "the process that waits for the program is gone"
        return told


class PipedFork(Fork):
    """One that this process writes to, as :attr:`stdin`, and reads from: :attr:`stdout` has its standard error as well."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str] | None = None, passed: Sequence[int] = ()
    ) -> None:
        given, ours = os.pipe()
        theirs, out = os.pipe()
        self.stdin, self.stdout = os.fdopen(ours, "w"), os.fdopen(theirs)
        try:
            super().__init__(command, (given, out, out, *passed), None, environ)
        finally:
            os.close(given)
            os.close(out)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


class Source:
    """
    A process that programs come from; it begins with the first of them.

    :param environ: what its environment has beside that of the tests, such as a library that is to be there from the start.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ or {}
        self._orders: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def start(self, order: bytes, descriptors: Sequence[int]) -> None:
        """Start a program."""
        with self._lock:
            if self._orders is None:
                self._orders = self._begin()
            socket.send_fds(self._orders, [order], descriptors)

    def end(self) -> None:
        """End the process, but none of the programs; harmless when it has not begun."""
        if self._orders is not None and self._process is not None:
            self._orders.close()
            self._process.wait()
            self._orders = self._process = None

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **self._environ},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        return ours


#: What programs come from that need no other one.
_COMMON = Source()
atexit.register(_COMMON.end)


# What runs in the other process


def _serve(orders: socket.socket) -> None:
    command = import_module("dockreg.cli.command")
    for path in command._COMMANDS.values():
        resolve_name(path)
    for name in NEEDED:
        import_module(name)
    # Tests of how strong hashes are ask for none through these programs.
    import_module("tests.passwords").weaken()
    # With what a registry makes once for its process. Klein imports a reactor, which it needs to run by itself only.
    sys.modules["twisted.internet.reactor"] = ModuleType("twisted.internet.reactor")
    clock = resolve_name("twisted.internet.task:Clock")()
    registry = resolve_name("dockreg.service:open_registry")(resolve_name("dockreg.config:read_config")(""), clock)
    assert registry.resource._routing.klein
    del sys.modules["twisted.internet.reactor"]
    assert "twisted.internet.reactor" not in sys.modules, "each program has a reactor of its own"
    # What is here is no garbage of any program; to look through it takes a tenth of a second.
    gc.collect()
    gc.freeze()
    # Nobody asks how those end that wait for a command.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, _MOST_BYTES, 5)
        if not order:
            return
        if os.fork() == 0:
            orders.close()
            _wait_for(json.loads(order), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _wait_for(order: Sequence[Any], descriptors: Sequence[int]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    teller, *standard = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(teller)
        for target, descriptor in enumerate(standard):
            os.dup2(descriptor, target)
        os.closerange(len(standard), 100)
        run_and_end(partial(_become, order, is_given_socket=len(standard) > 3))
    for descriptor in standard:
        os.close(descriptor)
    if order[2] == "dockreg":
        signal.signal(signal.SIGALRM, lambda _number, _frame: os.kill(pid, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECONDS)
    os.write(teller, b"%d" % pid)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):
        os.write(teller, b"%d" % status)
    os._exit(0)


def _become(order: Sequence[Any], *, is_given_socket: bool) -> None:
    environ, folder, *command = order
    os.environ.clear()
    os.environ.update(environ)
    if is_given_socket:
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        # Twisted has looked for it when it was imported.
        passed = resolve_name("twisted.python.systemd:ListenFDs").fromEnvironment()
        resolve_name("twisted.internet.endpoints:_SystemdParser")._sddaemon = passed
    os.chdir(folder)
    if BEGIN in environ:
        resolve_name(environ[BEGIN])()
    sys.argv[:] = command
    if command[0] == "dockreg":
        resolve_name("dockreg.cli.command:main")(prog_name="dockreg")
    elif Path(command[0]).name == "twistd":
        resolve_name("twisted.scripts.twistd:run")()
    else:
        import_module(command[0]).main(command[1:])


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given_socket:
        _serve(given_socket)
