"""Blobs pushed through v2, in each way that there is, and broken off in each way that clients break off."""

import socket
import threading

from dockreg.testing.samples import bytes_of
from tests.integration.v2case import Reply, V2Case, digest_of

ONE = bytes_of("one", 200_000)


class UploadTests(V2Case):
    """Sessions and whole blobs."""

    def check_stored(self, content: bytes, digest: str) -> None:
        reply = self.ask("GET", f"blobs/{digest}")
        self.assertEqual((200, content), (reply.status, reply.content))
        self.assertEqual(digest, reply.headers["docker-content-digest"])
        self.assertEqual("application/octet-stream", reply.headers["content-type"])
        head = self.ask("HEAD", f"blobs/{digest}")
        self.assertEqual((200, str(len(content))), (head.status, head.headers["content-length"]))

    def check_created(self, reply: Reply, digest: str) -> None:
        self.assertEqual(201, reply.status, reply.content)
        self.assertEqual(digest, reply.headers["docker-content-digest"])
        self.assertEqual(f"/v2/{self.name}/blobs/{digest}", reply.headers["location"])

    def test_post_then_put(self) -> None:
        """A session takes a whole blob in its closing PUT."""
        for content in (b"", b"x", ONE):
            for algorithm in ("sha256", "sha512"):
                digest = digest_of(content, algorithm)
                reply = self.ask("PUT", f"{self.start()}?digest={digest}", content)
                self.check_created(reply, digest)
                self.check_stored(content, digest)

    def test_single_post(self) -> None:
        """One POST brings a whole blob; a POST with a digest and no bytes begins a session."""
        for content in (b"", ONE):
            digest = digest_of(content, "sha512")
            self.check_created(self.ask("POST", f"blobs/uploads/?digest={digest}", content), digest)
            self.check_stored(content, digest)
        self.start(f"?digest={digest_of(ONE)}")

    def test_start(self) -> None:
        """A new session is told by a relative Location, an id, and a range that docker can read."""
        reply = self.ask("POST", "blobs/uploads/", b"")
        self.assertEqual((202, "0-0"), (reply.status, reply.headers["range"]))
        expected = f"/v2/{self.name}/blobs/uploads/{reply.headers['docker-upload-uuid']}"
        self.assertEqual(expected, reply.headers["location"])

    def test_chunks(self) -> None:
        """Chunks with Content-Range come in order; the status tells how far they have come; the last one closes."""
        where = self.start()
        for first in range(0, 150_000, 50_000):
            chunk = ONE[first : first + 50_000]
            ranged = f"{first}-{first + len(chunk) - 1}"
            reply = self.ask("PATCH", where, chunk, Content_Range=ranged)
            self.assertEqual((202, f"0-{first + 49_999}"), (reply.status, reply.headers["range"]))
            self.assertEqual(where, reply.headers["location"])
            status = self.ask("GET", where)
            self.assertEqual(
                (204, f"0-{first + 49_999}", b""), (status.status, status.headers["range"], status.content)
            )
        reply = self.ask("PUT", f"{where}?digest={digest_of(ONE)}", ONE[150_000:], Content_Range="150000-199999")
        self.check_created(reply, digest_of(ONE))
        self.check_stored(ONE, digest_of(ONE))
        self.refused(404, "BLOB_UPLOAD_UNKNOWN", self.ask("GET", where))

    def test_stream(self) -> None:
        """PATCH without Content-Range appends, and an empty PUT closes."""
        where = self.start("?digest-algorithm=sha512")
        for chunk in (ONE[:7], b"", ONE[7:]):
            self.assertEqual(202, self.ask("PATCH", where, chunk).status)
        digest = digest_of(ONE, "sha512")
        self.check_created(self.ask("PUT", f"{where}?digest={digest}", b""), digest)
        self.check_stored(ONE, digest)

    def test_late_algorithm(self) -> None:
        """A session whose bytes were digested by one algorithm can be closed with the digest of the other one."""
        where = self.start()
        self.ask("PATCH", where, ONE)
        digest = digest_of(ONE, "sha512")
        self.check_created(self.ask("PUT", f"{where}?digest={digest}", b""), digest)

    def test_wrong_offset(self) -> None:
        """A chunk that is not the next one is refused with what a client needs to go on; nothing of it is kept."""
        where = self.start()
        self.ask("PATCH", where, ONE[:1000], Content_Range="0-999")
        for ask in (
            lambda: self.ask("PATCH", where, ONE[:1000], Content_Range="0-999"),
            lambda: self.ask("PATCH", where, ONE[2000:3000], Content_Range="2000-2999"),
            lambda: self.ask("PUT", f"{where}?digest={digest_of(ONE)}", ONE[500:], Content_Range="500-199999"),
        ):
            reply = ask()
            error = self.refused(416, "BLOB_UPLOAD_INVALID", reply)
            self.assertEqual(("0-999", where), (reply.headers["range"], reply.headers["location"]))
            self.assertEqual({"size": 1000}, error["detail"])
        reply = self.ask("PUT", f"{where}?digest={digest_of(ONE)}", ONE[1000:], Content_Range="1000-199999")
        self.check_created(reply, digest_of(ONE))

    def test_bad_range(self) -> None:
        """A Content-Range that is none, or does not fit the body, is refused, and the session goes on."""
        where = self.start()
        self.refused(400, "UNSUPPORTED", self.ask("PATCH", where, b"abc", Content_Range="abc"))
        for ranged in ("0-9", "2-0"):
            self.refused(400, "SIZE_INVALID", self.ask("PATCH", where, b"abc", Content_Range=ranged))
        reply = self.ask("PUT", f"{where}?digest={digest_of(b'abc')}", b"abc", Content_Range="0-2")
        self.check_created(reply, digest_of(b"abc"))

    def test_wrong_digest(self) -> None:
        """Bytes with another digest than was said become no blob, and their session ends."""
        wrong = digest_of(b"other")
        where = self.start()
        error = self.refused(400, "DIGEST_INVALID", self.ask("PUT", f"{where}?digest={wrong}", ONE))
        self.assertIn(digest_of(ONE), error["message"])
        self.refused(404, "BLOB_UPLOAD_UNKNOWN", self.ask("GET", where))
        self.refused(400, "DIGEST_INVALID", self.ask("POST", f"blobs/uploads/?digest={wrong}", ONE))
        for digest in (wrong, digest_of(ONE)):
            self.assertEqual(404, self.ask("HEAD", f"blobs/{digest}").status)

    def test_bad_digest(self) -> None:
        """A digest that is none is refused before the body is read, and the session goes on."""
        where = self.start()
        for query in ("", "?digest=", "?digest=sha256:abc", "?digest=md5:d41d8cd98f00b204e9800998ecf8427e"):
            self.refused(400, "DIGEST_INVALID", self.ask("PUT", f"{where}{query}", b"abc"))
        self.refused(400, "DIGEST_INVALID", self.ask("POST", "blobs/uploads/?digest-algorithm=md5", b""))
        self.check_created(self.ask("PUT", f"{where}?digest={digest_of(b'abc')}", b"abc"), digest_of(b"abc"))

    def test_cancel(self) -> None:
        """A cancelled session is gone, with its bytes."""
        where = self.start()
        self.ask("PATCH", where, ONE)
        self.assertEqual(204, self.ask("DELETE", where).status)
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            self.refused(404, "BLOB_UPLOAD_UNKNOWN", self.ask(method, f"{where}?digest={digest_of(ONE)}", b""))
        self.assertEqual([], self.staged())

    def staged(self) -> list[str]:
        """The staging files of all sessions."""
        return [path.name for path in (self.daemon.data / "blobs" / "staging").iterdir()]

    def test_unknown_session(self) -> None:
        """A session of another repository, or one that never was, is unknown; ids are not taken for paths."""
        own = self.start().rsplit("/", 1)[1]
        for path in (
            f"/v2/other/name/blobs/uploads/{own}",
            "blobs/uploads/none",
            "blobs/uploads/..%2e",
            "blobs/uploads/%00",
        ):
            self.refused(404, "BLOB_UPLOAD_UNKNOWN", self.ask("PATCH", path, b"x"))

    def test_broken_off(self) -> None:
        """What arrived before a client vanished stays, and the upload goes on where it broke off."""
        where = self.start()
        with self.sending(where, ONE[:100_000], 200_000):
            size = self.wait_for_size(where, 100_000)
        self.wait_for_writer(where)
        reply = self.ask("PUT", f"{where}?digest={digest_of(ONE)}", ONE[size:], Content_Range=f"{size}-199999")
        self.check_created(reply, digest_of(ONE))
        self.check_stored(ONE, digest_of(ONE))

    def sending(self, where: str, data: bytes, length: int) -> socket.socket:
        """The connection of a request that has sent ``data`` of a body of ``length`` bytes."""
        connection = socket.create_connection(("127.0.0.1", self.daemon.port))
        head = f"PATCH {where} HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode() + data)
        return connection

    def wait_for_writer(self, where: str) -> None:
        """Until the request that was writing to a session has ended."""
        for _ in range(2000):
            if self.ask("PATCH", where, b"").status != 409:
                return
        raise AssertionError("the session is still being written to")

    def wait_for_size(self, where: str, expected: int) -> int:
        """How many bytes a session has, once that is what it is expected to have."""
        for _ in range(2000):
            reply = self.ask("GET", where)
            last = int(reply.headers["range"].split("-")[1])
            if last + 1 == expected:
                return expected
        raise AssertionError(f"the session ends at {last}")

    def test_two_writers(self) -> None:
        """While one request writes to a session, another one is refused and changes nothing."""
        where = self.start()
        with self.sending(where, ONE[:100_000], 200_000) as connection:
            self.wait_for_size(where, 100_000)
            self.refused(409, "BLOB_UPLOAD_INVALID", self.ask("PATCH", where, b"intruder"))
            self.refused(409, "BLOB_UPLOAD_INVALID", self.ask("DELETE", where))
            connection.sendall(ONE[100_000:])
            self.assertTrue(connection.recv(1000).startswith(b"HTTP/1.1 202 "))
        self.check_created(self.ask("PUT", f"{where}?digest={digest_of(ONE)}", b""), digest_of(ONE))

    def test_many_writers(self) -> None:
        """Of requests that append at once each is taken as a whole or refused: the blob is never mixed."""
        where = self.start()
        taken: list[int] = []

        def write(number: int) -> None:
            reply = self.ask("PATCH", where, bytes([number]) * 50_000)
            if reply.status == 202:
                taken.append(number)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        size = len(taken) * 50_000
        self.assertEqual(f"0-{size - 1}", self.ask("GET", where).headers["range"])
        # Whatever the order: with each chunk whole, one order has the digest.
        self.assertEqual(204, self.ask("DELETE", where).status)

    def test_location_of_old_engines(self) -> None:
        """Engines 1.6 and 1.7 get an absolute Location, for they put it into their next request as it is."""
        for agent, absolute in (
            ("docker/1.6.2 go/go1.4.1", True),
            ("docker/1.7.1 go", True),
            ("docker/1.8.0 go", False),
        ):
            reply = self.ask("POST", "blobs/uploads/", b"", User_Agent=agent)
            expected = f"http://127.0.0.1:{self.daemon.port}" if absolute else ""
            self.assertTrue(reply.headers["location"].startswith(f"{expected}/v2/"), reply.headers)

    def test_untrusted_proxy(self) -> None:
        """What a client says of scheme and host is not believed."""
        forwarded = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil.example"}
        self.assertTrue(self.ask("POST", "blobs/uploads/", b"", **forwarded).headers["location"].startswith("/v2/"))


