"""Who is asking and what they may do: authentication, rights and tokens, put together as the configuration says."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from attrs import frozen
from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.interfaces import IReactorTime

from dockreg.accesstokens import AccessTokens
from dockreg.accounts import Accounts
from dockreg.attempts import Attempts
from dockreg.callables import InThread
from dockreg.checkers import Means, make_checkers
from dockreg.config import Config
from dockreg.configuredpeople import attempt_limits, policy_of
from dockreg.credentials import ClientCertificate
from dockreg.foreign import require
from dockreg.interfaces import IMetadataStore
from dockreg.interfaces_access import IAuthenticator, IAuthorizer, IStoredPeople
from dockreg.interfaces_v1 import IImageList
from dockreg.invitations import Invitations
from dockreg.model.networks import Networks
from dockreg.providers.attempts import SharedAttempts
from dockreg.providers.auth.accesstokens import AccessTokenAuthenticator
from dockreg.providers.auth.cred import CredAuthenticator
from dockreg.providers.auth.hashing import PasswordHasher
from dockreg.providers.auth.rules import Rules
from dockreg.providers.auth.throttled import ThrottledAuthenticator
from dockreg.providers.auth.tokens import TokenSigner
from dockreg.providers.auth.turns import Turns
from dockreg.providers.listening import Judge, allow_all, require_local
from dockreg.providing import IRegistryReactor, made, new_id
from dockreg.registry import AnnouncedImages


def make_hasher(config: Config, in_thread: InThread) -> PasswordHasher:
    """What hashes passwords, few at a time."""
    return PasswordHasher(Turns(in_thread, config.auth.hash_workers, config.auth.hash_queue))


def make_accounts(
    config: Config,
    metadata: IMetadataStore,
    hasher: PasswordHasher,
    clock: IReactorTime,
    authenticator: object = None,
    attempts: Attempts | None = None,
) -> Accounts:
    """The rules of accounts. :param attempts: what holds strangers up."""
    asked = "accounts" in config.auth.checkers and authenticator is None
    # An account that nobody asks for is not worth making.
    registration = config.auth.registration if asked else "closed"
    return Accounts(metadata.accounts, hasher, clock, registration, attempts, metadata.invitations, config.auth.email)


def make_attempts(config: Config, metadata: IMetadataStore, clock: IReactorTime) -> Attempts:
    """What counts failed attempts, of all processes."""
    store = SharedAttempts(metadata.attempts)
    return Attempts(attempt_limits(config), clock, store, Networks.parse(config.http.exempt_addresses))


def make_access_tokens(metadata: IMetadataStore, clock: IReactorTime) -> AccessTokens:
    """The rules of access tokens."""
    return AccessTokens(metadata.access_tokens, clock, secrets.token_bytes)


def make_invitations(metadata: IMetadataStore, clock: IReactorTime) -> Invitations:
    """The rules of invitations."""
    return Invitations(metadata.invitations, clock, secrets.token_bytes, partial(secrets.token_hex, 4))


def _takes_strangers(config: Config, authenticator: object = None) -> bool:
    return config.auth.registration == "open" and "accounts" in config.auth.checkers and authenticator is None


@frozen
class Identity:
    """Who is asking, what they may do, and which tokens and image lists there are."""

    authenticator: IAuthenticator
    authorizer: IAuthorizer
    image_list: IImageList
    tokens: TokenSigner
    openers: Sequence[Callable[[], Any]] = ()
    closers: Sequence[Callable[[], Any]] = ()
    #: Whether certificates of clients say who they are.
    takes_certificates: bool = False
    #: Whether the token of somebody without a name says who he is, until it expires, whatever else may change.
    settled_tokens: bool = False
    #: Where nobody is known by anything but what is stored: whether somebody is let in again, at an address, without being counted.
    let_in: Callable[[str, str], bool] | None = None


def make_identity(
    config: Config,
    metadata: IMetadataStore,
    means: Means,
    reactor: IRegistryReactor,
    authenticator: IAuthenticator | ICredentialsChecker | None,
    attempts: Attempts,
) -> Identity:
    """
    What the configuration says, unless an application knows the people itself.

    :param means: what checkers are made with.
    :param authenticator: the application's.
    :raises ConfigError: a provider of others can not be imported or made, or ``authenticator`` lacks something.
    """
    if authenticator is not None:
        is_checker = ICredentialsChecker.providedBy(authenticator)
        kind = ICredentialsChecker if is_checker else IAuthenticator
        require("authenticator", type(authenticator).__name__, kind, authenticator, declared=False)
    tokens = TokenSigner(metadata.keys, reactor, new_id, secrets.token_bytes, int(config.auth.token_seconds))
    if config.role == "registry" and authenticator is None:
        from dockreg.providers.auth.index import IndexAuthorizer, RemoteIndex
        from dockreg.providers.auth.outbound import OutboundAgent

        agent = OutboundAgent(reactor)
        index = RemoteIndex(config.index.url, agent, reactor, config.index.cache_seconds)
        return Identity(index, IndexAuthorizer(), index, tokens, closers=[agent.close])
    strangers = _takes_strangers(config, authenticator)
    openers: Sequence[Callable[[], Any]] = ()
    checkers: list[ICredentialsChecker] | None = None
    if authenticator is None:
        every = make_checkers(config, means)
        checkers, openers = every.checkers, every.openers
    elif is_checker:
        checkers = [cast("ICredentialsChecker", authenticator)]
    if checkers is not None:
        known = CredAuthenticator(checkers, metadata.accounts, tokens)
        checked = AccessTokenAuthenticator(make_access_tokens(metadata, reactor), known)
        authenticator = ThrottledAuthenticator(attempts, checked)
    authorizer: IAuthorizer = Rules(metadata.rights, policy_of(config, strangers=strangers), metadata.lasting_version)
    if config.auth.authorizer:
        arguments = {"repositories": metadata.repositories}
        authorizer = made("auth.authorizer", config.auth.authorizer, IAuthorizer, arguments)
    if config.auth.token_server.realm:
        from dockreg.providers.auth.tokenserver import Deciding

        authorizer = Deciding(authorizer)
    return Identity(
        cast("IAuthenticator", authenticator),
        authorizer,
        AnnouncedImages(metadata),
        tokens,
        openers,
        takes_certificates=any(map(_takes_certificates, checkers or ())),
        settled_tokens=checkers is not None,
        let_in=attempts.has_just_been_let_in if checkers and all(map(IStoredPeople.providedBy, checkers)) else None,
    )


def _takes_certificates(checker: ICredentialsChecker) -> bool:
    return any(kind.implementedBy(ClientCertificate) for kind in checker.credentialInterfaces)


def everybody_pushes(config: Config, authenticator: object = None) -> bool:
    """Whether people without a name may push."""
    # The rules of others are theirs to answer for, and a registry that asks an index takes tokens only.
    asks_index = config.role == "registry" and authenticator is None
    return config.auth.anonymous == "push" and not config.auth.authorizer and not asks_index


def judge_for(config: Config) -> Judge:
    """Who says whether the service may listen on an address."""
    return require_local if everybody_pushes(config) and not config.allow_unauthenticated else allow_all
