"""
What a push and a pull share: where the repository is, who asks, and which credential goes where.

The rules are those of engines 1.5 and later.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field, frozen

from dockreg.cli.failures import CommandFailed, Refused
from dockreg.cli.transport import Reply, Transport
from dockreg.errors import RegistryError
from dockreg.model.names import RepositoryName, Tag, is_host_port

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_PASSING = (408, 429, 500, 502, 503, 504)


@frozen
class Target:
    """A repository of a registry, and perhaps a tag: ``http(s)://host[:port]/name[:tag]``."""

    scheme: str
    host: str
    repository: RepositoryName
    tag: Tag | None

    @classmethod
    def parse(cls, url: str) -> "Target":
        """:raises CommandFailed: ``url`` is not of this form; the sentence says what to change."""
        form = "write http(s)://HOST[:PORT]/NAME[:TAG]"
        try:
            parts = urlsplit(url)
        except ValueError:
            raise CommandFailed(f"{url!r} is no URL: {form}") from None
        if "@" in parts.netloc:
            raise CommandFailed("the URL holds a user name or password: give the name with --user")
        if parts.scheme not in ("http", "https") or not is_host_port(parts.netloc):
            raise CommandFailed(f"{url!r} names no registry: {form}")
        if parts.query or parts.fragment:
            raise CommandFailed(f"{url!r} has more than a name and a tag: {form}")
        name, colon, tag = parts.path.strip("/").partition(":")
        try:
            return cls(parts.scheme, parts.netloc, RepositoryName.parse_v1(name), Tag.parse(tag) if colon else None)
        except RegistryError as error:
            raise CommandFailed(f"{error}: {form}") from None

    @property
    def origin(self) -> str:
        """Scheme and host."""
        return f"{self.scheme}://{self.host}"

    @property
    def local_name(self) -> str:
        """What ``docker pull`` would call the repository."""
        return f"{self.host}/{self.repository}"


@frozen
class Credentials:
    """A login."""

    name: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of ``Authorization`` (RFC 7617)."""
        return "Basic " + b64encode(f"{self.name}:{self.password}".encode()).decode("ascii")


@define(eq=False)
class Session:
    """
    One push or pull.

    Index requests carry the login. Image requests carry the token that the index gave, save for https registries that are
    their own index: there the login does for all. The login never goes to another host than that of the URL.
    """

    transport: Transport
    target: Target
    credentials: Credentials | None
    #: Where images are, as ``scheme://host``; the index says so.
    endpoints: Sequence[str] = ()
    _token: str | None = field(default=None, repr=False)
    _standalone: bool = True

    async def open(self) -> None:
        """
        Ask who is there.

        :raises CommandFailed: nobody, or no v1 registry.
        """
        reply = await self.transport.get(f"{self.target.origin}/v1/_ping", {})
        if reply.status != HTTPStatus.OK and reply.header("X-Docker-Registry-Version") is None:
            raise CommandFailed(
                f"{self.target.origin} is no v1 registry: its /v1/_ping answers {reply.status} {reply.sentence}"
            )
        standalone = reply.header("X-Docker-Registry-Standalone")
        self._standalone = not standalone or standalone.lower() in ("true", "1")

    async def index_get(self, path: str) -> Reply:
        """Ask the index, and take note of the token and the endpoints in its answer."""
        reply = await self.transport.get(f"{self.target.origin}/v1/{path}", self._index_headers())
        self._learn(reply)
        return reply

    async def index_put(self, path: str, document: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """Tell the index, wherever it redirects to on its own host, and take note likewise."""
        url = f"{self.target.origin}/v1/{path}"
        body = json.dumps(document, separators=(",", ":")).encode("ascii")
        sent = {**self._index_headers(), "Content-Type": "application/json", **(headers or {})}
        for _ in range(_MAX_REDIRECTS):
            reply = await self.transport.put(url, sent, body)
            location = reply.header("Location")
            if reply.status not in _REDIRECTS or location is None:
                self._learn(reply)
                return reply
            parts = urlsplit(location)
            if f"{parts.scheme}://{parts.netloc}" != self.target.origin:
                raise CommandFailed(f"{url} sends to {parts.scheme}://{parts.netloc}: use that URL if you trust it")
            url = location
        raise CommandFailed(f"{url} redirects in a circle")

    def image_headers(self, endpoint: str) -> Mapping[str, str]:
        """The headers of requests for images and tags at ``endpoint``."""
        own = endpoint == self.target.origin
        if self.credentials is not None and own and (self._token is None or self._uses_login_for_images):
            return {"Authorization": self.credentials.basic}
        return {"Authorization": f"Token {self._token}"} if self._token else {}

    @property
    def _uses_login_for_images(self) -> bool:
        return self._standalone and self.target.scheme == "https"

    def _index_headers(self) -> Mapping[str, str]:
        headers = {"X-Docker-Token": "true"}
        if self.credentials is not None:
            headers["Authorization"] = self.credentials.basic
        return headers

    def _learn(self, reply: Reply) -> None:
        token = ",".join(reply.header_values("X-Docker-Token"))
        if token and reply.status < HTTPStatus.BAD_REQUEST:
            self._token = token
        hosts = [host.strip() for line in reply.header_values("X-Docker-Endpoints") for host in line.split(",")]
        named = tuple(f"{self.target.scheme}://{host}" for host in hosts if is_host_port(host))
        self.endpoints = named or self.endpoints or (self.target.origin,)

    def check(self, reply: Reply, trouble: str, *passes: int, passing: Sequence[int] = ()) -> Reply:
        """
        The reply, if its status is one of ``passes``.

        :param passing: statuses after which, beside the usual ones, another try may go better.
        :raises Refused: it is not; the sentence holds what the registry said, and what may help.
        """
        if reply.status in passes:
            return reply
        message = f"{trouble}: {reply.sentence} (HTTP {reply.status}){self._hint(reply.status)}"
        raise Refused(message, reply.status, passing=reply.status in (*_PASSING, *passing))

    def _hint(self, status: int) -> str:
        if status == HTTPStatus.UNAUTHORIZED and self.credentials is None:
            return "; give a user name with --user"
        if status == HTTPStatus.FORBIDDEN:
            return f"; this is about {self.credentials.name if self.credentials else 'who gives no name'}"
        return ""


def json_of(reply: Reply, kind: type, what: str) -> Any:
    """
    The document in an answer.

    :raises CommandFailed: it is no JSON, or not of this kind.
    """
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, kind):
        raise CommandFailed(f"{reply.url} answered with something else than {what}")
    return document
