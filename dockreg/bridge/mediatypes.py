"""
schema2 manifests as OCI image manifests, and the other way round, for clients that know one kind only.

Both say the same in other words: docker's image config is a valid OCI config, byte for byte (OCI Image specification,
"Compatibility Matrix" and "Backwards compatibility"), so the view names the same blobs.
"""

import json
from collections.abc import Mapping
from typing import Any

from dockreg.errors import ManifestInvalid
from dockreg.model.descriptors import Descriptor
from dockreg.model.digest import Digest
from dockreg.model.documents import parse_object
from dockreg.model.manifest import BlobReference, Manifest, Role
from dockreg.model.mediatypes import (
    OCI_CONFIG,
    OCI_FOREIGN_LAYER,
    OCI_FOREIGN_LAYER_GZIP,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    SCHEMA2_CONFIG,
    SCHEMA2_FOREIGN_LAYER,
    SCHEMA2_FOREIGN_LAYER_GZIP,
    SCHEMA2_LAYER,
    SCHEMA2_LAYER_GZIP,
    SCHEMA2_LAYER_ZSTD,
    SCHEMA2_MANIFEST,
)

_OCI_CONFIGS = {SCHEMA2_CONFIG: OCI_CONFIG, OCI_CONFIG: OCI_CONFIG}
_OCI_LAYERS = {
    SCHEMA2_LAYER: OCI_LAYER,
    SCHEMA2_LAYER_GZIP: OCI_LAYER_GZIP,
    SCHEMA2_LAYER_ZSTD: OCI_LAYER_ZSTD,
    SCHEMA2_FOREIGN_LAYER: OCI_FOREIGN_LAYER,
    SCHEMA2_FOREIGN_LAYER_GZIP: OCI_FOREIGN_LAYER_GZIP,
    **{each: each for each in (OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_FOREIGN_LAYER, OCI_FOREIGN_LAYER_GZIP)},
}
_DOCKER_CONFIGS = {OCI_CONFIG: SCHEMA2_CONFIG, SCHEMA2_CONFIG: SCHEMA2_CONFIG}
# No layers in zstd: engines that know docker's types alone can not read them.
_DOCKER_LAYERS = {
    OCI_LAYER: SCHEMA2_LAYER,
    OCI_LAYER_GZIP: SCHEMA2_LAYER_GZIP,
    OCI_FOREIGN_LAYER: SCHEMA2_FOREIGN_LAYER,
    OCI_FOREIGN_LAYER_GZIP: SCHEMA2_FOREIGN_LAYER_GZIP,
    **{each: each for each in (SCHEMA2_LAYER, SCHEMA2_LAYER_GZIP, SCHEMA2_FOREIGN_LAYER, SCHEMA2_FOREIGN_LAYER_GZIP)},
}


def oci_view(manifest: Manifest) -> Manifest | None:
    """
    The OCI form of a schema2 manifest; the same manifest always has the same one.

    Where a layer is said to be elsewhere (``urls``), that is kept. None when it is another kind of manifest, or when one
    of its types has no counterpart in OCI.
    """
    if manifest.media_type != SCHEMA2_MANIFEST:
        return None
    return _in_other_words(manifest, OCI_MANIFEST, _OCI_CONFIGS, _OCI_LAYERS)


def docker_view(manifest: Manifest) -> Manifest | None:
    """
    The schema2 form of an OCI image manifest; as :func:`oci_view`.

    None for artifacts, whose configs are of other types, and for layers in zstd. Annotations are left out: docker's
    manifests have none.
    """
    if manifest.media_type != OCI_MANIFEST:
        return None
    return _in_other_words(manifest, SCHEMA2_MANIFEST, _DOCKER_CONFIGS, _DOCKER_LAYERS)


def _in_other_words(
    manifest: Manifest, kind: str, configs: Mapping[str, str], layers: Mapping[str, str]
) -> Manifest | None:
    references: list[BlobReference] = []
    for reference in manifest.references:
        types = configs if reference.role is Role.CONFIG else layers
        media_type = types.get(reference.descriptor.media_type)
        if media_type is None:
            return None
        descriptor = Descriptor(media_type, reference.descriptor.digest, reference.descriptor.size)
        references.append(BlobReference(reference.role, descriptor, reference.required))
    config, *listed = (_document(reference.descriptor) for reference in references)
    sources = parse_object(manifest.content, ManifestInvalid).get("layers") or ()
    for layer, source in zip(listed, sources, strict=True):
        urls = source.get("urls")
        kept = [url for url in urls if isinstance(url, str)] if isinstance(urls, list) else []
        if kept:
            layer["urls"] = kept
    document = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": listed}
    content = json.dumps(document, separators=(",", ":")).encode()
    artifact_type = references[0].descriptor.media_type
    return Manifest(kind, content, Digest.sha256(content), references, artifact_type=artifact_type)


def _document(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
