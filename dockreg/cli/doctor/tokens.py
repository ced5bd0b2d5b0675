"""The answers of a token service."""

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from attrs import field, frozen

from dockreg.cli.doctor.answers import came, judge_trouble
from dockreg.cli.doctor.findings import Remark, Step, Verdict, fail, note, warn
from dockreg.cli.doctor.place import Place
from dockreg.cli.transport import Reply

#: What clients take where the service says nothing; shorter ones are taken for this long by some.
DEFAULT_SECONDS = 60
_TOLERATED_SKEW = 30


@frozen
class Token:
    """
    A token of a registry.

    :param granted: the actions in each repository as the token itself says, None when it can not be read.
    """

    value: str = field(repr=False)
    granted: frozenset[str] | None = None


@frozen
class Asked:
    """
    A question to the token service: as whom, and for which scopes.

    :param needed: whether without an answer there is no pull that the person wants.
    """

    what: str
    user: str | None
    scopes: Sequence[str] = ()
    needed: bool = True

    @property
    def spelled(self) -> str:
        """For people."""
        who = "without credentials" if self.user is None else f"as {self.user}"
        scope = f", scope {' '.join(self.scopes)}" if self.scopes else ", no scope"
        return f"{self.what} {who}{scope}"


def judge_token(name: str, asked: Asked, reply: Reply, place: Place, now: float) -> tuple[Step, Token | None]:
    """
    The answer to a GET for a token.

    :param now: seconds since 1970, by the clock here.
    """
    token = read_token(reply)
    remarks = list(judge_trouble(reply, place) or _token(asked, reply, token, now))
    return Step(name, asked.spelled, _shown(reply, token), tuple(remarks)), token


def judge_form(asked: Asked, reply: Reply) -> Step:
    """The answer to the POST with which containerd asks; after some statuses it asks by GET instead."""
    token = read_token(reply)
    remarks: list[Remark] = []
    if reply.status in (400, 401, 404, 405):
        remarks.append(note("This form is not taken; containerd and others that try it first go on with GET."))
    elif token is None:
        remarks.append(
            fail(
                "containerd (and docker with its image store) asks in this form first, and goes on with GET only after "
                "a 400, 401, 404 or 405: answer one of them, or with a token."
            )
        )
    elif not _members(reply).get("access_token"):
        remarks.append(warn("There is no access_token, the only member that clients read in this form: send both."))
    return Step("token by form", asked.spelled, _shown(reply, token), tuple(remarks))


def _token(asked: Asked, reply: Reply, token: Token | None, now: float) -> Iterator[Remark]:
    status = reply.status
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        yield _refused(asked, status)
    elif status == HTTPStatus.NOT_FOUND:
        yield fail("There is no token service at the realm: correct its URL in the configuration of the registry.")
    elif status != HTTPStatus.OK:
        yield fail("A token service answers 200 or 401 here: see its log.")
    elif token is None:
        yield fail("There is neither token nor access_token in the answer: clients can not go on.")
    else:
        yield from _members_of_token(_members(reply), now)


def _refused(asked: Asked, status: int) -> Remark:
    if asked.user is None and asked.needed:
        return fail("Nobody pulls here without an account: give the name of one with --user.")
    if asked.user is None:
        return note("Nobody gets in without an account: clients have to log in for every pull.")
    if status == HTTPStatus.FORBIDDEN:
        return fail(f"The token service knows {asked.user} and refuses: the account may be disabled, or lack a right.")
    return fail(
        f"The token service does not take this password of {asked.user}: type it again; see that the account exists "
        "there (it may not be the one of the registry's web pages), and that accounts with a second factor use an "
        "access token in place of the password."
    )


def _members_of_token(members: dict[str, Any], now: float) -> Iterator[Remark]:
    if not members.get("token"):
        yield warn("There is access_token and no token, which older clients read: send both with the same value.")
    elif not members.get("access_token"):
        yield warn("There is token and no access_token, which some clients read: send both with the same value.")
    lifetime = members.get("expires_in", DEFAULT_SECONDS)
    if not isinstance(lifetime, int) or isinstance(lifetime, bool) or lifetime <= 0:
        yield fail("expires_in is no number of seconds above 0: correct it.")
        return
    if "expires_in" not in members:
        yield warn(f"Without expires_in clients take {DEFAULT_SECONDS} s, whatever the token says: send it.")
    elif lifetime < DEFAULT_SECONDS:
        yield warn(f"A token of {lifetime} s: some clients use each for {DEFAULT_SECONDS} s, and are refused then.")
    yield from _issued_at(members, lifetime, now)


