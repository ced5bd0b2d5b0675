"""
The workers of a daemon that is a fork are forks, too, of a process that has imported what they need and done nothing yet.

A worker is started as ``python -m dockreg.worker`` otherwise, and imports everything again. That process waits beside the
daemon, which sends it what Twisted would start a program with.
"""

import ctypes
import fcntl
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pkgutil import resolve_name
from typing import Any, NoReturn

from twisted.internet.process import Process

from tests.forks import run_and_end

#: What a program has under :data:`tests.commands.BEGIN` for this.
BEGINS = f"{__name__}:begin"
_MOST_BYTES = 1024 * 1024
#: More descriptors than a worker is given, and numbers that none of them has.
_MOST, _FREE = 100, 200
#: Of prctl(2): what a descendant leaves is a child of this process, which so sees it end.
_PR_SET_CHILD_SUBREAPER = 36


def begin() -> None:
    """Have this process, which is about to become a daemon, fork its workers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _serve(theirs)
    theirs.close()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")

    def spawn(
        process: Any,
        _path: object,
        _uid: object,
        _gid: object,
        _executable: str,
        args: Sequence[str],
        environ: Mapping[str, str],
        given: Mapping[str, Mapping[int, int]],
    ) -> bool:
        assert list(args[1:]) == ["-m", "dockreg.worker"], args
        descriptors = given["fdmap"]
        socket.send_fds(ours, [json.dumps([dict(environ), *descriptors]).encode()], list(descriptors.values()))
        process.pid = int(ours.recv(100))
        return True

    # Twisted asks here whether something else than a fork of this process has started the program. Should it no longer, a
    # test of tests.integration.test_workers fails.
    kind: Any = Process
    kind._trySpawnInsteadOfFork = spawn


def _serve(orders: socket.socket) -> NoReturn:
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, _MOST_BYTES, _MOST)
        if not order:
            os._exit(0)
        told, teller = os.pipe()
        middle = os.fork()
        if middle == 0:
            pid = os.fork()
            if pid == 0:
                run_and_end(partial(_become, json.loads(order), descriptors))
            os.write(teller, b"%d" % pid)
            os._exit(0)
        # Once the one between has ended, the daemon has a child.
        os.waitpid(middle, 0)
        orders.send(os.read(told, 100))
        for descriptor in (told, teller, *descriptors):
            os.close(descriptor)


def _become(order: Sequence[Any], descriptors: Sequence[int]) -> None:
    environ, *targets = order
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD, _FREE) for each in descriptors]
    for target, descriptor in zip(targets, moved, strict=True):
        os.dup2(descriptor, target)
    for each in {*range(3, _FREE + _MOST)} - {*targets}:
        os.closerange(each, each + 1)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv[:] = ["dockreg.worker"]
    resolve_name("dockreg.worker:main")()
