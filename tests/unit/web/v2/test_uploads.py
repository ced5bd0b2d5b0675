"""Tests for dockreg.web.v2.uploads: what headers and parameters say of a request's bytes."""

from collections.abc import Sequence
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from dockreg.callables import Piece
from dockreg.errors import DigestInvalid, RangeInvalid, RequestInvalid, SizeInvalid
from dockreg.model.digest import Digest
from dockreg.web.bodies import IRequestBody, Receive
from dockreg.web.v2 import uploads
from dockreg.web.v2.locations import Locations
from tests.unit.v1case import ONE
from tests.unit.v2case import JOE, V2TestCase
from tests.unit.web.v2.exchanges import exchange_of, response_header

PATH = "/v2/demo/one/blobs/uploads/"


class OffsetTests(SynchronousTestCase):
    """``Content-Range`` as clients write it."""

    def offset(self, header: str, length: int | None = 3) -> int | None:
        headers = ["Transfer-Encoding: chunked"] if length is None else [f"Content-Length: {length}"]
        exchange = exchange_of(f"PUT {PATH}x", *headers, f"Content-Range: {header}")
        return uploads._offset(exchange.header(b"content-range") or "", exchange.body.length)

    def test_first_byte(self) -> None:
        """It says the first byte, in the form of the specification and in those of HTTP."""
        for header in ("7-9", "bytes=7-9", "bytes 7-9", "bytes 7-9/10", "bytes 7-9/*", "7-9/10", "007-9"):
            self.assertEqual(7, self.offset(header), header)
        self.assertEqual(0, self.offset("0-2"))
        self.assertEqual(2**62, self.offset(f"{2**62}-{2**62 + 2}"))

    def test_unknown_length(self) -> None:
        """The length need not be known."""
        self.assertEqual(7, self.offset("7-9", None))

    def test_no_bytes(self) -> None:
        """Where nothing comes it says nothing."""
        for header in ("7-9", "0-0", "9-7"):
            self.assertIsNone(self.offset(header, 0))

    def test_does_not_fit(self) -> None:
        """One that is of another length than the body, or ends before it begins, is refused."""
        for header in ("0-0", "0-1", "0-3", "2-0", "9-7"):
            self.assertIn(header, self.assertRaises(SizeInvalid, self.offset, header).reason)
        self.assertRaises(SizeInvalid, self.offset, "9-7", None)

    def test_no_range(self) -> None:
        """What is no range is refused, also where nothing comes."""
        for header in (
            "",
            "x",
            "1",
            "-",
            "1-",
            "-1",
            "1--2",
            "0-2,3-4",
            "bytes=*/3",
            "\u0661-\u0662",
            "1" * 30 + "-2",
            "0 - 2",
        ):
            for length in (0, 3, None):
                self.assertRaises(RequestInvalid, self.offset, header, length)


class DigestTests(SynchronousTestCase):
    """The parameter ``digest``."""

    def test_digest(self) -> None:
        """It is there, and a digest; the colon may be encoded."""
        digest = Digest.sha256(b"")
        for text in (str(digest), str(digest).replace(":", "%3A")):
            self.assertEqual(digest, uploads._digest(exchange_of(f"PUT {PATH}x?digest={text}&digest=other")))
        for query in ("", "?digest", "?digest=", "?digest=x", "?Digest=sha256:x", f"?digest={str(digest).upper()}"):
            self.assertRaises(DigestInvalid, uploads._digest, exchange_of(f"PUT {PATH}x{query}"))


class AnswerTests(V2TestCase):
    """Where clients are told to go on."""

    def setUp(self) -> None:
        super().setUp()
        self.door = uploads.UploadsDoor(self.uploads, Locations())

    def test_names(self) -> None:
        """Locations have the name that the client has used."""
        for name in ("demo/one", "library/x", "x", "blobs/blobs"):
            exchange = exchange_of(f"POST /v2/{name}/blobs/uploads/", "Content-Length: 0", principal=JOE)
            self.result(self.door.start(exchange, ONE))
            upload_id = response_header(exchange, "docker-upload-uuid")
            self.assertEqual(f"/v2/{name}/blobs/uploads/{upload_id}", response_header(exchange, "location"))
            self.assertEqual((202, "0-0"), (exchange.request.code, response_header(exchange, "range")))

    def test_wrong_offset(self) -> None:
        """A refused range tells where the session is and what it has."""
        upload_id = self.start()
        for content, last in ((b"", 0), (b"abc", 2)):
            self.result(self.append(ONE, upload_id, content))
            exchange = exchange_of(f"PUT {PATH}{upload_id}", "Content-Length: 3", "Content-Range: 7-9", principal=JOE)
            self.refused(RangeInvalid, self.door.append(exchange, ONE, upload_id))
            self.assertEqual(f"0-{last}", response_header(exchange, "range"))
            self.assertEqual(f"{PATH}{upload_id}", response_header(exchange, "location"))


class Arriving:
    """A body in chunks, of which so many bytes came at first."""

    length = None
    whole = None

    def __init__(self, came: int) -> None:
        self.came = came
        self.poured = 0

    async def arrived(self) -> int:
        return self.came

    async def pour(self, receive: Receive, most: int) -> int:
        came, self.came = self.came, 0
        self.poured += came
        if came:
            await receive(iter([bytes(came), b""]).__next__)
        return came

    async def read(self) -> Sequence[Piece]:
        came, self.came = self.came, 0
        return (bytes(came),) if came else ()


class MuchTests(V2TestCase):
    """Who reads the body of a request."""

    def test_chunks(self) -> None:
        """Of a body in chunks much that comes at once is poured, with what follows; less is gathered, with its end."""
        door = uploads.UploadsDoor(self.uploads, Locations())
        for came, poured in ((48 * 1024, 48 * 1024), (48 * 1024 - 1, 0)):
            body, upload_id = Arriving(came), self.start()
            upload = self.result(self.uploads.resume(JOE, ONE, upload_id, None, soon=True))
            self.assertEqual((), self.result(door._receive(cast("IRequestBody", body), upload)))
            self.assertEqual((came, poured), (upload.size, body.poured))
            self.result(upload.pause())
            self.assertEqual(came, self.result(self.uploads.size(JOE, ONE, upload_id)))
