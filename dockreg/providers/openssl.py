"""
OpenSSL past pyOpenSSL, which copies more than need be.

``recv_into`` of pyOpenSSL takes memory for a record, lets OpenSSL decrypt to that, and copies it; ``bio_read`` does the same
with what is to be sent. With thousands of records a second that takes twice as long as the decryption. Whatever comes is
copied once more before OpenSSL sees it. The functions of OpenSSL itself are in the library that pyOpenSSL calls, under names
that are not public: they are used here and nowhere else. Without them all works as it did, more slowly; a test fails then.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

from attrs import fields, frozen
from OpenSSL import SSL

#: Bytes of a record at most (RFC 8446 5.1).
RECORD_BYTES = 16 * 1024
_MOST_BYTES = 256 * 1024

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


class Intake(Protocol):
    """Receives for a connection, past the memory that it has for what comes. Until :meth:`end` nobody else touches that."""

    def fill(self, descriptor: int, room: memoryview) -> tuple[int, SSL.Error | None]:
        """
        Take from a socket that does not block, and decrypt to ``room`` until that is full.

        :return: as :data:`ReadAll`. To be called again unless that is an end, or damage.
        :raises OSError: nothing has come, or the socket has broken, before there was a byte.
        """

    def end(self) -> None:
        """Give what has come, and is not decrypted, to the connection."""


class PublicIntake:
    """The :class:`Intake` that keeps to what is public. :param size: bytes that are received at once."""

    def __init__(self, connection: SSL.Connection, size: int) -> None:
        self._connection = connection
        self._sealed = memoryview(bytearray(size))

    def fill(self, descriptor: int, room: memoryview) -> tuple[int, SSL.Error | None]:
        """See :meth:`Intake.fill`."""
        size, taken, most = 0, 0, _most_taken(room)
        while True:
            came, said = read_all_publicly(self._connection, room[size:])
            size += came
            if not isinstance(said, SSL.WantReadError) or taken > most:
                return size, said
            sealed = _received(descriptor, self._sealed, size)
            if not sealed:
                return size, said
            taken += sealed
            # Not the method of a class that keeps it.
            SSL.Connection.bio_write(self._connection, self._sealed[:sealed])

    def end(self) -> None:
        """See :meth:`Intake.end`."""


def _most_taken(room: memoryview) -> int:
    """What is received for so much room: whoever sends records without content is for the reactor, with an eye on the time."""
    return 2 * len(room) + RECORD_BYTES


def _received(descriptor: int, room: memoryview | bytearray, before: int) -> int:
    """How many bytes a socket has given; none at its end, or when nothing is there but something was ``before``."""
    try:
        return os.readv(descriptor, [room])
    except OSError:
        if before:
            return 0
        raise


#: Makes an :class:`Intake` that receives so many bytes at once.
MakeIntake = Callable[[SSL.Connection, int], Intake]


class Outlet(Protocol):
    """
    Sends for a connection, past the memory that it has for what is to be sent. Until :meth:`end` nobody else uses it.

    It is a connection that encrypts all that it is given (:func:`dockreg.providers.encryption.prepare`).
    """

    def send(self, data: memoryview) -> None:
        """
        Encrypt, and give all of it to a socket that does not block.

        :raises BlockingIOError: it is full. The same bytes have to be given again, when it has room.
        :raises OSError: it has broken. :raises SSL.Error: so has the connection.
        """

    def end(self) -> None:
        """All was sent."""


class PublicOutlet:
    """The :class:`Outlet` that keeps to what is public. :param descriptor: the socket."""

    def __init__(self, connection: SSL.Connection, descriptor: int) -> None:
        self._connection = connection
        self._descriptor = descriptor
        # What is encrypted and not sent yet.
        self._sealed = memoryview(b"")

    def send(self, data: memoryview) -> None:
        """See :meth:`Outlet.send`."""
        if not self._sealed:
            # Not the method of a class that is lent, here and below.
            SSL.Connection.send(self._connection, data)
            self._sealed = memoryview(_sealed(self._connection))
        while self._sealed:
            self._sealed = self._sealed[os.write(self._descriptor, self._sealed) :]

    def end(self) -> None:
        """See :meth:`Outlet.end`."""


def _sealed(connection: SSL.Connection) -> bytes:
    """All that is to be sent."""
    parts = []
    with suppress(SSL.WantReadError):
        while True:
            parts.append(SSL.Connection.bio_read(connection, _MOST_BYTES))
    return b"".join(parts)


#: Makes an :class:`Outlet` to a socket.
MakeOutlet = Callable[[SSL.Connection, int], Outlet]


@frozen
class _Functions:
    """What :class:`DirectIntake` and :class:`DirectOutlet` call; the names are those of OpenSSL, cffi and pyOpenSSL."""

    SSL_read: Any
    SSL_write: Any
    SSL_get_error: Any
    SSL_set_bio: Any
    SSL_set_fd: Any
    SSL_ERROR_WANT_READ: int
    SSL_ERROR_WANT_WRITE: int
    SSL_ERROR_SYSCALL: int
    ERR_clear_error: Any
    BIO_new: Any
    BIO_s_mem: Any
    BIO_new_mem_buf: Any
    BIO_set_mem_eof_return: Any
    BIO_read: Any
    from_buffer: Any
    NULL: Any
    _raise_ssl_error: Any
    #: Knows the number of the last error of the system in this thread.
    ffi: Any


def _find_functions() -> _Functions | None:
    """All of them; None when one is missing."""
    ffi: Any = getattr(SSL, "_ffi", None)
    owners = (getattr(SSL, "_lib", None), ffi, SSL.Connection)
    found: dict[str, Any] = {
        each.name: next((getattr(owner, each.name) for owner in owners if hasattr(owner, each.name)), None)
        for each in fields(_Functions)
        if each.name != "ffi"
    }
    if ffi is None or None in found.values():
        return None
    # An argument has no underscore.
    return _Functions(ffi=ffi, **{name.lstrip("_"): function for name, function in found.items()})


class DirectIntake:
    """The :class:`Intake` that has OpenSSL read from where bytes came to."""

    def __init__(self, functions: _Functions, connection: SSL.Connection, size: int) -> None:
        self._functions = functions
        # Its names that begin with an underscore are not public; see the docstring of the module.
        self._connection: Any = connection
        self._sealed = bytearray(size)
        self._memory = functions.from_buffer(self._sealed)
        self._begun = False

    def fill(self, descriptor: int, room: memoryview) -> tuple[int, SSL.Error | None]:
        """See :meth:`Intake.fill`."""
        functions, state, sealed = self._functions, self._connection._ssl, self._sealed  # noqa: SLF001 - as above
        read = functions.SSL_read
        size, taken, end, most = 0, 0, len(room), _most_taken(room)
        with functions.from_buffer(room) as memory:
            while size < end:
                came = read(state, memory + size, end - size)
                if came > 0:
                    size += came
                elif functions.SSL_get_error(state, came) != functions.SSL_ERROR_WANT_READ:
                    return size, self._said(came)
                # Now all has been read that came before.
                elif taken > most or not (got := _received(descriptor, sealed, size)):
                    return size, SSL.WantReadError()
                else:
                    taken += got
                    self._read_from(functions.BIO_new_mem_buf(self._memory, got))
        return size, None

    def _read_from(self, bio: Any) -> None:
        functions, connection = self._functions, self._connection
        if bio == functions.NULL:
            raise MemoryError
        # What it ends with is not the end of the connection.
        functions.BIO_set_mem_eof_return(bio, -1)
        # Frees the one that was there before. OpenSSL keeps the other, for what is to be sent.
        functions.SSL_set_bio(connection._ssl, bio, connection._from_ssl)  # noqa: SLF001 - as above
        connection._into_ssl = bio  # noqa: SLF001 - as above
        self._begun = True

    def _said(self, came: int) -> SSL.Error:
        try:
            self._functions._raise_ssl_error(self._connection, self._connection._ssl, came)  # noqa: SLF001 - as above
        except SSL.Error as error:
            return error.with_traceback(None)
        raise RuntimeError("OpenSSL does not say why there is nothing to read")

    def end(self) -> None:
        """See :meth:`Intake.end`."""
        if not self._begun:
            return
        functions, left = self._functions, bytearray(len(self._sealed))
        with functions.from_buffer(left) as memory:
            size = functions.BIO_read(self._connection._into_ssl, memory, len(left))  # noqa: SLF001 - as above
        self._read_from(functions.BIO_new(functions.BIO_s_mem()))
        self._begun = False
        if size > 0:
            SSL.Connection.bio_write(self._connection, memoryview(left)[:size])


class DirectOutlet:
    """The :class:`Outlet` that has OpenSSL write to the socket itself: what it encrypts is not copied twice before that."""

    def __init__(self, functions: _Functions, connection: SSL.Connection, descriptor: int) -> None:
        self._functions = functions
        # See DirectIntake.
        self._connection: Any = connection
        self._descriptor = descriptor
        # What has come and nobody has read is kept, and what was encrypted goes first.
        self._came = self._taken_from(self._connection._into_ssl)  # noqa: SLF001 - as above
        self._first = self._taken_from(self._connection._from_ssl)  # noqa: SLF001 - as above
        # Frees both memories.
        if functions.SSL_set_fd(self._connection._ssl, descriptor) != 1:  # noqa: SLF001 - as above
            functions.ERR_clear_error()
            raise MemoryError
        self._connection._into_ssl = self._connection._from_ssl = functions.NULL  # noqa: SLF001 - as above

    def _taken_from(self, bio: Any) -> bytes:
        functions, parts = self._functions, []
        room = bytearray(RECORD_BYTES)
        with functions.from_buffer(room) as memory:
            while (size := functions.BIO_read(bio, memory, len(room))) > 0:
                parts.append(bytes(room[:size]))
        return b"".join(parts)

    def send(self, data: memoryview) -> None:
        """See :meth:`Outlet.send`."""
        functions, state = self._functions, self._connection._ssl  # noqa: SLF001 - as above
        while self._first:
            self._first = self._first[os.write(self._descriptor, self._first) :]
        with functions.from_buffer(data) as memory:
            sent = functions.SSL_write(state, memory, len(data))
            number = functions.ffi.errno
        if sent == len(data):
            return
        why = functions.SSL_get_error(state, sent)
        if why == functions.SSL_ERROR_WANT_WRITE:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if why == functions.SSL_ERROR_SYSCALL:
            # What OpenSSL remembers of it would be taken for a failure of the next connection that this thread serves.
            functions.ERR_clear_error()
            raise OSError(number or errno.EPIPE, os.strerror(number or errno.EPIPE))
        functions._raise_ssl_error(self._connection, state, sent)  # noqa: SLF001 - as above
        raise RuntimeError("OpenSSL does not say why it can not write")

    def end(self) -> None:
        """See :meth:`Outlet.end`."""
        functions, connection = self._functions, self._connection
        came, sent = (functions.BIO_new(functions.BIO_s_mem()) for _ in range(2))
        if functions.NULL in (came, sent):
            raise MemoryError
        functions.SSL_set_bio(connection._ssl, came, sent)  # noqa: SLF001 - as above
        connection._into_ssl, connection._from_ssl = came, sent  # noqa: SLF001 - as above
        if self._came:
            SSL.Connection.bio_write(connection, self._came)


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


_found, _functions = _find(), _find_functions()
#: Whether OpenSSL is asked itself.
DIRECT = _found is not None and _functions is not None
#: The best ones there are.
read_all, take_sealed = _found or (read_all_publicly, take_sealed_publicly)
new_intake: MakeIntake = PublicIntake if _functions is None else partial(DirectIntake, _functions)
new_outlet: MakeOutlet = PublicOutlet if _functions is None else partial(DirectOutlet, _functions)
