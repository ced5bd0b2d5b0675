"""
OpenSSL past pyOpenSSL, which copies more than need be.

``recv_into`` of pyOpenSSL takes memory for a record, lets OpenSSL decrypt to that, and copies it; ``bio_read`` does the same
with what is to be sent. With thousands of records a second that takes twice as long as the decryption. While a thread has a connection
for itself, OpenSSL uses the socket itself, where memory between them would be copied to and from. The functions of OpenSSL
are in the library that pyOpenSSL calls, under names that are not public: they are used here and nowhere else. Without them
all works as it did, more slowly; a test fails then.
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
#: What is received at once, which stays in the cache of a processor.
_RECEIVED_BYTES = 128 * 1024

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
    """Receives for a connection, past the memory that it has for what comes. Until :meth:`end` nobody else uses it."""

    def fill(self, descriptor: int, room: memoryview) -> tuple[int, SSL.Error | None]:
        """
        Take from a socket that does not block, and decrypt to ``room`` until that is full.

        :return: as :data:`ReadAll`. To be called again unless that is an end, damage, or :class:`SSL.SysCallError`: the
            socket has come to its end, or is broken. Nothing, and no error either, while OpenSSL has to say something
            first (RFC 8446 4.6.3) for which the socket has no room: the connection says it after :meth:`end`.
        :raises BlockingIOError: nothing has come.
        """

    def end(self) -> None:
        """Let the connection have what comes next."""


class PublicIntake:
    """The :class:`Intake` that keeps to what is public."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection
        self._sealed = memoryview(bytearray(_RECEIVED_BYTES))

    def fill(self, descriptor: int, room: memoryview) -> tuple[int, SSL.Error | None]:
        """See :meth:`Intake.fill`."""
        # Whoever sends records without content is for the reactor, which has an eye on the time.
        size, taken, most = 0, 0, 2 * len(room) + RECORD_BYTES
        while True:
            came, said = read_all_publicly(self._connection, room[size:])
            size += came
            if not isinstance(said, SSL.WantReadError) or taken > most:
                return size, said
            try:
                sealed = os.readv(descriptor, [self._sealed])
            except BlockingIOError:
                if size:
                    return size, said
                raise
            except OSError as error:
                return size, SSL.SysCallError(error.errno, errno.errorcode.get(error.errno or 0))
            if not sealed:
                return size, SSL.SysCallError(-1, "Unexpected EOF")
            taken += sealed
            # Not the method of a class that keeps it.
            SSL.Connection.bio_write(self._connection, self._sealed[:sealed])

    def end(self) -> None:
        """See :meth:`Intake.end`."""


#: Makes an :class:`Intake`.
MakeIntake = Callable[[SSL.Connection], Intake]


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
    SSL_set_mode: Any
    SSL_clear_mode: Any
    SSL_MODE_AUTO_RETRY: int
    SSL_ERROR_WANT_READ: int
    SSL_ERROR_WANT_WRITE: int
    SSL_ERROR_SYSCALL: int
    ERR_clear_error: Any
    BIO_new: Any
    BIO_s_mem: Any
    BIO_read: Any
    BIO_get_mem_data: Any
    from_buffer: Any
    new: Any
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


