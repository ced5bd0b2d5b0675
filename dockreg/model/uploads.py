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