def _issued_at(members: dict[str, Any], lifetime: int, now: float) -> Iterator[Remark]:
    if "issued_at" not in members:
        return
    try:
        issued = datetime.fromisoformat(members["issued_at"])
    except (TypeError, ValueError):
        yield warn("issued_at is no time in the form of RFC 3339: correct it, or leave it out.")
        return
    age = now - issued.replace(tzinfo=issued.tzinfo or UTC).timestamp()
    if age >= lifetime:
        yield fail(
            f"By the clock here the token was issued {age:.0f} s ago and has expired: clients ask for a new one before "
            "each request, or give up. Set the clocks by NTP."
        )
    elif age < -_TOLERATED_SKEW:
        yield warn(
            f"By the clock here the token will be issued in {-age:.0f} s: clients go on using it after it has expired. "
            "Set the clocks by NTP."
        )


def read_token(reply: Reply) -> Token | None:
    """The token in an answer, if there is one."""
    if reply.status != HTTPStatus.OK:
        return None
    members = _members(reply)
    value = members.get("token") or members.get("access_token")
    return Token(value, _granted(value)) if isinstance(value, str) else None


def secrets_in(reply: Reply) -> Sequence[str]:
    """What must not be shown of an answer of a token service."""
    values = (_members(reply).get(name) for name in ("token", "access_token", "refresh_token"))
    return [value for value in values if isinstance(value, str)]


def _members(reply: Reply) -> dict[str, Any]:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _granted(token: str) -> frozenset[str] | None:
    """The actions in the claim ``access`` of a JWT, as far as anybody can read it."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        entries = claims["access"] or []
        return frozenset(action for entry in entries for action in entry["actions"])
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        return None


def _shown(reply: Reply, token: Token | None) -> str:
    if token is None:
        return came(reply)
    members = _members(reply)
    parts = [str(reply.status), f"a token of {len(token.value)} characters"]
    parts += [f"{name} {members[name]}" for name in ("expires_in", "issued_at") if name in members]
    if members.get("refresh_token"):
        parts.append("a refresh token")
    if token.granted is not None:
        parts.append(f"for {', '.join(sorted(token.granted)) or 'nothing in particular'}")
    return ", ".join(parts)


def judge_use(reply: Reply, place: Place, with_what: str, *, is_token: bool) -> Step:
    """``GET /v2/`` with a token that was had, or a name and password that were typed: whether the registry takes it."""
    remarks = list(judge_trouble(reply, place))
    if not remarks and reply.status != HTTPStatus.OK:
        remarks.append(_not_taken(reply.status, is_token=is_token))
    return Step("login", f"GET {place.origin}/v2/ with {with_what}", came(reply), tuple(remarks))


def _not_taken(status: int, *, is_token: bool) -> Remark:
    if is_token:
        return fail(
            "The registry does not take the token that its own service gave: see that it trusts the service's key, that "
            "issuer and service (audience) are the same in both configurations, and that both clocks are right."
        )
    if status == HTTPStatus.FORBIDDEN:
        return fail("The name and password are right, and the account may not log in: it may be disabled.")
    return fail("The registry does not take this name and password: type them again, and see that the account exists.")


def judge_grant(step: Step, token: Token | None, wanted: str, *, needed: bool) -> Step:
    """
    The step of a token for an action, with whether it reaches that.

    :param needed: whether the person wants to do it.
    """
    if token is None or token.granted is None or wanted in token.granted or step.verdict is Verdict.FAIL:
        return step
    sentence = f"The token does not reach {wanted} here: give the account that right, or log in as somebody who has it."
    remark = fail(sentence) if needed else note(sentence)
    return Step(step.name, step.asked, step.came, (*step.remarks, remark))
