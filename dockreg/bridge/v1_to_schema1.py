"""
v1 images as schema1 manifests, for engines 1.6 to 1.9.

The payload is what those engines sign when they push (docker's "Image Manifest V2 Schema 1"): its members in their order,
three spaces of indentation, and ``<``, ``>`` and ``&`` escaped as Go's encoder does it.
"""

import json
from collections.abc import Sequence

from attrs import field, frozen

from dockreg.errors import RequestInvalid
from dockreg.model.digest import Digest
from dockreg.model.documents import parse_object

_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


@frozen
class Schema1Entry:
    """A v1 image, real or made from a config: its exact json, and its layer as old engines get it."""

    json: bytes = field(repr=False)
    layer: Digest


def schema1_payload(name: str, tag: str, chain: Sequence[Schema1Entry]) -> bytes:
    """
    The unsigned schema1 manifest of ``chain[0]``, whose ancestors follow, base last.

    :param name: the repository, as the client that asks for it calls it.
    :raises RequestInvalid: there is no image, or the json of one is not JSON in UTF-8.
    """
    if not chain:
        raise RequestInvalid("a schema1 manifest has at least one image")
    documents = [parse_object(entry.json, RequestInvalid) for entry in chain]
    architecture = documents[0].get("architecture")
    payload = {
        "schemaVersion": 1,
        "name": name,
        "tag": tag,
        "architecture": architecture if isinstance(architecture, str) and architecture else "amd64",
        "fsLayers": [{"blobSum": str(entry.layer)} for entry in chain],
        "history": [{"v1Compatibility": entry.json.decode("utf-8")} for entry in chain],
    }
    # All that is escaped is in strings. Half of a surrogate pair can only be in the architecture.
    text = json.dumps(payload, indent=3, ensure_ascii=False).translate(_ESCAPED)
    return text.encode("utf-8", "replace")
