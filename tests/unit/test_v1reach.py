"""Tests for dockreg.v1images: who reaches which image, and tags."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from dockreg.errors import (
    Denied,
    ImageConflict,
    ImageExists,
    ImageIncomplete,
    ImageJSONInvalid,
    ImageUnknown,
)
from dockreg.model.access import Action
from dockreg.model.names import Tag
from dockreg.model.v1 import ImageID, PushScope, TagClient
from tests.unit.v1case import ONE, TWO, A, B, V1ImagesTestCase, basic, document, payload, tar_layer, token


class ReachTests(V1ImagesTestCase):
    """Knowing an id gives no access."""

    def setUp(self) -> None:
        super().setUp()
        self.owner = token(ONE, "joe")
        self.announce(self.owner, ONE, A)
        self.push(self.owner, A, document(A), tar_layer("a"))

    def test_a_token_reaches_its_repository(self) -> None:
        """The bearer of a token for another repository sees nothing: not to read, to tag, or to build upon."""
        other = token(TWO, "joe")
        self.announce(other, TWO, A, B)
        self.refused(ImageUnknown, self.images.get(other, A))
        self.refused(ImageUnknown, self.images.put_tag(other, TWO, Tag("x"), A, TagClient()))
        self.refused(ImageJSONInvalid, self.images.put_json(other, B, document(B, A)))
        self.result(self.images.put_json(other, A, document(A)))

    def test_rights_reach_repositories(self) -> None:
        """Who names no repository reaches what is readable, and no more."""
        self.assertEqual(document(A), self.read(basic("jane"), A)[0])
        self.policy.refused.add(("jane", Action.PULL, ONE))
        self.refused(ImageUnknown, self.images.get(basic("jane"), A))
        self.refused(ImageUnknown, self.images.put_tag(basic("jane"), TWO, Tag("x"), A, TagClient()))
        self.announce(basic("jane"), TWO, B)
        self.refused(ImageJSONInvalid, self.images.put_json(basic("jane"), B, document(B, A)))
        self.announce(basic("jane"), TWO, A)
        self.result(self.images.put_json(basic("jane"), A, document(A)))

    def test_a_push_goes_where_it_was_announced(self) -> None:
        """Who names no repository pushes to those that he announced the image to."""
        joe = basic("joe")
        self.announce(joe, TWO, A)
        self.push(joe, A, document(A, other=1), b"other")
        self.assertEqual((document(A, other=1), b"other"), self.read(token(TWO), A))
        self.assertEqual(document(A), self.read(token(ONE), A)[0])

    def test_unannounced(self) -> None:
        """An image that was not announced is its pusher's own until he tags it."""
        joe = basic("joe")
        self.push(joe, B, document(B, A), b"own")
        self.assertEqual(document(B, A), self.read(joe, B)[0])
        self.refused(ImageUnknown, self.images.get(basic("jane"), B))
        self.refused(ImageUnknown, self.images.get(token(ONE), B))
        self.tag(joe, TWO, B)
        self.assertEqual(document(B, A), self.read(basic("jane"), B)[0])
        self.assertEqual(document(A), self.read(token(TWO), A)[0])

    def test_old_announcement(self) -> None:
        """An announcement of long ago does not claim a push of today."""
        joe = basic("joe")
        self.announce(joe, TWO, B)
        self.clock.advance(self.images.limits.announcement_seconds + 1)
        self.push(joe, B, document(B), b"own")
        self.refused(ImageUnknown, self.images.get(token(TWO), B))

    def test_being_pushed(self) -> None:
        """That an image is being pushed is told to who could reach it, and looks absent to others."""
        self.announce(self.owner, ONE, B)
        self.result(self.images.put_json(self.owner, B, document(B)))
        self.refused(ImageIncomplete, self.images.get(token(ONE, "jane"), B))
        self.refused(ImageUnknown, self.images.get(token(TWO, "joe"), B))
        self.refused(ImageUnknown, self.images.get(basic("jane"), B))

    def test_conflict_of_ids(self) -> None:
        """An image whose ancestor has an id that the repository uses otherwise can not be tagged there."""
        mine = token(TWO, "joe")
        self.announce(mine, TWO, A)
        self.push(mine, A, document(A, other=1), b"other")
        self.announce(self.owner, ONE, B)
        self.push(self.owner, B, document(B, A), b"top")
        self.policy.refused.add(("joe", Action.PULL, TWO))
        self.refused(ImageConflict, self.images.put_tag(basic("joe"), TWO, Tag("x"), B, TagClient()))


