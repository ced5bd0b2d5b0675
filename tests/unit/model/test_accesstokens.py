"""Tests of :mod:`dockreg.model.accesstokens`."""

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import RequestInvalid
from dockreg.model.access import Action, Ceiling, Reach
from dockreg.model.accesstokens import AccessToken, TokenText, format_scope, format_scopes, parse_scope
from dockreg.model.names import RepositoryName

_PIECES = st.binary(min_size=32, max_size=32)
PULL, PUSH = Action.PULL, Action.PUSH


def made(data: bytes) -> TokenText:
    return TokenText.make(lambda size: data[:size])


def token(*scopes: str, expires_at: float | None = None) -> AccessToken:
    return AccessToken("id", "anna", "", tuple(map(parse_scope, scopes)), 0.0, expires_at)


class TokenTextTests(SynchronousTestCase):
    @given(_PIECES)
    def test_round(self, data: bytes) -> None:
        """A token is recognized by its text, and by nothing that differs from it in one character."""
        text = made(data)
        self.assertEqual(text, TokenText.parse(text.text))
        self.assertRegex(text.text, re.compile(r"\Adockreg_[0-9A-Za-z]{60}\Z"))
        self.assertTrue(text.text.startswith(f"dockreg_{text.token_id}"))
        for at in (0, 8, 20, 40, len(text.text) - 1):
            other = "x" if text.text[at] != "x" else "y"
            self.assertIsNone(TokenText.parse(text.text[:at] + other + text.text[at + 1 :]))

    def test_distinct(self) -> None:
        """Every bit of the randomness counts: in the text, and in what is stored."""
        texts = [made(b"\x00" * 32)] + [made((1 << bit).to_bytes(32, "big")) for bit in range(256)]
        self.assertEqual(257, len({each.text for each in texts}))
        self.assertEqual(257, len({each.digest for each in texts}))

    def test_scanner(self) -> None:
        """The form of a token is a fixed one, so that scanners for secrets find it: this is the test vector."""
        text = made(bytes(range(32)))
        self.assertEqual("dockreg_001IYT0XLWR003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2LvHa5", text.text)
        self.assertEqual("001IYT0XLWR", text.token_id)

    def test_others(self) -> None:
        """Passwords of another kind are none."""
        right = made(b"x" * 32).text
        for text in ("", "secret", "dockreg_", right[1:], right + "0", right + "\n", f" {right}", right.upper()):
            self.assertIsNone(TokenText.parse(text))

    def test_never_shown(self) -> None:
        """What is printed of a token for developers does not hold it."""
        text = made(b"x" * 32)
        self.assertNotIn(text.text[20:], repr(text))


class ScopeTests(SynchronousTestCase):
    def test_parse(self) -> None:
        """Repositories and actions are what is written; an asterisk is all actions."""
        scope = parse_scope("team/**:pull,push")
        self.assertEqual(("team/**", {PULL, PUSH}), (scope.repositories.value, scope.actions))
        self.assertEqual(frozenset(Action), parse_scope("x:*").actions)

    def test_format(self) -> None:
        """A scope is written as it is read, with the actions in an order."""
        for text in ("team/**:pull,push", "x:*", "**:admin", "a/b*:pull,push,overwrite,delete"):
            self.assertEqual(text, format_scope(parse_scope(text)))
        self.assertEqual("x:pull,push", format_scope(parse_scope("x:push,pull,push")))
        self.assertEqual("x:pull y:*", format_scopes([parse_scope("x:pull"), parse_scope("y:*")]))

    def test_refused(self) -> None:
        """What is no scope is refused in a sentence that says what to write."""
        for text in (
            "",
            "x",
            "x:",
            ":pull",
            "x:pull,",
            "x:Pull",
            "x:read",
            "x:pull push",
            "X:pull",
            "a**:pull",
            "x:**",
        ):
            with self.assertRaises(RequestInvalid) as caught:
                parse_scope(text)
            self.assertRegex(str(caught.exception), "write|name some")


class AccessTokenTests(SynchronousTestCase):
    def test_reach(self) -> None:
        """It reaches what its scopes say, and on the registry to search and push, if it does so anywhere."""
        reach = token("team/**:pull,push", "x:delete,admin").reach
        self.assertEqual({PULL, PUSH}, reach.within(RepositoryName("team/app")))
        self.assertEqual({Action.DELETE, Action.ADMIN}, reach.within(RepositoryName("x")))
        self.assertEqual(frozenset(), reach.within(RepositoryName("y")))
        self.assertEqual({PULL, PUSH}, reach.within(None))
        self.assertEqual(frozenset(), token("x:delete,admin").reach.within(None))

    def test_lowered(self) -> None:
        """A ceiling is lowered to what the token reaches now, once."""
        wide, narrow = token("**:*"), token("x:pull")
        self.assertEqual(Ceiling((narrow.reach,)), narrow.lowered(None))
        v1 = Ceiling.of(RepositoryName("x"), frozenset(Action))
        lowered = narrow.lowered(v1)
        self.assertEqual({PULL}, lowered.within(RepositoryName("x")))
        self.assertEqual(RepositoryName("x"), lowered.repository)
        self.assertEqual(lowered, narrow.lowered(lowered))
        both = narrow.lowered(wide.lowered(None))
        self.assertEqual({PULL}, both.within(RepositoryName("x")))
        self.assertEqual(frozenset(), both.within(RepositoryName("y")))

    def test_over(self) -> None:
        """It ends with the moment at which it expires, and never if there is none."""
        self.assertEqual([False, True, True], [token("x:pull", expires_at=5.0).is_over(now) for now in (4.9, 5.0, 6.0)])
        self.assertFalse(token("x:pull").is_over(1e12))
        self.assertEqual(Reach(()), AccessToken("id", "anna", "", (), 0.0).reach)
