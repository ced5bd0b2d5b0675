"""Tarsums at the door."""

from collections.abc import Mapping

from dockreg.testing.samples import gzip_layer
from dockreg.testing.tarsums import payload_checksum, tarsum
from tests.integration.test_early_answers import TOP, AnswerCase


class TarsumTests(AnswerCase):
    """Tarsums of a daemon, which engines up to 0.9 live by, and later ones send beside the payload checksum."""

    def sent(self, agent: str) -> tuple[str, dict[str, str]]:
        """A layer that waits for its checksum; its path, and the headers for it."""
        self.start()
        headers = {**self.stage(TOP), "User-Agent": agent}
        path = f"/v1/images/{TOP.id}"
        self.assertEqual(200, self.daemon.request("PUT", f"{path}/layer", gzip_layer(TOP.layer), headers)[0])
        return path, headers

    def claim(self, path: str, headers: Mapping[str, str], *, payload: str, checksum: str) -> int:
        """Send the checksums; the status."""
        claimed = {"X-Docker-Checksum-Payload": payload, "X-Docker-Checksum": checksum}
        return self.daemon.request("PUT", f"{path}/checksum", b"", {**headers, **claimed})[0]

    def told(self, path: str) -> str | None:
        """What the headers of the image json say."""
        return self.daemon.request("GET", f"{path}/json")[2].get("x-docker-checksum")

    def test_claimed(self) -> None:
        """A tarsum alone counts, a wrong one does not; from then on the image tells it."""
        path, headers = self.sent("docker/1.0.0 go/go1.2.1")
        wrong, right = "tarsum+sha256:" + "0" * 64, tarsum(TOP.json, TOP.layer, "order")
        self.assertEqual(400, self.claim(path, headers, payload="sha256:0", checksum=wrong))
        self.assertEqual(200, self.claim(path, headers, payload="sha256:0", checksum=right))
        self.assertEqual(200, self.claim(path, headers, payload="sha256:0", checksum=right))
        self.assertEqual(409, self.claim(path, headers, payload="sha256:0", checksum=wrong))
        self.assertEqual(right, self.told(path))

    def test_payload(self) -> None:
        """A payload checksum counts whatever is beside it; a tarsum that nobody has asked for is not told."""
        path, headers = self.sent("docker/1.9.1 go/go1.4.3")
        wrong, right = "tarsum+sha256:" + "0" * 64, payload_checksum(TOP.json, gzip_layer(TOP.layer))
        self.assertEqual(200, self.claim(path, headers, payload=right, checksum=wrong))
        self.assertIsNone(self.told(path))

    def test_old_engine(self) -> None:
        """That of what an engine up to 0.9 pushes is known when its checksum comes."""
        path, headers = self.sent("docker/0.9.1 go/go1.2.1")
        right = payload_checksum(TOP.json, gzip_layer(TOP.layer))
        self.assertEqual(200, self.claim(path, headers, payload=right, checksum=""))
        self.assertEqual(tarsum(TOP.json, TOP.layer, "order"), self.told(path))
