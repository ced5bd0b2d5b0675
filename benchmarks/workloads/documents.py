"""Small requests: manifests, what is there, lists, tags."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from attrs import frozen

from benchmarks.contenders.base import Ability
from benchmarks.content import KIB, Image
from benchmarks.exchanges import Steps, in_turn, repeated, single
from benchmarks.messages import LoadFailed, Request
from benchmarks.samples import Measure, Sample
from benchmarks.stage import Stage
from benchmarks.workloads.base import FILLED, PUSH, Workload, filled_tags
from benchmarks.workloads.pulls import CONNECTIONS

_REPOSITORY = "bench/images"
_TAGGED = "bench/tagged"
_IMAGES = 16
_LAYERS = 10
_LAYER_BYTES = 4 * KIB
_TAGS = 1000
_MANY_TAGS = 100_000
_PAGE = 100
_REPOSITORIES = 2000
_CATALOG_PAGE = 1000
_TAGS_SET = 300
_AT_ONCE = 8
_LIST_CONNECTIONS = 8
_LISTS = PUSH | {Ability.LISTS}

#: Makes the request for an image that has this tag.
Ask = Callable[[Stage, str, Image], Request]


def workloads() -> Iterator[Workload]:
    """All of them."""
    yield Workload("base", lambda _: "`/v2/`", Measure.RATE, _ask_base)
    yield _about_images("manifest-tag", "manifest by tag", _manifest("GET", by_tag=True))
    yield _about_images("manifest-digest", "manifest by digest", _manifest("GET", by_tag=False))
    yield _about_images("head-manifest", "HEAD of a manifest, by tag", _manifest("HEAD", by_tag=True))
    yield _about_images("head-blob", "HEAD of a blob", _head_blob)
    yield _set_tags("tag-put", 1)
    yield _set_tags("tag-put-parallel", _AT_ONCE)
    yield Workload(
        "tags", lambda scale: f"tags list of {scale.count(_TAGS):,}", Measure.RATE, _list_tags, _make_tags, needs=_LISTS
    )
    yield Workload(
        "tags-last-page",
        lambda scale: f"last {_PAGE} of {scale.count(_MANY_TAGS):,} tags",
        Measure.RATE,
        _list_last_page,
        needs=_LISTS | {Ability.FILL, Ability.PAGES},
        filled=_MANY_TAGS,
    )
    yield Workload(
        "catalog",
        lambda scale: f"catalog of {scale.count(_REPOSITORIES):,}",
        Measure.RATE,
        _list_repositories,
        _make_repositories,
        needs=_LISTS,
    )


def _rate(stage: Stage, requests: Sequence[Request], connections: int = CONNECTIONS) -> Sample:
    seconds = stage.scale.seconds
    return stage.measure(lambda: [repeated(seconds, requests, number) for number in range(connections)])


def _ask_base(stage: Stage, _: object) -> Sample:
    return _rate(stage, [stage.client.get("/v2/")])


# Images


@frozen
class _Tagged:
    tag: str
    image: Image


def provide_images(stage: Stage) -> list[_Tagged]:
    """Images of ten layers, which are the same in each."""
    source = stage.content.source(_LAYER_BYTES)
    layers = [source.blob() for _ in range(_LAYERS)]
    tagged = [_Tagged(f"v{number}", Image.of(layers)) for number in range(_IMAGES)]
    for layer in layers:
        stage.provide_blob(_REPOSITORY, layer)
    for each in tagged:
        stage.provide_blob(_REPOSITORY, each.image.config)
        stage.provide_manifest(_REPOSITORY, [each.tag], each.image)
    return tagged


def _about_images(name: str, title: str, ask: Ask) -> Workload:
    def run(stage: Stage, tagged: list[_Tagged]) -> Sample:
        requests = [ask(stage, each.tag, each.image) for each in tagged]
        answer = stage.ask(requests[0])
        if not requests[0].bodyless and answer.body != tagged[0].image.manifest:
            raise LoadFailed("what was pulled is not the manifest that was pushed")
        return _rate(stage, requests)

    return Workload(name, lambda _: title, Measure.RATE, run, provide_images)


def _manifest(method: str, *, by_tag: bool) -> Ask:
    def ask(stage: Stage, tag: str, image: Image) -> Request:
        path = f"/v2/{_REPOSITORY}/manifests/{tag if by_tag else image.digest}"
        return stage.client.get(path, method=method, length=len(image.manifest))

    return ask


def _head_blob(stage: Stage, _tag: str, image: Image) -> Request:
    path = f"/v2/{_REPOSITORY}/blobs/{image.config.digest}"
    return stage.client.get(path, method="HEAD", length=image.config.size)


# Tags


def _set_tags(name: str, clients: int) -> Workload:
    numbers = count()

    def run(stage: Stage, tagged: list[_Tagged]) -> Sample:
        def make() -> Sequence[Steps]:
            puts = iter(
                [
                    single(
                        stage.client.push_manifest(
                            _REPOSITORY, f"{name}-{next(numbers)}", tagged[number % _IMAGES].image.manifest
                        )
                    )
                    for number in range(stage.scale.count(_TAGS_SET, least=30))
                ]
            )
            return [in_turn(puts) for _ in range(clients)]

        return stage.measure(make)

    by = "" if clients == 1 else f", {clients} clients"
    return Workload(name, lambda _: f"tag PUT{by}", Measure.RATE, run, provide_images, needs=PUSH)


def _make_tags(stage: Stage) -> list[str]:
    blob = stage.content.source(_LAYER_BYTES).blob()
    tags = filled_tags(stage.scale.count(_TAGS))
    stage.provide(_TAGGED, tags, Image.of([blob]))
    return tags


def _list_tags(stage: Stage, tags: list[str]) -> Sample:
    return _listed(stage, f"/v2/{_TAGGED}/tags/list", "tags", tags)


def _list_last_page(stage: Stage, _: object) -> Sample:
    tags = filled_tags(stage.scale.count(_MANY_TAGS))
    path = f"/v2/{FILLED}/tags/list?n={_PAGE}&last={tags[-_PAGE - 1]}"
    return _listed(stage, path, "tags", tags[-_PAGE:])


# Repositories


def _make_repositories(stage: Stage) -> list[str]:
    names = [f"bench/all{number:05}" for number in range(stage.scale.count(_REPOSITORIES))]
    image = Image.of([stage.content.source(_LAYER_BYTES).blob()])
    pushes = iter([stage.client.push_image(name, "latest", image) for name in names])
    stage.play([in_turn(pushes) for _ in range(_AT_ONCE)])
    return names


def _list_repositories(stage: Stage, names: list[str]) -> Sample:
    expected = sorted(names)[:_CATALOG_PAGE]
    # What others made, if only the warm-up, comes later in the order.
    return _listed(stage, f"/v2/_catalog?n={len(expected)}", "repositories", expected)


def _listed(stage: Stage, path: str, member: str, expected: list[str]) -> Sample:
    request = stage.client.get(path)
    found = json.loads(stage.ask(request).body)[member]
    # Not every contender has an order.
    if sorted(found) != expected:
        raise LoadFailed(f"{path} gives {len(found)} entries that are not the {len(expected)} that it should have")
    return _rate(stage, [request], _LIST_CONNECTIONS)
