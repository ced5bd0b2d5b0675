"""``[retention]``, what repositories keep and for how long, and ``[quotas]``, how much namespaces may have."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from dockreg import configvalues as valid
from dockreg.errors import RegistryError
from dockreg.model.patterns import RepositoryPattern, TagPattern
from dockreg.model.retention import RetentionRule

_RULE_KEYS = ("repositories", "keep", "keep_last", "expire_unpulled_seconds", "expire_untagged_seconds")
#: A shorter time would be less than what is noted of pulls and runs.
_LEAST_SECONDS = 3600


def retention_rules(_: object, __: object, value: object) -> None:
    """A list of rules about what repositories keep."""
    if not isinstance(value, tuple):
        raise ValueError("must be a list of tables: write [[retention.rules]]")  # noqa: TRY004
    for number, table in enumerate(value, 1):
        try:
            parse_retention_rule(table, number)
        except ValueError as error:
            raise ValueError(f"rule {number}: {error}") from None


def parse_retention_rule(table: object, number: int) -> RetentionRule:
    """The rule that a table is. :raises ValueError: it is none."""
    if not isinstance(table, Mapping):
        raise ValueError("must be a table: write [[retention.rules]]")  # noqa: TRY004
    for key in table:
        if key not in _RULE_KEYS:
            raise ValueError(f"there is no such key: {key}; there are {', '.join(_RULE_KEYS)}")
    repositories, keep = _texts(table, "repositories"), _texts(table, "keep")
    if not repositories:
        raise ValueError("must say which 'repositories'")
    limits = {key: _number(table, key) for key in _RULE_KEYS[2:]}
    if all(limit is None for limit in limits.values()) and keep != ["*"]:
        raise ValueError(
            "must say what goes: 'keep_last', 'expire_unpulled_seconds' or 'expire_untagged_seconds'; with keep = [\"*\"]"
            " alone, nothing goes"
        )
    if keep and keep != ["*"] and limits["keep_last"] is None and limits["expire_unpulled_seconds"] is None:
        raise ValueError("'keep' has no effect unless 'keep_last' or 'expire_unpulled_seconds' is set")
    try:
        return RetentionRule(
            number,
            tuple(map(RepositoryPattern.parse, repositories)),
            tuple(map(TagPattern.parse, keep)),
            **limits,
        )
    except RegistryError as error:
        raise ValueError(str(error)) from None


def _texts(table: Mapping[str, Any], key: str) -> Sequence[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key!r} must be a list of texts")
    return value


def _number(table: Mapping[str, Any], key: str) -> Any:
    value = table.get(key)
    if value is None:
        return None
    check = valid.number(1) if key == "keep_last" else valid.seconds(_LEAST_SECONDS)
    try:
        check(None, None, value)
    except ValueError as error:
        raise ValueError(f"{key!r} {error}") from None
    return value


@frozen
class RetentionSettings:
    """``[retention]``: the rules, and how often and how much is removed by them."""

    rules: tuple[Mapping[str, Any], ...] = field(default=(), validator=retention_rules)
    interval_seconds: float = field(default=3600.0, validator=valid.seconds(60, 86400))
    most_per_run: int = field(default=1000, validator=valid.number(1))

    def parsed(self) -> Sequence[RetentionRule]:
        """The rules."""
        return [parse_retention_rule(table, number) for number, table in enumerate(self.rules, 1)]


@frozen
class QuotaSettings:
    """``[quotas]``: how many bytes a namespace may have that has no quota of its own, 0 for any amount."""

    default_bytes: int = field(default=0, validator=valid.number(0))
