"""Which image of an index is the one for a platform."""

from collections.abc import Iterable

from dockreg.model.manifest import Child
from dockreg.model.platforms import Platform

_NOWHERE = Platform("unknown", "unknown")
# BuildKit, "Image Attestation Storage": an attestation is listed beside the images, for a platform that is none.
_REFERENCE_TYPE = "vnd.docker.reference.type"
_ATTESTATION = "attestation-manifest"


def choose_platform(children: Iterable[Child], wanted: Platform) -> Child | None:
    """
    The child to serve for ``wanted``: the first one of exactly this platform, else one of the same system and machine.

    Among other variants of a machine the closest older one is best, for newer machines run what is made for older ones
    (containerd, ``platforms.Only``). Attestations and blobs are never chosen. An image without a platform is chosen if
    there is nothing else in the index.
    """
    images = [child for child in children if child.is_manifest and not _is_attestation(child)]
    if len(images) == 1 and images[0].platform is None:
        return images[0]
    system, machine, variant = wanted.normalized
    best: Child | None = None
    best_rank = (0, "")
    for child in images:
        if child.platform is None:
            continue
        child_system, child_machine, child_variant = child.platform.normalized
        if (child_system, child_machine) != (system, machine):
            continue
        rank = _rank(child_variant, variant)
        if rank > best_rank:
            best, best_rank = child, rank
    return best


def _rank(variant: str, wanted: str) -> tuple[int, str]:
    if variant == wanted:
        return 3, ""
    return (2, variant) if variant < wanted else (1, "")


def _is_attestation(child: Child) -> bool:
    return (child.platform is not None and child.platform.matches(_NOWHERE)) or child.annotations.get(
        _REFERENCE_TYPE
    ) == _ATTESTATION
