"""``twistd dockreg``: options, and the service behind them."""

import atexit
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, cast

import attrs
from twisted.application.service import IService, MultiService
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from dockreg.config import Config, ConfigError, load_config
from dockreg.lifecycle import RegistryService, StartFailed, StartStopped
from dockreg.providers.threads import IThreadReactor
from dockreg.starting import forget_sources, loading, settle, share_arena

if TYPE_CHECKING:
    from dockreg.workers import Supervisor

log = Logger()


class Options(usage.Options):
    """The options of ``twistd dockreg``. All else is in the configuration file."""

    optParameters = [
        ["config", "c", None, "The configuration file, in TOML."],
        [
            "data-dir",
            "d",
            None,
            "The folder of database and blobs. [default: systemd's state folder, else dockreg-data]",
        ],
    ]
    #: Filled by :meth:`postOptions`.
    config: Config

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """Where to serve: an endpoint of Twisted; may be repeated. [default: tcp:5000:interface=127.0.0.1]"""
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def postOptions(self) -> None:
        """Read the configuration. :raises UsageError: there is a mistake in it."""
        try:
            self.config = load_config(self["config"], self["data-dir"], self["listen"], os.environ)
        except ConfigError as error:
            raise usage.UsageError(str(error)) from error


class Daemon(MultiService):
    """
    The registry as the main program: one that can not start ends the process, with a sentence and status 1.

    SIGHUP has it read its certificates again.
    """

    def __init__(self, registry: "RegistryService | Supervisor", reactor: IThreadReactor) -> None:
        super().__init__()
        self._registry = registry
        self._reactor = reactor
        registry.setServiceParent(self)

    def startService(self) -> None:
        """Start; when that fails at once, twistd reports the last line of the traceback, which is the sentence."""
        # From the beginning to the end of the process: without a handler the signal would end it.
        signal.signal(signal.SIGHUP, self._reload)
        try:
            super().startService()
        except StartFailed:
            sys.tracebacklimit = 0
            raise
        # With the providers of dockreg the outcome is known by now. Others may need a running reactor.
        self._outcome = self._registry.when_started().addCallbacks(_settle, self._failed)

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        # A handler runs between any two steps of the program: the reactor has to be asked.
        self._reactor.callFromThread(self._registry.reload)

    def _failed(self, failure: Failure) -> None:
        if failure.check(StartStopped) is not None:
            return  # the process ends already, as it was told to
        # twistd has no way to end with another status than 0, once its reactor has run.
        atexit.register(_end_in_failure)
        log.critical("the daemon ends: {problem}", problem=failure.getErrorMessage())
        self._reactor.callWhenRunning(self._reactor.stop)


def _settle(_started: object) -> None:
    settle()


def _end_in_failure() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def makeService(options: Options) -> IService:
    """What ``twistd dockreg`` runs."""
    from twisted.internet import reactor

    try:
        full = cast("IThreadReactor", reactor)
        share_arena()
        with loading():
            # Who only wants help, or made a mistake in an option, need not wait for it.
            from dockreg.service import make_daemon_service

            forget_sources()
            registry = make_daemon_service(options.config, full, os.environ)
    except ConfigError as error:
        # twistd would show a traceback for any other exception.
        raise SystemExit(f"{sys.argv[0]}: {attrs.evolve(error, file=options['config'] or '')}") from error
    return Daemon(registry, full)
