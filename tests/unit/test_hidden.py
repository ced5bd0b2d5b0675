"""
What is in a repository that somebody may not read is not to be told from what is nowhere: neither by the answer, nor by the
time that it takes.

For time stand the statements that the database is sent, and the work that an answer waits for.
"""

import json
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from dockreg.bridge.negotiation import parse_accept
from dockreg.callables import ByteObserver
from dockreg.errors import ImageJSONInvalid, ImageUnknown, ReferencesUnknown
from dockreg.interfaces_blobs import IUpload
from dockreg.manifests import Manifests
from dockreg.model.access import ANONYMOUS, Action, Caller, Principal
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.repositories import Sparse
from dockreg.model.v1 import ImageID, TagClient
from dockreg.providers.auth.judging import Policy
from dockreg.providers.auth.rules import Rules
from dockreg.providers.blobs.memory import MemoryBlobStore
from dockreg.registry import Registry
from tests.unit import v2case
from tests.unit.statements import statements
from tests.unit.v1case import A, B, basic, document, tar_layer
from tests.unit.v2case import JANE, JOE, described, encoded, make_image, make_index

SECRET, OWN, SHARED = RepositoryName("joe/secret"), RepositoryName("jane/app"), RepositoryName("joe/shared")
NOWHERE = Digest.sha256(b"nowhere")
IMAGE = make_image("secret")
LAYER, CONFIG = Digest.sha256(IMAGE.layers[0]), Digest.sha256(IMAGE.config)


def judged_by_rules(registry: Registry) -> None:
    """Everybody may pull what is not private, and who has a name pushes to what is not in somebody else's namespace."""
    registry.authorizer = Rules(registry.metadata.rights, Policy(frozenset({Action.PULL})))


class CountedUploads(MemoryBlobStore):
    """Knows how many uploads were begun."""

    started = 0

    async def start_upload(self, observers: Sequence[ByteObserver] = (), algorithm: str = "sha256") -> IUpload:
        self.started += 1
        return await super().start_upload(observers, algorithm)


