"""
Who is asking, and what they may do: accounts, keys, authentication, rights and tokens.

:mod:`dockreg.interfaces` says what holds for every method.
"""

from collections.abc import Callable, Mapping, Sequence

from cryptography.x509 import Certificate
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from zope.interface import Attribute, Interface

from dockreg.model.access import Access, Action, Challenge, Principal
from dockreg.model.accounts import Account, SigningKey
from dockreg.model.names import RepositoryName
from dockreg.model.networks import NO_ADDRESS
from dockreg.model.people import Person
from dockreg.model.repositories import RepositoryRecord
from dockreg.model.tokens import Bearer, Renewal


class IAccountStore(Interface):
    """Stored logins."""

    async def create(
        name: str, password_hash: str, email: str, admin: bool, now: float, again: bool = False
    ) -> Account:
        """
        :param again: whether the name of an account that was deleted may be given once more.
        :raises AccountExists: the name, or the e-mail address if not empty, is taken.
        """

    async def create_robot(name: str, owner: str, now: float, most: int = 100) -> Account:
        """
        An account without a password that ends with ``owner``.

        :raises AccountUnknown: there is no account ``owner``.
        :raises AccountInvalid: it has ``most`` robots already.
        :raises AccountExists: the name is taken.
        """

    async def delete(name: str, now: float, heir: str | None = None) -> None:
        """
        Remove an account and its robots, with the access tokens, grants and memberships of all of them. The name of a
        person stays taken. The repositories of robots are their owner's then, and those of a person are left as they are.

        :param heir: the account that owns the repositories from now on.
        :raises AccountUnknown: there is none of this name, or no heir; nothing is changed.
        """

    async def get(name: str) -> Account:
        """:raises AccountUnknown: there is none of this name; it says whether there was one."""

    async def list_all() -> Sequence[Account]:
        """Every account, robots too, in the order of their names."""

    async def list_robots(owner: str) -> Sequence[Account]:
        """The robots of an account, in the order of their names."""

    async def change(
        name: str,
        password_hash: str | None = None,
        email: str | None = None,
        active: bool | None = None,
        admin: bool | None = None,
    ) -> Account:
        """
        Replace what is not None.

        :raises AccountUnknown: there is none of this name.
        :raises AccountExists: the e-mail address is another account's.
        """


class IKeyStore(Interface):
    """Keys that the registry makes once and keeps, shared by its processes."""

    async def get(purpose: str, make: Callable[[], SigningKey]) -> Sequence[SigningKey]:
        """
        The keys for ``purpose``, newest first; when there is none, the result of ``make`` is stored. Several processes
        that ask at once are given the same.
        """

    async def add(purpose: str, key: SigningKey) -> SigningKey:
        """
        Put a key before all others for ``purpose``, whatever their times are.

        :returns: the key as it is kept: it is never older than the others.
        """

    async def remove(purpose: str, key_id: str) -> None:
        """Forget a key. Harmless when it is not there."""

    async def list_all() -> Mapping[str, Sequence[SigningKey]]:
        """Every key by its purpose, newest first."""


class IClientCertificate(ICredentials):
    """
    A certificate that came with a connection.

    Whoever makes one of these has verified its chain, and that the client has its key.
    """

    certificate: Certificate = Attribute("The client's own certificate.")


class IAwaitedChecker(ICredentialsChecker):
    """A checker of ``twisted.cred`` whose answer can be awaited: where it is there at once, it costs no Deferred."""

    async def avatar_id(credentials: ICredentials) -> object:
        """What ``requestAvatarId`` fires with; it raises the same, too."""


class IStoredPeople(IAwaitedChecker):
    """
    One that goes by what is stored of somebody and lasts (:meth:`.IMoments.lasting_version`), by the password that he shows, and
    by nothing else.
    """


class IDirectory(Interface):
    """A checker of ``twisted.cred`` that can also say who is there without being shown a password."""

    async def find(name: str) -> Person | None:
        """
        Who has this name now, as the checker's avatar id would say it; None when nobody has.

        The bearer of a token is looked up this way.

        :raises StoreUnavailable: it can not be asked.
        """


