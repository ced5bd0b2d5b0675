"""
The registry role with an index of its own elsewhere: who may push and pull is asked there, as docker-registry 0.9 did.

The client brings the token that the index gave it. The registry shows the same token to the index when it asks for the
image list of the repository that the token names: an answer with a list is a yes. Nothing in the token is understood
here but the words around its signature.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen, validators
from twisted.cred.credentials import ICredentials
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from dockreg.errors import ImageUnknown, IndexUnavailable, NameInvalid, Unauthorized
from dockreg.interfaces_access import IAuthenticator, IAuthorizer
from dockreg.interfaces_v1 import IImageList
from dockreg.model.access import NOTHING, Access, Action, Ceiling, Challenge, Principal
from dockreg.model.documents import parse_json
from dockreg.model.names import RepositoryName
from dockreg.model.networks import NO_ADDRESS
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.v1 import ImageID
from dockreg.providers.auth.outbound import TooLarge, fetch
from dockreg.providers.auth.remembered import Remembered
from dockreg.providers.auth.tokentext import ACCESS, TokenText

log = Logger()

_OK = 200
_REFUSALS = frozenset({401, 403, 404})
_MAX_BODY_BYTES = 4 * 2**20
_MAX_REMEMBERED_IDS = 100_000


@frozen
class TokenBearer(Principal):
    """Who brought a token of the index; the token is kept, for the index may have to be asked again."""

    token: str = field(default="", repr=False, eq=False)


def _without_v1(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


@implementer(IAuthenticator, IImageList)
@define(eq=False)
class RemoteIndex:
    """
    Trusts the tokens that the index at ``url`` trusts, for as long as their answer is remembered (a minute at most).

    The index does not say who somebody is, so the principals here have no names.

    :param url: where ``/v1/`` of the index is, such as ``https://index.example``.
    :param timeout_seconds: how long the index may take for one whole answer.
    """

    _url: str = field(converter=_without_v1)
    _agent: IAgent
    _clock: IReactorTime
    _cache_seconds: float = field(default=60, validator=[validators.ge(0), validators.le(60)])
    _timeout_seconds: float = 10
    _max_body_bytes: int = _MAX_BODY_BYTES
    _lists: Remembered[frozenset[ImageID]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lists = Remembered(self._clock, self._cache_seconds, _MAX_REMEMBERED_IDS, lambda ids: len(ids) + 1)

    async def login(
        self, credentials: ICredentials, address: str = NO_ADDRESS
    ) -> Principal:  # no password is right here
        """:raises Unauthorized: always; passwords are for the index."""
        raise Unauthorized(f"this registry takes tokens only; log in to its index at {self._url}")

    async def redeem(self, token: str) -> Principal:
        """
        The bearer of a token that the index accepts for the repository that it names.

        :raises Unauthorized: the index refuses it, or it names no repository or access.
        :raises IndexUnavailable: the index can not be asked.
        """
        repository, actions = _said(token)
        ceiling = Ceiling.of(repository, actions)
        key = _key(token)
        if self._lists.recall(key) is None:
            self._lists.keep(key, await self._ask(token, repository))
        return TokenBearer(None, ceiling=ceiling, decided=True, token=token)

    async def current(self, principal: Principal, issued_at: float | None = None) -> Principal:
        """The principal itself: of tokens that were redeemed nothing more is known."""
        return principal

    def challenge(self, wanted: Access | None) -> Challenge:  # the same whatever is wanted
        """A token, which the index hands out."""
        return Challenge(("Token",))

    async def allows(self, principal: Principal, repository: RepositoryName, image_id: ImageID) -> bool:
        """
        Whether the list of the principal's repository has ``image_id``.

        A push announces its images before it sends them, so for an id that is missing from a remembered list the index
        is asked once more.

        :raises IndexUnavailable: the index can not be asked.
        """
        ceiling = principal.ceiling
        if not isinstance(principal, TokenBearer) or ceiling is None or ceiling.repository != repository:
            return False
        key = _key(principal.token)
        known = self._lists.recall(key)
        if known is not None and image_id in known:
            return True
        self._lists.forget(key)
        try:
            listed = await self._ask(principal.token, repository)
        except Unauthorized:
            return False
        self._lists.keep(key, listed)
        return image_id in listed

    async def _ask(self, token: str, repository: RepositoryName) -> frozenset[ImageID]:
        url = f"{self._url}/v1/repositories/{repository.v1}/images"
        headers = Headers({"Authorization": [f"Token {token}"]})
        try:
            status, body = await fetch(
                self._agent, self._clock, url, self._max_body_bytes, self._timeout_seconds, headers
            )
        except CancelledError:
            raise
        except TooLarge as problem:
            raise IndexUnavailable(f"the index answered with more than {problem.limit} bytes") from None
        except Exception as problem:  # noqa: BLE001  # however the network fails, the answer is missing
            log.warn("the index at {url} does not answer: {problem}", url=self._url, problem=type(problem).__name__)
            raise IndexUnavailable("the index that checks tokens does not answer; try again later") from None
        if status in _REFUSALS:
            raise Unauthorized("the index does not accept this token")
        if status != _OK:
            log.warn("the index at {url} answered {status}", url=self._url, status=status)
            raise IndexUnavailable(f"the index that checks tokens answered {status}")
        return _listed(body)


@implementer(IAuthorizer)
@define(eq=False)
class IndexAuthorizer:
    """Grants what a token says, where it says so, and nothing else: the index has decided."""

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """See :meth:`.IAuthorizer.granted`."""
        return wanted.actions & principal.within(wanted.repository) if principal.ceiling is not None else NOTHING

    async def granted_each(
        self, principal: Principal, action: Action, names: Sequence[RepositoryName]
    ) -> Sequence[RepositoryName]:
        """See :meth:`.IAuthorizer.granted_each`."""
        return [name for name in names if principal.ceiling is not None and action in principal.within(name)]

    async def granted_among(
        self, principal: Principal, action: Action, records: Sequence[RepositoryRecord]
    ) -> Sequence[RepositoryRecord]:
        """See :meth:`.IAuthorizer.granted_among`."""
        return [each for each in records if principal.ceiling is not None and action in principal.within(each.name)]


def _said(token: str) -> tuple[RepositoryName, frozenset[Action]]:
    said = TokenText.parse(token)
    actions = ACCESS.get(said.access or "")
    if not (token.isascii() and token.isprintable()) or said.repository is None or actions is None:
        raise Unauthorized("the token names no repository and access")
    try:
        return RepositoryName.parse_v1(said.repository), actions
    except NameInvalid:
        raise Unauthorized("the token names no repository and access") from None


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8")).digest()


def _listed(body: bytes) -> frozenset[ImageID]:
    entries: Any = parse_json(body, lambda reason: IndexUnavailable(f"the index sent no image list: {reason}"))
    if not isinstance(entries, list):
        raise IndexUnavailable("the index sent no image list: it is not a JSON list")
    found: set[ImageID] = set()
    for entry in entries:
        try:
            found.add(ImageID.parse(entry["id"]))
        except (ImageUnknown, KeyError, TypeError):
            continue  # an entry that names no image allows none
    return frozenset(found)
