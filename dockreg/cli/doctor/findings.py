"""What was found out about a registry: one step after the other, and nothing that is secret."""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any

from attrs import define, field, frozen

#: A shorter secret would be found in words that have nothing to do with it.
_SHORTEST_SECRET = 4


class Verdict(IntEnum):
    """How a step went; the larger, the worse."""

    OK = 0
    WARN = 1
    FAIL = 2


@frozen
class Remark:
    """One thing that was noticed: how bad it is, and what it means or what to change."""

    verdict: Verdict
    text: str


def note(text: str) -> Remark:
    """Something worth knowing that is no fault."""
    return Remark(Verdict.OK, text)


def warn(text: str) -> Remark:
    """Something that some clients stumble over."""
    return Remark(Verdict.WARN, text)


def fail(text: str) -> Remark:
    """Something that ends a login, a pull or a push."""
    return Remark(Verdict.FAIL, text)


@frozen
class Step:
    """One step of a client: what was asked, what came, and what there is to say about it."""

    name: str
    asked: str
    came: str
    remarks: Sequence[Remark] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of the remarks."""
        return max((remark.verdict for remark in self.remarks), default=Verdict.OK)


@define(eq=False)
class Report:
    """
    The steps so far. Secrets that a server sends back are shown as lengths here, as everywhere.

    :param on_step: is told of each step.
    """

    on_step: Callable[[Step], object] = lambda _step: None
    steps: list[Step] = field(factory=list)
    _secrets: set[str] = field(factory=set, repr=False)

    def hide(self, *secrets: str) -> None:
        """Never show these texts."""
        self._secrets.update(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)

    def add(self, step: Step) -> Step:
        """Keep a step, without what must not be shown."""
        remarks = [Remark(remark.verdict, self._without_secrets(remark.text)) for remark in step.remarks]
        shown = Step(step.name, self._without_secrets(step.asked), self._without_secrets(step.came), tuple(remarks))
        self.steps.append(shown)
        self.on_step(shown)
        return shown

    def count(self, verdict: Verdict) -> int:
        """How many steps went so."""
        return sum(step.verdict is verdict for step in self.steps)

    @property
    def failed(self) -> bool:
        """Whether a client would have failed somewhere."""
        return self.count(Verdict.FAIL) > 0

    def _without_secrets(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, f"({len(secret)} characters)")
        return text


def as_document(report: Report, registry: str) -> dict[str, Any]:
    """The report for programs."""
    return {
        "registry": registry,
        "ok": not report.failed,
        "steps": [
            {
                "step": step.name,
                "asked": step.asked,
                "came": step.came,
                "verdict": step.verdict.name.lower(),
                "remarks": [{"verdict": each.verdict.name.lower(), "text": each.text} for each in step.remarks],
            }
            for step in report.steps
        ],
    }


def summary(report: Report) -> str:
    """The whole in a sentence."""
    wrong, doubtful = report.count(Verdict.FAIL), report.count(Verdict.WARN)
    if not wrong and not doubtful:
        return f"All {len(report.steps)} steps went well."
    counted = [f"{number} {word}" for number, word in ((wrong, "failed"), (doubtful, "with a warning")) if number]
    return f"Of {len(report.steps)} steps {' and '.join(counted)}."


def lines_of(step: Step) -> Iterator[str]:
    """A step for people: the line of its verdict is the first."""
    yield f"{step.verdict.name.lower():<4}  {step.name}"
    yield f"      asked: {step.asked}"
    yield f"      came:  {step.came}"
    for remark in step.remarks:
        mark = {Verdict.OK: "-", Verdict.WARN: "!", Verdict.FAIL: "x"}[remark.verdict]
        yield f"      {mark} {remark.text}"
