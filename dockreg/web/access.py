"""From the ``Authorization`` header to a principal, and whether it may use the route."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from attrs import define, field, frozen
from twisted.cred.credentials import UsernamePassword
from twisted.web.server import Request

from dockreg.credentials import ClientCertificate
from dockreg.errors import (
    AccountInactive,
    BlobUnknown,
    Denied,
    ImageUnknown,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    RegistryError,
    TagInvalid,
    TagUnknown,
    Unauthorized,
    UploadUnknown,
)
from dockreg.interfaces_access import IAuthenticator, IBearers
from dockreg.model.access import ANONYMOUS, PUBLIC, Access, Action, Caller, On, Principal, Right
from dockreg.model.accounts import ROBOT_MARK
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.v1 import ImageID
from dockreg.registry import Registry
from dockreg.web.audit import ANONYMOUS_HOW, RequestAudit, Witness
from dockreg.web.certificates import client_certificate
from dockreg.web.exchange import DocumentRoom, Exchange
from dockreg.web.headers import HINT_COOKIE
from dockreg.web.identified import Identified, Shown, is_stored
from dockreg.web.proxies import client_address
from dockreg.web.repeats import Somebody
from dockreg.web.requests import Request as StreamedRequest
from dockreg.web.routes import Route

_READING = (b"GET", b"HEAD")
_ANYBODY = Caller(ANONYMOUS)
#: Many requests are about one repository. Names have a length, and what is none is not kept.
_known_name = lru_cache(maxsize=1024)(RepositoryName.parse_oci)
#: By what somebody is known who uses these schemes.
_HOW: Mapping[bytes, str] = {b"basic": "password", b"token": "v1 token", b"bearer": "bearer token"}
#: What ids of upload sessions are made of; anything else was never one.
_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)


class Parts(dict[str, str]):
    """The parts of a path that vary, of one method; what they mean is found out once."""

    parsed: Mapping[str, Any] | None = None


@frozen
class Challenged(Unauthorized):
    """What was refused, with the rights that would have been needed."""

    wanted: tuple[Access, ...] = ()
    #: Whether it is a password that was missing or wrong, where no token helps.
    password: bool = False


@define(eq=False)
class Gate:
    """
    Lets a request through to its route, or refuses it, before a byte of its body is read.

    :param bearers: the token service of v2, None where there is none.
    :param origin: the scheme and host by which the client of a request knows the registry.
    :param sends_to_bearers: whether clients of v2 are sent to the token service; else they are asked for a password.
    :param takes_certificates: whether a certificate says who a client is that says nothing else.
    :param settled_tokens: whether a token of somebody without a name says the same until it expires, to the second.
    :param identified: where all that is known of who has a name is stored, and lasts: who was just found to show what.
    :param audit: is told of logins that fail, None when nobody wants to know.
    """

    registry: Registry
    authenticator: IAuthenticator
    origin: Callable[[Request], str]
    bearers: IBearers | None = None
    sends_to_bearers: bool = True
    room: DocumentRoom = field(factory=DocumentRoom)
    audit: RequestAudit | None = None
    takes_certificates: bool = False
    settled_tokens: bool = False
    identified: Identified | None = None

    async def admit(
        self, request: Request, route: Route, parts: Mapping[str, str], witness: Witness | None = None
    ) -> tuple[Exchange, Mapping[str, Any]]:
        """
        The exchange and the parsed parts of the path.

        :param witness: is told who the caller is, also of one who is refused.
        :raises RegistryError: the path names nothing that can be, or the caller has not the right that the route
            needs.
        """
        caller = _ANYBODY
        if route.needs is PUBLIC:
            parsed = _parse(parts, request.method)
        else:
            headers = request.requestHeaders.getRawHeaders(b"authorization")
            if headers is None and not self.takes_certificates:
                principal = ANONYMOUS
            else:
                principal = await self._who(request, headers or (b"",), route.needs, witness)
            parsed = _parse(parts, request.method)
            if principal is not ANONYMOUS or "image_id" in parsed:
                caller = Caller(principal, await self._repository(request, principal, parsed))
            if witness is not None:
                witness.caller = caller
            await self._require(route, caller, parsed)
        if witness is not None:
            witness.admitted = True
        return Exchange(request, caller, self.room, witness, parts), parsed

    def admits_alike(self, exchange: Exchange) -> bool:
        """
        Whether whoever sends the same head is the same to us within this second, as long as nothing is written.

        That is so for who has no name, with or without a token, and for others where all that is known of them is stored; what
        access tokens may do is looked up each time.
        """
        principal = exchange.principal
        if principal.name is not None:
            return self.identified is not None and is_stored(principal)
        if not exchange.request.requestHeaders.hasHeader(b"authorization"):
            return exchange.caller == _ANYBODY
        # Without a ceiling it is no token, and what another server has decided it may decide otherwise.
        is_token = principal.ceiling is not None and not principal.decided
        return self.settled_tokens and is_token

    def somebody(self, exchange: Exchange) -> Somebody | None:
        """Who he is, of those that are admitted alike; None for who has no name."""
        principal = exchange.principal
        if principal.name is None or self.identified is None:
            return None
        # A token was had for a password, and is none.
        let_in = self.identified.let_in if principal.ceiling is None else None
        return Somebody(principal.name, client_address(exchange.request), let_in)

    def keep_out(self, request: Request, parts: Mapping[str, str]) -> tuple[Exchange, Mapping[str, Any]]:
        """What :meth:`admit` would return, for somebody who may nothing."""
        return Exchange(request, _ANYBODY, self.room, None, parts), _parse(parts, request.method)

    async def _who(
        self, request: Request, headers: Sequence[bytes], needs: Right, witness: Witness | None
    ) -> Principal:
        """As :meth:`_identify`, which is not asked again where the same was just found out."""
        known = self.identified
        shown = None if known is None or witness is not None or needs.on is On.LOGIN else _shown(request, headers)
        if known is None or shown is None:
            return await self._identify(request, headers, needs, witness)
        asked = known.now()
        principal = known.find(shown, asked)
        if principal is None:
            principal = await self._identify(request, headers, needs, witness)
            known.keep(shown, principal, asked)
        return principal

    async def _identify(
        self, request: Request, headers: Sequence[bytes], needs: Right, witness: Witness | None
    ) -> Principal:
        if len(headers) > 1 and len(set(headers)) > 1:
            # Whoever looked at the request before us may have believed another one.
            raise Unauthorized("there are several Authorization headers, which differ")
        if not headers[0] and not self.takes_certificates:
            return ANONYMOUS
        scheme, _, value = headers[0].strip().partition(b" ")
        kind, value = scheme.lower(), value.strip()
        if not kind and self.takes_certificates:
            return await self._certified(request, witness)
        if not kind or (kind == b"token" and not value):
            return ANONYMOUS
        how = _HOW.get(kind)
        if witness is not None and how is not None:
            witness.how = how
        if kind == b"basic":
            return await self._basic(request, value, witness)
        if needs.on is On.LOGIN:
            raise Unauthorized("tokens are given for user name and password, not for other tokens")
        if kind == b"token":
            return await self.authenticator.redeem(value.decode("ascii", "replace"))
        if kind == b"bearer" and self.bearers is not None:
            return await self.bearers.redeem(value.decode("ascii", "replace"), self.origin(request))
        known = "Basic and Token" if self.bearers is None else "Basic, Bearer and Token"
        raise Unauthorized(f"the registry speaks the authorization schemes {known}")

    async def _certified(self, request: Request, witness: Witness | None) -> Principal:
        certificate = client_certificate(request)
        if certificate is None:
            return ANONYMOUS
        if witness is not None:
            witness.how = "certificate"
        return await self.authenticator.login(ClientCertificate(certificate), client_address(request))

    async def login(self, request: Request, name: bytes, password: bytes) -> Principal:
        """
        Who has this name and password.

        :raises RegistryError: as :meth:`.IAuthenticator.login`.
        """
        try:
            return await self.authenticator.login(UsernamePassword(name, password), client_address(request))
        except RegistryError as problem:
            if self.audit is not None:
                self.audit.login_failed(request, name, password, problem)
            raise

    async def _basic(self, request: Request, value: bytes, witness: Witness | None) -> Principal:
        try:
            name, colon, password = binascii.a2b_base64(value, strict_mode=True).partition(b":")
        except binascii.Error:
            name, colon, password = b"", b"", b""
        if not colon:
            raise Unauthorized("the Basic credentials are not of the form base64(user:password)")
        if not name and not password:
            if witness is not None:
                witness.how = ANONYMOUS_HOW
            return ANONYMOUS  # What engines up to 1.6 send when nobody is logged in.
        principal = await self.login(request, name, password)
        if witness is not None and principal.token_id is not None:
            witness.how = "access token"
        return principal

    async def _repository(
        self, request: Request, principal: Principal, parsed: Mapping[str, Any]
    ) -> RepositoryName | None:
        bound_to = None if principal.ceiling is None else principal.ceiling.repository
        if bound_to is not None:
            return bound_to
        hint = request.getCookie(HINT_COOKIE) if "image_id" in parsed and "repository" not in parsed else None
        if hint is None:
            return None
        try:
            token = base64.urlsafe_b64decode(hint).decode("ascii")
            hinted = await self.authenticator.redeem(token)
        except (ValueError, Unauthorized, AccountInactive):
            return None
        return hinted.ceiling.repository if hinted.ceiling and hinted.name == principal.name else None

    async def _require(self, route: Route, caller: Caller, parsed: Mapping[str, Any]) -> None:
        registry, principal, needs = self.registry, caller.principal, route.needs
        assert needs is not PUBLIC
        if needs.on is On.REPOSITORY or needs.on is On.IMAGE:
            name = parsed["repository"] if needs.on is On.REPOSITORY else caller.repository
            try:
                await registry.require(principal, needs.action, name)
            except NameUnknown as problem:
                raise _absent(route, parsed) or problem from None
        elif needs.on is On.ACCOUNT:
            _require_account(needs.action, principal, parsed.get("account"))
        elif needs.on is On.REGISTRY:
            await registry.require(principal, needs.action, None)

    def challenges(self, request: Request, problem: Unauthorized, v2: bool) -> Sequence[str]:
        """The values of ``WWW-Authenticate`` for the client of a request that was refused."""
        challenged = problem if isinstance(problem, Challenged) else Challenged(problem.reason, problem.fault)
        # Who came with a bearer token knows how to get another one.
        to_bearers = self.sends_to_bearers or bool(problem.fault)
        if v2 and self.bearers is not None and to_bearers and not challenged.password:
            return [self.bearers.challenge(self.origin(request), challenged.wanted, problem.fault)]
        values = self.authenticator.challenge(None).values
        # The scheme of v1 means nothing to clients of v2.
        return [value for value in values if not v2 or value.lower().startswith("basic")]


def _shown(request: Request, credentials: Sequence[bytes]) -> Shown | None:
    """What a request shows of who sends it; None where more may matter, such as the word of a proxy."""
    if not isinstance(request, StreamedRequest) or request.trusts_peer or len(credentials) != 1 or not credentials[0]:
        return None
    hosts, channel = request.requestHeaders.getRawHeaders(b"host"), request.channel
    return (credentials[0], hosts[0], channel.sealed, channel.peer) if hosts and len(hosts) == 1 else None


def challenged(problem: Unauthorized, request: Request, route: Route, parts: Mapping[str, str]) -> Unauthorized:
    """The same refusal, with what the route would have needed."""
    needs = route.needs
    if needs is not PUBLIC and needs.on is On.LOGIN:
        return Challenged(problem.reason, problem.fault, password=True)
    if needs is PUBLIC or needs.on not in (On.REPOSITORY, On.REGISTRY):
        return problem
    try:
        repository = _parse_anew(parts, b"").get("repository") if needs.on is On.REPOSITORY else None
        wanted = [Access(repository, frozenset({Action.PULL, needs.action}))]
        source = (request.args or {}).get(b"from", [b""])[0] if b"mount" in (request.args or {}) else b""
        if source:
            wanted.append(Access(RepositoryName.parse_oci(source.decode("ascii")), frozenset({Action.PULL})))
    except (RegistryError, UnicodeDecodeError):
        return problem
    return Challenged(problem.reason, problem.fault, tuple(wanted))


def _absent(route: Route, parsed: Mapping[str, Any]) -> RegistryError | None:
    """What the door says of a thing that is not there, where it does not say that its repository is unknown."""
    if "image_id" in parsed and "repository" not in parsed:
        return ImageUnknown(str(parsed["image_id"]))
    if "upload_id" in parsed:
        return UploadUnknown(parsed["upload_id"])
    return BlobUnknown(str(parsed["digest"])) if "/blobs/" in route.rule and "digest" in parsed else None


def _require_account(action: Action, principal: Principal, account: str | None) -> None:
    if principal.name is None:
        raise Unauthorized("log in with the user name and password of the account")
    if action is not Action.ADMIN:
        return
    if principal.ceiling is not None:
        raise Unauthorized("log in with the password of the account; a token can not change it")
    # What a robot has is its owner's to change.
    if principal.name != (account or "").partition(ROBOT_MARK)[0] and not principal.admin:
        raise Denied("an account can be changed by its owner only")


def _parse(parts: Mapping[str, str], method: bytes) -> Mapping[str, Any]:
    if not isinstance(parts, Parts):
        return _parse_anew(parts, method)
    if parts.parsed is None:
        parts.parsed = _parse_anew(parts, method)
    return parts.parsed


def _parse_anew(parts: Mapping[str, str], method: bytes) -> Mapping[str, Any]:
    parsed: dict[str, Any] = dict(parts)
    if "name" in parts:
        parsed["repository"] = _oci_name(parsed.pop("name"), method)
    if "upload_id" in parts and not _UPLOAD_ID.fullmatch(parts["upload_id"]):
        raise UploadUnknown(parts["upload_id"][:64])
    if "digest" in parts:
        parsed["digest"] = Digest.parse(parts["digest"])
    if "reference" in parts:
        parsed["reference"] = _reference(parts, method)
    if "image_id" in parts:
        parsed["image_id"] = ImageID.parse(parts["image_id"])
    if "repository" in parts:
        parsed["repository"] = RepositoryName.parse_v1(parts["repository"])
    if "tag" in parts:
        parsed["tag"] = _tag(parts, method)
    return parsed


def _oci_name(text: str, method: bytes) -> RepositoryName:
    try:
        return _known_name(text)
    except NameInvalid:
        if method not in _READING:
            raise
        # Who only asks is told that there is none: a client goes on with the next host then.
        raise NameUnknown(text[:256]) from None


def _reference(parts: Mapping[str, str], method: bytes) -> Tag | Digest:
    text = parts["reference"]
    if ":" in text:
        return Digest.parse(text)
    try:
        return Tag.parse(text)
    except TagInvalid:
        if method == b"PUT":
            raise
        raise ManifestUnknown(parts.get("name", ""), text[:128]) from None


def _tag(parts: Mapping[str, str], method: bytes) -> Tag:
    try:
        return Tag.parse(parts["tag"])
    except TagInvalid:
        if method == b"PUT":
            raise
        raise TagUnknown(parts.get("repository", ""), parts["tag"][:128]) from None
