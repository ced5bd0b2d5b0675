"""Layers on their way in."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.content import GIB, KIB, MIB, Blob
from benchmarks.exchanges import Client, Push, Steps, in_turn, single
from benchmarks.messages import LoadFailed
from benchmarks.samples import Measure, Sample
from benchmarks.stage import Scale, Stage
from benchmarks.workloads.base import PUSH, Workload, size_text

_REPOSITORY = "bench/push"
_AT_ONCE = 8


def workloads() -> Iterator[Workload]:
    """All of them."""
    yield _large("push-streamed", "push {}, PATCH in chunks", Client.push_streamed, 1, GIB)
    yield _large("push-patch", "push {}, PATCH with a length", Client.push_patched, 1, GIB)
    yield _large("push-put", "push {}, POST and PUT", Client.push_put, 1, GIB)
    yield _large("push-parallel", "push 16 x {} at once", Client.push_streamed, 16, 256 * MIB)
    yield _many("push-1m", 100, MIB, 1)
    yield _many("push-1m-parallel", 100, MIB, _AT_ONCE)
    yield _many("push-4k", 1000, 4 * KIB, 1)
    yield _many("push-4k-parallel", 1000, 4 * KIB, _AT_ONCE)


def _large(name: str, title: str, push: Push, clients: int, size: int) -> Workload:
    def run(stage: Stage, _: object) -> Sample:
        blobs = [stage.content.source(stage.scale.size(size)).blob() for _ in range(clients)]
        return _measured(stage, blobs, lambda: [push(stage.client, _REPOSITORY, blob) for blob in blobs])

    return Workload(
        name,
        lambda scale: title.format(size_text(scale.size(size))),
        Measure.THROUGHPUT,
        run,
        needs=PUSH,
        fresh=True,
    )


def _many(name: str, count: int, size: int, clients: int) -> Workload:
    def run(stage: Stage, _: object) -> Sample:
        source = stage.content.source(stage.scale.size(size) if size >= MIB else size)
        blobs = [source.blob() for _ in range(stage.scale.count(count))]

        def make() -> Sequence[Steps]:
            pushes = iter([stage.client.push_put(_REPOSITORY, blob) for blob in blobs])
            return [in_turn(pushes) for _ in range(clients)]

        return _measured(stage, blobs, make)

    def title(scale: Scale) -> str:
        by = "" if clients == 1 else f", {clients} clients"
        return f"push {scale.count(count)} x {size_text(scale.size(size) if size >= MIB else size)}{by}"

    return Workload(name, title, Measure.RATE, run, needs=PUSH)


def _measured(stage: Stage, blobs: Sequence[Blob], make: Callable[[], Sequence[Steps]]) -> Sample:
    """Measure, and look whether all of the last blob is there."""
    sample = stage.measure(make)
    stage.do(
        single(stage.client.get(f"/v2/{_REPOSITORY}/blobs/{blobs[-1].digest}", method="HEAD", length=blobs[-1].size))
    )
    if sample.operations != len(blobs):
        raise LoadFailed(f"{sample.operations} of {len(blobs)} pushes")
    return sample
