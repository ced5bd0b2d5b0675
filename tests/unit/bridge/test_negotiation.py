"""Tests for dockreg.bridge.negotiation, with what real clients send."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.negotiation import MAX_CHARACTERS, Accepted, parse_accept

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
PRETTY = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
ALL = (SCHEMA1, PRETTY, SCHEMA2, LIST, OCI, INDEX)

ENGINE = "docker/{} go/go1.4.2 git-commit/7c8fca2 kernel/3.13.0-49-generic os/linux arch/amd64"
WORDS = st.sampled_from(
    [*ALL, "*/*", "application/*", "application/json", "q=0", "q=0.5", "q", ";", ",", " ", "=", '"', "\0"]
)


def known(accepted: Accepted) -> tuple[str, ...]:
    return tuple(each for each in ALL if accepted.accepts(each))


def rules(accepted: Accepted) -> tuple[bool, bool, bool, bool]:
    return accepted.anything, accepted.only_schema1, accepted.no_index, accepted.only_oci


class EngineTests(SynchronousTestCase):
    """Docker engines."""

    def test_schema1_engines(self) -> None:
        """Engines 1.6 to 1.9 say nothing and know schema1 only."""
        for version in ("1.6.0", "1.6.2", "1.7.1", "1.8.3", "1.9.1", "1.9.1-rc1", "1.6"):
            accepted = parse_accept([], ENGINE.format(version))
            self.assertEqual((True, True, False, False), rules(accepted), version)

    def test_newer_engines(self) -> None:
        """Engines since 1.10 list what they know; so may one that only calls itself an older one."""
        listed = [SCHEMA2, LIST, PRETTY, SCHEMA1, "application/json"]
        for version in ("1.10.3", "1.12.6", "17.05.0-ce", "1.9.1"):
            accepted = parse_accept(listed, ENGINE.format(version))
            self.assertEqual((False, False, False, False), rules(accepted))
            self.assertEqual((SCHEMA1, PRETTY, SCHEMA2, LIST), known(accepted))

    def test_other_agents(self) -> None:
        """Whoever else says nothing takes what there is."""
        for agent in ("", "curl/8.5.0", ENGINE.format("1.10.0"), ENGINE.format("1.60.0"), "docker/1.5.0 go/go1.4",
                      "x docker/1.9.1", "Docker-Client/1.9.1"):  # fmt: skip
            accepted = parse_accept([], agent)
            self.assertEqual((True, False, False, False), rules(accepted), agent)
            self.assertEqual(ALL, known(accepted))


class ListTests(SynchronousTestCase):
    """Lists of types."""

    def test_one_header_or_many(self) -> None:
        """A list may be one header or several, in any case, with any spaces."""
        for headers in (
            (SCHEMA2, OCI),
            (f"{SCHEMA2},{OCI}",),
            (f" {SCHEMA2.upper()}\t; q=0.5 ,, {OCI};x=y", ""),
            (OCI, SCHEMA2),
        ):
            accepted = parse_accept(headers, "")
            self.assertEqual((SCHEMA2, OCI), known(accepted))
            self.assertEqual((False, False, True, False), rules(accepted))

    def test_wildcards(self) -> None:
        """A range accepts everything; that of another type does not."""
        for text in ("*/*", "application/*", f"{OCI}, */*;q=0.1", f"{PRETTY}, application/*"):
            accepted = parse_accept([text], "")
            self.assertEqual(ALL, known(accepted))
            self.assertEqual((True, False, False, False), rules(accepted))
        self.assertEqual((), known(parse_accept(["text/*, image/*"], "")))

    def test_empty(self) -> None:
        """An empty list is none."""
        for headers in ([""], [" , ,"], [";q=0"]):
            self.assertEqual((True, False, False, False), rules(parse_accept(headers, "")))

    def test_excluded(self) -> None:
        """A quality of 0 excludes a type, and the most specific entry decides."""
        for zero in ("q=0", "Q=0.000", " q = 0. ", "x=y;q=0"):
            accepted = parse_accept([f"{LIST};{zero}, {INDEX};{zero}, */*"], "")
            self.assertEqual((SCHEMA1, PRETTY, SCHEMA2, OCI), known(accepted))
        self.assertEqual((OCI,), known(parse_accept([OCI, "application/*;q=0", "*/*"], "")))
        self.assertEqual((), known(parse_accept(["*/*;q=0"], "")))
        self.assertEqual((SCHEMA1,), known(parse_accept([f"{SCHEMA1};q=0.001, {OCI};q=0"], "")))
        self.assertEqual((False, False, False, False), rules(parse_accept([f"{OCI};q=0"], "")))

    def test_only_schema1(self) -> None:
        """A list of nothing but schema1 is meant so; JSON in general says nothing."""
        for headers, only in (
            ([SCHEMA1], True), ([PRETTY, "application/json"], True), ([f"{SCHEMA1}, {PRETTY}"], True),
            (["application/json"], False), ([PRETTY, SCHEMA2], False), ([PRETTY, "text/html"], False),
            ([PRETTY, "*/*"], False), ([f"{PRETTY};q=0"], False), ([PRETTY, f"{SCHEMA2};q=0"], True),
        ):  # fmt: skip
            self.assertEqual(only, parse_accept(headers, "").only_schema1, headers)

    def test_no_index(self) -> None:
        """A list of images without an index is meant so."""
        for headers, no_index in (
            ([SCHEMA2], True), ([OCI, SCHEMA2], True), ([PRETTY], True), ([OCI, INDEX], False), ([SCHEMA2, LIST], False),
            ([INDEX], False), (["application/json"], False), (["text/html"], False), ([OCI, "*/*"], False),
            ([ARTIFACT], False), ([OCI, f"{INDEX};q=0"], True),
        ):  # fmt: skip
            self.assertEqual(no_index, parse_accept(headers, "").no_index, headers)

    def test_only_oci(self) -> None:
        """A list of OCI images without those of docker is meant so."""
        for headers, only in (
            ([OCI], True), ([OCI, INDEX], True), ([OCI, LIST], True), ([OCI, SCHEMA2], False), ([INDEX], False),
            ([OCI, "*/*"], False), ([SCHEMA2], False), ([OCI, f"{SCHEMA2};q=0"], True),
        ):  # fmt: skip
            self.assertEqual(only, parse_accept(headers, "").only_oci, headers)

    @given(
        st.lists(st.text() | st.lists(WORDS).map("".join)), st.text() | st.sampled_from(["docker/1.9.1", "docker/1.10"])
    )
    def test_anything(self, headers: list[str], user_agent: str) -> None:
        """Anything can be read, and what is said of it is consistent."""
        accepted = parse_accept(headers, user_agent)
        if accepted.anything:
            self.assertFalse(accepted.no_index or accepted.only_oci)
        if accepted.only_oci:
            self.assertTrue(accepted.accepts(OCI))
            self.assertFalse(accepted.accepts(SCHEMA2))
        if accepted.no_index:
            self.assertFalse(accepted.accepts(INDEX) or accepted.accepts(LIST))

    def test_long(self) -> None:
        """What is longer than any list is not read to its end."""
        for headers in (
            (" " * MAX_CHARACTERS, OCI),
            ("," * 100_000 + OCI,),
            ("x," * 10_000, OCI),
            ("x",) * 10_000 + (OCI,),
        ):
            self.assertFalse(OCI in parse_accept(headers, "").named)
