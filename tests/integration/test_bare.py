"""The least that a registry of Python can do answers the load of the benchmark, and keeps what it says that it keeps."""

import gc
import hashlib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.comparison import Arena
from benchmarks.contenders.bare import Bare
from benchmarks.contenders.base import Place, Situation
from benchmarks.content import Content
from benchmarks.exchanges import single
from benchmarks.messages import Request
from benchmarks.selection import selected
from benchmarks.servers import Server
from benchmarks.stage import Scale, Stage
from dockreg.testing.ports import free_port

# A length, manifests, and chunks over TLS; what is pushed is asked for again.
WORKLOADS = ["push-patch", "tag-put", "tls:push-streamed"]


class BareTests(SynchronousTestCase):
    """:mod:`benchmarks.bare`."""

    def setUp(self) -> None:
        """A folder, and what is pushed."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.content = Content(self.folder)
        self.addCleanup(self.content.close)
        # The load collects garbage before each of a hundred measurements; what is here already is none.
        gc.freeze()
        self.addCleanup(gc.unfreeze)

    def test_workloads(self) -> None:
        """It can be measured wherever it takes part."""
        arena = Arena(self.folder, self.content, Scale(1 / 4096, 0.01, 0.05), rounds=1, tell=lambda _text: None)
        arena.set_up()
        for entry in selected(WORKLOADS):
            result = arena.compare(entry, [Bare()])
            self.assertEqual({}, result.problems, entry.name)
            self.assertEqual(1, len(result.samples["bare"]), entry.name)

    def test_keeps(self) -> None:
        """A blob is a file, and is there after a start; bytes of another digest are refused, and are none."""
        server = Server(Bare(), Place(self.folder, free_port(), Situation(), Path(), Path()))
        self.addCleanup(server.stop)
        server.start()
        stage = Stage(server, self.content, Scale())
        blob = self.content.source(4096).blob()
        stage.provide_blob("bench/x", blob)
        started = stage.ask(Request(stage.client.head("POST", "/v2/bench/x/blobs/uploads/"), expects=(202,)))
        other = hashlib.sha256(b"other").hexdigest()
        path = f"{started.header('location')}?digest=sha256:{other}"
        stage.do(single(Request(stage.client.head("PUT", path, "Content-Length: 4"), [b"this"], (400,))))
        server.stop()
        server.start()
        stage.do(single(stage.client.pull_blob("bench/x", blob)))
        self.assertEqual([blob.digest], [each.name for each in (self.folder / "data" / "objects").iterdir()])
