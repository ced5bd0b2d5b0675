"""Tests for dockreg.uploadids."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from dockreg.model.blobs import NOTHING_RECEIVED
from dockreg.model.names import RepositoryName
from dockreg.model.uploads import UploadSession, first_proven, proven_end
from dockreg.providers.blobs.names import is_upload_id
from dockreg.uploadids import UploadIDs
from tests.unit.v1case import ONE, TWO
from tests.unit.v2case import JOE, V2TestCase

_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class UploadIDTests(V2TestCase):
    """Ids that prove what they say."""

    def ids(self, first: int = 1) -> UploadIDs:
        """Those of one process."""
        numbers = count(first)
        return UploadIDs(self.metadata.keys, Clock(), lambda: "key", lambda size: next(numbers).to_bytes(size))

    def make(self, ids: UploadIDs, algorithm: str = "sha256", end: float = 1000.0) -> str:
        """One of joe's."""
        return self.result(ids.make(ONE, JOE.name, algorithm, end))

    def session(
        self, ids: UploadIDs, upload_id: str, name: RepositoryName = ONE, principal: str | None = JOE.name
    ) -> UploadSession | None:
        """What an id proves to somebody."""
        return self.result(ids.session(name, principal, upload_id, 100.0))

    def test_every_process(self) -> None:
        """What one process made another one knows, also one that is started later: the key is stored."""
        for algorithm in ("sha256", "sha512"):
            upload_id = self.make(self.ids(), algorithm)
            expected = UploadSession(upload_id, ONE, JOE.name, algorithm, NOTHING_RECEIVED, 900.0)
            self.assertEqual(expected, self.session(self.ids(7), upload_id))

    def test_at_once(self) -> None:
        """Once the key is known, an id is had without a wait; it proves the same."""
        ids = self.ids()
        self.assertIsNone(ids.make_at_once(ONE, None, "sha512", 1000.0))
        self.make(ids)
        upload_id = ids.make_at_once(ONE, None, "sha512", 1000.0)
        assert upload_id is not None
        expected = UploadSession(upload_id, ONE, None, "sha512", NOTHING_RECEIVED, 900.0)
        self.assertEqual(expected, self.session(self.ids(7), upload_id, ONE, None))
        self.assertIsNone(self.session(ids, upload_id))

    def test_shape(self) -> None:
        """It is no other one's, can name a file, says until when it lasts, rounded up, and nothing of the key."""
        ids = self.ids()
        first, second = self.make(ids, end=999.5), self.make(ids, end=1000.0)
        self.assertNotEqual(first, second)
        self.assertEqual((45, 1000, 1000), (len(first), proven_end(first), proven_end(second)))
        self.assertTrue(is_upload_id(first))
        self.assertNotIn((1).to_bytes(32).hex(), first)

    def test_others(self) -> None:
        """It proves nothing of another repository, nor to anybody else, anonymous or not."""
        ids = self.ids()
        upload_id = self.make(ids)
        for name, principal in ((TWO, "joe"), (ONE, "jane"), (ONE, None), (ONE, "")):
            self.assertIsNone(self.session(ids, upload_id, name, principal))
        anonymous = self.result(ids.make(ONE, None, "sha256", 1000.0))
        self.assertIsNotNone(self.session(ids, anonymous, ONE, None))
        for principal in ("", "joe"):
            self.assertIsNone(self.session(ids, anonymous, ONE, principal))

    def test_joined(self) -> None:
        """Where a name ends and the next begins is a part of what is proven."""
        ids = self.ids()
        upload_id = self.result(ids.make(RepositoryName("a"), "b=c", "sha256", 1000.0))
        self.assertIsNone(self.session(ids, upload_id, RepositoryName("a=b"), "c"))

    def test_changed(self) -> None:
        """One other character anywhere, and it proves nothing."""
        ids = self.ids()
        upload_id = self.make(ids)
        for at, character in enumerate(upload_id):
            for other in _CHARACTERS:
                if other != character:
                    self.assertIsNone(self.session(ids, f"{upload_id[:at]}{other}{upload_id[at + 1 :]}"))

    def test_another_key(self) -> None:
        """It proves nothing in another registry."""
        upload_id, ids = self.make(self.ids()), self.ids()
        ids._secret = bytes(32)
        self.assertIsNone(self.session(ids, upload_id))

    def test_older(self) -> None:
        """The ids of earlier versions, and whatever else comes, prove nothing, and have no end."""
        for text in ("", "a" * 24, "a" * 45, "0" * 45, "\u00e4" * 45):
            self.assertIsNone(self.session(self.ids(), text))
        self.assertIsNone(proven_end("session-0000000019"))

    @given(st.floats(0, 2**33), st.floats(0, 2**33))
    def test_order(self, one: float, other: float) -> None:
        """They are in the order of their times, up to the largest that there is room for."""
        if int(one) <= int(other):
            self.assertLessEqual(first_proven(one), first_proven(other))
        self.assertEqual(8, len(first_proven(one)))
