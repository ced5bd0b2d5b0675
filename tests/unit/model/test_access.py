"""How far credentials reach."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import RequestInvalid
from dockreg.model.access import EVERYTHING, NOTHING, Action, Ceiling, Principal, Reach, Scope
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern

PULL = frozenset({Action.PULL})
PUSH = frozenset({Action.PULL, Action.PUSH})
APP = RepositoryName("team/app")


class PatternTests(SynchronousTestCase):
    """Patterns of repository names."""

    def test_matches(self) -> None:
        """A star stays within its component, two stars do not; ``library`` may be written or left out."""
        for pattern, name, expected in (
            ("team/app", "team/app", True),
            ("team/app", "team/app2", False),
            ("team/*", "team/app", True),
            ("team/*", "team/app/x", False),
            ("team/*", "teams/app", False),
            ("team/**", "team/app/x", True),
            ("team/**", "team", False),
            ("te*/a*", "team/app", True),
            ("*", "busybox", True),
            ("*", "team/app", False),
            ("library/*", "busybox", True),
            ("library/busybox", "busybox", True),
            ("**", "a/b/c", True),
            ("*/b", "library", False),
            ("**/b", "a/b", True),
            ("**/b", "a/c/b", True),
            ("**/b", "a/b/c", False),
            ("a/**/c/*", "a/b/c/c/d", True),
            ("*a*b*", "xaxbx/", False),
            ("x/*a*b*", "x/1a2b3", True),
            ("x/*a*b", "x/abab", True),
            ("x/*a*b", "x/abac", False),
            ("a.c", "abc", False),
        ):
            self.assertEqual(expected, RepositoryPattern.parse(pattern).matches(RepositoryName(name)), (pattern, name))

    def test_invalid(self) -> None:
        """What no name can match is refused."""
        for text in ("", "/", "a//b", "A", "a b", "a/", "***", "a**", "a/**b", "x" * 256, "a\n", "team/[a]"):
            self.assertRaises(RequestInvalid, RepositoryPattern.parse, text)

    @given(st.from_regex(r"\A[a-z0-9]{1,9}(/[a-z0-9]{1,9}){0,3}\Z"))
    def test_itself(self, text: str) -> None:
        """A name is the pattern that matches it, and every name matches two stars."""
        name = RepositoryName.parse_oci(text)
        for pattern in (RepositoryPattern.parse(text), RepositoryPattern.exactly(name), RepositoryPattern.parse("**")):
            self.assertTrue(pattern.matches(name))

    def test_many_stars(self) -> None:
        """Stars do not multiply the time: this ends."""
        pattern = RepositoryPattern.parse("x/" + "*a" * 100 + "c")
        self.assertFalse(pattern.matches(RepositoryName("x/" + "a" * 250)))
        deep = RepositoryPattern.parse("/".join(["**", "a"] * 40))
        self.assertFalse(deep.matches(RepositoryName("/".join(["a"] * 100 + ["b"]))))


class CeilingTests(SynchronousTestCase):
    """What tokens reach at most."""

    def test_of_one_repository(self) -> None:
        """A token for one repository names it, and reaches nothing else."""
        ceiling = Ceiling.of(APP, PULL)
        self.assertEqual(APP, ceiling.repository)
        self.assertEqual(PULL, ceiling.within(APP))
        for elsewhere in (RepositoryName("team/other"), None):
            self.assertEqual(NOTHING, ceiling.within(elsewhere))

    def test_several_scopes(self) -> None:
        """Scopes add up, and there is no one repository then."""
        scopes = (Scope(RepositoryPattern("team/*"), PULL), Scope(RepositoryPattern("team/app"), PUSH))
        ceiling = Ceiling((Reach(scopes, PULL),))
        self.assertIsNone(ceiling.repository)
        self.assertEqual(PUSH, ceiling.within(APP))
        self.assertEqual(PULL, ceiling.within(RepositoryName("team/other")))
        self.assertEqual(PULL, ceiling.within(None))

    def test_below(self) -> None:
        """What was had for a token reaches no further than both."""
        wide = Ceiling((Reach((Scope(RepositoryPattern("**"), PUSH),), PUSH),))
        narrow = Ceiling.of(APP, EVERYTHING).below(wide)
        self.assertEqual(PUSH, narrow.within(APP))
        self.assertEqual(NOTHING, narrow.within(RepositoryName("x")))
        self.assertEqual(NOTHING, narrow.within(None))
        self.assertEqual(Ceiling.of(APP, PULL), Ceiling.of(APP, PULL).below(None))

    def test_asks_too_little(self) -> None:
        """Only where a wider token can be had is the want of a scope worth saying; a lower ceiling behind it is not."""
        behind = Ceiling.of(APP, PULL)
        bearer = Principal("anna", ceiling=Ceiling.of(APP, PUSH).below(behind), renewable=True)
        self.assertFalse(bearer.asks_too_little(Action.PUSH, APP))
        self.assertTrue(bearer.asks_too_little(Action.DELETE, APP))
        self.assertTrue(bearer.asks_too_little(Action.PULL, RepositoryName("x")))
        self.assertFalse(Principal("anna", ceiling=behind).asks_too_little(Action.PUSH, APP))
        self.assertFalse(Principal("anna").asks_too_little(Action.PUSH, APP))
