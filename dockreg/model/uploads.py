"""What is known of an upload session."""

from attrs import frozen

from dockreg.model.blobs import Received
from dockreg.model.names import RepositoryName


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