class IAuthenticator(Interface):
    """Who is asking? Knows credentials (``twisted.cred``) and token texts, never headers."""

    async def login(credentials: ICredentials, address: str = NO_ADDRESS) -> Principal:
        """
        :param credentials: ``IUsernamePassword``, :class:`IClientCertificate`, or what else one of the checkers takes.
        :raises Unauthorized: the name is unknown or the password is wrong; both look and take the same.
        :param address: where they come from: that of the client, not of a proxy.
        :raises AccountInactive: the credentials are right, the account is disabled.
        :raises TooManyAttempts: attempts from there, or for this account, failed too often; nothing was looked at.
        :raises Busy: too many passwords are being verified already.
        """

    async def redeem(token: str) -> Principal:
        """
        The bearer of a v1 token, with its ceiling.

        :param token: what stood behind the scheme ``Token``, in any spelling that engines 0.6 to 1.12 use.
        :raises Unauthorized: not ours, changed, or expired.
        """

    async def current(principal: Principal, issued_at: float | None = None) -> Principal:
        """
        What is true now of somebody who was identified earlier, for the bearers of tokens: below the ceiling that they
        have, and below what the access token behind them reaches.

        :param issued_at: when the token was made; who has the name since a later time is another person.
        :raises Unauthorized: the account is disabled or was deleted, or the access token is revoked or expired.
        """

    def challenge(wanted: Access | None) -> Challenge:
        """How a client should present itself to obtain ``wanted``."""


class IBearers(Interface):
    """The tokens of v2: whose they are, and how to obtain them (distribution, "Token Authentication Specification")."""

    async def redeem(token: str, origin: str) -> Principal:
        """
        The bearer of a token, as what is true of him now, below the ceiling that the token says.

        :param origin: the scheme and host by which the client knows this registry, such as ``https://r.example``.
        :raises Unauthorized: not ours, changed, for another service, expired, or its account or access token is no
            longer good; with the fault ``invalid_token``.
        """

    def challenge(origin: str, wanted: Sequence[Access], fault: str) -> str:
        """
        The value of ``WWW-Authenticate`` that sends a client to the token service.

        :param origin: as for :meth:`redeem`.
        :param fault: ``invalid_token``, ``insufficient_scope``, or nothing (RFC 6750 3.1).
        """


class ITokenService(Interface):
    """Makes the tokens of v2. A service is named by the host at which clients know the registry."""

    async def issue(principal: Principal, wanted: Sequence[Access], service: str) -> Bearer:
        """
        A token for who has just been identified, or for anonymous; what is not allowed is not granted.

        :param wanted: no more than :func:`.parse_scopes` takes.
        :raises Unauthorized: he came with a token that is no stored access token.
        """

    async def issue_refresh(principal: Principal, service: str, ends: int | None = None) -> str | None:
        """
        What stands for the credentials from now on; None for who can not be given any.

        :param ends: when it ends at the latest, in seconds since 1970.
        """

    async def refresh(token: str, service: str) -> Renewal:
        """
        Who brought back what :meth:`issue_refresh` made.

        :raises Unauthorized: not ours, changed, for another service, or expired; the account is disabled or has
            another password; the access token behind it is no longer good.
        """

    async def public_keys() -> Sequence[Mapping[str, str]]:
        """What verifies the tokens of :meth:`issue`, as members of a JWK (RFC 7517)."""


class IAuthorizer(Interface):
    """May they?"""

    async def granted(principal: Principal, wanted: Access) -> frozenset[Action]:
        """
        The part of ``wanted.actions`` that is allowed now, within the ceiling; possibly empty, never an error. A
        repository that does not exist is judged as if the principal were about to create it; to a known one who may
        not, it looks like one that is private to others.
        """

    async def granted_each(
        principal: Principal, action: Action, names: Sequence[RepositoryName]
    ) -> Sequence[RepositoryName]:
        """
        Those of the repositories in which ``action`` is allowed now, in the same order, for the search of one that will
        do. Those that do not exist may be left out. How many were asked for and exist, and whether any, hardly shows in
        the time that it takes.
        """

    async def granted_among(
        principal: Principal, action: Action, records: Sequence[RepositoryRecord]
    ) -> Sequence[RepositoryRecord]:
        """The same for the entries of a list, which were just read: as fast as it can be told."""


class IStoredRights(IAuthorizer):
    """One that decides by what is stored and configured, and by the principal, and nothing else, such as the time of day."""


class ITokenIssuer(Interface):
    """Makes the v1 tokens that the index role hands out."""

    async def issue(principal: Principal, repository: RepositoryName, actions: frozenset[Action]) -> str:
        """A token for one repository, as the value of ``X-Docker-Token``: ASCII, no blanks, below 4 KB."""


class IPasswordHasher(Interface):
    """Turns passwords into what may be stored, off the reactor thread, few at a time."""

    async def hash(password: bytes) -> str:
        """A salted hash of ``password``, another one each time. :raises Busy: too many are being hashed already."""

    async def verify(stored: str, password: bytes) -> bool:
        """Whether ``stored`` was made from ``password``; False when it is no hash at all. :raises Busy: as above."""

    async def verify_nobody(password: bytes) -> None:
        """Take as long as :meth:`verify` does, for a name that is unknown. :raises Busy: as above."""
