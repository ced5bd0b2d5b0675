"""Who somebody is, as those say it who know people from elsewhere."""

from attrs import field, frozen

_MAX_GROUP = 256


def _all_foreign(_: object, __: object, groups: frozenset[str]) -> None:
    for group in groups:
        origin, _colon, name = group.partition(":")
        if not (origin.isidentifier() and name and name == name.strip() and group.isprintable()):
            raise ValueError("a group from elsewhere is called origin:name, such as 'ldap:dev'")
        if len(group) > _MAX_GROUP:
            raise ValueError(f"a group has at most {_MAX_GROUP} characters")


@frozen
class Person:
    """
    The avatar id of a checker that knows more than a name.

    ``groups`` are those that the checker's source puts the person into. Each begins with the source and a colon
    (``ldap:dev``), which no group of the registry's own does: neither can pass for the other.
    """

    name: str
    groups: frozenset[str] = field(default=frozenset(), validator=_all_foreign)
