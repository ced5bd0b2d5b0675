"""A daemon that is asked the same again and again, byte by byte."""

from contextlib import closing

from dockreg.model.mediatypes import OCI_INDEX
from tests.integration.streaming import Answer, Client, head
from tests.integration.v2case import V2Case, digest_of, make_index


class KnownHeadTests(V2Case):
    """What is answered is what there is now."""

    def client(self) -> Client:
        """A connection that stays open."""
        return Client(self.daemon.port)

    def repeat(self, client: Client, line: str, *headers: str) -> Answer:
        """The answer to a request that is sent three times, of which all are alike."""
        answers = []
        for _ in range(3):
            client.send(head(line, *headers))
            answers.append(client.answer())
        for each in answers:
            self.assertEqual((answers[0].status, answers[0].body), (each.status, each.body))
        return answers[0]

    def test_moved(self) -> None:
        """A tag that appears, is moved and is deleted is seen at once, on each connection."""
        line = f"GET /v2/{self.name}/manifests/now"
        manifests = [make_index(annotations={"number": str(number)}) for number in range(3)]
        with closing(self.client()) as one, closing(self.client()) as other:
            self.assertEqual((404, 404), (self.repeat(one, line).status, self.repeat(other, line).status))
            for each in manifests:
                self.assertEqual(201, self.put("now", each, OCI_INDEX).status)
                self.assertEqual((each, each), (self.repeat(one, line).body, self.repeat(other, line).body))
            self.assertEqual(202, self.ask("DELETE", "manifests/now").status)
            self.assertEqual((404, 404), (self.repeat(one, line).status, self.repeat(other, line).status))

    def test_blob(self) -> None:
        """A blob that is no longer part of the repository is not sent from memory."""
        digest = self.push_blob(b"bytes")
        line = f"GET /v2/{self.name}/blobs/{digest}"
        with closing(self.client()) as client:
            self.assertEqual(b"bytes", self.repeat(client, line).body)
            self.assertEqual(
                (206, b"yt"),
                (
                    self.repeat(client, line, "Range: bytes=1-2").status,
                    self.repeat(client, line, "Range: bytes=1-2").body,
                ),
            )
            self.assertEqual(202, self.ask("DELETE", f"blobs/{digest}").status)
            self.assertEqual(404, self.repeat(client, line).status)

    def test_pipelined(self) -> None:
        """Requests that come together, and behind known ones that are still answered, are answered in their order."""
        digest = self.push_blob(b"x" * 300_000)
        large, small = head(f"GET /v2/{self.name}/blobs/{digest}"), head("GET /v2/")
        with closing(self.client()) as client:
            for _ in range(3):
                client.send(large)
                client.send(small)
                client.send(small + large)
                lengths = [len(client.answer().body) for _ in range(4)]
                self.assertEqual([300_000, 2, 2, 300_000], lengths)

    def test_gone(self) -> None:
        """A client that leaves without its answers harms nobody."""
        digest = self.push_blob(b"y" * 1_000_000)
        large = head(f"GET /v2/{self.name}/blobs/{digest}")
        for _ in range(5):
            with closing(self.client()) as client:
                client.send(large)
                client.send(large)
        with closing(self.client()) as client:
            self.assertEqual(1_000_000, len(self.repeat(client, f"GET /v2/{self.name}/blobs/{digest}").body))

    def test_pushed(self) -> None:
        """Blobs and tags that come behind the same fields are each what was sent, however they came and were asked for."""
        blobs = [b"blob %d" % number * (1 + 400 * number) for number in range(12)]
        with closing(self.client()) as client:
            for number, blob in enumerate(blobs):
                line = f"POST /v2/{self.name}/blobs/uploads/?digest={digest_of(blob)}"
                sent = head(line, "Content-Type: application/octet-stream", f"Content-Length: {len(blob)}") + blob
                cut = (len(sent), len(sent) - len(blob), len(sent) - 1, 30)[number % 4]
                client.send(sent[:cut])
                client.send(sent[cut:] + head("GET /v2/"))
                self.assertEqual([201, 200], [client.answer().status for _ in range(2)])
            manifests = [make_index(annotations={"number": "x" * number}) for number in range(6)]
            for each in manifests:
                fields = (f"Content-Type: {OCI_INDEX}", f"Content-Length: {len(each)}")
                client.send(head(f"PUT /v2/{self.name}/manifests/now", *fields) + each)
                client.send(head(f"GET /v2/{self.name}/manifests/now"))
                self.assertEqual(
                    [(201, b""), (200, each)], [(a.status, a.body) for a in (client.answer(), client.answer())]
                )
        self.assertEqual(blobs, [self.ask("GET", f"blobs/{digest_of(each)}").content for each in blobs])

    def test_pushed_in_turns(self) -> None:
        """Large blobs behind the same fields are each what was sent, by whomever they are read from the connection."""
        blobs = [bytes([number]) * (3_000_000 + number) + b"end" for number in range(12)]
        with closing(self.client()) as client:
            for blob in blobs:
                line = f"POST /v2/{self.name}/blobs/uploads/?digest={digest_of(blob)}"
                client.send(head(line, "User-Agent: large", f"Content-Length: {len(blob)}") + blob)
                self.assertEqual(201, client.answer().status)
