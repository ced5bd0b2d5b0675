"""Tests for what dockreg.manifests keeps of the v1 images that manifests were pushed as."""

import json
from collections.abc import Sequence

from dockreg import manifests
from dockreg.errors import ReferencesUnknown
from dockreg.model.access import Action, Principal
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import SCHEMA2_MANIFEST
from dockreg.model.names import RepositoryName
from dockreg.providers.auth.judging import Policy
from dockreg.providers.auth.rules import Rules
from dockreg.providers.metadata.sql import SQLMetadataStore
from tests.unit.v1case import ONE, TWO, A, document, here, tar_layer, token
from tests.unit.v2case import JANE, V2TestCase


class CountedRules(Rules):
    """Count how often it is asked which of some repositories may be read."""

    asked = 0

    async def granted_each(
        self, principal: Principal, action: Action, names: Sequence[RepositoryName]
    ) -> Sequence[RepositoryName]:
        """See :class:`Rules`."""
        self.asked += 1
        return await super().granted_each(principal, action, names)


class KnownImageTests(V2TestCase):
    """An image that was pushed through v1, whose manifest others push, and a second process."""

    def setUp(self) -> None:
        super().setUp()
        self.rules = self.registry.authorizer = CountedRules(
            self.metadata.rights, Policy(frozenset({Action.PULL, Action.PUSH}))
        )
        self.other = SQLMetadataStore(f"sqlite:///{self.database}", here)
        self.result(self.other.open())
        self.addCleanup(lambda: self.result(self.other.close()))
        self.layer = tar_layer("a")
        caller = token(ONE, "joe")
        self.announce(caller, ONE, A)
        self.push(caller, A, document(A, os="linux"), self.layer)
        self.tag(caller, ONE, A)
        self.manifest = self.pull().content
        config = Digest.parse(json.loads(self.manifest)["config"]["digest"])
        self.config = self.content(ONE, config)

    def refused_copy(self) -> int:
        """
        Jane pushes the manifest where none of its blobs is, so that nothing is written.

        How often it was asked who may read what.
        """
        before = self.rules.asked
        name = RepositoryName("demo/nothing")
        self.refused(
            ReferencesUnknown,
            self.putting(self.manifest, "copy", name=name, principal=JANE, media_type=SCHEMA2_MANIFEST),
        )
        return self.rules.asked - before

    def copy(self, tag: str) -> str | None:
        """Jane pushes all of it to a repository; return what it is in v1 there."""
        for blob in (self.layer, self.config):
            self.result(self.bring(TWO, blob, JANE))
        self.put(self.manifest, tag, name=TWO, principal=JANE, media_type=SCHEMA2_MANIFEST)
        return self.image_id(tag, TWO)

    def test_once(self) -> None:
        """Who may read it is asked once, until somebody writes, in whichever process."""
        self.assertEqual([1, 0, 0], [self.refused_copy() for _ in range(3)])
        self.result(self.other.repositories.set_private(ONE, True))
        self.assertEqual([1, 0], [self.refused_copy() for _ in range(2)])

    def test_nothing(self) -> None:
        """It is the same where there is no such image: the time does not tell."""
        self.result(self.other.repositories.delete(ONE, 2.0))
        self.assertEqual([1, 0, 0], [self.refused_copy() for _ in range(3)])

    def test_large(self) -> None:
        """Of images with much json few are kept."""
        self.patch(manifests, "_MOST_JSON", 5 * len(document(A, os="linux")))
        kept = []
        for number in range(20):
            self.refused(
                ReferencesUnknown,
                self.putting(
                    self.manifest,
                    "copy",
                    name=RepositoryName("demo/nothing"),
                    principal=Principal(f"jane{number}"),
                    media_type=SCHEMA2_MANIFEST,
                ),
            )
            kept.append(len(self.manifests._images))
        self.assertEqual([1, 2, 3, 4, 5] * 4, kept)

    def test_hidden(self) -> None:
        """What another process has hidden meanwhile is not known any more."""
        self.refused_copy()
        self.result(self.other.repositories.set_private(ONE, True))
        self.assertNotEqual(A.value, self.copy("first"))

    def test_shown(self) -> None:
        """What another process has shown meanwhile is known."""
        self.result(self.other.repositories.set_private(ONE, True))
        self.refused_copy()
        self.result(self.other.repositories.set_private(ONE, False))
        self.assertEqual(A.value, self.copy("first"))

    def test_others(self) -> None:
        """What is known for one is not for another: a stranger may not read what is its owner's."""
        self.result(self.other.repositories.set_private(ONE, True))
        owners = self.putting(self.manifest, "copy", name=TWO, media_type=SCHEMA2_MANIFEST)
        self.refused(ReferencesUnknown, owners)
        self.assertNotEqual(A.value, self.copy("first"))
