"""Answers that a registry, or something in front of it, might give."""

from collections.abc import Sequence
from typing import Any

from twisted.web.http_headers import Headers

from dockreg.cli.doctor.findings import Remark, Step, Verdict
from dockreg.cli.doctor.place import Place
from dockreg.cli.transport import Reply

HTTPS = Place("https", "r.example")
HTTP = Place("http", "r.example:5000")
LOCAL = Place("http", "127.0.0.1:5000")
PAGE = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"


def reply(status: int = 200, body: bytes = b"", url: str = "https://r.example/v2/", **headers: Any) -> Reply:
    """An answer; in the names of headers ``_`` stands for ``-``."""
    lines = {name.replace("_", "-"): [value] if isinstance(value, str) else value for name, value in headers.items()}
    return Reply(url, status, Headers(lines), body)


def texts(step: Step | Sequence[Remark], verdict: Verdict) -> str:
    """All remarks with this verdict."""
    remarks = step.remarks if isinstance(step, Step) else step
    return " | ".join(remark.text for remark in remarks if remark.verdict is verdict)
