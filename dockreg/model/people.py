"""Who somebody is, as those say it who know people from elsewhere."""

from collections.abc import Iterable

from attrs import field, frozen

_MAX_GROUP = 256


def _is_foreign(group: str) -> bool:
    origin, _colon, name = group.partition(":")
    tidy = bool(name) and name == name.strip() and group.isprintable()
    return tidy and origin.isidentifier() and len(group) <= _MAX_GROUP


def _all_foreign(_: object, __: object, groups: frozenset[str]) -> None:
    if not all(map(_is_foreign, groups)):
        raise ValueError(f"a group from elsewhere is called origin:name, in {_MAX_GROUP} characters at most")


@frozen
class Person:
    """
    The avatar id of a checker that knows more than a name.

    ``groups`` are those that the checker's source puts the person into. Each begins with the source and a colon
    (``ldap:dev``), which no group of the registry's own does: neither can pass for the other.
    """

    name: str
    groups: frozenset[str] = field(default=frozenset(), validator=_all_foreign)

    @staticmethod
    def groups_from(origin: str, names: Iterable[str]) -> frozenset[str]:
        """Groups of ``origin`` with these names; names that a group can not have are left out."""
        return frozenset(filter(_is_foreign, (f"{origin}:{name}" for name in names)))
