"""
Who is asking, and what they may do: accounts, keys, authentication, rights and tokens.

:mod:`dockreg.interfaces` says what holds for every method.
"""

from collections.abc import Callable, Sequence

from twisted.cred.credentials import IUsernamePassword
from zope.interface import Interface

from dockreg.model.access import Access, Action, Challenge, Principal
from dockreg.model.accounts import Account, SigningKey
from dockreg.model.names import RepositoryName


class IAccountStore(Interface):
    """Stored logins."""

    async def create(name: str, password_hash: str, email: str, admin: bool, now: float) -> Account:
        """:raises AccountExists: the name, or the e-mail address if not empty, is taken."""

    async def get(name: str) -> Account:
        """:raises AccountUnknown: there is none of this name."""

    async def list_all() -> Sequence[Account]:
        """Every account, in the order of their names."""

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


class IAuthenticator(Interface):
    """Who is asking? Knows credentials (``twisted.cred``) and token texts, never headers."""

    async def login(credentials: IUsernamePassword) -> Principal:
        """
        :raises Unauthorized: the name is unknown or the password is wrong; both look and take the same.
        :raises AccountInactive: the credentials are right, the account is disabled.
        :raises Busy: too many passwords are being verified already.
        """

    async def redeem(token: str) -> Principal:
        """
        The bearer of a v1 token, with its ceiling.

        :param token: what stood behind the scheme ``Token``, in any spelling that engines 0.6 to 1.12 use.
        :raises Unauthorized: not ours, changed, or expired.
        """

    def challenge(wanted: Access | None) -> Challenge:
        """How a client should present itself to obtain ``wanted``."""


class IAuthorizer(Interface):
    """May they?"""

    async def granted(principal: Principal, wanted: Access) -> frozenset[Action]:
        """
        The part of ``wanted.actions`` that is allowed now, within the ceiling; possibly empty, never an error. A
        repository that does not exist is judged as if the principal were about to create it.
        """


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