class RestartTests(V2Case):
    """Sessions outlive the daemon."""

    def test_resume(self) -> None:
        """After kill -9 in the middle of a chunk the session has what arrived, and goes on from there."""
        where = self.start()
        self.ask("PATCH", where, ONE[:50_000])
        connection = socket.create_connection(("127.0.0.1", self.daemon.port))
        head = f"PATCH {where} HTTP/1.1\r\nHost: here\r\nContent-Length: 150000\r\n\r\n"
        connection.sendall(head.encode() + ONE[50_000:120_000])
        for _ in range(2000):
            if self.ask("GET", where).headers["range"] == "0-119999":
                break
        self.daemon.kill()
        connection.close()
        self.daemon.start()
        self.assertEqual("0-119999", self.ask("GET", where).headers["range"])
        digest = digest_of(ONE)
        reply = self.ask("PUT", f"{where}?digest={digest}", ONE[120_000:], Content_Range="120000-199999")
        self.assertEqual(201, reply.status, reply.content)
        self.assertEqual(ONE, self.ask("GET", f"blobs/{digest}").content)

    def test_close_after_restart(self) -> None:
        """A session whose bytes were all there is closed by a daemon that has not seen them."""
        where = self.start()
        self.ask("PATCH", where, ONE)
        self.daemon.stop()
        self.daemon.start()
        reply = self.ask("PUT", f"{where}?digest={digest_of(ONE)}", b"")
        self.assertEqual(201, reply.status, reply.content)
        self.assertEqual(ONE, self.ask("GET", f"blobs/{digest_of(ONE)}").content)


