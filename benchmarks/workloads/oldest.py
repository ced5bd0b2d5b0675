"""
v1, beside what comes nearest to it in v2.

No other registry speaks v1 any more. A contender without it pushes and pulls the same layer through v2, and is asked for
a manifest where an engine of v1 asks for the json of an image.
"""

from collections.abc import Iterator

from attrs import frozen

from benchmarks.content import GIB, KIB, Blob, Image
from benchmarks.exchanges import Steps, in_turn, repeated, single
from benchmarks.exchanges_v1 import V1Client, V1Image
from benchmarks.messages import LoadFailed, Request
from benchmarks.samples import Measure, Sample
from benchmarks.stage import Stage
from benchmarks.workloads.base import PUSH, Workload, size_text
from benchmarks.workloads.pulls import CONNECTIONS, require_digest

_REPOSITORY = "bench/old"
_IN_A_ROW = 4


def workloads() -> Iterator[Workload]:
    """All of them."""
    yield Workload(
        "v1-push",
        lambda scale: f"v1: push a layer of {size_text(scale.size(GIB))}",
        Measure.THROUGHPUT,
        _push,
        needs=PUSH,
        fresh=True,
    )
    yield Workload(
        "v1-pull",
        lambda scale: f"v1: pull a layer of {size_text(scale.size(GIB))}",
        Measure.THROUGHPUT,
        _pull_layer,
        lambda stage: _provide(stage, stage.scale.size(GIB)),
        needs=PUSH,
    )
    yield Workload(
        "v1-json",
        lambda _: "v1: image json",
        Measure.RATE,
        _get_json,
        lambda stage: _provide(stage, 4 * KIB),
        needs=PUSH,
    )


@frozen
class _Provided:
    """What is asked for; ``layer`` is the one behind it."""

    json: Request
    content: bytes
    layer_request: Request
    layer: Blob


def _announced(stage: Stage, image: V1Image) -> V1Client:
    clients: list[V1Client] = []

    def script() -> Steps:
        clients.append((yield from V1Client.announce(stage.client, _REPOSITORY, image)))

    stage.do(script())
    return clients[0]


def _push(stage: Stage, _: object) -> Sample:
    source = stage.content.source(stage.scale.size(GIB))
    if not stage.server.contender.speaks_v1:
        blob = source.blob()
        return stage.measure(lambda: [stage.client.push_streamed(_REPOSITORY, blob)])
    image = V1Image.of(source)
    client = _announced(stage, image)
    return stage.measure(lambda: [client.push(image)])


def _provide(stage: Stage, size: int) -> _Provided:
    source = stage.content.source(size)
    if stage.server.contender.speaks_v1:
        image = V1Image.of(source)
        client = _announced(stage, image)
        stage.do(client.push(image), client.tag(_REPOSITORY, "latest", image))
        layer = client.get(image, "layer", image.layer.size)
        return _Provided(client.get(image, "json", len(image.json)), image.json, layer, image.layer)
    blob = source.blob()
    modern = Image.of([blob])
    stage.provide(_REPOSITORY, ["latest"], modern)
    request = stage.client.get(f"/v2/{_REPOSITORY}/manifests/latest", length=len(modern.manifest))
    return _Provided(request, modern.manifest, stage.client.pull_blob(_REPOSITORY, blob), blob)


def _pull_layer(stage: Stage, provided: _Provided) -> Sample:
    require_digest(stage, provided.layer_request, provided.layer)
    return stage.measure(lambda: [in_turn(single(provided.layer_request) for _ in range(_IN_A_ROW))])


def _get_json(stage: Stage, provided: _Provided) -> Sample:
    if stage.ask(provided.json).body != provided.content:
        raise LoadFailed("what was pulled is not what was pushed")
    seconds = stage.scale.seconds
    return stage.measure(lambda: [repeated(seconds, [provided.json]) for _ in range(CONNECTIONS)])
