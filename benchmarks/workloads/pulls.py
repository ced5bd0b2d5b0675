"""Layers on their way out."""

import hashlib
from collections.abc import Iterator

from attrs import evolve

from benchmarks.content import GIB, KIB, Blob
from benchmarks.exchanges import Steps, in_turn, repeated, single
from benchmarks.messages import LoadFailed, Request
from benchmarks.samples import Measure, Sample
from benchmarks.stage import Scale, Stage
from benchmarks.workloads.base import PUSH, Workload, size_text

_REPOSITORY = "bench/pull"
#: One pull alone is over too soon to be measured well.
_IN_A_ROW = 4
_SMALL = 4 * KIB
_SMALL_BLOBS = 100
CONNECTIONS = 32


def workloads() -> Iterator[Workload]:
    """All of them."""
    yield Workload(
        "pull-first",
        lambda scale: f"pull {size_text(scale.size(GIB))} for the first time after its push",
        Measure.THROUGHPUT,
        _pull_first,
        needs=PUSH,
    )
    yield _large("pull", 1, _IN_A_ROW)
    yield _large("pull-6", 6, 1)
    yield _large("pull-8", 8, 1)
    yield _large("pull-16", 16, 1)
    yield Workload(
        "blob-4k",
        lambda _: f"a blob of {size_text(_SMALL)}",
        Measure.RATE,
        _pull_small,
        _provide_small,
    )


def _provide_large(stage: Stage) -> Blob:
    blob = stage.content.source(stage.scale.size(GIB)).blob()
    stage.provide_blob(_REPOSITORY, blob)
    return blob


def _pull_first(stage: Stage, _: object) -> Sample:
    blob = _provide_large(stage)
    request = stage.client.pull_blob(_REPOSITORY, blob)
    sample = stage.measure(lambda: [single(request)])
    require_digest(stage, request, blob)
    return sample


def _large(name: str, clients: int, in_a_row: int) -> Workload:
    def run(stage: Stage, blob: Blob) -> Sample:
        request = stage.client.pull_blob(_REPOSITORY, blob)
        require_digest(stage, request, blob)

        def pull() -> Steps:
            return in_turn(single(request) for _ in range(in_a_row))

        return stage.measure(lambda: [pull() for _ in range(clients)])

    at_once = "" if clients == 1 else f", {clients} at once"

    def title(scale: Scale) -> str:
        return f"pull {size_text(scale.size(GIB))}{at_once}"

    return Workload(name, title, Measure.THROUGHPUT, run, _provide_large)


def require_digest(stage: Stage, request: Request, blob: Blob) -> None:
    """Pull it once with all its bytes looked at. :raises LoadFailed: they are others."""
    hasher = hashlib.sha256()
    stage.ask(evolve(request, hasher=hasher))
    if f"sha256:{hasher.hexdigest()}" != blob.digest:
        raise LoadFailed(f"what was pulled is not {blob.digest}")


def _provide_small(stage: Stage) -> list[Blob]:
    source = stage.content.source(_SMALL)
    blobs = [source.blob() for _ in range(_SMALL_BLOBS)]
    for blob in blobs:
        stage.provide_blob(_REPOSITORY, blob)
    return blobs


def _pull_small(stage: Stage, blobs: list[Blob]) -> Sample:
    requests = [stage.client.pull_blob(_REPOSITORY, blob) for blob in blobs]
    require_digest(stage, requests[0], blobs[0])
    seconds = stage.scale.seconds
    return stage.measure(
        lambda: [repeated(seconds, requests, number * _SMALL_BLOBS // CONNECTIONS) for number in range(CONNECTIONS)]
    )
