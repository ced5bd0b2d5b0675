"""Tests of :mod:`dockreg.retention` and :mod:`dockreg.pulls`, with a real store."""

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from dockreg.bridge.negotiation import parse_accept
from dockreg.errors import ManifestUnknown, StoreUnavailable, TagUnknown
from dockreg.interfaces_people import IAuditLog
from dockreg.model.access import Caller
from dockreg.model.audit import AuditEvent
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.patterns import RepositoryPattern, TagPattern
from dockreg.model.retention import Decision, Kind, Pull, RetentionRule
from dockreg.model.v1 import ImageID
from dockreg.pulls import Pulls
from dockreg.retention import Retention, audited
from tests.unit.v1case import ONE, TWO
from tests.unit.v2case import JOE, Image, V2TestCase, make_image, make_index

HOUR, DAY = 3600.0, 86400.0
RULE = RetentionRule(1, (RepositoryPattern("**"),), (TagPattern("v*"),), 1, 30 * DAY, 7 * DAY)
ACCEPTED = parse_accept(["*/*"], "")


@implementer(IAuditLog)
class Lines:
    """An audit log in memory."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        """Keep it."""
        self.events.append(event)


class _RetentionCase(V2TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.registry.metadata.retention
        self.pulls = self.registry.pulls = Pulls(self.store, self.clock)
        self.rules = Retention(self.store, self.clock, [RULE], HOUR)
        self.result(self.rules.run())

    def wait(self, days: float) -> None:
        """Days in which the registry runs, and applies no rule."""
        for _ in range(round(days * 24)):
            self.clock.advance(HOUR)
            self.result(self.store.begin_run(self.clock.seconds(), HOUR))

    def tagged(self, seed: str, tag: str, name: RepositoryName = ONE) -> Image:
        """An image with a tag."""
        image = make_image(seed)
        self.push_image(image, tag, name=name)
        return image

    def tags(self, name: RepositoryName = ONE) -> list[str]:
        """Those that are there."""
        return [each.value for each in self.result(self.registry.tag_names(name, "", 100))]

    def run_rules(self) -> None:
        """An hour later, one run."""
        self.clock.advance(HOUR)
        self.result(self.rules.run())


class RunTests(_RetentionCase):
    """What runs remove."""

    def test_life(self) -> None:
        """Tags go by the rule; their manifests follow a week later; what stays is as it was."""
        old, new, kept = self.tagged("old", "old"), self.tagged("new", "new"), self.tagged("kept", "v1")
        events = Lines()
        self.rules.told = audited(events)
        self.run_rules()
        self.assertEqual(["new", "old", "v1"], self.tags())
        self.wait(31)
        self.run_rules()
        self.assertEqual(["new", "v1"], self.tags())
        self.wait(6.5)
        self.run_rules()
        self.result(self.manifests.get(ONE, old.digest, ACCEPTED, "x"))
        self.wait(0.5)
        self.run_rules()
        self.assertEqual((1, 1, 0), (self.rules.removed_tags, self.rules.removed_manifests, self.rules.spared))
        for image in (new, kept):
            self.result(self.manifests.get(ONE, image.digest, ACCEPTED, "x"))
        expected = [
            ("retention rules", "rule 1", "tag.expire", {"repository": str(ONE), "tag": "old"}),
            ("retention rules", "rule 1", "manifest.expire", {"repository": str(ONE), "digest": str(old.digest)}),
        ]
        self.assertEqual(expected, [(each.who, each.how, each.action, dict(each.target)) for each in events.events])

    def test_pulled(self) -> None:
        """A tag that is pulled stays, however old it is; so does a manifest that is pulled by its digest."""
        old, new = self.tagged("old", "old"), self.tagged("new", "new")
        self.wait(20)
        self.result(self.manifests.get(ONE, Tag("old"), ACCEPTED, "x"))
        self.result(self.pulls.write_down())
        self.wait(20)
        self.run_rules()
        self.assertEqual(["new", "old"], self.tags())
        self.result(self.manifests.get(ONE, old.digest, ACCEPTED, "x"))
        self.result(self.pulls.write_down())
        self.wait(20)
        self.run_rules()
        self.assertEqual(["new", "old"], self.tags())
        self.wait(11)
        self.run_rules()
        self.assertEqual(["new"], self.tags())
        self.wait(5)
        self.result(self.manifests.get(ONE, old.digest, ACCEPTED, "x"))
        self.result(self.pulls.write_down())
        self.wait(5)
        self.run_rules()
        self.result(self.manifests.get(ONE, old.digest, ACCEPTED, "x"))
        self.assertNotEqual(old.digest, new.digest)

    def test_between(self) -> None:
        """What is pushed between the decision and its execution stays, and is counted."""
        self.tagged("old", "old")
        self.tagged("new", "new")
        self.wait(31)
        (verdict,) = self.result(self.collected(self.rules.judge([ONE])))
        self.assertEqual(["old"], [each.reference for each in verdict.going])
        self.tagged("old", "old")
        self.assertEqual([False], [each.removed for each in self.result(self.collected(self.rules.apply(verdict)))])
        self.assertEqual((["new", "old"], 1), (self.tags(), self.rules.spared))

    def test_bounded(self) -> None:
        """A run removes as much as it may; the next one goes on."""
        for name in (ONE, TWO):
            for tag in ("a", "b", "c"):
                self.tagged(f"{name}{tag}", tag, name)
        self.wait(31)
        self.rules.most_per_run = 3
        counts = []
        for _ in range(3):
            self.run_rules()
            counts.append(self.rules.removed_tags)
        self.assertEqual([3, 4, 4], counts)
        self.assertEqual([1, 1], [len(self.tags(name)) for name in (ONE, TWO)])

    def test_one_process(self) -> None:
        """Of two processes one applies the rules; the other one does nothing until it is time again."""
        self.tagged("old", "old")
        self.tagged("new", "new")
        self.wait(31)
        other = Retention(self.store, self.clock, [RULE], HOUR)
        self.run_rules()
        self.result(other.run())
        self.assertEqual((1, 0, 0.0), (self.rules.removed_tags, other.removed_tags, other.last_run))

    def test_clock_jumps(self) -> None:
        """A clock that is put forward by years expires nothing, nor does a registry that was switched off for long."""
        self.tagged("old", "old")
        self.tagged("new", "new")
        self.clock.advance(3650 * DAY)
        for _ in range(3):
            self.run_rules()
        self.assertEqual(["new", "old"], self.tags())

    def test_bytes(self) -> None:
        """What becomes free is what nothing else refers to; an image index counts with all that it lists."""
        one, two = make_image("one"), make_image("two")
        for image in (one, two):
            self.push_image(image)
        index = make_index(one.manifest, two.manifest)
        self.result(self.manifests.put(JOE, ONE, Tag("old"), index, None))
        self.tagged("two", "shared")
        self.tagged("new", "new")
        self.wait(31)
        (verdict,) = self.result(self.collected(self.rules.judge()))
        size = len(one.layers[0]) + len(one.config)
        shared = size + len(two.layers[0]) + len(two.config)
        self.assertEqual(
            {"old": size, "shared": 0, "new": 0}, {each.reference: each.bytes for each in tags_of(verdict)}
        )
        self.assertEqual(shared, verdict.bytes)

    async def collected(self, found: Any) -> list[Any]:
        """All of them."""
        return [each async for each in found]


def tags_of(verdict: Any) -> Sequence[Decision]:
    """What was decided about tags."""
    return [each for each in verdict.decisions if each.kind is Kind.TAG]


class PullTests(_RetentionCase):
    """Which reads are noted, and how often."""

    def setUp(self) -> None:
        super().setUp()
        self.written: list[list[Pull]] = []
        self.failing = False
        self.pulls = self.registry.pulls = Pulls(self, self.clock)  # type: ignore[arg-type]  # of which one method is used

    async def record_pulls(self, pulls: list[Pull]) -> None:
        """In the place of the store."""
        if self.failing:
            raise StoreUnavailable("no")
        self.written.append(pulls)

    def noted(self) -> list[Any]:
        """What is written down now."""
        self.written.clear()
        self.result(self.pulls.write_down())
        return [each.reference for batch in self.written for each in batch]

    def test_manifests(self) -> None:
        """A tag is pulled by its name, a manifest by its digest; what is not there is not."""
        image = self.tagged("x", "latest")
        self.assertEqual([], self.noted())
        for reference in (Tag("latest"), image.digest, Tag("latest")):
            self.result(self.manifests.get(ONE, reference, ACCEPTED, "x"))
        self.refused(ManifestUnknown, self.manifests.get(ONE, Tag("none"), ACCEPTED, "x"))
        self.assertEqual([Tag("latest"), str(image.digest)], self.noted())

    def test_v1(self) -> None:
        """So does who asks for a tag through v1, or for the ancestry of an image."""
        self.tagged("x", "latest")
        record = self.result(self.images.get_tag(ONE, Tag("latest")))
        assert record.image_id is not None
        self.assertEqual([Tag("latest")], self.noted())
        found = self.result(self.images.get(Caller(JOE), record.image_id))
        self.assertEqual([], self.noted())
        self.result(self.images.ancestry(found))
        self.assertEqual([ImageID(record.image_id.value)], self.noted())
        self.refused(TagUnknown, self.images.get_tag(ONE, Tag("none")))

    def test_once_an_hour(self) -> None:
        """What was noted is not noted again within the hour; a clock that went back does not stop it."""
        for step, expected in ((0.0, [Tag("x")]), (HOUR - 1, []), (1.0, [Tag("x")])):
            self.clock.advance(step)
            self.pulls.note(ONE, Tag("x"))
            self.assertEqual(expected, self.noted())
        self.clock.rightNow -= 5
        self.pulls.note(ONE, Tag("x"))
        self.assertEqual([Tag("x")], self.noted())

    def test_failure(self) -> None:
        """What could not be written down is written down the next time."""
        self.pulls.note(ONE, Tag("x"))
        self.failing = True
        self.refused(StoreUnavailable, self.pulls.write_down())
        self.failing = False
        self.assertEqual([Tag("x")], self.noted())

    def test_batches(self) -> None:
        """Many are written in parts."""
        for number in range(1200):
            self.pulls.note(ONE, Tag(f"t{number}"))
        self.assertEqual(1200, len(self.noted()))
        self.assertEqual([500, 500, 200], [len(each) for each in self.written])


class OffTests(V2TestCase):
    """A registry without rules."""

    def test_off(self) -> None:
        """Nothing is noted."""
        self.assertIsNone(self.registry.pulls)
        self.push_image(make_image("x"), "latest")
        self.result(self.manifests.get(ONE, Tag("latest"), ACCEPTED, "x"))
        (state,) = self.result(self.registry.metadata.retention.contents(ONE)).tags
        self.assertIsNone(state.pulled_at)
