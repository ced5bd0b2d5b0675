"""Which workloads and contenders take part."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from attrs import frozen

from benchmarks.contenders.bare import Bare
from benchmarks.contenders.base import Ability, Contender, Situation
from benchmarks.contenders.distribution import Distribution, DockerRegistry
from benchmarks.contenders.nginx import Nginx, NginxCopying
from benchmarks.contenders.others import Olareg, Zot
from benchmarks.stage import Scale
from benchmarks.workloads import documents, oldest, pulls, pushes, states, storms
from benchmarks.workloads.base import Workload

#: Everything that dockreg can be compared with.
PEERS: Sequence[Callable[[str | None], Contender]] = (
    Distribution,
    DockerRegistry,
    Nginx,
    NginxCopying,
    Zot,
    Olareg,
    Bare,
)
#: Which of them take part unless others are named.
USUAL_PEERS = ("distribution", "docker-registry", "nginx")

_SITUATIONS: Mapping[str, Situation] = {
    "": Situation(),
    "tls:": Situation(tls=True),
    "accounts:": Situation(accounts=True),
}
# Of the plain ones all but this one; of the others these. The rest can be named.
_UNUSUAL = frozenset({"pull-6"})
_USUAL_OTHERS = frozenset(
    {
        "tls:push-streamed",
        "tls:pull",
        "tls:pull-6",
        "tls:manifest-tag",
        "tls:pull-storm",
        "tls:ci-storm",
        "accounts:base",
        "accounts:manifest-tag",
        "accounts:head-blob",
        "accounts:push-4k",
        "accounts:pull-storm",
        "accounts:ci-storm",
    }
)


@frozen
class Entry:
    """A workload in a situation."""

    name: str
    workload: Workload
    situation: Situation

    @property
    def needs(self) -> frozenset[Ability]:
        """What a contender must be able to do."""
        return self.workload.needs | self.situation.needs

    def title(self, scale: Scale) -> str:
        """What it does, in words."""
        before = {"tls": "TLS: ", "accounts": "accounts: "}.get(self.name.partition(":")[0], "")
        return before + self.workload.title(scale)


def entries() -> Sequence[Entry]:
    """Every workload in every situation, in the order in which they are measured."""
    modules = (documents, pushes, pulls, storms, oldest, states)
    workloads = [workload for module in modules for workload in module.workloads()]
    return [
        Entry(f"{prefix}{workload.name}", workload, situation)
        for prefix, situation in _SITUATIONS.items()
        for workload in workloads
    ]


def selected(patterns: Sequence[str]) -> Sequence[Entry]:
    """
    The entries whose names match one of the patterns; without patterns the usual ones.

    :raises ValueError: a pattern matches none.
    """
    everything = entries()
    if not patterns:
        return [
            entry
            for entry in everything
            if entry.name in _USUAL_OTHERS or (":" not in entry.name and entry.name not in _UNUSUAL)
        ]
    for pattern in patterns:
        if not any(fnmatchcase(entry.name, pattern) for entry in everything):
            raise ValueError(f"no workload {pattern}")
    return [entry for entry in everything if any(fnmatchcase(entry.name, pattern) for pattern in patterns)]


def peers(names: Sequence[str], programs: Mapping[str, str]) -> Sequence[Contender]:
    """
    The contenders of these names; an empty one stands for none.

    :param programs: paths of programs, by the name of the contender.
    :raises ValueError: there is no such contender.
    """
    made = {peer.name: peer for peer in (make(None) for make in PEERS)}
    named = [name for name in names if name]
    for name in (*named, *programs):
        if name not in made:
            raise ValueError(f"no contender {name}; there are {', '.join(made)}")
    by_name = {peer.name: type(peer) for peer in made.values()}
    return [by_name[name](programs.get(name)) for name in named]
