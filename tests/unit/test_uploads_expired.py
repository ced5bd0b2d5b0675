"""Tests of upload sessions that expire while a request writes to them."""

from math import inf
from typing import Any

from dockreg.errors import UploadUnknown
from dockreg.jumps import Jumps
from tests.unit.v1case import ONE
from tests.unit.v2case import CONTENT, DIGEST, JOE, V2TestCase


class ExpiredTests(V2TestCase):
    """What becomes of what the request has brought."""

    def expired_while_written(self, before: bytes = b"") -> Any:
        """:param before: has come already, so that the session has a row."""
        upload_id = self.start()
        if before:
            self.result(self.append(ONE, upload_id, before))
        part = self.result(self.uploads.resume(JOE, ONE, upload_id))
        self.clock.advance(self.uploads.limits.session_seconds + 1)
        self.uploads._jumps = Jumps("a session", inf, 0)
        self.assertEqual(1 if before else 0, self.result(self.uploads.expire()))
        self.result(part.write([CONTENT.removeprefix(before)]))
        return part

    def test_expired_before_the_pause(self) -> None:
        """Who was writing when a session expired is told so at the end, and its bytes go then."""
        for before in (b"", CONTENT[:4]):
            part = self.expired_while_written(before)
            self.refused(UploadUnknown, part.pause())
            self.refused(UploadUnknown, self.uploads.size(JOE, ONE, part.upload_id))
            self.assertEqual(0, self.result(self.registry.blobs.upload_size(part.upload_id)))

    def test_expired_before_the_commit(self) -> None:
        """Who has sent all bytes gets the blob, even when the session expired meanwhile."""
        for before in (b"", CONTENT[:4]):
            part = self.expired_while_written(before)
            self.result(part.commit(DIGEST))
            self.assertEqual(CONTENT, self.content(ONE, DIGEST))
            self.refused(UploadUnknown, self.uploads.size(JOE, ONE, part.upload_id))
            self.assertEqual(0, self.result(self.registry.blobs.upload_size(part.upload_id)))
