"""JSON from strangers: size, depth and encoding are checked before anything is believed."""

import json
from collections.abc import Callable
from itertools import accumulate
from typing import Any

MAX_DEPTH = 64
#: What a document may have of commas, colons and brackets, so that reading it takes milliseconds.
MAX_MARKS = 250_000
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEPS))


def parse_object(content: bytes, error: Callable[[str], Exception], max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """
    The JSON object in ``content``, as :func:`parse_json` reads it.

    :param error: makes the exception to raise from a reason.
    """
    value = parse_json(content, error, max_depth)
    if not isinstance(value, dict):
        raise error("it is not a JSON object")
    return value


def parse_json(content: bytes, error: Callable[[str], Exception], max_depth: int = MAX_DEPTH) -> Any:
    """
    The JSON value in ``content``, which must be UTF-8 without a byte order mark, without NaN or Infinity, and without
    an object that has two members of one name: two readers could take it for two documents (RFC 8259 4).

    :param max_depth: how deep arrays and objects may be nested.
    """
    marks = sum(content.count(mark) for mark in (b",", b":", b"[", b"{"))
    if marks > MAX_MARKS:
        raise error("it has too many members")
    # Only quotes that no backslash escapes are left: pairs of backslashes go first, from the left.
    bare = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Beside each string is a mark of its own.
    if bare.count(b'"') > 2 * (marks + 1):
        raise error("it is not JSON (there are strings with nothing between them)")
    if _depth(bare) > max_depth:
        raise error(f"it is nested deeper than {max_depth} levels")

    def refuse(constant: str) -> Any:
        raise error(f"{constant} is not JSON")

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise error("an object in it has two members of one name")
        return found

    try:
        return json.loads(content.decode("utf-8"), parse_constant=refuse, parse_int=_integer, object_pairs_hook=members)
    except UnicodeDecodeError:
        raise error("it is not UTF-8") from None
    except ValueError as problem:
        raise error(f"it is not JSON ({problem})") from None


def _integer(digits: str) -> int | float:
    # int() refuses more than 4,300 digits with a ValueError of its own; a float does as well for what we read.
    return int(digits) if len(digits) < 400 else float(digits)


def _depth(bare: bytes) -> int:
    """How deep brackets are nested, for JSON without escaped quotes; right up to where it stops to be JSON."""
    brackets = b"".join(bare.split(b'"')[::2]).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
