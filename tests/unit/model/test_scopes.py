"""Tests of :mod:`dockreg.model.scopes`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.access import EVERYTHING, Access, Action
from dockreg.model.names import RepositoryName
from dockreg.model.scopes import (
    MAX_SCOPE_CHARACTERS,
    MAX_SCOPES,
    claims_of,
    parse_scopes,
    reach_of,
    scope_of,
    words_of,
)

APP, OTHER = RepositoryName("demo/app"), RepositoryName("demo/other")
PULL = frozenset({Action.PULL})
PUSH = frozenset({Action.PUSH, Action.OVERWRITE})
DELETE = frozenset({Action.DELETE})
CATALOG = Access(None, PULL)


class ParseTests(SynchronousTestCase):
    """What clients ask for."""

    def test_actions(self) -> None:
        """Each of docker's words is an action of ours; a push may replace, and a star is everything."""
        for words, actions in (
            ("pull", PULL),
            ("push", PUSH),
            ("pull,push", PULL | PUSH),
            ("delete", DELETE),
            ("delete,pull,push", PULL | PUSH | DELETE),
            ("*", EVERYTHING),
            ("pull,*", EVERYTHING),
            ("pull,fly", PULL),
            ("pull,,pull", PULL),
        ):
            self.assertEqual((Access(APP, actions),), parse_scopes([f"repository:demo/app:{words}"]), words)

    def test_several(self) -> None:
        """Scopes come in several parameters, or separated by blanks; those of one repository are one."""
        expected = (Access(APP, PULL | PUSH), Access(OTHER, PULL), CATALOG)
        for texts in (
            ["repository:demo/app:pull,push", "repository:demo/other:pull", "registry:catalog:*"],
            ["repository:demo/app:pull,push repository:demo/other:pull registry:catalog:*"],
            ["repository:demo/app:pull  repository:demo/other:pull ", "registry:catalog:* repository:demo/app:push"],
        ):
            self.assertEqual(expected, parse_scopes(texts))

    def test_spellings(self) -> None:
        """The class of a repository does not matter, and ``library/`` is no namespace."""
        app = RepositoryName("app")
        for text in (
            "repository(plugin):app:pull",
            "repository:library/app:pull",
            "repository(image):library/app:pull",
        ):
            self.assertEqual((Access(app, PULL),), parse_scopes([text]))

    def test_unknown(self) -> None:
        """What is no scope, or of no kind that is known, is left out; the others count."""
        for text in (
            "",
            "repository",
            "repository:demo/app",
            "repository:demo/app:",
            "repository:demo/app:fly",
            "repository::pull",
            "repository:Demo/App:pull",
            "repository:../app:pull",
            "repository:localhost:5000/demo/app:pull",
            "repository():demo/app:pull",
            "repositories:demo/app:pull",
            "registry:catalog:pull",
            "registry:other:*",
            "registry(x):catalog:*",
            "user:anna:*",
            ":::",
            "repository:demo/app:pull\nrepository:demo/other:pull",
            "repository:демо:pull",
        ):
            self.assertEqual((), parse_scopes([text]), text)
            self.assertEqual((CATALOG,), parse_scopes([text, "registry:catalog:*"]), text)

    def test_number(self) -> None:
        """So many scopes fit into a token, the first ones; for a repository among them further actions count."""
        many = [f"repository:r{number}:pull" for number in range(MAX_SCOPES + 5)]
        found = parse_scopes([*many, "repository:r0:push"])
        self.assertEqual([f"r{number}" for number in range(MAX_SCOPES)], [str(each.repository) for each in found])
        self.assertEqual(PULL | PUSH, found[0].actions)

    def test_length(self) -> None:
        """Scopes are only so long together."""
        long = [f"repository:{letter * 250}:pull" for letter in "abcdefghijklmnop"]
        found = parse_scopes(long)
        self.assertEqual(MAX_SCOPE_CHARACTERS // len(long[0]), len(found))
        self.assertLessEqual(len(scope_of(found)), MAX_SCOPE_CHARACTERS)

    def test_flood(self) -> None:
        """A great number of scopes that mean nothing is not looked at for long."""
        self.assertEqual((), parse_scopes(["x:y:z " * 100_000, "registry:catalog:*"]))

    @given(st.lists(st.text(max_size=80), max_size=5))
    def test_any(self, texts: list[str]) -> None:
        """Any text is read, and what was found in it is found again in the text that asks for it."""
        found = parse_scopes(texts)
        self.assertEqual(found, parse_scopes([scope_of(found)]))


class WriteTests(SynchronousTestCase):
    """The same in words."""

    def test_words(self) -> None:
        """The words are in the order in which clients write them."""
        for actions, words in (
            (frozenset(), []),
            (PULL, ["pull"]),
            (PULL | {Action.PUSH}, ["pull", "push"]),
            (PULL | PUSH, ["pull", "push"]),
            (PULL | PUSH | DELETE, ["pull", "push", "delete"]),
            (EVERYTHING, ["*"]),
        ):
            self.assertEqual(words, words_of(Access(APP, actions)))
        self.assertEqual(["*"], words_of(CATALOG))

    def test_scope(self) -> None:
        """What grants nothing is left out of the text, and stands in the claim without actions."""
        accesses = [Access(APP, PULL | PUSH), Access(OTHER, frozenset()), CATALOG]
        self.assertEqual("repository:demo/app:pull,push registry:catalog:*", scope_of(accesses))
        self.assertEqual(
            [
                {"type": "repository", "name": "demo/app", "actions": ["pull", "push"]},
                {"type": "repository", "name": "demo/other", "actions": []},
                {"type": "registry", "name": "catalog", "actions": ["*"]},
            ],
            claims_of(accesses),
        )

    def test_reach(self) -> None:
        """A token reaches what it was asked for with, and nothing else."""
        reach = reach_of([Access(APP, PULL | PUSH), Access(OTHER, PULL), CATALOG])
        self.assertEqual(PULL | PUSH, reach.within(APP))
        self.assertEqual(PULL, reach.within(OTHER))
        self.assertEqual(PULL, reach.within(None))
        self.assertEqual(frozenset(), reach.within(RepositoryName("demo/app2")))
        self.assertEqual(frozenset(), reach_of([]).within(None))
