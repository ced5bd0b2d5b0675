"""
The ``dockreg`` command, started without importing everything each time.

A process that has imported what the commands need starts each of them as a fork of itself, with arguments, standard
input, output and exit status of its own. It is this file, as a program: each message on its socket is one command.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from threading import Lock
from typing import IO, Any, NoReturn

#: A command that takes longer is killed.
_PATIENCE_SECONDS = 300.0
_MOST_BYTES = 1024 * 1024
#: So that several threads do not start several processes to start commands.
_starting = Lock()


def run_command(arguments: Sequence[str], stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run ``dockreg ARGUMENTS`` to its end. Blocks; several threads may do so at once."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin)
        given.seek(0)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            order = json.dumps([dict(os.environ), str(Path.cwd()), *arguments]).encode()
            descriptors = [theirs.fileno(), given.fileno(), out.fileno(), err.fileno()]
            with _starting:
                source = _source()
            socket.send_fds(source, [order], descriptors)
            theirs.close()
            ours.settimeout(_PATIENCE_SECONDS)
            try:
                status = json.loads(ours.recv(100))
            except TimeoutError:
                # The process that waits for the command kills it when nobody waits for itself.
                raise subprocess.TimeoutExpired(["dockreg", *arguments], _PATIENCE_SECONDS) from None
        return subprocess.CompletedProcess(["dockreg", *arguments], status, _content(out), _content(err))


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


@cache
def _source() -> socket.socket:
    """The socket of the process that the commands come from."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# What runs in the other process


def _serve(orders: socket.socket) -> None:
    command = import_module("dockreg.cli.command")
    for path in command._COMMANDS.values():
        resolve_name(path)
    import_module("dockreg.providers.metadata.sql")
    import_module("dockreg.providers.blobs.filesystem")
    assert "twisted.internet.reactor" not in sys.modules, "each command has a reactor of its own"
    # Nobody asks how those end that wait for a command.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, _MOST_BYTES, 4)
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
        _become(order, standard)
    for descriptor in standard:
        os.close(descriptor)
    signal.signal(signal.SIGALRM, lambda _number, _frame: os.kill(pid, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECONDS)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(teller, json.dumps(status).encode())
    os._exit(0)


def _become(order: Sequence[Any], standard: Sequence[int]) -> NoReturn:
    for target, descriptor in enumerate(standard):
        os.dup2(descriptor, target)
        os.close(descriptor)
    status = 1
    try:
        environ, folder, *arguments = order
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(folder)
        sys.argv[:] = ["dockreg", *arguments]
        resolve_name("dockreg.cli.command:main")(prog_name="dockreg")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # nobody else would tell
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given_socket:
        _serve(given_socket)
