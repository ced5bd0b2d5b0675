"""Tests for what dockreg.manifests keeps of manifests that were pushed."""

from typing import Any

from dockreg import manifests
from dockreg.errors import Denied, DigestInvalid, ManifestInvalid, NameUnknown, ReferencesUnknown, TagChanged
from dockreg.model.access import Access, Action, Ceiling, Principal
from dockreg.model.digest import Digest
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.rights import Subject
from dockreg.providers.auth.judging import Policy
from dockreg.providers.auth.rules import Rules
from dockreg.providers.metadata.sql import SQLMetadataStore
from tests.unit.v1case import ONE, TWO, here
from tests.unit.v2case import JANE, JOE, NOBODY, V2TestCase, make_image

OTHER_TYPE = "application/vnd.oci.image.index.v1+json"
IMAGE, OTHER = make_image("a"), make_image("b")


class CountedRules(Rules):
    """Count how often it is asked what somebody may do."""

    asked = 0

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        """See :class:`Rules`."""
        self.asked += 1
        return await super().granted(principal, wanted)


class KnownPushTests(V2TestCase):
    """A manifest that was pushed, and is pushed again, and a second process."""

    def setUp(self) -> None:
        super().setUp()
        self.rules = self.registry.authorizer = CountedRules(self.metadata.rights, Policy(frozenset({Action.PULL})))
        self.other = SQLMetadataStore(f"sqlite:///{self.database}", here)
        self.result(self.other.open())
        self.addCleanup(lambda: self.result(self.other.close()))
        self.push_image(IMAGE, "first")
        self.put(IMAGE.manifest, "again")

    def asked(self, *tags: str, **how: Any) -> int:
        """Push it with these tags; return how often it was asked what somebody may do."""
        before = self.rules.asked
        self.put(IMAGE.manifest, *tags, **how)
        return self.rules.asked - before

    def names(self) -> list[str]:
        """The tags that are there."""
        return [str(name) for name in self.result(self.registry.tag_names(ONE, "", 100))]

    def test_once(self) -> None:
        """What may be done is asked once, and again when somebody has changed what lasts, in whichever process."""
        self.assertEqual([0, 0], [self.asked(tag) for tag in "ab"])
        self.result(self.bring(ONE, b"another blob"))
        self.assertEqual(0, self.asked("c"))
        self.result(self.other.repositories.set_private(ONE, True))
        self.assertEqual([1, 0], [self.asked(tag) for tag in "de"])
        self.assertEqual(["a", "again", "b", "c", "d", "e", "first"], self.names())

    def test_answer(self) -> None:
        """The answer is that of the first push, for each way to refer to it."""
        first, known = [self.put(IMAGE.manifest, "x", "y") for _ in range(2)]
        self.assertEqual((first, IMAGE.digest), (known, known.digest))
        for _ in range(2):
            self.assertEqual([], list(self.put(IMAGE.manifest).tags))
        wrong = Digest.sha256(b"")
        for algorithm in (wrong, Digest.parse("sha512:" + 128 * "0")):
            for _ in range(2):
                self.refused(DigestInvalid, self.manifests.put(JOE, ONE, algorithm, IMAGE.manifest, None))

    def test_what_it_is_said_to_be(self) -> None:
        """Another content type is judged by itself."""
        for _ in range(2):
            self.refused(ManifestInvalid, self.putting(IMAGE.manifest, "a", media_type=OTHER_TYPE))
        self.assertEqual(0, self.asked("a", media_type=IMAGE.media_type))

    def test_others(self) -> None:
        """What is known for one is not for another, nor for a token that reaches less, nor in another repository."""
        owners = frozenset({Subject.account("joe")})
        self.result(self.other.rights.create_namespace(ONE.namespace, owners, None, 1.0))
        self.push_image(OTHER, "b")
        self.put(IMAGE.manifest, "a")
        less = Principal("joe", ceiling=Ceiling.of(ONE, frozenset({Action.PULL, Action.PUSH})))
        for _ in range(2):
            for principal in (JANE, NOBODY, less):
                self.refused(Denied, self.putting(IMAGE.manifest, "b", principal=principal))
        self.refused(ReferencesUnknown, self.putting(IMAGE.manifest, "a", name=RepositoryName("demo/nothing")))
        self.put(IMAGE.manifest, "b")

    def test_rights_taken(self) -> None:
        """Who may move tags no longer, by what another process has changed, does not."""
        self.push_image(OTHER, "b")
        self.put(IMAGE.manifest, "b")
        self.put(OTHER.manifest, "b")
        self.result(self.other.rights.create_namespace(ONE.namespace, frozenset(), None, 1.0))
        self.refused(Denied, self.putting(IMAGE.manifest, "b"))

    def test_conditions(self) -> None:
        """What the tag has to be is judged each time."""
        for expected in ((), (str(OTHER.digest),)):
            put = self.manifests.put(JOE, ONE, Tag("first"), IMAGE.manifest, None, only_if=expected)
            self.refused(TagChanged, put)
        self.result(self.manifests.put(JOE, ONE, Tag("first"), IMAGE.manifest, None, only_if=[str(IMAGE.digest)]))
        self.result(self.manifests.put(JOE, ONE, Tag("new"), IMAGE.manifest, None, only_if=()))

    def test_manifest_deleted(self) -> None:
        """One that another process has deleted is stored again, with what it refers to, or refused without."""
        self.result(self.other.manifests.delete(ONE, IMAGE.digest))
        self.asked("a")
        self.assertEqual((["a"], IMAGE.manifest), (self.names(), self.pull("a").content))
        self.result(self.other.manifests.delete(ONE, IMAGE.digest))
        self.result(self.other.blobs.unlink(ONE, Digest.sha256(IMAGE.config)))
        self.refused(ReferencesUnknown, self.putting(IMAGE.manifest, "b"))

    def test_repository_deleted(self) -> None:
        """In a repository that another process has deleted nothing is known."""
        self.result(self.other.repositories.delete(ONE, 2.0))
        self.refused(ReferencesUnknown, self.putting(IMAGE.manifest, "a"))
        self.refused(NameUnknown, self.registry.tag_names(ONE, "", 100))

    def test_other_rules(self) -> None:
        """Of rules that need not be stored here nothing is kept."""

        class Others:
            """Rules of somebody else."""

            asked = 0

            async def granted(self, _principal: Principal, wanted: Access) -> frozenset[Action]:
                """All of it."""
                self.asked += 1
                return wanted.actions

            async def granted_each(self, *_args: object) -> Any:
                """Nothing."""
                return ()

        others: Any = Others()
        self.registry.authorizer = others
        self.result(self.other.repositories.set_private(ONE, True))
        for tag in "abc":
            self.put(IMAGE.manifest, tag)
        self.assertEqual(3, others.asked)

    def test_bounds(self) -> None:
        """Few are kept, and no large ones."""
        self.patch(manifests, "_MOST_PUSHED", 3)
        kept = []
        for number in range(6):
            image = make_image(str(number))
            self.push_image(image, "x", name=TWO)
            kept.append(len(self.manifests._pushed))
        self.assertEqual([3, 1, 2] * 2, kept)
        self.patch(manifests, "_SMALL_BYTES", len(IMAGE.manifest) - 1)
        self.manifests._pushed.clear()
        self.put(IMAGE.manifest, "large")
        self.assertEqual({}, self.manifests._pushed)
