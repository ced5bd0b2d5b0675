"""What the tests of this package begin with: a registry, a workplace, and the clients that they ask for."""

import re
import time  # noqa: TID251  # a real log is written in real time
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.clients.copiers import Crane, Oras, Regctl, Skopeo
from tests.clients.engines import Buildah, Client, Containerd, Docker, Podman, Puller
from tests.clients.images import Image, compare
from tests.clients.sample import Sample, sample_image
from tests.clients.workplace import Workplace
from tests.processes import PreparedDaemon

_LOG_SECONDS = 30.0

#: Every client that moves whole images.
CLIENTS = ("docker", "ctr", "podman", "buildah", "skopeo", "crane", "regctl", "oras")


_STARTS: Mapping[str, Callable[[Workplace], Client]] = {
    "docker": Docker.start,
    "ctr": Containerd.start,
    "podman": Podman.start,
    "buildah": Buildah.start,
    "skopeo": Skopeo.start,
    "crane": Crane.start,
    "oras": Oras.start,
}
_LOGGED = re.compile(r'"(\S+) (\S+)" (\d+) \d+ "-" "[^"]*" \S+ (\d+)')


@frozen
class LoggedRequest:
    """A request, as the access log tells it; ``received`` is the size of its body."""

    method: str
    path: str
    status: int
    received: int


class ClientCase(SynchronousTestCase):
    """A daemon of its own for each test, and an image to push."""

    settings = ""

    def setUp(self) -> None:
        self.place = Workplace.make(self)
        self.sample: Sample = sample_image()
        self.archive = self.place.path("sample.tar")
        self.sample.write_archive(self.archive, "sample:1")
        self._requests_seen = 0
        self._clients: dict[str, Client] = {}
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute(), config=self.settings)
        self._log = self.daemon.folder / "access.log"
        self.addCleanup(self.daemon.stop)
        self.daemon.start()
        self.host = f"127.0.0.1:{self.daemon.port}"

    def reference(self, name: str, tag: str = "1") -> str:
        """What clients call an image of this registry."""
        return f"{self.host}/{name}:{tag}"

    def requests(self) -> list[LoggedRequest]:
        """What was asked of the registry since this was last called."""
        # The log is written in batches: what is ahead of this request is there when it is.
        marker = f"/marker/{self._requests_seen}"
        self.daemon.request("GET", marker)
        deadline = time.monotonic() + _LOG_SECONDS
        while marker not in (text := self._log.read_text() if self._log.exists() else ""):
            if time.monotonic() > deadline:
                raise AssertionError(f"{marker} does not appear in the access log")
            time.sleep(0.05)
        lines = text.splitlines()
        new, self._requests_seen = lines[self._requests_seen :], len(lines)
        found = [_LOGGED.search(line) for line in new]
        return [LoggedRequest(each[1], each[2], int(each[3]), int(each[4])) for each in found if each]

    def client(self, name: str) -> Client:
        """The client of that name, which is prepared once for each test."""
        if name not in self._clients:
            if name == "regctl":
                self._clients[name] = Regctl.start(self.place, self.host)
            else:
                self._clients[name] = _STARTS[name](self.place)
        return self._clients[name]

    def puller(self, name: str) -> Puller:
        """What pulls, by the same names."""
        return self.client(name)

    def pulled_by(self, pullers: tuple[str, ...], reference: str, expected: Image) -> None:
        """Each client gets the image; what does not work is told for all of them together."""
        problems = []
        for name in pullers:
            try:
                found = compare(expected, self.puller(name).pull(reference))
            except AssertionError as error:
                found = [str(error)]
            problems += [f"{name}: {problem}" for problem in found]
        if problems:
            self.fail("\n".join([f"{len(problems)} problems with {reference}", *problems]))
