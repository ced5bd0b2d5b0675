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
#: One segment of the same.
_SEGMENT = re.compile(rb"[A-Za-z0-9._:@+=~-]+", re.ASCII)
#: Ways that are known, and what the path to one may have.
_MOST_KNOWN = 1024
_USUAL_BYTES = 512
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

    def find(self, method: str, segments: list[str]) -> tuple[E, dict[str, str], bool] | None:
        """The endpoint, the parts that vary, and whether the last segment is one of them, which is the last part then."""
        for varying in self._varying.get(len(segments), ()):
            shape: list[str | None] = [*segments]
            for at in varying:
                shape[at] = None
            found = self._found.get((method, tuple(shape)))
            if found is not None:
                values = [segments[at] for at in varying]
                last = bool(varying) and varying[-1] == len(segments) - 1
                return (found[0], dict(zip(found[1], values, strict=True)), last) if all(values) else None
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
        table = tuple(rules)
        for method, rule, endpoint in table:
            if rule.startswith(_NAMED):
                self._behind_a_name.add(method, rule.removeprefix(_NAMED), endpoint)
            elif ":" not in rule and "<account>" not in rule:
                self._whole.add(method, rule, endpoint)
        self._lengths = tuple(self._behind_a_name.lengths)
        # A rule may spell these out at the end of a path. A path that ends with anything else leads where all do of this method
        # that have the same segments before the last one.
        self._spelled_out = frozenset(rule.rsplit("/", 1)[-1].encode("ascii") for _, rule, _ in table)
        self._known: dict[tuple[bytes, bytes], tuple[E, Mapping[str, str], str]] = {}

    def find(self, method: bytes, path: bytes) -> tuple[E, Mapping[str, str]] | None:
        """The endpoint, and the parts of the path that vary, for the caller to keep; None when Klein has to look."""
        before, _, last = path.rpartition(b"/")
        if last in self._spelled_out or _SEGMENT.fullmatch(last) is None:
            found = self._look(method, path)
            return None if found is None else found[:2]
        known = self._known.get((method, before))
        if known is not None:
            endpoint, parts, name = known
            return endpoint, {**parts, name: last.decode("ascii")}
        found = self._look(method, path)
        if found is None:
            return None
        endpoint, parts, last_varies = found
        if last_varies and len(before) <= _USUAL_BYTES:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            *others, name = parts
            self._known[method, before] = (endpoint, {each: parts[each] for each in others}, name)
        return endpoint, parts

    def _look(self, method: bytes, path: bytes) -> tuple[E, dict[str, str], bool] | None:
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
                endpoint, parts, last = behind
                return endpoint, {"name": "/".join(name), **parts}, last
        return None
