"""What a person makes for programs: access tokens and robots. No client of the Hub API asks for these."""

import json
from typing import Any

from attrs import define

from dockreg.accesstokens import AccessTokens
from dockreg.accounts import Accounts
from dockreg.errors import AccountInvalid, AccountUnknown, RequestInvalid
from dockreg.model.accesstokens import AccessToken, format_scope, parse_scope
from dockreg.model.accounts import ROBOT_MARK, Account
from dockreg.web.exchange import Exchange
from dockreg.web.headers import set_nocache

_BODY_BYTES = 16 * 1024
_DAY_SECONDS = 86400.0
_DEFAULT_DAYS = 90


@define(eq=False)
class ProgramsDoor:
    """``/v1/users/(username)/tokens/`` and ``/v1/users/(username)/robots/``."""

    tokens: AccessTokens
    accounts: Accounts

    async def list_tokens(self, exchange: Exchange, account: str) -> bytes:
        """``GET …/tokens/``: those of the account, without what was shown once."""
        await self.accounts.get(account)
        return _answer(exchange, [_token(each) for each in await self.tokens.list_all(account)])

    async def create_token(self, exchange: Exchange, account: str) -> bytes:
        """
        ``POST …/tokens/``: 201, with the token.

        ``{"scopes": ["team/**:pull,push"], "description": "", "days": 90}``; ``"days": null`` is for one that does not
        expire.
        """
        document = await _document(exchange)
        scopes, description, days = document.get("scopes"), document.get("description", ""), _days(document)
        if not isinstance(scopes, list) or not all(isinstance(each, str) for each in scopes):
            raise RequestInvalid('send a member "scopes", a list such as ["team/**:pull,push"]')
        if not isinstance(description, str):
            raise RequestInvalid('"description" is a text')
        parsed = [parse_scope(each) for each in scopes]
        lifetime = None if days is None else days * _DAY_SECONDS
        made, text = await self.tokens.create(account, parsed, description, lifetime)
        exchange.concerns("token", made.token_id)
        exchange.respond(201)
        return _answer(exchange, {**_token(made), "token": text})

    async def revoke_token(self, exchange: Exchange, account: str, token_id: str) -> None:
        """``DELETE …/tokens/(id)``: 204; what was had for the token ends with it."""
        await self.tokens.revoke(token_id, account)
        exchange.respond(204)

    async def list_robots(self, exchange: Exchange, account: str) -> bytes:
        """``GET …/robots/``."""
        return _answer(exchange, [_robot(each) for each in await self.accounts.list_robots(account)])

    async def create_robot(self, exchange: Exchange, account: str) -> bytes:
        """``POST …/robots/`` with ``{"name": "ci"}``: 201."""
        name = (await _document(exchange)).get("name")
        if not isinstance(name, str):
            raise RequestInvalid('send a member "name"')
        made = await self.accounts.create_robot(account, name)
        exchange.concerns("robot", made.name)
        exchange.respond(201)
        return _answer(exchange, _robot(made))

    async def delete_robot(self, exchange: Exchange, account: str, robot: str) -> None:
        """``DELETE …/robots/(name)``: 204."""
        name = f"{account}{ROBOT_MARK}{robot}"
        if (await self.accounts.get(name)).owner != account:
            raise AccountUnknown(name)
        await self.accounts.delete(name)
        exchange.respond(204)


async def _document(exchange: Exchange) -> dict[str, Any]:
    document = await exchange.json(_BODY_BYTES)
    if not isinstance(document, dict):
        raise RequestInvalid("send a JSON object")
    return document


def _days(document: dict[str, Any]) -> float | None:
    days = document.get("days", _DEFAULT_DAYS)
    if days is None:
        return None
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days <= 36_500:
        raise AccountInvalid('"days" is a number above 0, or null for a token that does not expire')
    return days


def _answer(exchange: Exchange, document: object) -> bytes:
    set_nocache(exchange.request)
    # There may be a token in it.
    exchange.request.setHeader(b"cache-control", b"no-store")
    return json.dumps(document).encode("ascii")


def _token(token: AccessToken) -> dict[str, Any]:
    return {
        "id": token.token_id,
        "account": token.account,
        "description": token.description,
        "scopes": [format_scope(each) for each in token.scopes],
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "used_at": token.used_at,
    }


def _robot(robot: Account) -> dict[str, Any]:
    return {"name": robot.name, "active": robot.is_usable, "created_at": robot.created_at}
