"""Tests of :mod:`dockreg.providers.auth.tokentext`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.access import Action
from dockreg.providers.auth.tokentext import ACCESS, TokenText, access_word

WHOLE = TokenText("abc", "demo/app", "write")


class TokenTextTests(SynchronousTestCase):
    def test_spellings(self) -> None:
        """Every form in which engines and scripts repeat a token says the same."""
        for text in (
            'signature=abc,repository="demo/app",access=write',
            'Token signature=abc,repository="demo/app",access=write',
            'Token Token signature=abc,repository="demo/app",access=write',
            "signature=abc,repository=demo/app,access=write",
            'signature="abc",repository="demo/app",access="write"',
            'signature:abc,repository:"demo/app",access:write',
            "signature= abc, repository= demo/app, access= write",
            'signature= "abc", repository= "demo/app", access= "write"',
            'access=write,repository="demo/app",signature=abc',
            ' signature=abc , repository="demo/app" , access=write ',
            'signature=abc,repository="demo/app",access=write,',
            'signature=abc,repository="demo/app",access=write,unknown=member',
        ):
            self.assertEqual(WHOLE, TokenText.parse(text), text)

    def test_several_joined(self) -> None:
        """Of tokens that an engine joined, the last one counts."""
        first = 'signature=old,repository="demo/old",access=read'
        last = 'signature=abc,repository="demo/app",access=write'
        for comma in (",", ", ", " , "):
            self.assertEqual(WHOLE, TokenText.parse(comma.join([first, last])))
            self.assertEqual(WHOLE, TokenText.parse(comma.join([f"Token {first}", f"Token {last}"])))

    def test_bare(self) -> None:
        """A signature without members around it is one, with or without a scheme; of several the last one counts."""
        for text in (
            "a.b.c",
            '"a.b.c"',
            " a.b.c ",
            "Token a.b.c",
            "Token token a.b.c",
            "x.y.z,a.b.c",
            "Token x.y.z, Token a.b.c",
        ):
            self.assertEqual(TokenText("a.b.c", None, None), TokenText.parse(text), text)

    def test_words_in_values(self) -> None:
        """A value that looks like a member is none."""
        text = 'signature=abc,repository="signature=evil",access=write'
        self.assertEqual(TokenText("abc", "signature=evil", "write"), TokenText.parse(text))

    def test_other_words(self) -> None:
        """A word that only ends like a member is another member."""
        self.assertEqual(TokenText(None, None, None), TokenText.parse("xsignature=abc,my_access=write"))

    def test_missing(self) -> None:
        """What is not said is None."""
        self.assertEqual(TokenText(None, None, "read"), TokenText.parse("access=read"))
        self.assertEqual(TokenText(None, None, None), TokenText.parse(""))

    def test_too_long(self) -> None:
        """Of a text that no token can have, nothing is read."""
        self.assertEqual(TokenText(None, None, None), TokenText.parse("signature=abc," + " " * 20_000))

    @given(st.text(alphabet=st.sampled_from('aA_=:", .\x00é\n'), max_size=60))
    def test_any_text(self, text: str) -> None:
        """No text breaks the parser, and no value holds a comma."""
        said = TokenText.parse(text)
        for value in (said.signature, said.repository, said.access):
            self.assertNotIn(",", value or "")


class AccessTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        """The word for the actions of a word is that word."""
        for word, actions in ACCESS.items():
            self.assertEqual(word, access_word(actions))

    def test_every_word_reads(self) -> None:
        """Writing and deleting imply reading."""
        for word, actions in ACCESS.items():
            self.assertIn(Action.PULL, actions, word)

    def test_words(self) -> None:
        """A push is write, whatever else is allowed; deleting alone is delete; the rest is read."""
        self.assertEqual("write", access_word(frozenset(Action)))
        self.assertEqual("write", access_word(frozenset({Action.OVERWRITE})))
        self.assertEqual("delete", access_word(frozenset({Action.DELETE, Action.ADMIN})))
        self.assertEqual("read", access_word(frozenset({Action.ADMIN})))
        self.assertEqual("read", access_word(frozenset()))
