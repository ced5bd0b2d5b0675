"""What a server needs to be there: memory, and time to start."""

import socket
import time
from collections.abc import Iterator

from benchmarks import processes
from benchmarks.contenders.base import Ability
from benchmarks.content import KIB, MIB
from benchmarks.messages import LoadFailed, Request
from benchmarks.samples import Measure, Sample
from benchmarks.stage import Scale, Stage
from benchmarks.workloads.base import PUSH, Workload

_REPOSITORY = "bench/idle"
_UPLOADS = 200
_ANNOUNCED_BYTES = MIB
_SENT_BYTES = 128 * KIB
_SETTLE_SECONDS = 1.0
_MANIFESTS = 100_000


def workloads() -> Iterator[Workload]:
    """All of them."""
    yield Workload("memory-idle", lambda _: "resident memory, idle", Measure.MEMORY, _idle, fresh=True)
    yield Workload("memory-uploads", _uploads_title, Measure.MEMORY, _hold_uploads, needs=PUSH, fresh=True)
    yield Workload(
        "start",
        lambda scale: f"start to first answer, {scale.count(_MANIFESTS):,} manifests stored",
        Measure.START,
        _restart,
        needs=PUSH | {Ability.FILL},
        filled=_MANIFESTS,
    )


def _resident(stage: Stage, seconds: float) -> Sample:
    return Sample(seconds, peak_bytes=processes.resident_bytes(stage.server.processes()))


def _idle(stage: Stage, _: object) -> Sample:
    time.sleep(_SETTLE_SECONDS)
    return _resident(stage, _SETTLE_SECONDS)


def _uploads_title(scale: Scale) -> str:
    return f"resident memory, {scale.count(_UPLOADS)} uploads that stand still"


def _hold_uploads(stage: Stage, _: object) -> Sample:
    held: list[socket.socket] = []
    try:
        for _number in range(stage.scale.count(_UPLOADS)):
            held.append(_begin_upload(stage))  # noqa: PERF401  # those that were opened are closed, whatever happens
        time.sleep(2 * _SETTLE_SECONDS)
        return _resident(stage, 2 * _SETTLE_SECONDS)
    finally:
        for each in held:
            each.close()


def _begin_upload(stage: Stage) -> socket.socket:
    client, target = stage.client, stage.server.target
    head = client.head("POST", f"/v2/{_REPOSITORY}/blobs/uploads/", "Content-Length: 0")
    location = stage.ask(Request(head, expects=(202,))).header("location")
    path = "/" + location.partition("://")[2].partition("/")[2] if "://" in location else location
    opened = socket.create_connection(("127.0.0.1", target.port), timeout=60)
    connection = opened if target.tls is None else target.tls.wrap_socket(opened, server_hostname="127.0.0.1")
    connection.sendall(client.head("PATCH", path, f"Content-Length: {_ANNOUNCED_BYTES}") + bytes(_SENT_BYTES))
    return connection


def _restart(stage: Stage, _: object) -> Sample:
    stage.server.stop()
    seconds = stage.server.start()
    if not stage.server.is_running():
        raise LoadFailed("it has ended")
    return Sample(seconds, cpu_seconds=processes.cpu_seconds(stage.server.processes()))
