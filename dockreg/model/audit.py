"""What is written down about who did what."""

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from dockreg.model.networks import NO_ADDRESS

#: The names that clients choose are cut after so many characters.
MAX_TEXT = 256


class Result(Enum):
    """What came of it: it was done, or not allowed, or something else was wrong."""

    ALLOWED = "allowed"
    DENIED = "denied"
    FAILED = "failed"


@frozen
class AuditEvent:
    """
    Somebody did something, or tried to.

    ``who`` is None for anonymous; when it was not found out who it is, it is the name that was claimed. ``how`` says
    by what somebody is known, and ``token`` which access token was behind it. ``action`` is the right that was needed, or
    what a command did; ``target`` what it was about, such as ``{"repository": "team/app", "reference": "1.0"}``. ``reason``
    is the class of the error. There is never a secret in it.
    """

    who: str | None
    how: str
    action: str
    target: Mapping[str, str]
    result: Result
    reason: str = ""
    address: str = NO_ADDRESS
    request: str = ""
    route: str = ""
    token: str | None = field(default=None)
