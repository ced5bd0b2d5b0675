"""
An application of several services, one of which is a whole registry with listeners of its own.

    twistd --nodaemon --pidfile= --python docs/examples/embed_service.py
"""

import os
from pathlib import Path

from twisted.application import internet, service
from twisted.internet import reactor  # noqa: TID251  # twistd has installed it
from twisted.logger import Logger

from dockreg.config import Config
from dockreg.service import make_registry_service

log = Logger()
listen = os.environ.get("EXAMPLE_LISTEN", "tcp:5000:interface=127.0.0.1")
application = service.Application("registry and more")


def work() -> None:
    """What else the application does."""
    log.info("at work")


registry = make_registry_service(Config(data_dir=Path("registry-data"), listen=(listen,)), reactor)
registry.setServiceParent(application)
internet.TimerService(60, work).setServiceParent(application)
