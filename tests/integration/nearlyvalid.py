"""Manifests that are nearly valid, and other things that clients should not send, for Hypothesis."""

import json
from copy import deepcopy
from typing import Any

from attrs import frozen
from hypothesis import strategies as st

from dockreg.model.mediatypes import (
    ALL_MANIFEST_TYPES,
    OCI_ARTIFACT,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
    SCHEMA2_CONFIG,
    SCHEMA2_LAYER_GZIP,
    SCHEMA2_LIST,
    SCHEMA2_MANIFEST,
)
from dockreg.model.schema1 import new_schema1_key, sign_schema1
from dockreg.testing.samples import image_json, sample_id
from tests.integration.v2case import described, digest_of

#: What the repository has.
CONFIG, LAYER = b'{"rootfs":{"type":"layers","diff_ids":[]}}', b"a layer that is no tar"
ABSENT = digest_of(b"absent")
SAMPLES = (digest_of(CONFIG), digest_of(LAYER), ABSENT, digest_of(LAYER, "sha512"))

DIGESTS = st.one_of(
    st.sampled_from([
        *SAMPLES, SAMPLES[0].upper(), SAMPLES[0][:-1], f"{SAMPLES[0]}0", "sha256:", "sha256", ":", "md5:" + "0" * 32,
        "sha384:" + "0" * 96, "sha512:" + "0" * 64, "sha256:" + "g" * 64, "sha256+b64:AAAA", f"{SAMPLES[0]}\n", "sha256:" + "\u0661" * 64,
    ]),
    st.text(max_size=20),
)  # fmt: skip
REFERENCES = st.one_of(
    DIGESTS,
    st.sampled_from(
        ["latest", "absent", ".x", "-x", "x" * 128, "x" * 129, "a:b", "a b", "a/b", "..", "%00", "\0", "\u00e4", "a\n"]
    ),
    st.text(max_size=20),
)
MEDIA_TYPES = st.one_of(
    st.sampled_from(
        [*sorted(ALL_MANIFEST_TYPES), OCI_CONFIG, OCI_LAYER_GZIP, "application/json", "text/html", "x", ""]
    ),
    st.text(max_size=12),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | DIGESTS | MEDIA_TYPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NUMBERS = st.sampled_from([0, -1, 2, 1.0, 2**31, 2**63 - 1, 2**63, 10**400, 1e308, True])


def _oci(media_type: str, config_type: str, layer_type: str) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": described(config_type, CONFIG),
        "layers": [described(layer_type, LAYER, annotations={"a": "b"})],
        "annotations": {"name": "value"},
    }


def _index(media_type: str) -> dict[str, Any]:
    platform = {"os": "linux", "architecture": "amd64", "variant": "v1", "os.version": "1"}
    child = {"mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 6, "platform": platform}
    return {"schemaVersion": 2, "mediaType": media_type, "manifests": [child, described(OCI_INDEX, b"absent")]}


def _schema1() -> dict[str, Any]:
    base, top = sample_id("base"), sample_id("top")
    jsons = [image_json(top, base), image_json(base, None)]
    return {
        "schemaVersion": 1,
        "name": "a/b",
        "tag": "latest",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": digest_of(LAYER)}] * 2,
        "history": [{"v1Compatibility": each.decode()} for each in jsons],
    }


_SUBJECT = {"subject": {"mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 6}, "artifactType": "application/x"}
DOCUMENTS: dict[str, dict[str, Any]] = {
    OCI_MANIFEST: {**_oci(OCI_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP), **_SUBJECT},
    SCHEMA2_MANIFEST: _oci(SCHEMA2_MANIFEST, SCHEMA2_CONFIG, SCHEMA2_LAYER_GZIP),
    OCI_INDEX: {**_index(OCI_INDEX), **_SUBJECT},
    SCHEMA2_LIST: _index(SCHEMA2_LIST),
    OCI_ARTIFACT: {"mediaType": OCI_ARTIFACT, "artifactType": "a/b", "blobs": [described("a/b", LAYER)], **_SUBJECT},
    SCHEMA1: _schema1(),
}
_SIGNED = sign_schema1(json.dumps(_schema1(), indent=3).encode(), new_schema1_key())
_EVERY_MEMBER = sorted({name for document in DOCUMENTS.values() for name in document})


@frozen
class Sent:
    """What a client sends as a manifest."""

    content: bytes
    content_type: str | None


@st.composite
def manifests(draw: st.DrawFn) -> Sent:
    """A manifest of any type with at most two things wrong in its document, and perhaps one in its bytes or its type."""
    media_type = draw(st.sampled_from(sorted(DOCUMENTS)))
    document = deepcopy(DOCUMENTS[media_type])
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        _change(draw, document)
    content = json.dumps(document, indent=draw(st.sampled_from([None, 3]))).encode()
    if media_type == SCHEMA1 and draw(st.booleans()):
        content, media_type = _resigned(draw, content), SCHEMA1_SIGNED
    if draw(st.integers(0, 5)) == 0:
        content = _spoiled(draw, content)
    content_type = draw(st.just(media_type) | st.none() | st.sampled_from(sorted(ALL_MANIFEST_TYPES)) | _HEADER)
    return Sent(content, content_type)


_HEADER = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)


def _change(draw: st.DrawFn, document: dict[str, Any]) -> None:
    """Remove, replace or add one thing, at any depth."""
    places = [*_places(document)]
    if not places:
        return
    container, key = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(["remove", "json", "number", "digest", "type", "add", "case"]))
    if kind == "remove":
        del container[key]
    elif kind == "add" and isinstance(container, dict):
        container[draw(st.sampled_from(_EVERY_MEMBER))] = draw(JSON)
    elif kind == "case" and isinstance(key, str):
        container[key.swapcase()] = container[key]
    else:
        kinds = {"number": NUMBERS, "digest": DIGESTS, "type": MEDIA_TYPES}
        container[key] = draw(kinds.get(kind, JSON))


def _places(value: Any) -> Any:
    """Each place in a document: what holds it, and where."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _resigned(draw: st.DrawFn, payload: bytes) -> bytes:
    """Signed as it is, or with the signature of something else."""
    if draw(st.booleans()) and payload.rstrip().endswith(b"}") and len(payload) > 4:
        return sign_schema1(payload, new_schema1_key())
    return draw(st.sampled_from([_SIGNED, _SIGNED.replace(b"amd64", b"arm64"), _SIGNED.replace(b"ES256", b"RS256")]))


def _spoiled(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with one thing wrong."""
    place = draw(st.integers(0, len(content)))
    inserted = draw(
        st.binary(max_size=3) | st.sampled_from([b"\xef\xbb\xbf", b"\\ud800", b"\0", b",", b'"', b"[" * 200])
    )
    return draw(
        st.sampled_from([
            content[:place], content[place:], content[:place] + inserted + content[place:], content + content,
            content[:1] + b'"schemaVersion":2,"schemaVersion":2,' + content[1:], b"\xef\xbb\xbf" + content, content + b"\n" * 9,
        ])
    )  # fmt: skip
