"""Turns of a thread with a socket, in this thread."""

import os
import socket
import threading

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from dockreg.web import inflow as inflow_module
from dockreg.web.chunks import ChunkedDecoder
from dockreg.web.inflow import Inflow, Inflows, most_of, receive_plain

MIB = 1024 * 1024


class InflowTests(SynchronousTestCase):
    """One turn."""

    receive = staticmethod(receive_plain)

    def setUp(self) -> None:
        self.crowded = False
        self.inflows = Inflows(lambda: self.crowded)
        self.client, self.ours = socket.socketpair()
        self.ours.setblocking(False)
        self.addCleanup(self.client.close)
        self.addCleanup(self.ours.close)

    def turn(self, first: bytes = b"", most: int = MIB, *, chunked: bool = False, begun: bytes = b"") -> Inflow:
        """A turn."""
        decoder = ChunkedDecoder(lambda _: None, lambda _: None) if chunked else None
        inflow = Inflow(self.inflows, os.dup(self.ours.fileno()), self.receive, decoder, begun, first, most)
        self.addCleanup(self.ours.close)
        return inflow

    def all_of(self, inflow: Inflow) -> bytes:
        """What it gives."""
        found = b""
        while piece := inflow.fetch():
            found += bytes(piece)
        inflow.end(resting=True)
        return found

    def test_first(self) -> None:
        """What has been read goes before what is in the socket; only that counts as taken."""
        self.client.sendall(b"def")
        inflow = self.turn(b"abc")
        self.assertEqual(b"abcdef", self.all_of(inflow))
        self.assertEqual((3, 3, b"", True), (inflow.taken, inflow.carried, inflow.rest, inflow.dry))

    def test_most(self) -> None:
        """No more is taken than may be; then the turn ends, though more is there."""
        self.client.sendall(b"abcdef")
        inflow = self.turn(most=4)
        self.assertEqual(b"abcd", self.all_of(inflow))
        self.assertFalse(inflow.dry)
        self.assertEqual(b"ef", self.ours.recv(10))

    def test_enough(self) -> None:
        """Who has taken his share has no more while others wait for a thread."""
        self.patch(inflow_module, "_SHARE_BYTES", 4)
        self.client.sendall(b"abcdef")
        inflow = self.turn(most=100)
        self.crowded = True
        self.assertEqual(b"abcdef", inflow.fetch())
        self.client.sendall(b"ghi")
        self.assertEqual(b"", inflow.fetch())
        self.assertFalse(inflow.dry)
        self.crowded = False
        self.assertEqual(b"ghi", inflow.fetch())
        inflow.end(resting=True)

    def test_chunks(self) -> None:
        """Of chunks what they carry is given; a line that is not whole is left."""
        self.client.sendall(b"5\r\nhello\r\n6\r\n world\r\n1")
        inflow = self.turn(chunked=True)
        self.assertEqual(b"hello world", self.all_of(inflow))
        self.assertEqual((11, b"\r\n1", True), (inflow.carried, inflow.rest, inflow.dry))

    def test_begun(self) -> None:
        """A line that had begun before is read on."""
        self.client.sendall(b"0\r\nhello world")
        inflow = self.turn(chunked=True, begun=b"1")
        self.assertEqual(b"hello world", self.all_of(inflow))
        self.assertEqual((14, b""), (inflow.taken, inflow.rest))

    def test_end_of_chunks(self) -> None:
        """The end of the body, and what follows it, is left; nobody waits for more."""
        self.client.sendall(b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n")
        inflow = self.turn(chunked=True)
        self.assertEqual(b"hello", self.all_of(inflow))
        self.assertEqual((b"\r\n0\r\n\r\nGET / HTTP/1.1\r\n", True), (inflow.rest, inflow.dry))

    def test_even_chunks(self) -> None:
        """Of chunks that are all of one size the same is given, however they come; at their end nobody waits for more."""
        chunk = b"1000\r\n" + os.urandom(4096) + b"\r\n"
        found, inflow = b"", self.turn(chunked=True)
        for sent in (chunk * 6 + chunk[:9], chunk[9:] + chunk * 5, chunk * 4 + chunk[:100], chunk[100:] + b"1000"):
            self.client.sendall(sent)
            found += bytes(inflow.fetch())
        self.client.sendall(chunk[4:] + chunk + b"0\r\n\r\nGET / HTTP/1.1\r\n")
        found += bytes(inflow.fetch()) + self.all_of(inflow)
        self.assertEqual(chunk[6:-2] * 19, found)
        self.assertEqual((b"\r\n0\r\n\r\nGET / HTTP/1.1\r\n", True), (inflow.rest, inflow.dry))
        self.assertEqual(19 * len(chunk) + len(b"0\r\n\r\nGET / HTTP/1.1\r\n"), inflow.taken)

    def test_end_of_even_chunks(self) -> None:
        """The line of the last chunk, which is shorter than the others, is not taken for the beginning of one of them."""
        chunk = b"1000\r\n" + os.urandom(4096) + b"\r\n"
        inflow = self.turn(chunked=True)
        self.client.sendall(chunk * 6 + chunk[:100])
        found = bytes(inflow.fetch())
        self.client.sendall(chunk[100:] + chunk + b"0\r\n\r\n")
        self.patch(Inflow, "_wait", self.fail)
        found += self.all_of(inflow)
        self.assertEqual(chunk[6:-2] * 8, found)
        self.assertEqual((b"\r\n0\r\n\r\n", True), (inflow.rest, inflow.dry))

    def test_gone(self) -> None:
        """A client that has gone ends the turn, and the socket tells it again."""
        self.client.sendall(b"abc")
        self.client.close()
        inflow = self.turn()
        self.assertEqual(b"abc", self.all_of(inflow))
        self.assertTrue(inflow.dry)
        self.assertEqual(b"", self.ours.recv(1))

    def test_reuse(self) -> None:
        """A piece stays as it is while the next one is fetched; unless it is not needed any more, then one may be larger."""
        self.patch(inflow_module, "_PIECE_BYTES", 2)
        self.patch(inflow_module, "_SINGLE_BYTES", 3)
        self.client.sendall(b"abcdefghij")
        inflow = self.turn(most=4)
        pieces = [inflow.fetch(), inflow.fetch()]
        self.assertEqual([b"ab", b"cd"], pieces)
        inflow.end(resting=True)
        inflow = self.turn(most=6)
        inflow.reuse()
        pieces = [inflow.fetch(), inflow.fetch()]
        self.assertEqual([b"hij", b"hij"], [pieces[1], bytes(pieces[0])])
        inflow.end(resting=True)

    def test_filled(self) -> None:
        """A short body is given in few pieces: what has been read goes before the rest, unless that is much to be copied."""
        self.patch(inflow_module, "_PIECE_BYTES", 4)
        for most, pieces in ((100, [b"abcd", b"efgh", b""]), (1, [b"ab", b"cdef", b"gh", b""])):
            self.patch(inflow_module, "_FIRST_BYTES", most)
            self.client.sendall(b"cdefghi")
            inflow = Inflow(self.inflows, os.dup(self.ours.fileno()), self.receive, None, b"", b"ab", 6, short=True)
            self.assertEqual(pieces, [bytes(inflow.fetch()) for _ in pieces])
            self.assertEqual((6, 6, True), (inflow.taken, inflow.carried, inflow.is_whole))
            inflow.end(resting=True)
            self.assertEqual(b"i", self.ours.recv(10))

    def test_closed_before(self) -> None:
        """When the client goes before a thread comes, what has been read is given nevertheless, and nothing else."""
        for short in (False, True):
            self.client.sendall(b"cd")
            inflow = Inflow(self.inflows, os.dup(self.ours.fileno()), self.receive, None, b"", b"ab", 4, short=short)
            inflow.end(resting=False)
            self.assertEqual([b"ab", b""], [bytes(inflow.fetch()) for _ in range(2)])
            self.assertEqual(b"cd", self.ours.recv(10))

    def test_waits(self) -> None:
        """A little is waited for more, unless somebody waits for the thread."""
        sender = threading.Timer(0.001, self.client.sendall, (b"abc",))
        inflow = self.turn()
        sender.start()
        self.assertIn(self.all_of(inflow), (b"abc", b""))
        sender.join()
        self.crowded = True
        self.all_of(self.turn())
        self.assertEqual(b"", self.all_of(self.turn()))

    def test_ended(self) -> None:
        """After its end nothing is read any more, and the socket is as it was."""
        self.client.sendall(b"abc")
        inflow = self.turn()
        inflow.end(resting=False)
        self.assertEqual(b"", inflow.fetch())
        inflow.end(resting=True)
        self.assertEqual(b"abc", self.ours.recv(10))

    def test_turns(self) -> None:
        """Only so many have their turn at the same time; who waits for it has it when another one ends, or leaves."""
        self.inflows = Inflows(lambda: False, 1)
        first, second, third = (self.turn() for _ in range(3))
        begun = [Deferred.fromCoroutine(each.begin()) for each in (first, second, third)]
        self.successResultOf(begun[0])
        self.assertNoResult(begun[1])
        self.assertTrue(self.inflows.crowded())
        begun[1].cancel()
        self.failureResultOf(begun[1], CancelledError)
        second.end(resting=False)
        self.assertNoResult(begun[2])
        first.end(resting=False)
        self.successResultOf(begun[2])
        first.end(resting=True)
        fourth = Deferred.fromCoroutine(self.turn().begin())
        self.assertNoResult(fourth)
        self.assertTrue(self.inflows.crowded())
        third.end(resting=True)
        self.successResultOf(fourth)
        self.assertFalse(self.inflows.crowded())

    def test_processors(self) -> None:
        """As many have a turn as there are processors, and threads are left for what is no body."""
        for processors, turns in ((None, 1), (2, 2), (64, 8)):
            self.patch(os, "cpu_count", lambda processors=processors: processors)
            inflows = Inflows(lambda: False)
            for _ in range(turns):
                self.successResultOf(Deferred.fromCoroutine(inflows.begin()))
            waiting = Deferred.fromCoroutine(inflows.begin())
            self.assertNoResult(waiting)
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)

    def test_all_end_at_once(self) -> None:
        """However many come to their end as soon as it is their turn, as when the disk is full, each has its turn."""
        self.inflows = Inflows(lambda: False, 1)
        first = self.turn()
        self.successResultOf(Deferred.fromCoroutine(first.begin()))

        async def fail(inflow: Inflow) -> None:
            try:
                await inflow.begin()
                raise ZeroDivisionError
            finally:
                inflow.end(resting=True)

        failing = [Deferred.fromCoroutine(fail(self.turn())) for _ in range(300)]
        first.end(resting=True)
        for each in failing:
            self.failureResultOf(each, ZeroDivisionError)
        self.assertFalse(self.inflows.crowded())
        self.successResultOf(Deferred.fromCoroutine(self.turn().begin()))

    def test_many_wait(self) -> None:
        """The more wait the shorter are the turns, for nobody is to wait too long; not shorter than is worth it."""
        self.inflows = Inflows(lambda: False, 1)
        sizes = []
        for _ in range(1 + 1024):
            sizes.append(self.inflows.most_bytes)
            waiting = Deferred.fromCoroutine(self.inflows.begin())
            self.addCleanup(waiting.addErrback, lambda _: None)
            self.addCleanup(waiting.cancel)
        self.assertEqual(8 * MIB, sizes[33])
        self.assertEqual(4 * MIB, sizes[65])
        self.assertEqual(MIB // 2, sizes[1024])

    def test_buffers(self) -> None:
        """Memory is used again at the second call after, and once its turn is over; not while somebody may look at it."""
        self.use_again(2)

    def test_buffers_of_decrypted(self) -> None:
        """What is decrypted is there for a call more."""

        def receive(connection: int, room: memoryview) -> int:
            return receive_plain(connection, room)

        self.patch(self, "receive", receive)
        self.use_again(3)

    def use_again(self, count: int) -> None:
        """So many buffers are used in turn."""
        for resting in (False, True):
            inflow = self.turn()
            sent = [b"abc", b"def", b"ghi", b"jkl"][: count + 1]
            pieces = []
            for data in sent:
                self.client.sendall(data)
                piece = inflow()
                assert isinstance(piece, memoryview)
                self.assertEqual(data, piece)
                pieces.append(piece)
            self.assertEqual([sent[-1], *sent[1:count]], pieces[:count])
            self.assertIs(pieces[0].obj, pieces[count].obj)
            inflow.end(resting=resting)
            taken = {id(self.inflows.take_buffer()) for _ in range(count)}
            self.assertEqual(resting, taken == {id(each.obj) for each in pieces})

    def test_few_spare(self) -> None:
        """Few buffers are kept, however many were needed."""
        taken = [self.inflows.take_buffer() for _ in range(20)]
        for each in taken:
            self.inflows.give_back(each)
        again = [self.inflows.take_buffer() for _ in range(20)]
        self.assertEqual(4, len({id(each) for each in taken} & {id(each) for each in again}))

    def test_short(self) -> None:
        """What is left of a body, when that is little, is taken to its end, and nobody waits for a turn."""
        inflows = Inflows(lambda: False, turns=0)
        for whole in (False, True):
            self.client.sendall(b"abc" if whole else b"ab")
            inflow = Inflow(inflows, os.dup(self.ours.fileno()), self.receive, None, b"", b"0", 3, short=True)
            self.successResultOf(Deferred.fromCoroutine(inflow.begin()))
            self.assertFalse(inflow.is_whole)
            self.assertEqual(b"0abc" if whole else b"0ab", self.all_of(inflow))
            self.assertEqual((whole, not whole), (inflow.is_whole, inflow.dry))
            if whole:
                # Who asks in the middle of a read, from another thread, finds it whole when all is counted, and not before.
                inflow.carried -= 1
                self.assertFalse(inflow.is_whole)
        # Nothing was taken that has to be given back.
        other = Deferred.fromCoroutine(self.turn().begin())
        waiting = Deferred.fromCoroutine(inflows.begin())
        self.successResultOf(other)
        self.assertNoResult(waiting)

    def test_long_is_not_whole(self) -> None:
        """A turn that takes all that it may has not come to the end of the body for that."""
        self.client.sendall(b"abc")
        inflow = self.turn(most=3)
        self.assertEqual(b"abc", self.all_of(inflow))
        self.assertFalse(inflow.is_whole)

    def test_steady(self) -> None:
        """Who sends again and again keeps his turn, if it is much each time."""
        for size, whole in ((inflow_module.FLOWING_BYTES, True), (1000, False)):
            for position in (None, 0):
                inflow = self.turn()
                if position is not None:
                    inflow.align(position)
                self.patch(Inflow, "_wait", lambda _, size=size: bool(self.client.send(bytes(size))))
                found = self.all_of(inflow)
                self.assertEqual((whole, not whole), (len(found) == MIB, inflow.dry))
                self.assertEqual(inflow.taken, len(found))

    def test_end_of_body(self) -> None:
        """The end of a long body of known length is not for a thread."""
        self.assertEqual(100, most_of(None, 100))
        self.assertEqual(100, most_of(MIB, 100))
        self.assertEqual(MIB - 65536, most_of(MIB, 2 * MIB))
        self.assertLess(most_of(100, MIB), 0)
