"""
A client of v1 registries that behaves like Docker engines did: see :mod:`dockreg.testing.engines` for which.

It checks in answers what the engine checks and nothing else, and it makes each request on a connection of its own.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus

from attrs import Factory, define
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import deferLater

from dockreg.testing.engines import EngineProfile
from dockreg.testing.pulling import Pull, Pulled
from dockreg.testing.pushing import Cut, Push
from dockreg.testing.samples import V1Image
from dockreg.testing.sessions import Account, EngineFailed, Sent, Session, Unreachable, decoded

#: The bytes that tell an engine that an account exists already.
EXISTS = b'"Username or email already exists"'

_RESULT_TYPES: Mapping[str, type] = {
    "name": str,
    "description": str,
    "star_count": int,
    "is_official": bool,
    "is_trusted": bool,
    "is_automated": bool,
}


@define(eq=False)
class Engine:
    """
    One installed engine, pointed at one registry.

    :param registry: ``host:port``; the engine finds out by itself whether it is http or https.
    :param reactor: makes connections and measures pauses.
    :param tls: makes https connections; by default they are verified as usual.
    :param account: as whom it is logged in; :meth:`login` sets it.
    :param pause: waits so many seconds between tries.
    """

    profile: EngineProfile
    registry: str
    reactor: Any
    tls: IOpenSSLClientConnectionCreator | None = None
    account: Account | None = None
    #: What is tried, in this order where the engine has a choice.
    schemes: Sequence[str] = ("https", "http")
    pause: Callable[[float], Awaitable[None]] | None = None
    #: Engines return cookies; what they do must not depend on it.
    keeps_cookies: bool = True
    #: Each request since this engine was made, oldest first.
    sent: list[Sent] = Factory(list)

    def requests(self, method: str = "", ending: str = "") -> list[str]:
        """The paths of the requests so far with this method and this ending."""
        return [sent.path for sent in self.sent if method in ("", sent.method) and sent.path.endswith(ending)]

    async def login(self, account: Account) -> str:
        """
        ``docker login``: register, or check an account that exists.

        :return: what the engine prints.
        :raises EngineFailed: it was refused; nothing is remembered.
        """
        session = self._session(None)
        await session.open(both_sides=False, starts=False)
        body = {"username": account.username, "password": account.password, "auth": "", "email": account.email}
        answer = await session.send(
            "register",
            "POST",
            "/v1/users/",
            {"Content-Type": "application/json; charset=utf-8"},
            json.dumps(body, separators=(",", ":")).encode("utf-8"),
        )
        text = answer.body.decode("utf-8", "replace")
        if answer.status == HTTPStatus.CREATED:
            self.account = account
            return "Account created."
        if answer.status == HTTPStatus.BAD_REQUEST and answer.body != EXISTS:
            raise EngineFailed(f"Registration: {text}", 400)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise EngineFailed("Login: Your account hasn't been activated.", 403)
        if answer.status != HTTPStatus.BAD_REQUEST and not (
            answer.status == HTTPStatus.UNAUTHORIZED and self.profile.login_after_401
        ):
            raise EngineFailed(f"Unexpected status code [{answer.status}] : {text}", answer.status)
        return await self._check_login(session, account)

    async def _check_login(self, session: Session, account: Account) -> str:
        answer = await session.send("login", "GET", "/v1/users/", {"Authorization": account.basic})
        if answer.status == HTTPStatus.OK:
            self.account = account
            return "Login Succeeded"
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise EngineFailed("Wrong login/password, please try again", 401)
        if answer.status == HTTPStatus.FORBIDDEN:
            raise EngineFailed("Login: Account is not Active.", 403)
        raise EngineFailed(f"{answer.body!r} (code: {answer.status})", answer.status)

    async def search(self, term: str) -> list[Mapping[str, Any]]:
        """
        ``docker search``: the results, each checked for the types that this engine decodes.

        Engines before 1.2 only search the official index; here the registry plays that part.

        :raises EngineFailed: the answer cannot be used.
        """
        session = self._session(self.account if self.profile.search_sends_basic else None)
        await session.open(both_sides=False)
        headers = {"X-Docker-Token": "true"} if self.profile.search_wants_token else {}
        answer = await session.index("GET", f"/v1/search?q={quote_plus(term)}", headers)
        if answer.status != HTTPStatus.OK:
            raise EngineFailed(f"Unexpected status code {answer.status}", answer.status)
        document = decoded(answer, "search")
        for result in document["results"]:
            for name, value in result.items():
                wanted = str if self.profile.search_wants_strings else _RESULT_TYPES.get(name, object)
                if value is not None and (not isinstance(value, wanted) or (wanted is int and value is True)):
                    raise EngineFailed(f"json: cannot unmarshal {value!r} of {name} into {wanted.__name__}", 200)
        return list(document["results"])

    async def push(
        self, repository: str, images: Sequence[V1Image], tags: Mapping[str, str], cut: Cut | None = None
    ) -> list[str]:
        """
        ``docker push``: everything of ``images`` that is not there yet, and ``tags``.

        :param repository: without the registry, ``name`` or ``namespace/name``.
        :param images: base images first.
        :param tags: tag to image id.
        :param cut: where the engine dies, in the first image that it uploads.
        :return: what the engine prints.
        :raises EngineFailed: the registry refused something.
        :raises UploadCut: the engine died as asked.
        """
        session = self._session(self.account)
        await session.open()
        with _failing_as_engine():
            return await Push(session, repository, images, tags, cut).run()

    async def push_image(self, image: V1Image) -> None:
        """``docker push <image id>`` (up to 1.5): json, layer and checksum, without an index."""
        session = self._session(None)
        await session.open()
        with _failing_as_engine():
            await Push(session, "", [image], {}, None).upload(image, self.registry)

    async def pull(
        self,
        repository: str,
        tag: str | None = None,
        have: Mapping[str, V1Image] | None = None,
        break_after: int | None = None,
    ) -> Pulled:
        """
        ``docker pull``: the images of one tag, or of all tags.

        :param have: images that are there already and not fetched again.
        :param break_after: the connection of each layer breaks once, after so many bytes.
        :raises EngineFailed: the registry refused something, or sent what the engine cannot use.
        """
        session = self._session(self.account)
        await session.open()
        with _failing_as_engine():
            pull = Pull(session, repository, tag, self.pause or self._wait, dict(have or {}), break_after)
            return await pull.run()

    async def _wait(self, seconds: float) -> None:
        await deferLater(self.reactor, seconds)

    def _session(self, account: Account | None) -> Session:
        tls = self.tls or optionsForClientTLS(self.registry.rpartition(":")[0])
        return Session(
            self.profile, self.registry, self.reactor, tls, account, self.sent, self.schemes, self.keeps_cookies
        )


@contextmanager
def _failing_as_engine() -> Iterator[None]:
    """Turn a registry that went away in the middle into what the engine reports."""
    try:
        yield
    except Unreachable as error:
        raise EngineFailed(str(error)) from error
