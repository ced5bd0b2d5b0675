"""The whole way of a client, from the name of a registry to a blob."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from attrs import frozen

from dockreg.cli.doctor.answers import judge_clock, judge_ping, judge_proxy
from dockreg.cli.doctor.certificates import judge_handshake, judge_plain
from dockreg.cli.doctor.challenges import chosen, judge_challenge, parse_challenges
from dockreg.cli.doctor.conversation import ANSWER_SECONDS, Conversation
from dockreg.cli.doctor.findings import Report, Step, Verdict, warn
from dockreg.cli.doctor.handshakes import Handshake, shake_hands
from dockreg.cli.doctor.legacy import judge_v1_login, judge_v1_ping, speaks_v1
from dockreg.cli.doctor.logins import Login
from dockreg.cli.doctor.place import Place
from dockreg.cli.doctor.reaching import Address, connect, judge_attempts, judge_name, resolve
from dockreg.cli.doctor.transfers import Transfer
from dockreg.cli.failures import CommandFailed
from dockreg.cli.tls import AnyCertificate, make_tls
from dockreg.cli.transport import Reply, Transport
from dockreg.cli.v1session import Credentials


@frozen
class Asked:
    """
    What the command line says.

    :param repository: whose pull, and with ``push`` the beginning of whose push, is replayed.
    """

    place: Place
    credentials: Credentials | None = None
    repository: str | None = None
    tag: str | None = None
    push: bool = False
    authorities: Path | None = None
    insecure: bool = False


async def examine(reactor: Any, asked: Asked, report: Report) -> None:
    """
    Go the way of a client as far as it leads.

    :raises CommandFailed: the file of authorities can not be used.
    """
    if asked.credentials is not None:
        report.hide(asked.credentials.password, asked.credentials.basic.partition(" ")[2])
    tls = make_tls(asked.authorities, asked.insecure)
    credentials = asked.credentials
    address = await _reach(reactor, asked.place, report)
    trusted = None if address is None else await _greet(reactor, asked, address, report)
    if trusted is None:
        return
    if not trusted:
        # What else is wrong can be seen without trust; a password can not be sent without.
        tls, credentials = AnyCertificate(), None
        if asked.credentials is not None:
            remark = warn("No password is sent to a server that can not be trusted; --insecure does it all the same.")
            report.add(Step("trust", f"the login of {asked.credentials.name}", "not asked", (remark,)))
    transport = Transport(reactor, tls, ANSWER_SECONDS)
    try:
        await _speak(Conversation(reactor, transport, asked.place, credentials, report), asked)
    finally:
        await transport.close()


async def _reach(reactor: Any, place: Place, report: Report) -> Address | None:
    addresses = await resolve(reactor.nameResolver, place)
    report.add(judge_name(place, [address.host for address in addresses]))
    if not addresses:
        return None
    attempts = [await connect(reactor, address) for address in addresses]
    report.add(judge_attempts(place, attempts))
    return next((address for address, tried in zip(addresses, attempts, strict=True) if not tried.problem), None)


async def _greet(reactor: Any, asked: Asked, address: Address, report: Report) -> bool | None:
    """Whether the server is the one that was meant, as far as a client can know; None when it can not be talked to."""
    place = asked.place
    shaken = await shake_hands(reactor, address, place.host, asked.authorities)
    completed = isinstance(shaken, Handshake)
    if place.scheme == "http":
        report.add(judge_plain(place, shaken))
        return None if completed else True
    speaks_http = not completed and await _speaks_http(reactor, place)
    step = judge_handshake(place, shaken, reactor.seconds(), speaks_http=speaks_http, insecure=asked.insecure)
    report.add(step)
    return step.verdict is not Verdict.FAIL if completed else None


async def _speaks_http(reactor: Any, place: Place) -> bool:
    transport = Transport(reactor, AnyCertificate(), ANSWER_SECONDS)
    try:
        await transport.request("GET", f"http://{place.authority}/v2/", {})
    except CommandFailed:
        return False
    finally:
        await transport.close()
    return True


async def _speak(conversation: Conversation, asked: Asked) -> None:
    report, place = conversation.report, conversation.place
    began = conversation.now()
    ping = await conversation.ask("/v2/", "GET", conversation.url("/v2/"), {})
    if ping is None:
        return
    ended = conversation.now()
    v1_ping = await conversation.ask("v1 ping", "GET", conversation.url("/v1/_ping"), {})
    has_v1 = v1_ping is not None and speaks_v1(v1_ping)
    step = report.add(judge_ping(ping, place, speaks_v1=has_v1, has_login=conversation.credentials is not None))
    report.add(judge_clock(ping, began, ended))
    proxy = judge_proxy(ping)
    if proxy is not None:
        report.add(proxy)
    if step.verdict is not Verdict.FAIL and ping.status != HTTPStatus.NOT_FOUND:
        await _speak_v2(conversation, asked, ping)
    if v1_ping is not None:
        report.add(judge_v1_ping(v1_ping, place))
        if has_v1:
            await _log_in_to_v1(conversation)


async def _speak_v2(conversation: Conversation, asked: Asked, ping: Reply) -> None:
    refused: Reply | None = ping
    if ping.status == HTTPStatus.OK:
        # Clients that are not asked here are asked when they need something.
        refused = await _refusal(conversation, asked)
    challenge = None
    if refused is not None:
        values = refused.header_values("WWW-Authenticate")
        conversation.report.add(judge_challenge(values, conversation.place))
        challenge = chosen(parse_challenges(values))
        if challenge is None or not challenge.can_be_used:
            return
    login = Login(conversation, challenge)
    if not await login.run(asked.repository) or asked.repository is None:
        return
    transfer = Transfer(conversation, login, asked.repository, asked.tag, asked.push)
    await transfer.pull()
    await transfer.push()


async def _refusal(conversation: Conversation, asked: Asked) -> Reply | None:
    """The 401 that somebody without credentials meets further on, if there is one."""
    if asked.repository is None:
        return None
    reply = await conversation.ask("tags", "GET", conversation.url(f"/v2/{asked.repository}/tags/list"), {})
    return reply if reply is not None and reply.status == HTTPStatus.UNAUTHORIZED else None


async def _log_in_to_v1(conversation: Conversation) -> None:
    credentials, place = conversation.credentials, conversation.place
    if credentials is None:
        return
    headers = {"Authorization": credentials.basic}
    reply = await conversation.ask("v1 login", "GET", conversation.url("/v1/users/"), headers)
    if reply is not None:
        conversation.report.add(judge_v1_login(reply, place, credentials.name))
