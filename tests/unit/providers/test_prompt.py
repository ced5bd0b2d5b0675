"""Connections that send what is small at once, over pairs of sockets."""

import socket
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Port, Server
from twisted.internet.testing import MemoryReactor
from twisted.internet.unix import Port as UNIXPort
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.prompt import PromptServer, send_at_once
from dockreg.web.sockets import unsent_bytes

_SMALL = 64 * 1024


class _Producer:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Pair:
    """A connection and its client."""

    def __init__(self, kind: type[Server] = PromptServer) -> None:
        self.client, ours = socket.socketpair()
        self.client.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.reactor: Any = MemoryReactor()
        self.transport: Any = kind(ours, Protocol(), ("192.0.2.1", 1), None, 0, self.reactor)  # type: ignore[arg-type]

    @property
    def waits(self) -> bool:
        """Whether the reactor is asked to say when something can be sent."""
        return self.transport in self.reactor.getWriters()

    def received(self) -> bytes:
        """What the client has got so far."""
        data = b""
        while True:
            try:
                more = self.client.recv(1 << 20)
            except BlockingIOError:
                return data
            if not more:
                return data
            data += more

    def rest(self) -> bytes:
        """What comes until nothing waits any more."""
        data = self.received()
        while self.waits:
            self.transport.doWrite()
            data += self.received()
        return data

    def close(self) -> None:
        self.client.close()
        self.transport.socket.close()


class PromptTests(SynchronousTestCase):
    """What is sent, when, and in which order."""

    def pair(self, kind: type[Server] = PromptServer) -> Pair:
        pair = Pair(kind)
        self.addCleanup(pair.close)
        return pair

    def test_at_once(self) -> None:
        """Something small is with the client before the reactor has a turn, and the reactor is asked nothing."""
        pair = self.pair()
        pair.transport.write(b"abc")
        pair.transport.writeSequence([b"de", b"", b"f"])
        self.assertEqual((b"abcdef", False, 0), (pair.received(), pair.waits, unsent_bytes(pair.transport)))

    def test_full(self) -> None:
        """What the socket does not take is sent behind it, by the reactor, and counted until then."""
        pair = self.pair()
        data = bytes(range(256)) * 200
        pair.transport.write(data)
        self.assertTrue(pair.waits)
        got = pair.received()
        self.assertEqual(len(data) - len(got), unsent_bytes(pair.transport))
        self.assertGreater(len(got), 0)
        pair.transport.write(b"end")
        self.assertEqual(data + b"end", got + pair.rest())

    def test_large(self) -> None:
        """Something large is the reactor's from the beginning."""
        pair = self.pair()
        pair.transport.write(bytes(_SMALL + 1))
        self.assertEqual((b"", True), (pair.received(), pair.waits))

    def test_producer(self) -> None:
        """A producer is told to pause when much waits, and to go on when nothing does; not for what has been sent."""
        pair, producer = self.pair(), _Producer()
        pair.transport.registerProducer(producer, True)
        pair.transport.write(b"small")
        self.assertEqual([], producer.told)
        pair.transport.write(bytes(_SMALL))
        pair.transport.write(bytes(_SMALL))
        self.assertEqual(["pause"], producer.told)
        self.assertEqual(5 + 2 * _SMALL, len(pair.rest()))
        self.assertEqual(["pause", "resume"], producer.told)

    def test_pulled(self) -> None:
        """A producer that writes when it is asked is asked for more after what it has written."""
        pair, producer = self.pair(), _Producer()
        pair.transport.registerProducer(producer, False)
        pair.transport.write(b"some")
        pair.transport.doWrite()
        self.assertEqual((["resume", "resume"], b"some"), (producer.told, pair.received()))

    def test_broken(self) -> None:
        """That the client has gone is found by the reactor, which ends the connection as ever."""
        pair = self.pair()
        pair.client.close()
        pair.transport.write(b"abc")
        self.assertTrue(pair.waits)
        self.assertIsInstance(pair.transport.doWrite(), ConnectionLost)

    def test_closed(self) -> None:
        """Behind a half-closed or lost connection nothing is sent; before one is closed all is."""
        pair = self.pair()
        pair.transport.write(b"last")
        pair.transport.loseWriteConnection()
        pair.transport.doWrite()
        pair.transport.write(b"more")
        self.assertEqual(b"last", pair.rest())
        self.assertEqual(b"", pair.client.recv(10))

    def test_type(self) -> None:
        """Only bytes are taken, as ever."""
        pair = self.pair()
        self.assertRaises(TypeError, pair.transport.write, "text")
        self.assertRaises(TypeError, pair.transport.writeSequence, ["text"])

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.one_of(st.integers(0, 2000), st.integers(0, 3 * _SMALL), st.just(-1)), max_size=12))
    def test_order(self, steps: list[int]) -> None:
        """Whatever is written, and whenever the client reads, it gets that in that order. -1: it reads."""
        pair = Pair()
        try:
            sent = got = b""
            for number, size in enumerate(steps):
                if size < 0:
                    if pair.waits:
                        pair.transport.doWrite()
                    got += pair.received()
                else:
                    data = bytes([number]) * size
                    (pair.transport.write if number % 2 else lambda each: pair.transport.writeSequence([each]))(data)
                    sent += data
            self.assertEqual(sent, got + pair.rest())
        finally:
            pair.close()


class PortTests(SynchronousTestCase):
    """Which ports have such connections."""

    def test_plain(self) -> None:
        """Those of TCP have."""
        port = Port(0, Factory(), reactor=MemoryReactor())
        self.assertIs(Server, port.transport)
        send_at_once(port)
        self.assertIs(PromptServer, port.transport)

    def test_others(self) -> None:
        """Others, and what somebody has chosen already, are left as they are."""
        port = UNIXPort(b"socket", Factory(), reactor=MemoryReactor())
        before = port.transport
        send_at_once(port)
        self.assertIs(before, port.transport)


class TwistedTests(SynchronousTestCase):
    """The private names of Twisted that this builds on."""

    def test_names(self) -> None:
        """What waits is where it is looked for, and nothing else is."""
        pair = Pair(Server)
        self.addCleanup(pair.close)
        transport = pair.transport
        self.assertEqual((0, b"", False, False), (
            transport._tempDataLen, transport.dataBuffer, transport._writeDisconnected, transport.TLS,
        ))  # fmt: skip
        transport.write(bytes(100_000))
        self.assertEqual(100_000, transport._tempDataLen)
        transport.doWrite()
        self.assertEqual((0, 100_000), (transport._tempDataLen, len(transport.dataBuffer)))
        transport._writeDisconnecting = True
        pair.rest()
        self.assertTrue(transport._writeDisconnected)
