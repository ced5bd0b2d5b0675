"""The tokens of v2, put together as the configuration says."""

import secrets
from collections.abc import Sequence

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from dockreg.config import Config
from dockreg.identity import Identity
from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_access import IBearers, ITokenService
from dockreg.lifecycle import Job
from dockreg.providers.auth.bearers import OwnKeys, OwnTokens, TokenTimes
from dockreg.providers.auth.keys import Keyring, TokenKeys
from dockreg.providing import new_id

_EXPIRY_SECONDS = 600.0


@frozen
class Tokens:
    """Who redeems the tokens of v2, who makes them, and whose keys expire."""

    keys: Sequence[TokenKeys]
    bearers: IBearers | None = None
    service: ITokenService | None = None

    @property
    def jobs(self) -> Sequence[Job]:
        """What has to be done again and again."""
        return [Job("the expiry of keys", _EXPIRY_SECONDS, each.drop_expired) for each in self.keys]


def make_tokens(config: Config, metadata: IMetadataStore, identity: Identity, clock: IReactorTime) -> Tokens:
    """What is configured; nothing at a registry that asks an index, which knows no such tokens."""
    if config.role == "registry":
        return Tokens([])
    times = TokenTimes(int(config.auth.bearer_seconds), int(config.auth.refresh_seconds))
    keys = OwnKeys.make(metadata.keys, clock, new_id, secrets.token_bytes, times)
    own = OwnTokens(
        keys,
        identity.authenticator,
        identity.authorizer,
        metadata.accounts,
        metadata.repositories,
        clock,
        new_id,
        times,
    )
    return Tokens([keys.bearers, keys.refreshers, identity.tokens.keys], own, own)


def make_keyring(metadata: IMetadataStore, clock: IReactorTime) -> Keyring:
    """The keys of tokens, for who administers them."""
    return Keyring(metadata.keys, clock, new_id, secrets.token_bytes)
