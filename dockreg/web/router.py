"""
Klein's router, for the paths that :mod:`dockreg.web.dispatch` leaves to it.

Most registries never meet such a path, so this is made for the first one: with what it imports it is 5 MiB.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from attrs import frozen
from klein import Klein, KleinRenderable
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from dockreg.web.errors import NoRoute


class RepositoryConverter(BaseConverter):
    """A repository name in a path: one or more segments. What it may look like is decided when it is parsed."""

    part_isolating = False
    # ``tags`` is never the last component of a v1 name; without this a tag ``images`` would be taken for a list.
    regex = r"[^/]+(?:/[^/]+)*?(?<!/tags)"


class NameConverter(BaseConverter):
    """A repository name in a path of v2."""

    part_isolating = False
    regex = r"[^/]+(?:/[^/]+)*?"


@frozen
class _Registry:
    """What one registry runs, and how it answers when that fails; what is called is bound to it by Klein."""

    runs: Sequence[Callable[..., Any]]
    failed: Callable[[Request, Failure], bytes]


def make_klein(
    rules: Iterable[tuple[str, str, str, Callable[..., Any]]], failed: Callable[[Request, Failure], bytes]
) -> Klein:
    """
    The application.

    :param rules: name, method, rule, and what to run.
    :param failed: the answer to what is raised, :class:`~dockreg.web.errors.NoRoute` for all that Klein itself raises.
    """
    table = tuple(rules)
    registry = _Registry([run for *_, run in table], failed)
    return _application(tuple(each[:3] for each in table)).__get__(registry, _Registry)


@cache
def _application(rules: Sequence[tuple[str, str, str]]) -> Klein:
    """That of every registry of this process with these rules: to compile them takes longer than to start the rest."""
    app = Klein()
    app.url_map.converters["repository"] = RepositoryConverter
    app.url_map.converters["name"] = NameConverter
    app.url_map.merge_slashes = False
    for number, (name, method, rule) in enumerate(rules):
        # Two functions of one endpoint would silently become one.
        app.route(rule, methods=[method], endpoint=f"{name} {rule}", strict_slashes=False)(_runner(number))

    @app.handle_errors(Exception)
    def failed_in_klein(self: _Registry, request: IRequest, failure: Failure) -> KleinRenderable:
        assert isinstance(request, Request)
        if request.startedWriting:
            failure.raiseException()
        problem = failure.value
        if isinstance(problem, HTTPException):
            failure = Failure(NoRoute(problem.code or 500, tuple(getattr(problem, "valid_methods", None) or ())))
        return self.failed(request, failure)

    return app


def _runner(number: int) -> Callable[..., Any]:
    def run(registry: _Registry, request: IRequest, **parts: str) -> Any:
        return registry.runs[number](request, **parts)

    return run
