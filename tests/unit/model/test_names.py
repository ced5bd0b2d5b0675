"""Tests for dockreg.model.names."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import NameInvalid, TagInvalid
from dockreg.model.names import V1_RESERVED, RepositoryName, Tag, is_host_port


class RepositoryNameTests(SynchronousTestCase):
    """Tests for RepositoryName."""

    def test_library_is_an_alias(self) -> None:
        """``library/x`` and ``x`` are one repository at both doors, and v1 prints the long form."""
        short, long = RepositoryName.parse_v1("busybox"), RepositoryName.parse_v1("library/busybox")
        self.assertEqual(short, long)
        self.assertEqual("busybox", str(long))
        self.assertEqual("library/busybox", short.v1)
        self.assertEqual(short, RepositoryName.parse_oci("library/busybox"))
        self.assertEqual("library", short.namespace)

    def test_library_is_an_alias_for_one_component_only(self) -> None:
        """``library/a/b`` is not ``a/b``, which is in the namespace ``a``."""
        self.assertNotEqual(RepositoryName.parse_v1("library/a/b"), RepositoryName.parse_v1("a/b"))
        self.assertEqual("library/a/b", RepositoryName.parse_v1("library/a/b").v1)
        self.assertEqual("a", RepositoryName.parse_v1("a/b").namespace)

    def test_components(self) -> None:
        """Engines 1.8 and 1.9 may send three components and more; 255 characters is the limit."""
        self.assertEqual("a/b/c/d", str(RepositoryName.parse_v1("a/b/c/d")))
        self.assertEqual("a" * 255, str(RepositoryName.parse_v1("a" * 255)))

    def test_refused(self) -> None:
        """Whatever could name a path, a host or another thing is no v1 name."""
        for name in (
            "", "/", "a/", "/a", "a//b", ".", "..", "a/..", "../a", "A", "a b", "a:b", "a@b", "a\n", "ä", "٣",
            "a" * 256, "a\\b", "a\0b", "a%2fb", "a/tags/b",
        ):  # fmt: skip
            with self.assertRaises(NameInvalid, msg=repr(name)):
                RepositoryName.parse_v1(name)

    def test_reserved(self) -> None:
        """A last component that v1 paths use themselves is refused in v1, and fine in v2."""
        for word in V1_RESERVED:
            with self.assertRaises(NameInvalid):
                RepositoryName.parse_v1(f"demo/{word}")
            with self.assertRaises(NameInvalid):
                RepositoryName.parse_v1(word)
            self.assertEqual(f"demo/{word}", str(RepositoryName.parse_oci(f"demo/{word}")))
            self.assertEqual(f"{word}/demo", str(RepositoryName.parse_v1(f"{word}/demo")))

    def test_doors_differ(self) -> None:
        """A v1 name outside the OCI grammar says that the v2 door can not show it."""
        self.assertTrue(RepositoryName.parse_v1("demo/app-1").in_oci)
        self.assertFalse(RepositoryName.parse_v1("demo/-app").in_oci)
        with self.assertRaises(NameInvalid):
            RepositoryName.parse_oci("demo/-app")

    @given(st.text(alphabet="ab/._-AL%\n0", max_size=12))
    def test_never_a_surprise(self, text: str) -> None:
        """A name is refused with NameInvalid, or stays what it was, but for the alias."""
        try:
            name = RepositoryName.parse_v1(text)
        except NameInvalid:
            return
        self.assertIn(text, {name.value, name.v1})
        self.assertEqual(name, RepositoryName.parse_v1(name.v1))


class TagTests(SynchronousTestCase):
    """Tests for Tag."""

    def test_grammar(self) -> None:
        """A tag has 1 to 128 ASCII characters and begins with none of ``.`` and ``-``."""
        for text in ("latest", "1.0", "_x", "A-b.c_d", "x" * 128):
            self.assertEqual(text, str(Tag.parse(text)))
        for text in ("", ".a", "-a", "a b", "a/b", "a:b", "x" * 129, "a\n", "é", "٣"):
            with self.assertRaises(TagInvalid, msg=repr(text)):
                Tag.parse(text)


class HostPortTests(SynchronousTestCase):
    """Tests for is_host_port."""

    def test_hosts(self) -> None:
        """Host names, addresses and ports are accepted."""
        for text in ("localhost", "localhost:5000", "r.example.org:443", "127.0.0.1:1", "[::1]:5000", "[::1]", "a_b"):
            self.assertTrue(is_host_port(text), text)

    def test_refused(self) -> None:
        """What could break out of a header or a URL is refused."""
        for text in (
            "", "a b", "a,b", "http://a", "a/b", "a:0", "a:65536", "a:", "a:b", "a\r\nb", "a..b", ".a", "-a", "x" * 64,
            "[::1", "::1", "a@b", "ä",
        ):  # fmt: skip
            self.assertFalse(is_host_port(text), text)
