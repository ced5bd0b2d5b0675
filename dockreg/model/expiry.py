"""What a retention rule makes of a repository: each tag, and each manifest without tags, stays or goes, for a reason."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from attrs import define, field

from dockreg.model.retention import (
    BlobUse,
    Decision,
    Kind,
    ManifestState,
    RepositoryContents,
    RetentionRule,
    SeenTime,
    TagState,
)

#: Where clients keep what belongs to an image without telling the registry: signatures and such of cosign, and lists of
#: referrers (OCI Distribution specification, "Referrers Tag Schema", which cuts longer digests).
_ATTACHED = re.compile(r"(sha256|sha512)-([0-9a-f]{64,128})(?:\..+)?", re.ASCII)
_SHOWN = 64
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def decide(rule: RetentionRule, contents: RepositoryContents, time: SeenTime) -> Sequence[Decision]:
    """
    What becomes of what a repository holds: its tags in the order of their names, then its manifests without tags.

    Of the latter, those that go are in an order in which they can go: an index before what it lists, an image before what
    refers to it.
    """
    examined = _Examination(rule, contents, time)
    return [*examined.tags(), *examined.manifests()]


def freed(uses: Mapping[str, Sequence[BlobUse]], manifests: Collection[str]) -> int:
    """The size of the blobs that no manifest holds but these."""
    held = [use for digest in set(manifests) for use in uses.get(digest, ())]
    counted = Counter(use.digest for use in held)
    sizes = {use.digest: use.size for use in held if use.uses <= counted[use.digest]}
    return sum(sizes.values())


def with_parts(contents: RepositoryContents, digests: Collection[str]) -> frozenset[str]:
    """These manifests of a repository, and what they list."""
    known = {each.digest: each for each in contents.manifests}
    found: set[str] = set()
    waiting = [digest for digest in digests if digest in known]
    while waiting:
        digest = waiting.pop()
        if digest not in found:
            found.add(digest)
            waiting += [child for child in known[digest].children if child in known]
    return frozenset(found)


@define(eq=False)
class _Examination:
    rule: RetentionRule
    contents: RepositoryContents
    time: SeenTime
    _known: dict[str, ManifestState] = field(init=False)
    #: By the digest of an image: the tags that belong to it by their name.
    _attached: dict[str, list[TagState]] = field(init=False)
    _of: dict[str, str | None] = field(init=False)
    #: What stays for a reason of its own, and all that stays, and why.
    _own: dict[str, str] = field(init=False)
    _stays: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._known = {each.digest: each for each in self.contents.manifests}
        self._of = dict(self._images_of_tags())
        self._attached = defaultdict(list)
        for each in self.contents.tags:
            image = self._of.get(each.tag.value)
            if image is not None:
                self._attached[image].append(each)
        self._own = dict(self._roots())
        self._stays = self._kept()

    # Tags

    def tags(self) -> Iterator[Decision]:
        """What becomes of each tag."""
        ordinary = [each for each in self.contents.tags if each.tag.value not in self._of]
        patterns = {each.tag: self._pattern(each) for each in ordinary}
        latest = sorted(
            (each for each in ordinary if patterns[each.tag] is None), key=lambda each: (-each.updated_at, each.tag)
        )
        positions = {each.tag: number for number, each in enumerate(latest, 1)}
        for each in sorted(self.contents.tags, key=lambda each: each.tag):
            if each.tag.value in self._of:
                kept = self._pattern(each)
                goes, why = (False, f"matches {kept!r} of keep") if kept is not None else self._attached_tag(each)
            elif not self.rule.limits_tags:
                goes, why = False, "the rule lets no tags go"
            elif patterns[each.tag] is not None:
                goes, why = False, f"matches {patterns[each.tag]!r} of keep"
            else:
                goes, why = self._tag(each, positions[each.tag], len(latest))
            yield Decision(Kind.TAG, each.tag.value, goes, why, each)

    def _pattern(self, state: TagState) -> str | None:
        return next((pattern.value for pattern in self.rule.keep if pattern.matches(state.tag)), None)

    def _tag(self, state: TagState, position: int, among: int) -> tuple[bool, str]:
        rule, reasons = self.rule, []
        if rule.keep_last is not None:
            place = f"number {position} of {among} by the time of its push"
            if position <= rule.keep_last:
                return False, f"{place}, and the last {rule.keep_last} stay"
            reasons.append(f"{place}, and only the last {rule.keep_last} stay")
        if rule.expire_unpulled_seconds is not None:
            pulled = "never noted to be pulled" if state.pulled_at is None else f"last pulled {_date(state.pulled_at)}"
            used = f"{pulled}, pushed {_date(state.updated_at)}"
            age = self.time.age(max(state.updated_at, state.pulled_at or state.updated_at))
            if age < rule.expire_unpulled_seconds:
                return False, f"{used}: {self._spare(age, rule.expire_unpulled_seconds)}"
            reasons.append(f"{used}: more than {_span(rule.expire_unpulled_seconds)} ago")
        return True, "; ".join(reasons)

    def _attached_tag(self, state: TagState) -> tuple[bool, str]:
        image, limit = self._of[state.tag.value], self.rule.expire_untagged_seconds
        if image in self._stays:
            return False, f"belongs to {image}, which stays"
        if image is not None:
            return False, f"belongs to {image}, and stays until that has gone"
        if limit is None:
            return False, "belongs to an image that is not here, and the rule does not say when that goes"
        if all(each.tag.value in self._of for each in self.contents.tags):
            return False, "the repository has such tags only: their images are kept elsewhere"
        age = self.time.age(max(state.updated_at, state.pulled_at or state.updated_at))
        if age < limit:
            return False, f"belongs to an image that is not here: {self._spare(age, limit)}"
        return True, f"belongs to an image that is not here, for more than {_span(limit)}"

    def _images_of_tags(self) -> Iterator[tuple[str, str | None]]:
        """The tags that belong to an image by their name, and the digest of that image if it is here."""
        shown = {_shown(digest): digest for digest in self._known}
        for each in self.contents.tags:
            match = _ATTACHED.fullmatch(each.tag.value)
            if match is not None:
                yield each.tag.value, shown.get(f"{match[1]}-{match[2][:_SHOWN]}")

    # Manifests

    def manifests(self) -> Iterator[Decision]:
        """What becomes of each manifest without tags."""
        tagged = {digest for each in self.contents.tags for digest in each.digests}
        for state in self._in_order(tagged):
            why = self._stays.get(state.digest)
            if why is not None:
                own = state.digest in self._own
                yield Decision(Kind.MANIFEST, state.digest, False, why, state, for_others=not own)
            else:
                limit = self.rule.expire_untagged_seconds
                assert limit is not None
                pulled = "" if state.pulled_at is None else f", last pulled by its digest {_date(state.pulled_at)}"
                why = f"without a tag since {_date(self._untagged(state))}{pulled}: more than {_span(limit)} ago"
                yield Decision(Kind.MANIFEST, state.digest, True, why, state)

    def _untagged(self, state: ManifestState) -> float:
        return max(state.created_at, state.untagged_at or state.created_at)

    def _in_order(self, tagged: Collection[str]) -> Sequence[ManifestState]:
        """Those without tags: an index before what it lists, an image before what refers to it."""
        before: dict[str, list[str]] = defaultdict(list)
        for state in self.contents.manifests:
            for child in state.children:
                before[child].append(state.digest)
            if state.subject is not None:
                before[state.digest].append(state.subject)
        ordered: dict[str, ManifestState] = {}
        entered: set[str] = set()
        waiting = [(digest, False) for digest in sorted(self._known, reverse=True)]
        while waiting:
            digest, left = waiting.pop()
            if left:
                ordered[digest] = self._known[digest]
            elif digest not in entered and digest in self._known:
                entered.add(digest)
                waiting.append((digest, True))
                waiting += [(each, False) for each in sorted(before[digest], reverse=True)]
        return [state for digest, state in ordered.items() if digest not in tagged]

    def _kept(self) -> dict[str, str]:
        """All manifests that stay: for a reason of their own, or for the sake of others."""
        stays = dict(self._own)
        links = self._links()
        waiting = sorted(stays)
        while waiting:
            digest = waiting.pop()
            for other, how in links[digest]:
                if other in self._known and other not in stays:
                    stays[other] = f"{how} {digest}, which stays"
                    waiting.append(other)
        # What a tag lists stays as long as the tag, even when that waits for its image to go.
        named = [digest for each in self.contents.tags for digest in each.digests]
        for digest in with_parts(self.contents, named).difference(named):
            stays.setdefault(digest, "a tag that is still there needs it")
        return stays

    def _roots(self) -> Iterator[tuple[str, str]]:
        for each in self.contents.tags:
            if each.tag.value not in self._of:
                for digest in each.digests:
                    yield digest, f"has the tag {each.tag}"
        limit = self.rule.expire_untagged_seconds
        named = {digest for each in self.contents.tags for digest in each.digests}
        for state in self.contents.manifests:
            age = self.time.age(state.last_used)
            if state.digest in named:
                continue
            if limit is None:
                yield state.digest, "the rule does not say when manifests without tags go"
            elif age < limit:
                since = f"without a tag, and last used {_date(state.last_used)}"
                yield state.digest, f"{since}: {self._spare(age, limit)}"

    def _links(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """For whose sake others stay: how, and which."""
        links: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for state in self.contents.manifests:
            links[state.digest] += [(child, "is a part of") for child in sorted(state.children)]
            links[state.digest] += [(other, "is another form of") for other in sorted(state.kin)]
            if state.subject is not None:
                links[state.digest].append((state.subject, "is the subject of"))
                links[state.subject].append((state.digest, "refers to"))
        for image, attached in self._attached.items():
            links[image] += [(digest, "belongs to") for each in attached for digest in each.digests]
        return links

    def _spare(self, age: float, limit: float) -> str:
        """What is said of what is too young to go; what is known begins at some time, and downtime does not count."""
        return f"goes after {_span(limit)}, in {_span(limit - age)}"


def _shown(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm}-{encoded[:_SHOWN]}"


def _date(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}"


def _span(seconds: float) -> str:
    """``30 days``, ``1 hour``: in a unit of which there are at least two, or in seconds."""
    whole = max(1, round(seconds))
    size, unit = next((each for each in _UNITS if whole >= 2 * each[0]), _UNITS[-1])
    count = round(whole / size)
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
