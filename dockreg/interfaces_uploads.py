"""What providers promise of upload sessions. :mod:`dockreg.interfaces` says what holds for every method."""

from collections.abc import Sequence

from zope.interface import Interface

from dockreg.model.blobs import Received
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadSession


class IUploadStore(Interface):
    """Upload sessions that outlive a request."""

    async def start(session: UploadSession, leased_until: float, reserved: int | None = None) -> None:
        """
        Keep a new session until ``leased_until``.

        :param reserved: how many bytes to reserve for it in its namespace; 0 asks whether that is full. None asks nothing.
        :raises QuotaExceeded: there is no room; nothing is kept.
        """

    async def reserve(upload_id: str, least: int, most: int, digest: Digest | None = None) -> int:
        """
        Reserve so many bytes in all for a session, and ``least`` where there is no room for ``most``; how many it has now.
        They are no longer reserved when the session has ended, however it does.

        :param digest: of the blob, if that is known. One that the namespace has already needs no room.
        :raises UploadUnknown: there is no such session any more. :raises QuotaExceeded: there is no room.
        """

    async def get(name: RepositoryName, upload_id: str) -> UploadSession:
        """:raises UploadUnknown: the repository has no such session: never started, ended, or expired."""

    async def record(
        upload_id: str, received: Received, now: float, leased_until: float, reserves: bool = False
    ) -> None:
        """
        Note what has been received.

        :param reserves: whether bytes are reserved for it: no more than these are from now on.
        :raises UploadUnknown: there is no such session any more.
        """

    async def end(upload_id: str) -> None:
        """Forget a session. :raises UploadUnknown: there is no such session."""

    async def is_known(upload_id: str) -> bool:
        """Whether there is such a session."""

    async def expire(now: float, limit: int) -> Sequence[str]:
        """Forget at most ``limit`` sessions whose lease ended before ``now``, oldest first, and return their ids."""
