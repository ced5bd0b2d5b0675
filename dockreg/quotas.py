"""
Room in namespaces, reserved while bytes arrive, so that what can not fit is refused before it is sent.

What counts in the end is counted by the metadata store when a blob becomes part of a repository. A reservation belongs to a
row of its upload, which expires: nothing stays reserved when a process is killed.
"""

from contextlib import suppress

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dockreg.callables import IdentifierFactory
from dockreg.errors import UploadUnknown
from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_uploads import IUploadStore
from dockreg.model.access import Principal
from dockreg.model.blobs import NOTHING_RECEIVED
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadSession

#: What is reserved at a time for a body of which nobody says how long it is; more for one that is large already.
_STEP = 16 * 2**20
#: How long a request may take that is an upload of its own, for its reservation to hold.
_REQUEST_SECONDS = 3600.0


@define(eq=False)
class Reservation:
    """
    Room in a namespace for one upload.

    :param own: whether the row that it belongs to was made for it, and is to be ended with it.
    :param digest: of the blob, if that is known: one that the namespace has already needs no room.
    """

    _uploads: IUploadStore
    upload_id: str
    own: bool = False
    _digest: Digest | None = None
    #: Bytes that are reserved, as far as this request knows.
    reserved: int = field(default=0, init=False)

    async def expect(self, size: int) -> None:
        """It will have ``size`` bytes in all. :raises QuotaExceeded: there is no room for so many."""
        if size > self.reserved:
            self.reserved = await self._uploads.reserve(self.upload_id, size, size, self._digest)

    async def grow(self, size: int) -> None:
        """It has ``size`` bytes now, and nobody knows how many follow. :raises QuotaExceeded: there is no room for these."""
        most = size + max(_STEP, size // 4)
        self.reserved = await self._uploads.reserve(self.upload_id, size, most, self._digest)

    async def release(self) -> None:
        """Give back what was reserved for a row of its own; harmless when that is gone."""
        if self.own:
            with suppress(UploadUnknown):
                await self._uploads.end(self.upload_id)


@define(eq=False)
class Quotas:
    """
    What this process knows of quotas.

    ``counting`` may be some seconds old: it decides what is reserved, not what is refused in the end.
    """

    _metadata: IMetadataStore
    _clock: IReactorTime
    _new_id: IdentifierFactory
    counting: bool = field(default=False, init=False)

    async def begin(self) -> None:
        """Have blobs counted if there is a quota, and not if there is none."""
        self.counting = await self._metadata.quotas.settle()

    async def look(self) -> None:
        """See whether blobs are counted by now."""
        self.counting = await self._metadata.quotas.is_counting()

    def reservation(self, upload_id: str, digest: Digest | None) -> Reservation | None:
        """What is reserved for an upload session; None where none is needed."""
        return Reservation(self._metadata.uploads, upload_id, digest=digest) if self.counting else None

    async def reservation_of_request(
        self, principal: Principal, name: RepositoryName, digest: Digest | None
    ) -> Reservation | None:
        """What is reserved for an upload that is one request."""
        if not self.counting:
            return None
        now = self._clock.seconds()
        algorithm = "sha256" if digest is None else digest.algorithm
        session = UploadSession(self._new_id(), name, principal.name, algorithm, NOTHING_RECEIVED, now)
        # Whether it is full is asked when it is known what comes: that may be here already.
        await self._metadata.uploads.start(session, now + _REQUEST_SECONDS)
        return Reservation(self._metadata.uploads, session.upload_id, own=True, digest=digest)
