"""What providers promise of upload sessions. :mod:`dockreg.interfaces` says what holds for every method."""

from collections.abc import Sequence

from zope.interface import Interface

from dockreg.model.blobs import Received
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadSession


class IUploadStore(Interface):
    """Upload sessions that outlive a request."""

    async def start(session: UploadSession, leased_until: float) -> None:
        """Keep a new session until ``leased_until``."""

    async def get(name: RepositoryName, upload_id: str) -> UploadSession:
        """:raises UploadUnknown: the repository has no such session: never started, ended, or expired."""

    async def record(upload_id: str, received: Received, now: float, leased_until: float) -> None:
        """Note what has been received. :raises UploadUnknown: there is no such session any more."""

    async def end(upload_id: str) -> None:
        """Forget a session. :raises UploadUnknown: there is no such session."""

    async def is_known(upload_id: str) -> bool:
        """Whether there is such a session."""

    async def expire(now: float, limit: int) -> Sequence[str]:
        """Forget at most ``limit`` sessions whose lease ended before ``now``, oldest first, and return their ids."""
