"""
The digest of a staging file whose bytes came in several requests.

While one request writes, its :class:`~dockreg.model.digest.Hasher` sees every byte. Between two requests the digest
is known in two ways:

- The *seal*, an extended attribute of the file, says how many bytes it had and their digest. It is set when these bytes
  are durable, and means nothing any more once the file is longer; bytes are only ever appended. It belongs to the very
  file, which a row of the metadata does not: a row may have been read, or written, by a request that was overtaken by
  others, and the file have been dropped and begun again meanwhile.
- The hashers of suspended uploads are kept in memory. Going on with one spares reading the file, in the same process.

What neither tells, as on a file system without extended attributes or after a power failure, is read from the file.
"""

import errno
import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from dockreg.model.digest import Digest, Hasher

#: How many hashers of suspended uploads a process keeps; each takes half a kilobyte.
MAX_KEPT = 4096
_SEAL = "user.dockreg"
_SIZE_BYTES = 8
_ALGORITHMS = {32: "sha256", 64: "sha512"}
_PIECE_BYTES = 1 << 20


def seal(descriptor: int, size: int, digest: Digest) -> None:
    """Note on a file that its first ``size`` bytes, which are durable, have this digest; where that can be noted."""
    with suppress(OSError):
        os.setxattr(descriptor, _SEAL, size.to_bytes(_SIZE_BYTES) + bytes.fromhex(digest.encoded))


def sealed(descriptor: int, size: int) -> Digest | None:
    """The digest of a file of ``size`` bytes, if its seal tells it."""
    try:
        content = os.getxattr(descriptor, _SEAL)
    except OSError:
        return None
    encoded = content[_SIZE_BYTES:]
    algorithm = _ALGORITHMS.get(len(encoded))
    if algorithm is None or int.from_bytes(content[:_SIZE_BYTES]) != size:
        return None
    return Digest(algorithm, encoded.hex())


def digest_file(hasher: Hasher, descriptor: int, size: int, go_on: Callable[[], object]) -> None:
    """
    Digest the first ``size`` bytes of a file; its position stays where it is.

    :param go_on: called before each MiB; what it raises ends the reading.
    :raises OSError: the disk does not give all of them.
    """
    buffer = memoryview(bytearray(min(size, _PIECE_BYTES)))
    position = 0
    while position < size:
        go_on()
        count = os.preadv(descriptor, [buffer[: size - position]], position)
        if not count:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        hasher.update(buffer[:count])
        position += count


class KeptHashers:
    """Hashers of suspended uploads, those of the latest ones. A hasher is here or with an upload, never both."""

    def __init__(self, limit: int = MAX_KEPT) -> None:
        self._limit = limit
        self._hashers: OrderedDict[str, Hasher] = OrderedDict()
        self._lock = Lock()

    def keep(self, upload_id: str, hasher: Hasher) -> None:
        """Keep the hasher of an upload that is suspended."""
        with self._lock:
            self._hashers[upload_id] = hasher
            self._hashers.move_to_end(upload_id)
            if len(self._hashers) > self._limit:
                self._hashers.popitem(last=False)

    def take(self, upload_id: str, digest: Digest | None) -> Hasher | None:
        """The hasher of an upload, if it has seen the bytes of this digest; in any case it is forgotten."""
        with self._lock:
            hasher = self._hashers.pop(upload_id, None)
        return hasher if hasher is not None and hasher.digest == digest else None

    def forget(self, upload_id: str) -> None:
        """Forget what is kept of an upload."""
        with self._lock:
            self._hashers.pop(upload_id, None)
