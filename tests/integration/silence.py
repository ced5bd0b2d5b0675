"""Servers that take connections, and do not behave."""

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Self


class Misbehaving:
    """
    A server on a free port of 127.0.0.1 that does one thing with each connection, and then keeps it open in silence.

    It ends, and its connections with it, at the end of the ``with``.
    """

    def __init__(self, act: Callable[[socket.socket], object] = lambda _connection: None) -> None:
        self._act = act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []

    @property
    def port(self) -> int:
        number = self._listener.getsockname()[1]
        assert isinstance(number, int)
        return number

    def __enter__(self) -> Self:
        Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A listener that somebody waits for is not ended by close() alone.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            with suppress(OSError):
                self._act(connection)
