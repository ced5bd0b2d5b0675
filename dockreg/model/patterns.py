"""Patterns of names of repositories and of tags, as rules and tokens write them."""

import re
from fnmatch import translate
from functools import lru_cache

from attrs import frozen

from dockreg.errors import RequestInvalid
from dockreg.model.names import RepositoryName, Tag

_MAX_PATTERN = 255
_DEEP = "**"
_PATTERN = re.compile(r"(?:\*\*|[a-z0-9_.*-]+)(?:/(?:\*\*|[a-z0-9_.*-]+))*", re.ASCII)


@frozen(order=True)
class RepositoryPattern:
    """
    Repository names with ``*`` for any text within a component, and a component ``**`` for any number of components.

    ``team/*`` is every repository right below ``team``, ``team/**`` every one below it at any depth, and ``**`` every
    repository. ``library/x`` is ``x``, as in names, and ``library/*`` is each name of one component.
    """

    value: str

    @classmethod
    def parse(cls, text: str) -> "RepositoryPattern":
        """:raises RequestInvalid: it is outside this grammar."""
        parts = text.split("/")
        if (
            len(text) > _MAX_PATTERN
            or not _PATTERN.fullmatch(text)
            or any(_DEEP in part and part != _DEEP for part in parts)
        ):
            raise RequestInvalid(
                f"{text[:_MAX_PATTERN]!r} is not a pattern of repositories: write a name, with '*' for a part of a component"
                " or '**' for any number of components"
            )
        return cls(text)

    @classmethod
    def exactly(cls, name: RepositoryName) -> "RepositoryPattern":
        """The pattern of one repository."""
        return cls(name.value)

    @property
    def is_exact(self) -> bool:
        """Whether it is the name of one repository."""
        return "*" not in self.value

    @property
    def canonical(self) -> "RepositoryPattern":
        """The same, with the name of one repository written as it is stored: ``library/x`` as ``x``."""
        short = self.value.removeprefix("library/")
        return RepositoryPattern(short) if self.is_exact and "/" not in short else self

    def matches(self, name: RepositoryName) -> bool:
        """Whether ``name`` is one of these repositories, under either of its spellings."""
        if self.is_exact:
            return self.value in (name.value, name.v1)
        parts = self.value.split("/")
        return _match(parts, name.v1.split("/")) or (name.v1 != name.value and _match(parts, [name.value]))

    def __str__(self) -> str:
        return self.value


@frozen
class TagPattern:
    """
    Tags with ``*`` for any text, ``?`` for any character, and ``[0-9]`` or ``[!a-z]`` for some. It is about the whole tag.

    Tags are short and of few characters, so that this says what is needed, as patterns of repositories do; a dot is a dot,
    and a part of a name never matches by accident.
    """

    value: str

    @classmethod
    def parse(cls, text: str) -> "TagPattern":
        """:raises RequestInvalid: no tag could be like this."""
        if not _TAG_PATTERN.fullmatch(text):
            raise RequestInvalid(
                f"{text[:_MAX_PATTERN]!r} is not a pattern of tags: write a tag, with '*' for any text, '?' for a character"
                " and '[0-9]' for some characters"
            )
        return cls(text)

    def matches(self, tag: Tag) -> bool:
        """Whether ``tag`` is one of these."""
        return _compiled_tag(self.value).fullmatch(tag.value) is not None

    def __str__(self) -> str:
        return self.value


_TAG_PATTERN = re.compile(r"(?:[A-Za-z0-9_.*?-]|\[!?[A-Za-z0-9_.-]+\]){1,128}", re.ASCII)


@lru_cache(maxsize=1024)
def _compiled_tag(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern), re.ASCII)


def _match(parts: list[str], components: list[str]) -> bool:
    """Whether the parts of a pattern cover the components; in time that is the product of their numbers at most."""
    reached = {0}  # how many components the parts so far may have covered
    for part in parts:
        if part == _DEEP:
            reached = set(range(min(reached) + 1, len(components) + 1)) if reached else set()
        else:
            matches = _compiled(part).fullmatch
            reached = {at + 1 for at in reached if at < len(components) and matches(components[at])}
    return len(components) in reached


@lru_cache(maxsize=1024)
def _compiled(part: str) -> re.Pattern[str]:
    first, *rest = (re.escape(text) for text in part.split("*"))
    if not rest:
        return re.compile(first, re.ASCII)
    # Each star but the last takes as little as it can and never reconsiders (atomic groups): no worse choice for the
    # others, and without it stars would multiply the time.
    inner = "".join(f"(?>.*?{text})" for text in rest[:-1])
    return re.compile(f"{first}{inner}.*{rest[-1]}", re.ASCII)
