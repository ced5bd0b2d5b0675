"""
A shorter way to the routes of a path that needs no decoding.

Klein's router decides about every URL. What it does for each request besides costs more than most answers, so the
routes whose place in a path is plain are found here first, by the same table. Whatever is not found is for Klein, and
``tests/unit/web/test_dispatch.py`` shows that what is found is what Klein finds.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from dockreg.web.v2.base import is_v2

E = TypeVar("E")

#: Nothing in it is decoded, and no segment is empty but the last one.
_PLAIN = re.compile(rb"(?:/[A-Za-z0-9._:@+=~-]+)*/?", re.ASCII)
_VARIABLE = re.compile(r"<(?:[a-z_]+:)?([a-z_]+)>", re.ASCII)
#: Begins the rules of v2 that are about a repository, whose name has any number of segments.
_NAMED = "/v2/<name:name>/"

#: Segments, None for each that varies.
_Shape = tuple[str | None, ...]


def is_plain(path: bytes) -> bool:
    """Whether nothing in a path is to be decoded."""
    return _PLAIN.fullmatch(path) is not None


class _Shapes(Generic[E]):
    """Rules of a fixed number of segments."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, _Shape], tuple[E, tuple[str, ...]]] = {}
        self._varying: dict[int, list[tuple[int, ...]]] = {}

    def add(self, method: str, rule: str, endpoint: E) -> None:
        segments = rule.split("/")
        matches = [_VARIABLE.fullmatch(segment) for segment in segments]
        varying = tuple(at for at, match in enumerate(matches) if match)
        shape = tuple(None if match else segment for match, segment in zip(matches, segments, strict=True))
        self._found[method, shape] = (endpoint, tuple(match[1] for match in matches if match))
        known = self._varying.setdefault(len(segments), [])
        if varying not in known:
            # What is spelled out goes before what varies.
            known.append(varying)
            known.sort(key=len)

    def find(self, method: str, segments: list[str]) -> tuple[E, dict[str, str]] | None:
        for varying in self._varying.get(len(segments), ()):
            shape: list[str | None] = [*segments]
            for at in varying:
                shape[at] = None
            found = self._found.get((method, tuple(shape)))
            if found is not None:
                values = [segments[at] for at in varying]
                return (found[0], dict(zip(found[1], values, strict=True))) if all(values) else None
        return None

    @property
    def lengths(self) -> Iterable[int]:
        """The numbers of segments that rules have, the largest first."""
        return sorted(self._varying, reverse=True)


class Dispatcher(Generic[E]):
    """
    Finds the endpoint of a plain path.

    :param rules: method, rule and endpoint of every route, in the syntax of Klein.
    """

    def __init__(self, rules: Iterable[tuple[str, str, E]]) -> None:
        self._whole: _Shapes[E] = _Shapes()
        self._behind_a_name: _Shapes[E] = _Shapes()
        for method, rule, endpoint in rules:
            if rule.startswith(_NAMED):
                self._behind_a_name.add(method, rule.removeprefix(_NAMED), endpoint)
            elif ":" not in rule and "<account>" not in rule:
                self._whole.add(method, rule, endpoint)
        self._lengths = tuple(self._behind_a_name.lengths)

    def find(self, method: bytes, path: bytes) -> tuple[E, Mapping[str, str]] | None:
        """The endpoint, and the parts of the path that vary; None when Klein has to look."""
        if not is_plain(path):
            return None
        text, wanted = path.decode("ascii"), "GET" if method == b"HEAD" else method.decode("ascii", "replace")
        segments = text.split("/")
        found = self._whole.find(wanted, segments)
        if found is not None or not is_v2(text):
            return found
        for length in self._lengths:
            name = segments[2:-length]
            behind = self._behind_a_name.find(wanted, segments[-length:]) if name else None
            if behind is not None:
                endpoint, parts = behind
                parts["name"] = "/".join(name)
                return endpoint, parts
        return None
