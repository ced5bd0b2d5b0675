"""What is known of an upload session."""

import re

from attrs import frozen

from dockreg.model.blobs import Received
from dockreg.model.names import RepositoryName

_PROVEN_ID = re.compile(r"[0-9a-f]{8}[25][A-Za-z0-9_-]{36}", re.ASCII)
_END_DIGITS = 8


@frozen
class UploadSession:
    """
    Bytes on their way to becoming a blob of a repository, over as many requests as the client likes.

    ``principal`` is who began it (None: anonymous), ``algorithm`` that of the digest that is computed as bytes pass, and
    ``received`` what there was when the last request ended.
    """

    upload_id: str
    repository: RepositoryName
    principal: str | None
    algorithm: str
    received: Received
    started_at: float


@frozen
class UploadLimits:
    """``max_blob`` in bytes, 0 for no limit; ``session_seconds`` without a write end a session."""

    max_blob: int = 0
    session_seconds: float = 7 * 86400
    max_uncompressed: int = 100 * 2**30
    max_entries: int = 250_000


def proven_end(upload_id: str) -> int | None:
    """
    Until when the session of this id lasts without a row, in seconds of the epoch; None when it is nothing without one.

    Such ids are in the order of these times. Whether this one is genuine is told by :mod:`dockreg.uploadids`.
    """
    return int(upload_id[:_END_DIGITS], 16) if _PROVEN_ID.fullmatch(upload_id) else None


def first_proven(seconds: float) -> str:
    """What all ids whose sessions end at this time or later are not less than."""
    return f"{min(max(0, int(seconds)), 16**_END_DIGITS - 1):0{_END_DIGITS}x}"