class HiddenTests(v2case.V2TestCase):
    """joe keeps an image in a private repository, which jane may not read; she has one of her own."""

    def setUp(self) -> None:
        super().setUp()
        judged_by_rules(self.registry)
        for name in ("joe", "jane"):
            self.result(self.metadata.accounts.create(name, "x", "", admin=False, now=1.0))
        self.push_image(IMAGE, "latest", name=SECRET)
        self.result(self.metadata.repositories.set_private(SECRET, True))
        self.result(self.bring(OWN, b"own", JANE))

    def observed(self, work: Coroutine[Any, Any, Any]) -> tuple[object, list[str]]:
        """The result of ``work``, or its error, and the statements that it sends."""
        # What was asked before is not to matter.
        near = self.metadata._database.near
        near._known.forget()
        near._lasting.forget()

        with statements() as seen:
            outcome = self.outcome(work)
        # By whom a transaction is ended depends on whether its statements were seen before.
        return outcome, [statement for statement, _ in seen if statement not in ("COMMIT", "ROLLBACK")]

    def outcome(self, work: Coroutine[Any, Any, Any]) -> object:
        async def caught() -> object:
            try:
                return await work
            except Exception as error:  # noqa: BLE001  # which one it is is compared
                return type(error)

        return self.result(caught())

    def assert_alike(self, ask: Callable[[Any], Coroutine[Any, Any, Any]], there: object, nowhere: object) -> object:
        """What is asked about something hidden and about something that is nowhere has one answer and takes one way."""
        hidden, absent = self.observed(ask(there)), self.observed(ask(nowhere))
        self.assertEqual(absent[0], hidden[0])
        self.assertEqual(absent[1], hidden[1])
        return hidden[0]

    def test_the_secret_is_there(self) -> None:
        """Its owner gets what the others do not."""
        self.assertIsNotNone(self.result(self.uploads.mount(JOE, RepositoryName("joe/other"), LAYER, SECRET)))
        self.assertIsNotNone(self.result(self.images.get(basic("joe"), ImageID(CONFIG.encoded))))

    def test_blob(self) -> None:
        """A blob is not found through another repository, whoever holds it."""
        self.assertIsNone(self.assert_alike(partial(self.metadata.blobs.find_in, OWN), LAYER, NOWHERE))

    def test_mount(self) -> None:
        """A mount from nowhere in particular ends in a session, whether somebody else has the blob or nobody."""
        for source in (None, OWN, SECRET, RepositoryName("joe/none")):
            mount = partial(self.uploads.mount, JANE, OWN, source=source)
            self.assertIsNone(self.assert_alike(mount, LAYER, NOWHERE))

    def test_mount_source(self) -> None:
        """A mount from a repository that may not be read is as one from a repository that is not there."""
        absent = RepositoryName("joe/none")
        for principal in (JANE, Principal("jane+ci"), ANONYMOUS):
            mount = partial(self.uploads.mount, principal, OWN, LAYER)
            self.assertIsNone(self.assert_alike(mount, SECRET, absent))

    def test_mount_what_is_readable(self) -> None:
        """Among hidden holders the one that may be read is found."""
        self.result(self.bring(SHARED, IMAGE.layers[0], JOE))
        self.assertIsNotNone(self.result(self.uploads.mount(JANE, OWN, LAYER, None)))

    def manifest(self, layer: Digest, config: Digest) -> bytes:
        image = json.loads(make_image("mine").manifest)
        image["layers"][0]["digest"], image["config"]["digest"] = str(layer), str(config)
        return encoded(image)

    def putting_for_jane(
        self, content: bytes, tag: str = "x", media_type: str = OCI_MANIFEST
    ) -> Coroutine[Any, Any, Any]:
        return self.putting(content, tag, name=OWN, principal=JANE, media_type=media_type)

    def test_manifest(self) -> None:
        """A manifest that names blobs of others is refused as one that names what is nowhere."""
        put = self.putting_for_jane
        own = Digest.sha256(b"own")
        for there, nowhere in (
            (self.manifest(LAYER, own), self.manifest(NOWHERE, own)),
            (self.manifest(own, CONFIG), self.manifest(own, NOWHERE)),
        ):
            self.assertIs(ReferencesUnknown, self.assert_alike(put, there, nowhere))

    def test_index(self) -> None:
        """An index that names manifests of others is as one that names what is nowhere, refused or not."""
        there, nowhere = make_index(IMAGE.manifest), make_index(b"nowhere")
        put = partial(self.putting_for_jane, media_type=OCI_INDEX)
        self.manifests = Manifests(self.registry, self.views, Sparse.NONE)
        self.assertIs(ReferencesUnknown, self.assert_alike(put, there, nowhere))
        self.manifests = Manifests(self.registry, self.views, Sparse.INDEXES)
        for tag, content in (("there", there), ("nowhere", nowhere)):
            self.result(put(content, tag))
        for tag, content in (("there", there), ("nowhere", nowhere)):
            found = self.manifests.get(OWN, Tag(tag), parse_accept([], ""), str(OWN))
            self.assertEqual(content, self.result(found).content)
            self.assertIsNone(self.result(self.images.get_tag(OWN, Tag(tag))).image_id)

    def test_referrers(self) -> None:
        """What refers to something is told of the repository that is asked, and of no other."""
        subject = described(OCI_MANIFEST, IMAGE.manifest)
        empty = described("application/vnd.oci.empty.v1+json", b"{}")
        self.result(self.bring(SECRET, b"{}", JOE))
        signature = encoded(
            {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty], "subject": subject}
        )
        self.put(signature, name=SECRET, media_type=OCI_MANIFEST)
        self.assertEqual(
            1, len(self.result(self.manifests.referrers(SECRET, Digest.sha256(IMAGE.manifest), None, "", 9)))
        )
        referrers = partial(self.manifests.referrers, OWN, artifact_type=None, after="", limit=9)
        self.assertEqual([], self.assert_alike(referrers, Digest.sha256(IMAGE.manifest), NOWHERE))

    def test_same_config(self) -> None:
        """That a config was pushed by others as that of a v1 image changes nothing for who pushes a manifest with it."""
        self.result(self.images.get(basic("joe"), ImageID(CONFIG.encoded)))
        for content in (IMAGE.config, b'{"other": 1}', *IMAGE.layers):
            self.result(self.bring(OWN, content, JANE))
        there = self.manifest(LAYER, CONFIG)
        nowhere = self.manifest(LAYER, Digest.sha256(b'{"other": 1}'))
        _, hidden = self.observed(self.putting_for_jane(there, "x"))
        _, absent = self.observed(self.putting_for_jane(nowhere, "y"))
        self.assertEqual(absent, hidden)

    def test_v1_image(self) -> None:
        """An image that was made, or could be, of a hidden manifest is as one that nobody has, and is not made."""
        there, nowhere = ImageID(CONFIG.encoded), ImageID("0" * 64)
        for caller in (basic("jane"), basic(None), Caller(JANE, OWN)):
            self.assertIs(ImageUnknown, self.assert_alike(partial(self.images.get, caller), there, nowhere))
        self.assertIsNone(self.result(self.metadata.images.find_in(SECRET, there)))
        self.result(self.images.get(basic("joe"), there))
        for caller in (basic("jane"), basic(None), Caller(JANE, OWN)):
            self.assertIs(ImageUnknown, self.assert_alike(partial(self.images.get, caller), there, nowhere))

    def test_v1_push(self) -> None:
        """A push can not build upon a hidden image, nor tag it, and is not told that it is complete."""
        self.announce(basic("joe"), SECRET, A)
        self.push(basic("joe"), A, document(A), tar_layer("a"))
        nowhere = ImageID("0" * 64)
        for caller in (basic("jane"), Caller(JANE, OWN)):
            self.announce(caller, OWN, B)
            self.assertIs(ImageJSONInvalid, self.assert_alike(partial(self.build, caller), A, nowhere))
            tag = partial(self.images.put_tag, caller, OWN, Tag("x"), client=TagClient())
            self.assertIs(ImageUnknown, self.assert_alike(tag, A, nowhere))
            self.assertIsNone(self.assert_alike(partial(self.begin, caller), A, nowhere))

    def build(self, caller: Caller, parent: ImageID) -> Coroutine[Any, Any, None]:
        """Begin an image that is built upon another one."""
        return self.images.put_json(caller, B, document(B, parent))

    def begin(self, caller: Caller, image_id: ImageID) -> Coroutine[Any, Any, None]:
        """Begin an image."""
        return self.images.put_json(caller, image_id, document(image_id))

    def test_v1_tag(self) -> None:
        """That somebody has tagged the same image before changes nothing for who pushes and tags it."""
        self.use(blobs := CountedUploads())
        tagged = []
        for caller, name in ((basic("joe"), SECRET), (basic("jane"), OWN)):
            for image_id in (A, B):
                self.announce(caller, name, image_id)
                self.push(caller, image_id, document(image_id), tar_layer(str(image_id)))
        self.result(self.images.put_tag(basic("joe"), SECRET, Tag("a"), A, TagClient()))
        for image_id in (A, B):
            before = blobs.started
            put = self.images.put_tag(basic("jane"), OWN, Tag(f"of-{image_id}"[:9]), image_id, TagClient())
            _, statements = self.observed(put)
            tagged.append((blobs.started - before, len(statements)))
        # Where a row is there already, it is written to all the same.
        self.assertEqual(tagged[1], tagged[0])
        self.assertEqual(1, tagged[0][0])


