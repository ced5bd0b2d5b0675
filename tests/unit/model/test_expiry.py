"""Tests of :mod:`dockreg.model.expiry`."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors import RequestInvalid
from dockreg.model.digest import Digest
from dockreg.model.expiry import decide, freed, with_parts
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.patterns import RepositoryPattern, TagPattern
from dockreg.model.retention import (
    BlobUse,
    Decision,
    Gap,
    Kind,
    ManifestState,
    RepositoryContents,
    RetentionRule,
    SeenTime,
    TagState,
    rule_for,
)

DAY = 86400.0
NOW = 1000 * DAY
TIME = SeenTime(NOW, 0.0)
EVERYWHERE = (RepositoryPattern("**"),)
A, B, C, D = (str(Digest.sha256(each)) for each in (b"a", b"b", b"c", b"d"))


def rule(
    keep_last: int | None = None, unpulled: float | None = None, untagged: float | None = None, keep: Sequence[str] = ()
) -> RetentionRule:
    """A rule about every repository; times in days."""
    times = [None if each is None else each * DAY for each in (unpulled, untagged)]
    return RetentionRule(1, EVERYWHERE, tuple(map(TagPattern.parse, keep)), keep_last, *times)


def tag(name: str, age: float = 100, pulled: float | None = None, digest: str = A) -> TagState:
    """A tag that was pushed and pulled so many days ago."""
    return TagState(Tag(name), (digest,), NOW - age * DAY, None if pulled is None else NOW - pulled * DAY)


def manifest(
    digest: str,
    age: float = 100,
    *,
    pulled: float | None = None,
    untagged: float | None = None,
    subject: str | None = None,
    children: Sequence[str] = (),
    kin: Sequence[str] = (),
) -> ManifestState:
    """A manifest that was pushed, pulled and left by a tag so many days ago."""
    ago = [None if each is None else NOW - each * DAY for each in (untagged, pulled)]
    return ManifestState(digest, NOW - age * DAY, ago[0], ago[1], subject, frozenset(children), frozenset(kin))


class RuleTests(SynchronousTestCase):
    def test_first(self) -> None:
        """The first rule about a repository counts, and no other; without one there is none."""
        rules = [
            RetentionRule(1, (RepositoryPattern("team/app"),), keep_last=1),
            RetentionRule(2, (RepositoryPattern("x/*"), RepositoryPattern("team/**")), keep_last=2),
        ]
        for name, number in (("team/app", 1), ("team/deep/er", 2), ("x/y", 2), ("other", None)):
            found = rule_for(rules, RepositoryName(name))
            self.assertEqual(number, None if found is None else found.number)

    def test_patterns(self) -> None:
        """A pattern is about a whole tag; a dot is a dot."""
        for pattern, yes, no in (
            ("v*", ("v", "v1.2"), ("rv1", "V1")),
            ("1.?", ("1.2", "1.x"), ("1.22", "112")),
            ("[0-9]*", ("1", "2024-x"), ("x1",)),
            ("[!v]*", ("x",), ("v1",)),
        ):
            matches = TagPattern.parse(pattern).matches
            self.assertEqual([True] * len(yes), [matches(Tag(each)) for each in yes], pattern)
            self.assertEqual([False] * len(no), [matches(Tag(each)) for each in no], pattern)
        for bad in ("", "a b", "[", "a/b", "v" * 129, "(a|b)"):
            self.assertRaises(RequestInvalid, TagPattern.parse, bad)


class SeenTimeTests(SynchronousTestCase):
    def test_gaps(self) -> None:
        """What was before a gap, or in it, is younger by what was not seen; what came later is not."""
        time = SeenTime(100.0, 10.0, [Gap(20.0, 50.0), Gap(60.0, 61.0)])
        ages = {0.0: 59.0, 15.0: 54.0, 20.0: 49.0, 30.0: 49.0, 55.0: 44.0, 70.0: 30.0, 120.0: -20.0}
        self.assertEqual(ages, {moment: time.age(moment) for moment in ages})

    @given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)), max_size=5), st.floats(0, 1000))
    def test_never_older(self, pairs: Sequence[tuple[float, float]], moment: float) -> None:
        """Nothing is older than the clock says."""
        gaps = [Gap(*sorted(pair)) for pair in pairs]
        self.assertLessEqual(SeenTime(1000.0, 0.0, gaps).age(moment), 1000.0 - moment)


class _DecisionCase(SynchronousTestCase):
    def decide(
        self,
        by: RetentionRule,
        tags: Sequence[TagState],
        manifests: Sequence[ManifestState] = (),
        time: SeenTime = TIME,
    ) -> Sequence[Decision]:
        """What becomes of it."""
        return decide(by, RepositoryContents(tags, manifests), time)

    def check(self, expected: Mapping[str, bool], decisions: Sequence[Decision]) -> dict[str, str]:
        """What goes; returns why."""
        self.assertEqual(expected, {each.reference: each.goes for each in decisions})
        return {each.reference: each.why for each in decisions}


class TagTests(_DecisionCase):
    """What becomes of tags."""

    def test_last(self) -> None:
        """The latest tags stay; those that match a pattern do, too, and take no place."""
        tags = [tag("old", 5), tag("v1", 1), tag("new", 2), tag("mid", 3)]
        why = self.check(
            {"mid": False, "new": False, "old": True, "v1": False}, self.decide(rule(2, keep=["v*"]), tags)
        )
        self.assertEqual("number 1 of 3 by the time of its push, and the last 2 stay", why["new"])
        self.assertEqual("number 3 of 3 by the time of its push, and only the last 2 stay", why["old"])
        self.assertEqual("matches 'v*' of keep", why["v1"])

    def test_unpulled(self) -> None:
        """What was neither pushed nor pulled for a time goes."""
        tags = [tag("fresh", 1), tag("pulled", pulled=2), tag("stale", pulled=40), tag("never")]
        why = self.check(
            {"fresh": False, "never": True, "pulled": False, "stale": True}, self.decide(rule(unpulled=30), tags)
        )
        self.assertIn("never noted to be pulled, pushed 1972-06-19", why["never"])
        self.assertIn("last pulled 1972-09-25 00:00, pushed", why["pulled"])
        self.assertIn("goes after 30 days, in 28 days", why["pulled"])
        self.assertIn("more than 30 days ago", why["stale"])

    def test_both(self) -> None:
        """With both limits a tag goes that neither of them keeps."""
        tags = [tag("last", 1, 1), tag("pulled", 3, 1), tag("stale", 50)]
        self.check({"last": False, "pulled": False, "stale": True}, self.decide(rule(1, unpulled=30), tags))

    def test_nothing(self) -> None:
        """A rule that is about manifests lets no tags go."""
        self.check({"x": False}, self.decide(rule(untagged=1), [tag("x")]))

    def test_not_seen(self) -> None:
        """When it is not noted for long enough who pulls, or the registry was away, nothing goes for not being pulled."""
        for time in (SeenTime(NOW, NOW - DAY), SeenTime(NOW, 0.0, [Gap(NOW - 90 * DAY, NOW)])):
            self.check({"x": False}, self.decide(rule(unpulled=30), [tag("x")], time=time))

    def test_future(self) -> None:
        """What was pulled by a clock that was ahead stays."""
        self.check({"x": False}, self.decide(rule(unpulled=30), [tag("x", pulled=-500)]))

    def test_attached(self) -> None:
        """Signatures stay and go with their image, and take no place among the last."""
        name = f"sha256-{A.partition(':')[2]}.sig"
        other = f"sha256-{'0' * 64}"
        tags = [tag("x", 5), tag(name, 1, digest=B), tag(other, 20, digest=C), tag(f"{other}.att", 1, digest=C)]
        manifests = [manifest(A), manifest(B), manifest(C)]
        expected = {"x": False, name: False, other: True, f"{other}.att": False}
        why = self.check(expected, self.decide(rule(1, untagged=7), tags, manifests))
        self.assertEqual(f"belongs to {A}, which stays", why[name])
        self.assertIn("an image that is not here, for more than 7 days", why[other])
        self.check({**expected, other: False}, self.decide(rule(1), tags, manifests))
        gone = self.check({name: False, A: True}, self.decide(rule(1, untagged=7), [tags[1]], manifests[:2]))
        self.assertEqual(f"belongs to {A}, and stays until that has gone", gone[name])

    def test_attached_and_kept(self) -> None:
        """A pattern of tags that never go counts for these, too."""
        name = f"sha256-{'0' * 64}.sig"
        tags, manifests = [tag("x", 5), tag(name, 20, digest=B)], [manifest(A), manifest(B)]
        self.check({"x": False, name: True}, self.decide(rule(1, untagged=7), tags, manifests))
        kept = self.check({"x": False, name: False}, self.decide(rule(1, untagged=7, keep=["*.sig"]), tags, manifests))
        self.assertEqual("matches '*.sig' of keep", kept[name])

    def test_repository_of_signatures(self) -> None:
        """Where there is nothing but signatures, their images are elsewhere, and nobody knows whether they stay."""
        names = [f"sha256-{digit * 64}.sig" for digit in "01"]
        tags = [tag(each, 20, digest=B) for each in names]
        why = self.check(dict.fromkeys(names, False), self.decide(rule(1, untagged=7), tags, [manifest(B)]))
        self.assertIn("elsewhere", why[names[0]])


class ManifestTests(_DecisionCase):
    """What becomes of manifests without tags."""

    def test_untagged(self) -> None:
        """A manifest goes when it was without a tag, and not pulled by its digest, for long enough; others are not told."""
        manifests = [manifest(A), manifest(B), manifest(C, untagged=2), manifest(D, pulled=3)]
        why = self.check(
            {"x": False, B: True, C: False, D: False}, self.decide(rule(untagged=7), [tag("x")], manifests)
        )
        self.assertIn("without a tag since 1972-06-19 00:00: more than 7 days ago", why[B])
        decisions = self.decide(rule(1), [tag("x")], manifests)
        self.check({"x": False, B: False, C: False, D: False}, decisions)
        self.assertEqual([Kind.TAG, *[Kind.MANIFEST] * 3], [each.kind for each in decisions])

    def test_tag_that_goes(self) -> None:
        """The manifest of a tag that goes is without a tag from then on, and not before."""
        tags = [tag("new", 1, digest=B), tag("old", 5)]
        self.check({"new": False, "old": True}, self.decide(rule(1, untagged=1), tags, [manifest(A), manifest(B)]))

    def test_children(self) -> None:
        """What an index lists stays as long as the index."""
        manifests = [manifest(A, children=[B]), manifest(B, children=[C]), manifest(C)]
        why = self.check({"x": False, B: False, C: False}, self.decide(rule(untagged=7), [tag("x")], manifests))
        self.assertEqual(f"is a part of {A}, which stays", why[B])
        self.assertEqual(
            [A, B, C], [each.reference for each in self.decide(rule(untagged=7), [], manifests) if each.goes]
        )

    def test_referrers(self) -> None:
        """What refers to an image stays with it, and an image with a referrer that stays for a reason of its own."""
        chain = [manifest(C, subject=B), manifest(B, subject=A), manifest(A)]
        self.check({"x": False, B: False, C: False}, self.decide(rule(untagged=7), [tag("x")], chain))
        self.check({"x": False, A: False, C: False}, self.decide(rule(untagged=7), [tag("x", digest=B)], chain))
        recent = [manifest(B, 1, subject=A), manifest(A)]
        why = self.check({A: False, B: False}, self.decide(rule(untagged=7), [], recent))
        self.assertEqual(f"is the subject of {B}, which stays", why[A])
        self.assertEqual([A, B, C], [each.reference for each in self.decide(rule(untagged=7), [], chain)])

    def test_lists_of_referrers(self) -> None:
        """What is listed under the tag of an image that goes stays for as long as that tag."""
        name = f"sha256-{A.partition(':')[2]}"
        manifests = [manifest(A), manifest(B, children=[C]), manifest(C)]
        self.check({name: False, A: True, C: False}, self.decide(rule(untagged=7), [tag(name, digest=B)], manifests))

    def test_kin(self) -> None:
        """Forms of one image stay together."""
        manifests = [manifest(A, kin=[B]), manifest(B, kin=[A])]
        self.check({"x": False, B: False}, self.decide(rule(untagged=7), [tag("x")], manifests))

    @given(st.data())
    def test_what_is_needed(self, data: st.DataObject) -> None:
        """Nothing goes that a tag needs which stays: not what it points to, nor its parts, nor what belongs to those."""
        digests = [str(Digest.sha256(bytes([number]))) for number in range(6)]
        manifests = []
        for number, digest in enumerate(digests):
            earlier = st.sampled_from(digests[:number]) if number else st.nothing()
            manifests.append(
                manifest(
                    digest,
                    data.draw(st.integers(0, 20)),
                    subject=data.draw(st.none() | earlier),
                    children=data.draw(st.lists(earlier, max_size=min(number, 2))),
                )
            )
        tags = [
            tag(f"t{number}", data.draw(st.integers(0, 20)), digest=data.draw(st.sampled_from(digests)))
            for number in range(data.draw(st.integers(0, 4)))
        ]
        contents = RepositoryContents(tags, manifests)
        decisions = self.decide(rule(1, untagged=7), tags, manifests)
        gone = {each.reference for each in decisions if each.goes and each.kind is Kind.MANIFEST}
        needed = set(with_parts(contents, [digest for each in tags for digest in each.digests]))
        for each in manifests:
            if each.digest in needed and each.subject is not None:
                needed |= with_parts(contents, [each.subject])
        needed |= {each.digest for each in manifests if each.subject in needed}
        self.assertEqual(set(), gone & needed)
        order = [each.reference for each in decisions if each.reference in gone]
        if any(each.subject is not None for each in manifests):
            return  # What is a part of its own subject has no such order.
        for each in manifests:
            for child in each.children & gone:
                self.assertIn(each.digest, gone)
                self.assertLess(order.index(each.digest), order.index(child))


class FreedTests(SynchronousTestCase):
    def test_freed(self) -> None:
        """Blobs are counted once, those that others hold are not."""
        shared, own, twice = BlobUse(A, 100, 2), BlobUse(B, 10, 1), BlobUse(C, 1, 2)
        uses = {A: [shared, own], B: [shared, BlobUse(D, 1000, 2)], C: [twice, twice]}
        self.assertEqual([10, 110, 1, 0], [freed(uses, each) for each in ([A], [A, B], [C, C], [D])])
