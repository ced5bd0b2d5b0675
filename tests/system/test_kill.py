"""
What was acknowledged survives ``kill -9``, and what was not leaves nothing behind.

Each scenario is repeated, with the kill at another moment each time; everything is checked from outside, after a
restart.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import socket
import sqlite3
import tarfile
import threading
import time  # noqa: TID251  # the daemon is killed at moments of real time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.processes import PreparedDaemon

KILLS = 12
REPOSITORY = "/v1/repositories/crash/app"


def layer_of(number: int, size: int = 300_000) -> bytes:
    """A gzip tar that no other number has."""
    seed = hashlib.sha256(str(number).encode()).digest()
    content = b"".join(hashlib.sha256(seed + str(part).encode()).digest() for part in range(size // 32))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(f"file-{number}")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1, mtime=0)


class Image:
    """One image that a test pushes step by step."""

    def __init__(self, number: int) -> None:
        self.image_id = hashlib.sha256(f"image {number}".encode()).hexdigest()
        self.json = json.dumps({"id": self.image_id, "created": "2014-01-01T00:00:00Z", "number": number}).encode()
        self.layer = layer_of(number)
        self.payload = "sha256:" + hashlib.sha256(self.json + b"\n" + self.layer).hexdigest()
        self.path = f"/v1/images/{self.image_id}"


class KillTests(SynchronousTestCase):
    """``kill -9`` at every step of a push."""

    def setUp(self) -> None:
        self.daemon = PreparedDaemon(Path(self.mktemp()).absolute())
        self.daemon.start()
        self.addCleanup(self.daemon.kill)
        self.acknowledged: list[Image] = []

    # The steps of a push

    def announce(self, image: Image) -> None:
        body = json.dumps([{"id": image.image_id}]).encode()
        self.assertEqual(200, self.daemon.request("PUT", f"{REPOSITORY}/", body)[0])

    def put_json(self, image: Image) -> None:
        self.announce(image)
        self.assertEqual(200, self.daemon.request("PUT", f"{image.path}/json", image.json)[0])

    def put_layer(self, image: Image) -> None:
        self.put_json(image)
        self.assertEqual(200, self.daemon.request("PUT", f"{image.path}/layer", image.layer)[0])

    def put_checksum(self, image: Image) -> int:
        return self.daemon.request("PUT", f"{image.path}/checksum", b"", {"X-Docker-Checksum-Payload": image.payload})[
            0
        ]

    def put_tag(self, tag: str, image: Image) -> int:
        return self.daemon.request("PUT", f"{REPOSITORY}/tags/{tag}", json.dumps(image.image_id).encode())[0]

    # Killing

    def kill_during(self, request: Callable[[], int], delay: float) -> int | None:
        """Kill the daemon ``delay`` seconds after ``request`` began; return its status if it was answered."""
        answers: list[int] = []

        def ask() -> None:
            with contextlib.suppress(OSError):
                answers.append(request())

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(delay)
        self.daemon.kill()
        asking.join()
        return answers[0] if answers else None

    def delays(self, request: Callable[[], int]) -> list[float]:
        """Moments spread over the time that ``request`` takes, and a little after."""
        began = time.monotonic()
        self.assertEqual(200, request())
        took = time.monotonic() - began
        return [took * 1.2 * number / KILLS for number in range(KILLS)]

    # What must hold afterwards

    def restart_and_check(self, unsure: Image | None = None) -> None:
        """Every acknowledged image is whole, an unsure one is whole or not there, and nothing else is left."""
        self.daemon.kill()
        self.daemon.start()
        for image in self.acknowledged:
            self.check_whole(image)
        if unsure is not None and self.daemon.request("GET", f"{unsure.path}/json")[0] == 200:
            self.check_whole(unsure)
        self.assertEqual([], list((self.daemon.data / "blobs" / "staging").iterdir()))
        self.check_objects()

    def check_whole(self, image: Image) -> None:
        status, content, headers = self.daemon.request("GET", f"{image.path}/json")
        self.assertEqual((200, image.json), (status, content))
        self.assertEqual(str(len(image.layer)), headers["x-docker-size"])
        self.assertEqual((200, image.layer), self.daemon.request("GET", f"{image.path}/layer")[:2])
        ancestry = self.daemon.request("GET", f"{image.path}/ancestry")[1]
        self.assertEqual([image.image_id], json.loads(ancestry))

    def check_objects(self) -> None:
        """Each stored object is recorded, and each recorded one is stored and sound."""
        stored = {}
        for folder, _, names in os.walk(self.daemon.data / "blobs" / "sha256"):
            for name in names:
                stored[name] = Path(folder, name).read_bytes()
        database = sqlite3.connect(self.daemon.data / "metadata.sqlite3")
        try:
            query = "select digest, generation, content from blobs where generation is not null"
            rows = [
                (f"{digest.partition(':')[2]}.{name}", content) for digest, name, content in database.execute(query)
            ]
        finally:
            database.close()
        self.assertEqual({name for name, content in rows if content is None}, set(stored))
        stored |= {name: content for name, content in rows if content is not None}
        for name, content in stored.items():
            self.assertEqual(name.partition(".")[0], hashlib.sha256(content).hexdigest())

    # The scenarios

    def test_in_the_layer_body(self) -> None:
        """A layer that was cut by a kill is not there afterwards, and can be pushed again."""
        for number in range(KILLS):
            image = Image(number)
            self.put_json(image)
            sent = len(image.layer) * number // KILLS
            with socket.create_connection(("127.0.0.1", self.daemon.port), timeout=60) as client:
                head = f"PUT {image.path}/layer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(image.layer)}\r\n\r\n"
                client.sendall(head.encode() + image.layer[:sent])
                time.sleep(0.02 * (number % 4))
                self.daemon.kill()
            self.restart_and_check()
            self.assertEqual(400, self.daemon.request("GET", f"{image.path}/json")[0])
            self.assertEqual(400, self.put_checksum(image))
            self.assertEqual(200, self.daemon.request("PUT", f"{image.path}/layer", image.layer)[0])
            self.assertEqual(200, self.put_checksum(image))
            self.acknowledged.append(image)
        self.restart_and_check()

    def test_between_layer_and_checksum(self) -> None:
        """A layer that was acknowledged is still there for its checksum after a kill."""
        for number in range(KILLS):
            image = Image(number)
            self.put_layer(image)
            self.restart_and_check()
            self.assertEqual(400, self.daemon.request("GET", f"{image.path}/json")[0])
            self.assertEqual(200, self.put_checksum(image))
            self.acknowledged.append(image)
        self.restart_and_check()

    def test_in_the_commit_of_a_layer(self) -> None:
        """A kill while a layer becomes durable leaves it staged or not there, and no bytes that nobody knows."""

        def commit(image: Image) -> int:
            return self.daemon.request("PUT", f"{image.path}/layer", image.layer)[0]

        timed = Image(10_000)
        self.put_json(timed)
        for number, delay in enumerate(self.delays(partial(commit, timed))):
            image = Image(number)
            self.put_json(image)
            status = self.kill_during(partial(commit, image), delay)
            self.restart_and_check()
            completed = self.put_checksum(image)
            if status == 200:
                self.assertEqual(200, completed)
            self.assertIn(completed, (200, 400))
            if completed == 200:
                self.acknowledged.append(image)
        self.restart_and_check()

    def test_in_the_checksum(self) -> None:
        """A kill while an image is completed leaves it complete or not, never half."""
        timed = Image(10_000)
        self.put_layer(timed)
        self.acknowledged.append(timed)
        for number, delay in enumerate(self.delays(partial(self.put_checksum, timed))):
            image = Image(number)
            self.put_layer(image)
            status = self.kill_during(partial(self.put_checksum, image), delay)
            if status == 200:
                self.acknowledged.append(image)
            self.restart_and_check(unsure=image)
            self.assertEqual(200, self.put_checksum(image))
            if status != 200:
                self.acknowledged.append(image)
        self.restart_and_check()

    def test_in_the_tag_transaction(self) -> None:
        """A kill while a tag moves leaves it where it was or where it should be."""
        images = [Image(20_000), Image(20_001)]
        for image in images:
            self.put_layer(image)
            self.assertEqual(200, self.put_checksum(image))
            self.acknowledged.append(image)
        current = images[0].image_id
        for number, delay in enumerate(self.delays(partial(self.put_tag, "moving", images[0]))):
            wanted = images[(number + 1) % 2]
            status = self.kill_during(partial(self.put_tag, "moving", wanted), delay)
            self.restart_and_check()
            found = json.loads(self.daemon.request("GET", f"{REPOSITORY}/tags/moving")[1])
            self.assertIn(found, (wanted.image_id,) if status == 200 else (wanted.image_id, current))
            self.assertEqual(200, self.put_tag("moving", wanted))
            current = wanted.image_id
