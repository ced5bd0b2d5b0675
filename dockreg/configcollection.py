"""``[collection]``: what is removed that nobody needs, and when."""

from collections.abc import Mapping

from attrs import field, frozen

from dockreg import configvalues as valid
from dockreg.errors import RegistryError
from dockreg.model.collection import CollectionPolicy, UntaggedRule
from dockreg.model.patterns import RepositoryPattern

_RULE_KEYS = ("repositories", "keep", "expire_seconds")
_is_seconds = valid.seconds(0)


def untagged_rules(_: object, __: object, value: object) -> None:
    """A list of tables about untagged manifests."""
    if not isinstance(value, tuple):
        raise ValueError("must be a list of tables: write [[collection.untagged]]")  # noqa: TRY004
    for number, table in enumerate(value, 1):
        try:
            parse_untagged(table)
        except ValueError as error:
            raise ValueError(f"rule {number}: {error}") from None


def parse_untagged(table: object) -> UntaggedRule:
    """The rule that a table is. :raises ValueError: it is none."""
    if not isinstance(table, Mapping):
        raise ValueError("must be a table: write [[collection.untagged]]")  # noqa: TRY004
    for key in table:
        if key not in _RULE_KEYS:
            raise ValueError(f"there is no such key: {key}; there are {', '.join(_RULE_KEYS)}")
    patterns = table.get("repositories")
    if not isinstance(patterns, list) or not patterns or not all(isinstance(each, str) for each in patterns):
        raise ValueError("must say which 'repositories', as a list of texts")
    if (table.get("keep") is True) == ("expire_seconds" in table) or table.get("keep") not in (None, True):
        raise ValueError("must say either 'keep = true' or 'expire_seconds'")
    if "expire_seconds" in table:
        try:
            _is_seconds(None, None, table["expire_seconds"])
        except ValueError as error:
            raise ValueError(f"'expire_seconds' {error}") from None
    try:
        repositories = tuple(map(RepositoryPattern.parse, patterns))
    except RegistryError as error:
        raise ValueError(str(error)) from None
    return UntaggedRule(repositories, table.get("expire_seconds"))


@frozen
class CollectionSettings:
    """``[collection]``: when garbage is collected, and what is garbage. Times in seconds."""

    enabled: bool = field(default=True, validator=valid.flag)
    interval_seconds: float = field(default=10.0, validator=valid.seconds(0.1, 3600))
    grace_seconds: float = field(default=3600.0, validator=valid.seconds(0))
    lease_seconds: float = field(default=86400.0, validator=valid.seconds(1))
    repush_seconds: float = field(default=604800.0, validator=valid.seconds(0))
    batch_items: int = field(default=50, validator=valid.number(1, 1000))
    tick_items: int = field(default=2000, validator=valid.number(1))
    untagged: tuple[Mapping[str, object], ...] = field(default=(), validator=untagged_rules)

    @property
    def policy(self) -> CollectionPolicy:
        """What the collector goes by."""
        return CollectionPolicy(
            grace_seconds=self.grace_seconds,
            lease_seconds=self.lease_seconds,
            repush_seconds=self.repush_seconds,
            untagged=tuple(map(parse_untagged, self.untagged)),
        )
