"""The tokens of v2, put together as the configuration says."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from dockreg.checkers import Means
from dockreg.config import Config
from dockreg.configpeople import TokenServerSettings
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
    openers: Sequence[Callable[[], Awaitable[object]]] = ()
    closers: Sequence[Callable[[], Awaitable[object]]] = ()

    @property
    def jobs(self) -> Sequence[Job]:
        """What has to be done again and again."""
        return [Job("the expiry of keys", _EXPIRY_SECONDS, each.drop_expired) for each in self.keys]


def make_tokens(config: Config, metadata: IMetadataStore, identity: Identity, means: Means) -> Tokens:
    """What is configured; nothing at a registry that asks an index, which knows no such tokens."""
    if config.role == "registry":
        return Tokens([])
    if config.auth.token_server.realm:
        return _trusted(config.auth.token_server, identity, means)
    times = TokenTimes(int(config.auth.bearer_seconds), int(config.auth.refresh_seconds))
    keys = OwnKeys.make(metadata.keys, means.clock, new_id, means.random_bytes, times)
    known, may = identity.authenticator, identity.authorizer
    own = OwnTokens(keys, known, may, metadata.accounts, metadata.repositories, means.clock, new_id, times)
    return Tokens([keys.bearers, keys.refreshers, identity.tokens.keys], own, own)


def _trusted(server: TokenServerSettings, identity: Identity, means: Means) -> Tokens:
    from dockreg.providers.auth.outbound import OutboundAgent
    from dockreg.providers.auth.tokenserver import ServerTokens
    from dockreg.providers.auth.trustedkeys import make_file_keys, make_url_keys

    if server.key_files:
        files = [Path(each) for each in server.key_files]
        keys = make_file_keys(files, means.in_thread, means.clock, server.reread_seconds)
        # A file that can not be used is a mistake; a server that does not answer may do so soon.
        openers, closers = [keys.open], []
    else:
        agent = OutboundAgent(means.clock)
        keys = make_url_keys(server.key_url, agent, means.clock, server.reread_seconds)
        openers, closers = [], [agent.close]
    bearers = ServerTokens(keys, means.clock, server.realm, server.service, server.issuer)
    return Tokens([identity.tokens.keys], bearers, None, openers, closers)


def make_keyring(metadata: IMetadataStore, clock: IReactorTime) -> Keyring:
    """The keys of tokens, for who administers them."""
    return Keyring(metadata.keys, clock, new_id, secrets.token_bytes)
