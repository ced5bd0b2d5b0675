"""Tests for dockreg.model.platforms."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.platforms import Platform, parse_platform


class PlatformTests(SynchronousTestCase):
    """Tests for Platform."""

    def test_spellings(self) -> None:
        """The names that clients have for one machine match."""
        for one, other in (
            (Platform("linux", "amd64"), Platform("Linux", "x86_64")),
            (Platform("linux", "amd64"), Platform("linux", "amd64", "v1")),
            (Platform("linux", "arm64"), Platform("linux", "aarch64", "v8")),
            (Platform("linux", "arm"), Platform("linux", "arm", "v7")),
            (Platform("linux", "arm", "6"), Platform("linux", "armel")),
            (Platform("darwin", "arm64"), Platform("macos", "arm64", "8")),
            (Platform("windows", "amd64", "", "10.0.1"), Platform("windows", "amd64", "", "10.0.2")),
        ):
            self.assertTrue(one.matches(other), (one, other))
            self.assertTrue(other.matches(one))

    def test_differences(self) -> None:
        """Another system, machine or variant does not match."""
        wanted = Platform("linux", "amd64")
        for other in (
            Platform("windows", "amd64"), Platform("linux", "386"), Platform("linux", "amd64", "v2"), Platform("", ""),
            Platform("unknown", "unknown"),
        ):  # fmt: skip
            self.assertFalse(wanted.matches(other))

    def test_parse(self) -> None:
        """What is said is read, and what has another form is not said."""
        self.assertEqual(
            Platform("linux", "arm", "v7", "1"),
            parse_platform({"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1", "features": []}),
        )
        self.assertEqual(Platform("linux", ""), parse_platform({"os": "linux", "architecture": None, "variant": 7}))
        nothing: object
        for nothing in (None, 5, "linux/amd64", [], {}, {"os": ""}, {"variant": "v7"}):
            self.assertIsNone(parse_platform(nothing))
