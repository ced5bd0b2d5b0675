"""Functions and small objects that are handed in: threads, identifiers, observers of bytes."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from attrs import frozen

from dockreg.model.blobs import StoredBlob
from dockreg.model.digest import Digest

T = TypeVar("T")

#: Some bytes on their way: as they came, or a view of what came.
Piece = bytes | memoryview
#: What positions in a file, addresses and sizes are multiples of where a disk takes bytes from memory: devices have blocks of
#: 512 or 4096 bytes.
BLOCK_BYTES: Final = 4096


class InThread(Protocol):
    """Runs a blocking function where it does not block the reactor."""

    def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
        """The result of ``function(*args, **kwargs)``, later."""


class IdentifierFactory(Protocol):
    """Makes identifiers that nobody can guess, safe in a URL and in a file name."""

    def __call__(self) -> str:
        """A new one."""


class ByteObserver(Protocol):
    """Something that digests bytes as they pass; called in a worker thread, in order, never by two at once."""

    def update(self, data: Piece, /) -> object:
        """Take note of the next bytes."""


@frozen
class Ending:
    """
    What to do once all bytes of a blob are there.

    :param size: how many bytes are still to come, so that it is known when all are there.
    :param expected: the digest of the whole blob.
    :param then: as for :meth:`.IUpload.commit`.
    """

    size: int
    expected: Digest
    then: Callable[[StoredBlob], bool]
