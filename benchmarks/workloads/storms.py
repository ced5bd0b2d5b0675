"""Many clients at once, who do all that clients do."""

from collections.abc import Iterator, Sequence

from attrs import frozen

from benchmarks.content import KIB, MIB, Blob, Image
from benchmarks.exchanges import Steps, in_turn
from benchmarks.messages import Request
from benchmarks.samples import Measure, Sample
from benchmarks.stage import Scale, Stage
from benchmarks.workloads.base import PUSH, Workload, size_text

_REPOSITORY = "bench/storm"
_PULLERS = 300
_LAYERS = 10
_LAYER_BYTES = MIB
_BUILDS = 100
_BUILDERS = 8
_BUILD_LAYERS = 20
_NEW_LAYERS = 2
_BUILD_LAYER_BYTES = 64 * KIB


def workloads() -> Iterator[Workload]:
    """All of them."""
    yield Workload("pull-storm", _pull_title, Measure.RATE, _pull, _provide)
    yield Workload("ci-storm", _build_title, Measure.RATE, _push, _provide_layers, needs=PUSH)


def _pull_title(scale: Scale) -> str:
    each = size_text(scale.size(_LAYER_BYTES))
    return f"{scale.count(_PULLERS)} new clients pull an image of {_LAYERS} x {each}"


def _provide(stage: Stage) -> Image:
    source = stage.content.source(stage.scale.size(_LAYER_BYTES))
    image = Image.of([source.blob() for _ in range(_LAYERS)])
    stage.provide(_REPOSITORY, ["latest"], image)
    return image


def _pull(stage: Stage, image: Image) -> Sample:
    pullers = stage.scale.count(_PULLERS)
    return stage.measure(
        lambda: [stage.client.pull_image(_REPOSITORY, "latest", image) for _ in range(pullers)], connected=False
    )


def _build_title(scale: Scale) -> str:
    return f"{scale.count(_BUILDS)} pushes of {_BUILD_LAYERS} layers, {_BUILD_LAYERS - _NEW_LAYERS} there already"


@frozen
class _Build:
    """One push of a CI job."""

    tag: str
    image: Image
    new: frozenset[str]

    def steps(self, stage: Stage) -> Steps:
        """As docker does it: each layer is asked for before it is sent."""
        client = stage.client
        yield client.get("/v2/", ends=False)
        for blob in (*self.image.layers, self.image.config):
            is_new = blob.digest in self.new
            head = client.head("HEAD", f"/v2/{_REPOSITORY}/blobs/{blob.digest}")
            yield Request(head, expects=(404,) if is_new else (200,), ends=False)
            if is_new:
                yield from client.push_streamed(_REPOSITORY, blob, ends=False)
        yield client.push_manifest(_REPOSITORY, self.tag, self.image.manifest)


def _provide_layers(stage: Stage) -> list[Blob]:
    source = stage.content.source(_BUILD_LAYER_BYTES)
    layers = [source.blob() for _ in range(_BUILD_LAYERS - _NEW_LAYERS)]
    for layer in layers:
        stage.provide_blob(_REPOSITORY, layer)
    return layers


def _push(stage: Stage, known: list[Blob]) -> Sample:
    source = stage.content.source(_BUILD_LAYER_BYTES)

    def build(number: int) -> _Build:
        layers = [source.blob() for _ in range(_NEW_LAYERS)]
        image = Image.of([*known, *layers])
        return _Build(f"build-{number}", image, frozenset(blob.digest for blob in (*layers, image.config)))

    def make() -> Sequence[Steps]:
        builds = [build(number) for number in range(stage.scale.count(_BUILDS, least=_BUILDERS))]
        shared = iter([each.steps(stage) for each in builds])
        return [in_turn(shared) for _ in range(_BUILDERS)]

    return stage.measure(make)
