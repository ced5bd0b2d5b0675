"""The audit log: a JSON object per line."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

from attrs import define
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from dockreg.interfaces_people import IAuditLog
from dockreg.model.audit import AuditEvent


@implementer(IAuditLog)
@define(eq=False)
class AuditLines:
    """Hands each event on as a line. :param write: takes one, without its end."""

    _write: Callable[[str], object]
    _clock: IReactorTime

    def record(self, event: AuditEvent) -> None:
        """See :meth:`.IAuditLog.record`."""
        self._write(audit_line(event, self._clock.seconds()))


def audit_line(event: AuditEvent, now: float) -> str:
    """The line of an event: ASCII, whatever names are in it. What is not known is left out, but for who."""
    line: dict[str, object] = {
        "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "who": event.who,
        "how": event.how,
        "token": event.token,
        "address": event.address,
        "action": event.action,
        "target": dict(event.target),
        "result": event.result.value,
        "reason": event.reason,
        "route": event.route,
        "request": event.request,
    }
    return json.dumps({key: value for key, value in line.items() if key == "who" or value not in ("", None)})