class ConfiguredTests(V2Case):
    """What the configuration says."""

    CONFIG = (
        '[http]\ntrusted_proxies = ["127.0.0.1"]\nname_characters = 40\n[v2]\nmax_blob_bytes = 100000\nmax_manifest_bytes = 2000\n'
        "session_seconds = 60\n"
    )

    def test_trusted_proxy(self) -> None:
        """A trusted proxy tells the scheme and the host of absolute locations; what is no host is not repeated."""
        for headers, expected in (
            ({"X_Forwarded_Proto": "https", "X_Forwarded_Host": "r.example:444"}, "https://r.example:444/v2/"),
            ({"Forwarded": 'for=5.6.7.8;host=no, for=1.2.3.4;proto=https;host="r.example"'}, "https://r.example/v2/"),
            ({"X_Forwarded_Proto": "https"}, f"https://127.0.0.1:{self.daemon.port}/v2/"),
            ({"X_Forwarded_Host": "evil example"}, "/v2/"),
            ({"X_Forwarded_Proto": "javascript"}, "/v2/"),
        ):
            reply = self.ask("POST", "blobs/uploads/", b"", **headers)
            self.assertTrue(reply.headers["location"].startswith(expected), (headers, reply.headers))

    def test_names(self) -> None:
        """Nothing is pushed under a longer name than is configured, by either protocol; asking for it is no mistake."""
        long, longest = "a" * 41, "a" * 40
        for path in (f"/v2/{long}/blobs/uploads/", f"/v2/{long}/blobs/uploads/?mount={digest_of(ONE)}"):
            reply = self.ask("POST", path, b"")
            self.refused(400, "NAME_INVALID", reply)
            self.assertIn(b"at most 40 characters", reply.content)
        self.refused(400, "NAME_INVALID", self.ask("PUT", f"/v2/{long}/manifests/x", b"{}"))
        self.refused(404, "NAME_UNKNOWN", self.ask("GET", f"/v2/{long}/manifests/x"))
        self.assertEqual(202, self.ask("POST", f"/v2/{longest}/blobs/uploads/", b"").status)
        for name, status in ((long, 400), (longest, 200)):
            self.assertEqual(status, self.daemon.request("PUT", f"/v1/repositories/{name}/", b"[]")[0])

    def test_limits(self) -> None:
        """A blob or a manifest over its limit is refused, and nothing is stored."""
        self.refused(413, "SIZE_INVALID", self.ask("PUT", f"{self.start()}?digest={digest_of(ONE)}", ONE))
        self.refused(413, "SIZE_INVALID", self.ask("POST", f"blobs/uploads/?digest={digest_of(ONE)}", ONE))
        where = self.start()
        self.ask("PATCH", where, ONE[:60_000])
        self.refused(413, "SIZE_INVALID", self.ask("PATCH", where, ONE[60_000:120_000]))
        self.assertEqual(404, self.ask("HEAD", f"blobs/{digest_of(ONE)}").status)
        reply = self.ask("PUT", "manifests/x", b" " * 2001, Content_Type="application/json")
        self.refused(413, "SIZE_INVALID", reply)
