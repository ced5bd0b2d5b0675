"""
OpenSSL past pyOpenSSL, which copies more than need be.

``recv_into`` of pyOpenSSL takes memory for a record, lets OpenSSL decrypt to that, and copies it; ``bio_read`` does the same
with what is to be sent. With thousands of records a second that takes twice as long as the decryption. The functions of OpenSSL
itself are in the library that pyOpenSSL calls, under names that are not public: they are used here and nowhere else. Without them all works as it did, more slowly; a test
fails then.
"""

from collections.abc import Callable
from typing import Any, cast

from OpenSSL import SSL

#: Bytes of a record at most (RFC 8446 5.1).
RECORD_BYTES = 16 * 1024

#: Decrypts what has come into a buffer, until that is full; returns how many bytes it has now, and what was said when there was
#: no more to read, None when it is full.
ReadAll = Callable[[SSL.Connection, bytearray | memoryview], tuple[int, SSL.Error | None]]


def read_all_publicly(connection: SSL.Connection, buffer: bytearray | memoryview) -> tuple[int, SSL.Error | None]:
    """The :data:`ReadAll` that keeps to what is public."""
    # Errors are told without their tracebacks, in which the buffer and the connection would live on.
    size, end = 0, len(buffer)
    with memoryview(buffer) as view:
        try:
            while size < end:
                size += connection.recv_into(view[size : size + RECORD_BYTES])
        except SSL.Error as error:
            return size, error.with_traceback(None)
    return size, None


#: Moves what is to be sent to a buffer; returns how many bytes that are, none when nothing is.
TakeSealed = Callable[[SSL.Connection, bytearray | memoryview], int]


def take_sealed_publicly(connection: SSL.Connection, buffer: bytearray | memoryview) -> int:
    """The :data:`TakeSealed` that keeps to what is public."""
    try:
        # Not the method of a class that reads in another way.
        sealed = SSL.Connection.bio_read(connection, len(buffer))
    except SSL.WantReadError:
        return 0
    buffer[: len(sealed)] = sealed
    return len(sealed)


def _find() -> tuple[ReadAll, TakeSealed] | None:
    """The functions that ask OpenSSL itself; None where it can not be asked."""
    library: Any = getattr(SSL, "_lib", None)
    read, take = getattr(library, "SSL_read", None), getattr(library, "BIO_read", None)
    from_buffer: Any = getattr(getattr(SSL, "_ffi", None), "from_buffer", None)
    tell = getattr(SSL.Connection, "_raise_ssl_error", None)
    if read is None or take is None or from_buffer is None or tell is None:
        return None

    def read_all(connection: SSL.Connection, buffer: bytearray | memoryview) -> tuple[int, SSL.Error | None]:
        state = cast("Any", connection)._ssl  # noqa: SLF001 - see the docstring of the module
        size, end = 0, len(buffer)
        with from_buffer(buffer) as memory:
            while size < end:
                came = read(state, memory + size, end - size)
                if came <= 0:
                    break
                size += came
            else:
                return size, None
        try:
            tell(connection, state, came)
        except SSL.Error as error:
            return size, error.with_traceback(None)
        raise RuntimeError("OpenSSL does not say why there is nothing to read")

    def take_sealed(connection: SSL.Connection, buffer: bytearray | memoryview) -> int:
        with from_buffer(buffer) as memory:
            # Less than nothing means that there is nothing now.
            size: int = take(cast("Any", connection)._from_ssl, memory, len(buffer))  # noqa: SLF001 - as above
        return max(0, size)

    return read_all, take_sealed


_found = _find()
#: Whether OpenSSL is asked itself.
DIRECT = _found is not None
#: The best ones there are.
read_all, take_sealed = _found or (read_all_publicly, take_sealed_publicly)
