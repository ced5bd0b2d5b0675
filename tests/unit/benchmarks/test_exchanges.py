"""Tests of :mod:`benchmarks.exchanges` and :mod:`benchmarks.exchanges_v1`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.contenders.base import Situation
from benchmarks.content import Blob, Content
from benchmarks.exchanges import Client, Steps
from benchmarks.exchanges_v1 import V1Client, V1Image
from benchmarks.messages import Answer, FilePart, Request, joined_chunks
from dockreg.testing.tarsums import payload_checksum, tarsum


def played(steps: Steps, answers: Mapping[str, bytes]) -> list[tuple[str, Request]]:
    """The request lines of a script, and its requests; each is answered by the answer to its method."""
    found: list[tuple[str, Request]] = []
    try:
        request = next(steps)
        while True:
            line = request.head.split(b" HTTP/1.1\r\n")[0].decode()
            found.append((line, request))
            request = steps.send(Answer(answers[line.split()[0]], bodyless=request.bodyless))
    except StopIteration:
        return found


def accepted(location: str) -> bytes:
    """The answer to a request of an upload."""
    return f"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nLocation: {location}\r\n".encode()


CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n"


class PushTests(SynchronousTestCase):
    """Three ways to push a blob."""

    def setUp(self) -> None:
        self.client = Client(5000, Situation())
        self.blob = Blob.of(b"content")

    def test_streamed(self) -> None:
        """A session, a chunked PATCH to where it is, and a PUT to where that leads; one operation."""
        answers = {"POST": accepted("/a?x=1"), "PATCH": accepted("http://127.0.0.1:5000/b?x=2"), "PUT": CREATED}
        requests = played(self.client.push_streamed("r", self.blob), answers)
        lines = [line for line, _ in requests]
        self.assertEqual(["POST /v2/r/blobs/uploads/", "PATCH /a?x=1", f"PUT /b?x=2&digest={self.blob.digest}"], lines)
        self.assertEqual([False, False, True], [request.ends for _, request in requests])
        patch = requests[1][1]
        self.assertIn(b"Transfer-Encoding: chunked\r\n", patch.head)
        self.assertEqual(b"content", joined_chunks(b"".join(part for part in patch.parts if isinstance(part, bytes))))

    def test_patched(self) -> None:
        """The PATCH has a length."""
        answers = {"POST": accepted("/a"), "PATCH": accepted("/b"), "PUT": CREATED}
        requests = played(self.client.push_patched("r", self.blob), answers)
        self.assertIn(b"Content-Length: 7\r\n", requests[1][1].head)
        self.assertEqual(f"PUT /b?digest={self.blob.digest}", requests[2][0])

    def test_put(self) -> None:
        """The PUT brings all bytes."""
        requests = played(self.client.push_put("r", self.blob), {"POST": accepted("/a"), "PUT": CREATED})
        self.assertEqual(2, len(requests))
        self.assertEqual([b"content"], list(requests[1][1].parts))


class CredentialsTests(SynchronousTestCase):
    """Who the requests come from."""

    def test_accounts(self) -> None:
        """Basic credentials where there are accounts, none elsewhere; a token goes before both."""
        self.assertNotIn(b"Authorization", Client(1, Situation()).head("GET", "/"))
        client = Client(1, Situation(accounts=True))
        self.assertIn(b"\r\nAuthorization: Basic ", client.head("GET", "/"))
        self.assertIn(b"\r\nAuthorization: Token t\r\n", client.head("GET", "/", authorization="Token t"))


class V1Tests(SynchronousTestCase):
    """A push of v1."""

    def test_push(self) -> None:
        """Json, a chunked layer, and the checksums of both, as engines since 0.10 send them; one operation."""
        source = Content(Path()).source(4096)
        image = V1Image.of(source)
        done = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"
        requests = played(V1Client(Client(1, Situation()), "Token t").push(image), {"PUT": done})
        self.assertEqual(
            [f"PUT /v1/images/{image.image_id}/{what}" for what in ("json", "layer", "checksum")],
            [line for line, _ in requests],
        )
        self.assertEqual([False, False, True], [request.ends for _, request in requests])
        layer = b"".join(part for part in image.layer.parts if isinstance(part, bytes))
        for header, expected in (
            ("X-Docker-Checksum-Payload", payload_checksum(image.json, layer)),
            ("X-Docker-Checksum", tarsum(image.json, layer, "order")),
        ):
            self.assertIn(f"{header}: {expected}\r\n".encode(), requests[2][1].head)

    def test_tarsum_of_a_file(self) -> None:
        """It is the same of a blob that is in a file."""
        content = Content(Path(self.mktemp()))
        content.folder.mkdir()
        self.addCleanup(content.close)
        source = content.source(1024 * 1024)
        image = V1Image.of(source)
        hasher = hashlib.sha256()
        source.hash_into(hasher, image.layer)
        self.assertEqual(image.layer.digest, f"sha256:{hasher.hexdigest()}")
        layer = b"".join(
            bytes(part.file.view[: part.size]) if isinstance(part, FilePart) else part for part in image.layer.parts
        )
        self.assertEqual(tarsum(image.json, layer, "order"), image.tarsum)