class HiddenBytesTests(v2case.ThreadedTestCase):
    """What an upload of bytes that others have waits for."""

    def setUp(self) -> None:
        super().setUp()
        judged_by_rules(self.registry)
        for name in ("joe", "jane"):
            self.result(self.metadata.accounts.create(name, "x", "", admin=False, now=1.0))
        self.result(self.bring(SECRET, b"secret", JOE))
        self.result(self.bring(OWN, b"other", JANE))
        self.result(self.metadata.repositories.set_private(SECRET, True))

    def jobs(self, content: bytes) -> int:
        """How many jobs are done before the answer to an upload of jane's."""
        outcomes: list[object] = []
        _ = Deferred.fromCoroutine(self.bring(OWN, content, JANE)).addBoth(outcomes.append)
        done = 0
        while not outcomes:
            self.threads.run()()
            done += 1
        self.assertEqual([None], outcomes)
        self.threads.run_all()
        return done

    def test_upload(self) -> None:
        """Bytes that somebody else has are taken as any, in as many steps."""
        fresh, known = self.jobs(b"fresh!"), self.jobs(b"secret")
        self.assertEqual(fresh, known)
        self.assertEqual(b"secret", self.content(OWN, Digest.sha256(b"secret")))
        self.assertEqual([], self.files())
