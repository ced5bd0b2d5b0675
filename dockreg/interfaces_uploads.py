"""What providers promise of upload sessions. :mod:`dockreg.interfaces` says what holds for every method."""

from collections.abc import Callable, Sequence

from zope.interface import Interface

from dockreg.model.blobs import Received
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadSession


class IUploadStore(Interface):
    """
    Upload sessions that outlive a request.

    A session whose id proves itself (:func:`.proven_end`) needs no row as long as it has received nothing. That it has ended
    is remembered until it would have ended by itself.
    """

    async def begins_after() -> float:
        """A session whose id proves itself lasts if that ends after this time, in seconds of the epoch; see :meth:`expire`."""

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

    async def get(name: RepositoryName, upload_id: str, proven: UploadSession | None = None) -> UploadSession:
        """
        :param proven: what its id proves that it is, unless it is known here to be more, or to have ended.
        :raises UploadUnknown: the repository has no such session: never started, ended, or expired.
        """

    async def record(
        upload_id: str,
        received: Received,
        now: float,
        leased_until: float,
        reserves: bool = False,
        proven: UploadSession | None = None,
    ) -> None:
        """
        Note what has been received.

        :param reserves: whether bytes are reserved for it: no more than these are from now on.
        :param proven: what its id proves that it is, if there may be no row of it: one is made unless it has ended.
        :raises UploadUnknown: there is no such session any more.
        """

    def recorder(
        upload_id: str, now: float, leased_until: float, reserves: bool = False, proven: UploadSession | None = None
    ) -> Callable[[Received], None]:
        """
        What does the work of :meth:`record` where it is called, in any thread but the reactor's, and blocks until that is
        done. It raises what :meth:`record` raises.
        """

    async def end(upload_id: str) -> None:
        """
        Forget a session, or remember that one has ended whose id proves itself.

        :raises UploadUnknown: there is no such session, which may have ended.
        """

    async def is_known(upload_id: str) -> bool:
        """Whether there is a row of such a session."""

    async def expire(now: float, limit: int) -> Sequence[str]:
        """
        Forget at most ``limit`` sessions whose lease ended before ``now``, oldest first, and return their ids.

        From then on no session lasts without a row that would have ended before ``now`` by itself.
        """
