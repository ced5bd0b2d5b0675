"""``dockreg key``: the keys that tokens are signed with."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from attrs import frozen

from dockreg.cli.audited import Deed
from dockreg.cli.people import change, date, json_option, show_json, show_rows
from dockreg.cli.settings import config_options, configured
from dockreg.config import Config
from dockreg.model.accounts import SigningKey
from dockreg.providers.auth.keys import PURPOSES, KeyPurpose, verifying_until


@click.group()
def key() -> None:
    """List and replace the keys that tokens are signed with."""


@frozen
class _Listed:
    """A key, and until when it verifies; None while it signs."""

    purpose: str
    key: SigningKey
    until: float | None

    @property
    def algorithm(self) -> str:
        return PURPOSES[self.purpose].load(self.key).algorithm

    @property
    def members(self) -> Mapping[str, Any]:
        # Never the key itself.
        return {
            "purpose": self.purpose,
            "id": self.key.key_id,
            "algorithm": self.algorithm,
            "created_at": self.key.created_at,
            "verifies_until": self.until,
        }

    @property
    def row(self) -> Sequence[str]:
        use = "signs" if self.until is None else f"verifies until {date(self.until)}"
        return (self.purpose, self.key.key_id, self.algorithm, date(self.key.created_at), use)


@key.command("list")
@json_option
@config_options
def list_keys(as_json: bool, **where: Any) -> None:
    """
    List the keys, the newest of each purpose first.

    The newest signs. Another one verifies until the last token that it has signed has expired, and is forgotten then. A purpose
    has no key before its first token.
    """
    config = configured(**where)

    def show(stored: Mapping[KeyPurpose, Sequence[SigningKey]]) -> None:
        found = [each for word, purpose in PURPOSES.items() for each in _listed(config, word, stored[purpose])]
        if as_json:
            show_json([each.members for each in found])
        else:
            show_rows(("purpose", "id", "algorithm", "created", "use"), [each.row for each in found])

    change(config, lambda people: people.keys.list_all(), show)


@key.command("rotate")
@click.argument("word", metavar="PURPOSE", type=click.Choice(sorted(PURPOSES)))
@click.option("--algorithm", help="ES256 or RS256 for bearer, HS256 for the others; as before unless given.")
@click.option("--end-tokens", is_flag=True, help="Forget the keys before it now: the tokens that they signed end.")
@json_option
@config_options
def rotate_key(word: str, algorithm: str | None, end_tokens: bool, as_json: bool, **where: Any) -> None:
    """
    Make a new key, which signs from now on.

    PURPOSE is bearer (tokens of v2), refresh (what "docker login" keeps) or v1. The daemon may run meanwhile, and tokens that
    were given stay good, unless --end-tokens says otherwise.
    """
    config = configured(**where)
    purpose = PURPOSES[word]
    if algorithm is not None and algorithm not in purpose.algorithms:
        raise click.UsageError(f"the algorithm for {word} is {' or '.join(purpose.algorithms)}")

    def show(made: SigningKey) -> None:
        listed = _Listed(word, made, None)
        if as_json:
            show_json(listed.members)
        else:
            click.echo(f"{word}: key {made.key_id} ({listed.algorithm}) signs from now on")

    deed = Deed("key.rotate", {"purpose": word, **({"tokens": "ended"} if end_tokens else {})})
    change(config, lambda people: people.keys.rotate(purpose, algorithm, drop=end_tokens), show, deed=deed)


def _listed(config: Config, word: str, keys: Sequence[SigningKey]) -> Sequence[_Listed]:
    lifetime = _lifetimes(config)[word]
    return [_Listed(word, each, verifying_until(keys, position, lifetime)) for position, each in enumerate(keys)]


def _lifetimes(config: Config) -> Mapping[str, float]:
    auth = config.auth
    return {"bearer": auth.bearer_seconds, "refresh": auth.refresh_seconds, "v1": auth.token_seconds}