class TagTests(V1ImagesTestCase):
    """Tags, and the manifests behind them."""

    def setUp(self) -> None:
        super().setUp()
        self.caller = token(ONE, "joe")
        self.announce(self.caller, ONE, A, B)
        self.push(self.caller, A, document(A), tar_layer("a"))
        self.push(self.caller, B, document(B, A), tar_layer("b"))

    def tags(self) -> dict[str, str]:
        records = self.result(self.registry.list_tags(ONE))
        return {str(record.tag): str(record.image_id) for record in records}

    def test_moves(self) -> None:
        """A tag moves in both directions (engines 0.6.2 to 0.7.6 move it from base to top)."""
        for image_id in (A, B, A):
            self.tag(self.caller, ONE, image_id)
            self.assertEqual({"latest": str(image_id)}, self.tags())

    def test_points_to_a_manifest(self) -> None:
        """A tag points to the schema2 view of its image, whose config is a recorded blob."""
        self.tag(self.caller, ONE, B)
        record = self.result(self.registry.get_tag(ONE, Tag("latest")))
        assert record.digest is not None
        self.announce(token(TWO), TWO, A, B)
        self.tag(basic("joe"), TWO, B)
        self.assertEqual(record.digest, self.result(self.registry.get_tag(TWO, Tag("latest"))).digest)

    def test_no_tar(self) -> None:
        """An image whose layer is no tar has a v1 tag only."""
        c = ImageID("c" * 64)
        self.announce(self.caller, ONE, c)
        self.push(self.caller, c, document(c), b"no tar")
        self.tag(self.caller, ONE, c)
        record = self.result(self.registry.get_tag(ONE, Tag("latest")))
        self.assertEqual((None, c), (record.digest, record.image_id))

    def test_overwrite_is_a_right(self) -> None:
        """Who may push but not overwrite can make a tag and set it again, and not move it."""
        self.policy.refused.add(("joe", Action.OVERWRITE, ONE))
        self.tag(self.caller, ONE, A)
        self.tag(self.caller, ONE, A)
        self.refused(Denied, self.images.put_tag(self.caller, ONE, Tag("latest"), B, TagClient()))
        self.assertEqual({"latest": str(A)}, self.tags())

    def test_after_a_deletion(self) -> None:
        """A deleted repository shows nothing; pushed again by the same owner it has its images, and no tags."""
        self.tag(self.caller, ONE, B)
        self.result(self.registry.delete_repository(ONE))
        self.refused(ImageUnknown, self.images.get(self.caller, B))
        self.announce(self.caller, ONE, A, B)
        self.refused(ImageExists, self.images.put_json(self.caller, A, document(A)))
        self.assertEqual({}, self.tags())


class WithoutHintTests(V1ImagesTestCase):
    """Somebody with a name, whose requests name no repository, pushes beside strangers."""

    def setUp(self) -> None:
        super().setUp()
        self.announce(token(ONE, "anna"), ONE, A)
        self.push(token(ONE, "anna"), A, document(A, of="anna"), b"anna's")
        self.announce(basic("bert"), TWO, A, B)

    def test_lookup(self) -> None:
        """Who has announced an image does not take a stranger's image of this id for it."""
        self.refused(ImageUnknown, self.images.get(basic("bert"), A))
        self.assertEqual(document(A, of="anna"), self.read(basic("carl"), A)[0])
        self.push(basic("bert"), A, document(A, of="bert"), b"bert's")
        self.assertEqual(document(A, of="bert"), self.read(basic("bert"), A)[0])

    def test_parent(self) -> None:
        """A push builds upon what it has pushed, not upon what a stranger has put elsewhere under the parent's id."""
        self.refused(ImageJSONInvalid, self.images.put_json(basic("bert"), B, document(B, A)))
        self.push(basic("bert"), A, document(A, of="bert"), b"bert's")
        self.push(basic("bert"), B, document(B, A), b"top")
        chain = self.result(self.images.chain(self.result(self.images.get(token(TWO), B)).image))
        self.assertEqual(document(A, of="bert"), chain[1].json)

    def test_anonymous(self) -> None:
        """Anonymous is nobody in particular: what others announce does not hide what everybody may read."""
        self.announce(basic(None), TWO, A)
        self.assertEqual(document(A, of="anna"), self.read(basic(None), A)[0])


class RevokedTests(V1ImagesTestCase):
    """Rights that change while a push is under way."""

    def test_parent(self) -> None:
        """A child is not completed upon a parent that its pusher may no longer read."""
        self.announce(token(ONE, "anna"), ONE, A)
        self.push(token(ONE, "anna"), A, document(A), b"anna's")
        bert, content = basic("bert"), document(B, A)
        self.result(self.images.put_json(bert, B, content))
        self.result(self.put_layer(bert, B, b"bert's"))
        self.policy.refused.add(("bert", Action.PULL, ONE))
        self.refused(ImageJSONInvalid, self.images.put_checksum(bert, B, payload(content, b"bert's")))
        self.policy.refused.clear()
        self.result(self.images.put_checksum(bert, B, payload(content, b"bert's")))


class GoneTests(V1ImagesTestCase):
    """A client that goes away at the end of its layer."""

    def test_all_bytes_are_here(self) -> None:
        """What was received whole is recorded as what it is, though nobody waits for it any more."""
        caller, layer = token(ONE), tar_layer("a")
        self.announce(caller, ONE, A)
        self.result(self.images.put_json(caller, A, document(A)))
        upload = self.result(self.images.start_layer(caller, A, tarsums=True))
        self.result(upload.write([layer]))
        waiting: list[Deferred[None]] = []

        async def later(function: Any, *args: Any) -> Any:
            waiting.append(Deferred())
            await waiting[-1]
            return function(*args)

        self.registry.in_thread = later
        finishing = Deferred.fromCoroutine(upload.finish())
        finishing.cancel()
        self.failureResultOf(finishing, CancelledError)
        self.result(upload.abort())
        waiting[0].callback(None)
        (staged,) = self.result(
            self.metadata.images.staged_layers(PushScope(caller.repository, caller.principal.name), A)
        )
        self.assertEqual(1, len(staged.checksums.tarsums or ()))
