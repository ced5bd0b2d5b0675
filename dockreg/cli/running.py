"""Runs what a command does asynchronously, and turns its end into an exit status."""

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NoReturn

from click import ClickException
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThreadPool

from dockreg.callables import InThread
from dockreg.cli.failures import CommandFailed
from dockreg.config import ConfigError
from dockreg.errors import RegistryError, explained

#: What the shell calls a command that was ended with Ctrl-C.
INTERRUPTED = 130
_CLEANUP_SECONDS = 10.0


def run(work: Callable[[Any], Awaitable[object]]) -> NoReturn:
    """
    Run the reactor for ``work(reactor)``, and exit.

    Status 0 is success, 1 a failure that was told in a sentence, or that nobody reads on what is told, 130 an interruption (Ctrl-C, SIGTERM); what the work
    cleans up in ``finally`` is cleaned up by then.
    """
    react(partial(_outcome, work))


def threads_of(reactor: Any) -> InThread:
    """The threads of a reactor that serves one command."""
    in_thread: InThread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    return in_thread


async def _outcome(work: Callable[[Any], Awaitable[object]], reactor: Any) -> None:
    working: Deferred[object] = Deferred.fromCoroutine(_awaited(work(reactor)))
    ended: Deferred[None] = Deferred()

    def interrupt() -> Deferred[None]:
        # The reactor waits for what this returns.
        working.cancel()
        return ended.addTimeout(_CLEANUP_SECONDS, reactor).addErrback(lambda _late: None)

    reactor.addSystemEventTrigger("before", "shutdown", interrupt)
    try:
        await working
    except ClickException as failed:
        failed.show()
        raise SystemExit(failed.exit_code) from None
    except (ConfigError, RegistryError) as failed:
        CommandFailed(explained(failed)).show()
        raise SystemExit(1) from None
    except BrokenPipeError:
        # Who reads what is told has enough of it, as ``head``. What is still to be written at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except CancelledError:
        raise SystemExit(INTERRUPTED) from None
    finally:
        if not ended.called:
            ended.callback(None)


async def _awaited(work: Awaitable[object]) -> object:
    return await work
