"""Users of the Hub API: register, log in, change."""

import json

from attrs import define

from dockreg.accounts import Accounts
from dockreg.errors import AccountInvalid, RequestInvalid
from dockreg.web.exchange import Exchange
from dockreg.web.headers import set_nocache
from dockreg.web.proxies import client_address

_USER_BODY_BYTES = 16 * 1024


@define(eq=False)
class UsersDoor:
    """``/v1/users`` and below."""

    accounts: Accounts

    async def register(self, exchange: Exchange) -> bytes:
        """
        ``POST /v1/users/``.

        201 makes engines save the credentials; the 400 for a name that is taken makes them go on to the login.
        """
        fields = await _fields(exchange, required=("username", "password"), optional=("email", "invitation"))
        exchange.concerns("account", fields["username"])
        await self.accounts.register(
            fields["username"],
            fields["password"],
            fields.get("email", ""),
            fields.get("invitation", ""),
            client_address(exchange.request),
        )
        set_nocache(exchange.request)
        exchange.respond(201)
        return json.dumps("User Created").encode()

    async def login(self, exchange: Exchange) -> bytes:
        """``GET /v1/users/``: the credentials were found good."""
        set_nocache(exchange.request)
        return b'"OK"'

    async def change(self, exchange: Exchange, account: str) -> None:
        """``PUT /v1/users/(username)/``: a new password, a new e-mail address, or both. 204."""
        fields = await _fields(exchange, required=(), optional=("password", "email"))
        if not fields:
            raise AccountInvalid('send a member "password" or "email"')
        await self.accounts.change(account, password=fields.get("password"), email=fields.get("email"))
        exchange.respond(204)


async def _fields(exchange: Exchange, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, str]:
    document = await exchange.json(_USER_BODY_BYTES)
    if not isinstance(document, dict):
        raise RequestInvalid("send a JSON object")
    fields = {}
    for name in (*required, *optional):
        value = document.get(name)
        if value is None and name in optional:
            continue
        if not isinstance(value, str):
            raise AccountInvalid(f"the member {name!r} is not a string" if value is not None else f"{name} is missing")
        fields[name] = value
    return fields
