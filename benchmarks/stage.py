"""Where a workload meets one server."""

from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from benchmarks import processes
from benchmarks.connection import Played
from benchmarks.content import Blob, Content, Image
from benchmarks.exchanges import Client, Steps, in_turn, single
from benchmarks.load import play
from benchmarks.messages import Answer, Part, Request
from benchmarks.samples import Sample, percentile
from benchmarks.servers import Server

_WARM_UPS = 50


@frozen
class Scale:
    """How much is done: everything in bytes and numbers is multiplied by a factor, and rates are taken for ``seconds``."""

    sizes: float = 1.0
    counts: float = 1.0
    seconds: float = 3.0

    def size(self, wanted: int) -> int:
        """So many bytes, scaled: 4 KiB or whole 4 KiB."""
        return max(4096, int(wanted * self.sizes) // 4096 * 4096)

    def count(self, wanted: int, least: int = 1) -> int:
        """So many of something, scaled."""
        return max(least, round(wanted * self.counts))


@frozen
class Stage:
    """One server, and what may be pushed to it."""

    server: Server
    content: Content
    scale: Scale

    @property
    def client(self) -> Client:
        """Makes requests for this server."""
        return Client(self.server.place.port, self.server.place.situation)

    def ask(self, request: Request) -> Answer:
        """The answer to one request, with its body."""
        answers: list[Answer] = []

        def script() -> Steps:
            answers.append((yield evolve(request, keep=request.hasher is None)))

        self.play([script()])
        return answers[0]

    def do(self, *steps: Steps) -> None:
        """One after the other, unmeasured."""
        self.play([in_turn(iter(steps))])

    def play(self, scripts: Sequence[Steps], *, connected: bool = True) -> Played:
        """Play scripts at once, unmeasured."""
        return play(self.server.target, scripts, connected=connected)

    def measure(self, make: Callable[[], Sequence[Steps]], *, connected: bool = True) -> Sample:
        """Play scripts at once, and measure. See :func:`~benchmarks.load.play`."""
        scripts = make()
        server = self.server.processes()
        processes.reset_peak(server)
        cpu, busy = processes.cpu_seconds(server), processes.busy_seconds()
        played = self.play(scripts, connected=connected)
        server = self.server.processes()
        used = processes.cpu_seconds(server) - cpu
        others = processes.busy_seconds() - busy - used - played.cpu_seconds
        return Sample(
            seconds=played.seconds,
            operations=played.operations,
            bytes=played.sent + played.received,
            cpu_seconds=used,
            load_cpu_seconds=played.cpu_seconds,
            other_cpu_seconds=max(0.0, others),
            peak_bytes=processes.peak_bytes(server),
            p50=percentile(played.latencies, 0.5),
            p99=percentile(played.latencies, 0.99),
        )

    def warm_up(self) -> None:
        """Let the server do each kind of thing once or a few times."""
        small = self.content.source(4096).blob()
        image = Image.of([small])
        self.provide("bench/warm", ["latest"], image)
        client = self.client
        requests = [
            client.pull_blob("bench/warm", small),
            client.get(f"/v2/bench/warm/manifests/{image.digest}"),
            client.get("/v2/bench/warm/manifests/latest"),
        ]
        self.do(*(single(request) for _ in range(_WARM_UPS) for request in requests))

    # What must be there to be pulled

    def provide(self, repository: str, tags: Sequence[str], image: Image) -> None:
        """An image, by some way."""
        for blob in (image.config, *image.layers):
            self.provide_blob(repository, blob)
        self.provide_manifest(repository, tags, image)

    def provide_blob(self, repository: str, blob: Blob) -> None:
        """A blob, by some way."""
        contender = self.server.contender
        if contender.takes_pushes:
            self.do(self.client.push_put(repository, blob))
        else:
            contender.place_blob(self.server.place, repository, blob.digest, b"".join(map(_bytes_of, blob.parts)))

    def provide_manifest(self, repository: str, tags: Sequence[str], image: Image) -> None:
        """The manifest of an image whose blobs are there, under these tags and by its digest."""
        contender = self.server.contender
        if contender.takes_pushes:
            self.do(*(single(self.client.push_manifest(repository, tag, image.manifest)) for tag in tags))
        else:
            contender.place_manifest(self.server.place, repository, [*tags, image.digest], image.manifest)


def _bytes_of(part: Part) -> bytes:
    return part if isinstance(part, bytes) else bytes(part.file.view[: part.size])
