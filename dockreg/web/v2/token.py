"""
The token service of v2 (distribution, "Token Authentication Specification" and "OAuth2 Token Authentication").

There is a token for everybody, with less in it for who may do less; only a wrong password is refused.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from attrs import define, frozen
from twisted.web.server import Request

from dockreg.errors import AccountInactive, RequestInvalid, Unauthorized
from dockreg.interfaces_access import ITokenService
from dockreg.model.access import Principal
from dockreg.model.scopes import parse_scopes, scope_of
from dockreg.model.tokens import Bearer, service_of
from dockreg.web.exchange import Exchange
from dockreg.web.v2.base import JSON, send_json

_FORM = "application/x-www-form-urlencoded"
_FORM_BYTES = 32 * 1024
_FORM_FIELDS = 64
_SHOWN_SERVICE = 64
_JWKS_SECONDS = 60
#: The code of OCI Distribution beside that of OAuth2, for clients that print the one or the other.
_CODES = {"invalid_grant": "UNAUTHORIZED"}

#: Who has this name and password, in whichever part of a request they came.
Login = Callable[[Request, bytes, bytes], Awaitable[Principal]]


@frozen
class _Refused(Exception):
    """A form that no token is given for: the error of RFC 6749 5.2, and a sentence."""

    error: str
    reason: str


@frozen
class _Asker:
    """Who wants a token, until when it may be renewed (None: for the usual time), and whether that is wanted."""

    principal: Principal
    ends: int | None
    offline: bool


@define(eq=False)
class TokenDoor:
    """
    ``/v2/token`` and below.

    :param origin: the scheme and host by which the client of a request knows the registry.
    """

    tokens: ITokenService
    login: Login
    origin: Callable[[Request], str]

    async def get(self, exchange: Exchange) -> bytes:
        """
        ``GET /v2/token``: a token for the Basic credentials of the request, or for anonymous.

        :raises RequestInvalid: it is wanted for another service.
        """
        _set_private(exchange)
        service = service_of(self.origin(exchange.request))
        _check_service(exchange.query(b"service"), service, RequestInvalid)
        asker = _Asker(exchange.principal, None, exchange.query(b"offline_token") == "true")
        return await self._answer(exchange, asker, service, exchange.queries(b"scope"))

    async def post(self, exchange: Exchange) -> bytes:
        """``POST /v2/token``: a token for the password or the refresh token in a form (RFC 6749 4.3, 6)."""
        _set_private(exchange)
        service = service_of(self.origin(exchange.request))
        try:
            fields = _fields(exchange.header(b"content-type"), await exchange.document(_FORM_BYTES))
            _check_service(_one(fields, "service"), service, lambda reason: _Refused("invalid_request", reason))
            asker = await self._asker(exchange, fields, service)
            return await self._answer(exchange, asker, service, fields.get("scope", []))
        except _Refused as problem:
            return _refuse(exchange, problem)

    async def keys(self, exchange: Exchange) -> bytes:
        """``GET /v2/token/jwks.json``: what verifies the tokens (RFC 7517 5)."""
        body = send_json(exchange, {"keys": [dict(key) for key in await self.tokens.public_keys()]})
        exchange.respond(200, Cache_Control=f"public, max-age={_JWKS_SECONDS}", Content_Type="application/jwk-set+json")
        return body

    async def _asker(self, exchange: Exchange, fields: Mapping[str, Sequence[str]], service: str) -> _Asker:
        grant = _one(fields, "grant_type")
        offline = _one(fields, "access_type") == "offline"
        try:
            if grant == "password":
                name, password = _one(fields, "username"), _one(fields, "password")
                if not name or password is None:
                    raise _Refused("invalid_request", "username and password are missing")
                return _Asker(await self.login(exchange.request, _bytes(name), _bytes(password)), None, offline)
            if grant == "refresh_token":
                renewal = await self.tokens.refresh(_one(fields, "refresh_token") or "", service)
                return _Asker(renewal.principal, renewal.ends, offline)
        except (Unauthorized, AccountInactive) as problem:
            raise _Refused("invalid_grant", str(problem)) from None
        if grant is None:
            raise _Refused("invalid_request", "grant_type is missing")
        raise _Refused("unsupported_grant_type", "grant_type is one of password and refresh_token")

    async def _answer(self, exchange: Exchange, asker: _Asker, service: str, scopes: Sequence[str]) -> bytes:
        principal = asker.principal
        exchange.identify(principal)
        bearer = await self.tokens.issue(principal, parse_scopes(scopes), service)
        refresh_token = await self.tokens.issue_refresh(principal, service, asker.ends) if asker.offline else None
        members = _members(bearer)
        if refresh_token is not None:
            members["refresh_token"] = refresh_token
        return send_json(exchange, members)


def _members(bearer: Bearer) -> dict[str, Any]:
    return {
        "token": bearer.token,
        "access_token": bearer.token,
        "token_type": "Bearer",
        "expires_in": bearer.ends - bearer.issued_at,
        "issued_at": datetime.fromtimestamp(bearer.issued_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "scope": scope_of(bearer.granted),
    }


def _set_private(exchange: Exchange) -> None:
    exchange.request.setHeader(b"cache-control", b"no-store")
    exchange.request.setHeader(b"pragma", b"no-cache")


def _check_service(given: str | None, service: str, error: Callable[[str], Exception]) -> None:
    if given and given.lower() != service:
        shown = given[:_SHOWN_SERVICE]
        raise error(f"this token service is for {service!r}, not for {shown!r}")


def _fields(content_type: str | None, body: bytes) -> dict[str, list[str]]:
    if (content_type or "").partition(";")[0].strip().lower() != _FORM:
        raise _Refused("invalid_request", f"send a form, with Content-Type {_FORM}")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_FORM_FIELDS
        )
    except ValueError:
        raise _Refused("invalid_request", "the form can not be read") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def _one(fields: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = fields.get(name, [None])
    if len(values) > 1:
        raise _Refused("invalid_request", f"{name} is there more than once")
    return values[0]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8")


def _refuse(exchange: Exchange, problem: _Refused) -> bytes:
    exchange.respond(400)
    exchange.request.setHeader(b"content-type", JSON)
    error = {"code": _CODES.get(problem.error, "UNSUPPORTED"), "message": problem.reason}
    document = {"error": problem.error, "error_description": problem.reason, "errors": [error]}
    return json.dumps(document, separators=(",", ":")).encode("ascii")
