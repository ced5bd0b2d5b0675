"""What engines up to 17.05 ask in v1."""

from http import HTTPStatus

from dockreg.cli.doctor.answers import came, is_page, judge_trouble
from dockreg.cli.doctor.findings import Remark, Step, fail, note, warn
from dockreg.cli.doctor.place import Place
from dockreg.cli.transport import Reply, printable

_VERSION, _STANDALONE = "X-Docker-Registry-Version", "X-Docker-Registry-Standalone"


def speaks_v1(reply: Reply) -> bool:
    """Whether an answer to ``/v1/_ping`` is that of a v1 registry."""
    return reply.header(_VERSION) is not None or (reply.status == HTTPStatus.OK and not is_page(reply))


def judge_v1_ping(reply: Reply, place: Place) -> Step:
    """``GET /v1/_ping``."""
    remarks: list[Remark] = []
    shown = came(reply)
    if not speaks_v1(reply):
        remarks.append(note("There is no v1 here, which only engines before 1.6 need."))
    else:
        version, standalone = reply.header(_VERSION), reply.header(_STANDALONE)
        told = ((_VERSION, version), (_STANDALONE, standalone))
        shown = ", ".join([shown, *(f"{name}: {printable(value)}" for name, value in told if value is not None)])
        if reply.status != HTTPStatus.OK:
            remarks.append(warn(f"v1 is here and answers its ping with {reply.status}: never ask for a login there."))
        if not version:
            remarks.append(warn(f"{_VERSION} is missing: engines up to 0.10 take this for no registry."))
        if standalone is not None and standalone.lower() not in ("true", "1"):
            remarks.append(
                note("Not standalone: engines log in at the index, and send its tokens here in place of passwords.")
            )
    return Step("v1 ping", f"GET {place.origin}/v1/_ping", shown, tuple(remarks))


def judge_v1_login(reply: Reply, place: Place, user: str) -> Step:
    """``GET /v1/users/`` with Basic credentials."""
    remarks: list[Remark] = []
    if reply.status == HTTPStatus.UNAUTHORIZED:
        remarks.append(fail(f"v1 does not take this password of {user}: type it again; see that the account exists."))
    elif reply.status == HTTPStatus.FORBIDDEN:
        remarks.append(fail(f"The account {user} is not active: enable it."))
    elif reply.status == HTTPStatus.NOT_FOUND:
        remarks.append(note("There are no accounts of v1 here: docker login of engines before 1.6 can not work."))
    elif reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        remarks += judge_trouble(reply, place)
    elif reply.status != HTTPStatus.OK:
        remarks.append(warn("A v1 registry answers 200 or 401 here: see its log."))
    return Step("v1 login", f"GET {place.origin}/v1/users/ as {user}", came(reply), tuple(remarks))
