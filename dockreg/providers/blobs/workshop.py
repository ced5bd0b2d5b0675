"""What uploads in files begin with."""

import os
from collections.abc import Callable

from attrs import field, frozen

from dockreg.callables import InThread
from dockreg.errors import UploadUnknown
from dockreg.model.blobs import Received
from dockreg.model.digest import Digest, Hasher
from dockreg.providers.blobs.digesting import KeptHashers, sealed
from dockreg.providers.blobs.direct import DirectIO
from dockreg.providers.blobs.observing import Beside, Helpers, Receivers
from dockreg.providers.blobs.small import SmallObjects
from dockreg.providers.blobs.staging import Folders
from dockreg.providers.blobs.writeback import Begin, begin_writing, finish_writing


@frozen(eq=False)
class Workshop:
    """What the uploads of a store have in common."""

    folders: Folders
    kept: KeptHashers
    small: SmallObjects
    in_thread: InThread
    begin_writing: Begin | None = begin_writing
    finish_writing: Begin | None = finish_writing
    receivers: Receivers = field(factory=Receivers)
    #: For digests beside that of the blob.
    beside: Beside = field(factory=Helpers)
    #: For large bodies that are written past the page cache; None: none are.
    direct: DirectIO | None = None
    #: Who writes the bytes of a session under the name of an object, by its id: no lock tells others of this process.
    under_way: dict[str, object] = field(factory=dict)


@frozen
class Beginning:
    """
    What an upload begins with.

    ``durable`` is the number of bytes that, with the name of the file, need no flush. Without a ``hasher`` nobody has
    digested the bytes here; ``known`` is their digest, by the algorithm that is wanted, if the file tells it.
    """

    size: int
    durable: int
    hasher: Hasher | None
    known: Digest | None

    @classmethod
    def of(cls, shop: Workshop, upload_id: str, descriptor: int, received: Received, algorithm: str) -> "Beginning":
        """
        Of a staging file that is locked. Its position is at its end afterwards.

        :raises UploadUnknown: it has fewer bytes than were received.
        """
        size, durable = os.lseek(descriptor, 0, os.SEEK_END), received.size
        if size < durable:
            raise UploadUnknown(upload_id)
        known = sealed(descriptor, size)
        hasher = shop.kept.take(upload_id, known) if size else Hasher(algorithm)
        if hasher is not None and hasher.digest.algorithm == algorithm:
            return cls(size, durable, hasher, None)
        return cls(size, durable, None, known if known is not None and known.algorithm == algorithm else None)


#: Gives the descriptor of a staging file, locked and at its end, which belongs to the upload from then on.
Opening = Callable[[], tuple[int, Beginning]]
