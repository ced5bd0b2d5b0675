"""Tests of :mod:`dockreg.providers.auth.htpasswdfile`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.providers.auth.htpasswdfile import MAX_BYTES, HtpasswdInvalid, cost_of, parse_htpasswd

#: What "htpasswd -nbB -C 4 anna secret" prints, apart from the salt.
HASH = b"$2y$04$8AsjkIPlqvEfwAr2RZVHmufAYw6qM3mJqjf5ZT3yvVhH/7tSlLCOq"

#: Entries of other kinds, as tools make them.
OTHERS = (
    b"$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00",
    b"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    b"$5$salt$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
    b"$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.",
    b"$1$salt$qJH7.N4xYta3aEG/dfqo/0",
    b"rqXexS6ZhobKA",
    b"hunter2",
    b"!",
    b"*",
)


class ParseTests(SynchronousTestCase):
    def test_entries(self) -> None:
        """Names are up to the first colon, hashes up to the second; blank lines and comments are none."""
        content = b"# people\n\n  \nanna:%s\r\nb\xc3\xa9rta :%s:and more:\n" % (
            HASH,
            HASH.replace(b"$2y$04", b"$2b$05"),
        )
        file = parse_htpasswd(content)
        self.assertEqual({b"anna", "bérta ".encode()}, set(file.entries))
        self.assertEqual(HASH, file.entries[b"anna"])
        self.assertEqual((), file.refused)

    def test_cost(self) -> None:
        """The cost is the highest of any entry, and that of a file without any is not nothing."""
        self.assertEqual(4, parse_htpasswd(b"anna:" + HASH).cost)
        self.assertEqual(6, parse_htpasswd(b"a:%s\nb:%s" % (HASH.replace(b"04", b"06", 1), HASH)).cost)
        self.assertGreaterEqual(parse_htpasswd(b"").cost, 10)
        self.assertEqual(4, cost_of(HASH))

    def test_other_kinds(self) -> None:
        """An entry of another kind is refused by the number of its line; the others are used."""
        lines = [b"somebody:" + each for each in OTHERS]
        file = parse_htpasswd(b"\n".join([b"anna:" + HASH, *lines, b"berta:" + HASH]))
        self.assertEqual({b"anna", b"berta"}, set(file.entries))
        self.assertEqual(list(range(2, 2 + len(OTHERS))), [number for number, _ in file.refused])
        for _, reason in file.refused:
            self.assertNotIn("somebody", reason)
            self.assertNotIn("hunter2", reason)

    def test_refused(self) -> None:
        """So is a hash that would take hours, a second entry of one name, and a name that is not UTF-8."""
        for line in (
            b"a:" + HASH.replace(b"04", b"18", 1),
            b"a:" + HASH.replace(b"04", b"03", 1),
            b"anna:" + HASH.replace(b"8A", b"9B"),
            b"\xff:" + HASH,
        ):
            file = parse_htpasswd(b"anna:%s\n%s" % (HASH, line))
            self.assertEqual({b"anna": HASH}, file.entries)
            self.assertEqual([2], [number for number, _ in file.refused])

    def test_broken(self) -> None:
        """A file with a line that is no entry, or with a hash that ends too early, is none: it is being written."""
        for content in (
            b"anna",
            b":" + HASH,
            b"anna:",
            b"anna:\n",
            b"a:%s\nanna:%s" % (HASH, HASH[:-1]),
            b"a:" + HASH + b"x",
        ):
            error = self.assertRaises(HtpasswdInvalid, parse_htpasswd, content)
            self.assertNotIn("anna", str(error))
        self.assertRaises(HtpasswdInvalid, parse_htpasswd, b"#" * (MAX_BYTES + 1))

    @given(st.binary(max_size=200))
    def test_anything(self, content: bytes) -> None:
        """Whatever it holds, the outcome is entries or a sentence."""
        try:
            parse_htpasswd(content)
        except HtpasswdInvalid as error:
            self.assertNotEqual("", str(error))