class _OnSocket:
    """Has OpenSSL use a socket itself: what it encrypts and decrypts is not copied twice on the way."""

    def __init__(self, functions: _Functions, connection: SSL.Connection) -> None:
        self._functions = functions
        # Its names that begin with an underscore are not public; see the docstring of the module.
        self._connection: Any = connection
        self._begun = False
        # What has come and nobody has read; and what was encrypted, and goes before everything else.
        self._came = self._first = b""

    def _begin(self, descriptor: int) -> None:
        functions, connection = self._functions, self._connection
        self._came = self._taken_from(connection._into_ssl)  # noqa: SLF001 - as above
        self._first = self._taken_from(connection._from_ssl)  # noqa: SLF001 - as above
        # Frees both memories.
        if functions.SSL_set_fd(connection._ssl, descriptor) != 1:  # noqa: SLF001 - as above
            functions.ERR_clear_error()
            raise MemoryError
        connection._into_ssl = connection._from_ssl = functions.NULL  # noqa: SLF001 - as above
        self._begun = True

    def _taken_from(self, bio: Any) -> bytes:
        functions, parts = self._functions, []
        room = bytearray(RECORD_BYTES)
        with functions.from_buffer(room) as memory:
            while (size := functions.BIO_read(bio, memory, len(room))) > 0:
                parts.append(bytes(room[:size]))
        return b"".join(parts)

    def end(self) -> None:
        """The connection has memories again."""
        if not self._begun:
            return
        self._begun = False
        functions, connection = self._functions, self._connection
        came, sent = (functions.BIO_new(functions.BIO_s_mem()) for _ in range(2))
        if functions.NULL in (came, sent):
            raise MemoryError
        functions.SSL_set_bio(connection._ssl, came, sent)  # noqa: SLF001 - as above
        connection._into_ssl, connection._from_ssl = came, sent  # noqa: SLF001 - as above
        if self._came:
            SSL.Connection.bio_write(connection, self._came)


class DirectIntake(_OnSocket):
    """The :class:`Intake` that has OpenSSL read from the socket itself."""

    def __init__(self, functions: _Functions, connection: SSL.Connection) -> None:
        super().__init__(functions, connection)
        # Else one call goes on for as long as somebody sends records without content.
        functions.SSL_clear_mode(self._connection._ssl, functions.SSL_MODE_AUTO_RETRY)  # noqa: SLF001 - as above

    def fill(self, descriptor: int, room: memoryview) -> tuple[int, SSL.Error | None]:
        """See :meth:`Intake.fill`."""
        functions, state = self._functions, self._connection._ssl  # noqa: SLF001 - as above
        read = functions.SSL_read
        size, end, nothing = 0, len(room), False
        with functions.from_buffer(room) as memory:
            while size < end:
                came = read(state, memory + size, end - size)
                if came > 0:
                    size, nothing = size + came, False
                elif (why := functions.SSL_get_error(state, came)) == functions.SSL_ERROR_WANT_WRITE:
                    return size, None
                elif why != functions.SSL_ERROR_WANT_READ:
                    return size, self._said(came)
                elif not self._begun:
                    # Now all has been read that came before. What that has made OpenSSL say goes before all else.
                    if self._says_something():
                        return size, SSL.WantReadError()
                    self._begin(descriptor)
                elif nothing:
                    # That was not just one record without content.
                    break
                else:
                    nothing = True
        if nothing and not size:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return size, SSL.WantReadError() if nothing else None

    def _says_something(self) -> bool:
        functions = self._functions
        return bool(functions.BIO_get_mem_data(self._connection._from_ssl, functions.new("char **")) > 0)  # noqa: SLF001 - as above

    def _said(self, came: int) -> SSL.Error:
        try:
            self._functions._raise_ssl_error(self._connection, self._connection._ssl, came)  # noqa: SLF001 - as above
        except SSL.Error as error:
            # What OpenSSL remembers of it would be taken for a failure of the next connection that this thread serves.
            self._functions.ERR_clear_error()
            return error.with_traceback(None)
        raise RuntimeError("OpenSSL does not say why there is nothing to read")

    def end(self) -> None:
        """See :meth:`Intake.end`."""
        super().end()
        functions = self._functions
        functions.SSL_set_mode(self._connection._ssl, functions.SSL_MODE_AUTO_RETRY)  # noqa: SLF001 - as above


class DirectOutlet(_OnSocket):
    """The :class:`Outlet` that has OpenSSL write to the socket itself."""

    def __init__(self, functions: _Functions, connection: SSL.Connection, descriptor: int) -> None:
        super().__init__(functions, connection)
        self._descriptor = descriptor
        self._begin(descriptor)

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
            # See DirectIntake.
            functions.ERR_clear_error()
            raise OSError(number or errno.EPIPE, os.strerror(number or errno.EPIPE))
        functions._raise_ssl_error(self._connection, state, sent)  # noqa: SLF001 - as above
        raise RuntimeError("OpenSSL does not say why it can not write")


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
