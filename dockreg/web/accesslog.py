"""The access log: one line per request, close to the combined format of other servers."""

from collections.abc import Callable
from datetime import UTC, datetime

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dockreg.web.records import RequestRecord

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: What of a line a client chooses is cut after this many characters.
_MAX_TEXT = 1024
#: Nothing but printable ASCII reaches the file, and no text can end the quotes around it or begin a line of its own.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0x100), ord('"'), ord("\\"))}


def escaped(text: str, *, blanks: bool = True) -> str:
    """
    ``text`` without anything that could pass for another field or another line.

    :param blanks: whether blanks may stay, as they may between quotes.
    """
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    text = text.translate(_ESCAPES)
    if not blanks:
        text = text.replace(" ", "\\x20")
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode("ascii")


@define(eq=False)
class AccessLog:
    """
    Formats records and hands the lines on.

    A line: client address, ``-``, principal, time (UTC), request line without its query, status, bytes sent, ``-`` for
    the referrer that nothing sends, user agent, seconds, bytes received, and ``cut`` when the connection ended before the
    response.
    """

    write: Callable[[str], object]
    clock: IReactorTime
    _second: int = field(default=-1, init=False)
    _time: str = field(default="", init=False)

    def __call__(self, record: RequestRecord) -> None:
        """Log one request."""
        who = "-" if record.principal is None else escaped(record.principal, blanks=False)
        cut = "" if record.complete else " cut"
        self.write(
            f"{escaped(record.address, blanks=False)} - {who} [{self._now()}]"
            f' "{escaped(record.method, blanks=False)} {escaped(record.path, blanks=False)}" {record.status}'
            f' {record.bytes_sent} "-" "{escaped(record.user_agent)}" {record.seconds:.3f} {record.bytes_received}{cut}'
        )

    def _now(self) -> str:
        # The same text serves all requests of one second.
        second = int(self.clock.seconds())
        if second != self._second:
            now = datetime.fromtimestamp(second, UTC)
            self._second = second
            self._time = f"{now:%d}/{_MONTHS[now.month - 1]}/{now:%Y:%H:%M:%S} +0000"
        return self._time
