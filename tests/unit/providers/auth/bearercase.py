"""What the tests of the tokens of v2 share: a token service with accounts, and what an attacker could do with its key."""

import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt
from attrs import define, field
from jwt.algorithms import ECAlgorithm
from twisted.cred.checkers import AllowAnonymousAccess
from twisted.internet.task import Clock
from zope.interface import implementer

from dockreg.errors import NameUnknown, Unauthorized
from dockreg.interfaces_access import IAuthorizer
from dockreg.model.access import Access, Action, Principal
from dockreg.model.names import RepositoryName
from dockreg.model.scopes import parse_scopes
from dockreg.model.tokens import Bearer
from dockreg.providers.auth.bearers import BEARER_TYPE, ISSUER, REFRESH_TYPE, OwnKeys, OwnTokens, TokenTimes
from dockreg.providers.auth.cred import CredAuthenticator
from dockreg.providers.auth.keys import LoadedKey, TokenKeys
from dockreg.providers.auth.tokens import TokenSigner
from dockreg.testing.accountstores import MemoryAccountStore, MemoryKeyStore
from dockreg.testing.authorizers import OneByOne
from dockreg.testing.contracts_auth import ContractCase
from dockreg.testing.contracts_tokens import ORIGIN, SERVICE
from tests.unit.providers.auth.support import counted_bytes, counter
from tests.unit.providers.auth.tokencase import encoded

NOW = 1_400_000_000
APP, OTHER = RepositoryName("demo/app"), RepositoryName("demo/other")
PULL = frozenset({Action.PULL})
PUSH = frozenset({Action.PULL, Action.PUSH, Action.OVERWRITE})
ANNA = Principal("anna")


@implementer(IAuthorizer)
@define(eq=False)
class Policy(OneByOne):
    """Everybody may do what the test says, in the repositories that there are."""

    rights: dict[tuple[str | None, str | None], frozenset[Action]] = field(factory=dict)
    present: set[str] = field(factory=set)

    def allow(self, name: str | None, repository: str | None, actions: frozenset[Action]) -> None:
        self.rights[name, repository] = actions

    async def granted(self, principal: Principal, wanted: Access) -> frozenset[Action]:
        where = None if wanted.repository is None else wanted.repository.value
        allowed = self.rights.get((principal.name, where), frozenset())
        return wanted.actions & allowed & principal.within(wanted.repository)

    async def get(self, name: RepositoryName) -> object:
        if name.value not in self.present:
            raise NameUnknown(name.value)
        return name


class BearerCase(ContractCase):
    """A token service, and what an attacker could do who had its keys."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW + 0.75)
        self.store = MemoryKeyStore()
        self.accounts = MemoryAccountStore()
        self.new_id, self.random = counter("id"), counted_bytes()
        for name in ("anna", "root"):
            self.now(self.accounts.create(name, f"hash of {name}", "", admin=name == "root", now=1.0))
        self.policy = Policy()
        self.policy.allow("anna", "demo/app", PUSH)
        self.policy.present.add("demo/app")
        self.signer = TokenSigner(self.store, self.clock, self.new_id, self.random)
        # A checker that knows people by their credentials only, so that any name may be somebody's.
        self.authenticator = CredAuthenticator([AllowAnonymousAccess()], self.accounts, self.signer)
        self.service = self.make_service()

    def make_service(self, bearer: int = 300, refresh: int = 5000, authenticator: Any = None) -> OwnTokens:
        times = TokenTimes(bearer, refresh)
        self.own_keys = OwnKeys.make(self.store, self.clock, self.new_id, self.random, times)
        policy: Any = self.policy
        known = authenticator or self.authenticator
        return OwnTokens(self.own_keys, known, policy, self.accounts, policy, self.clock, self.new_id, times)

    def issue(self, scope: str = "repository:demo/app:pull,push", principal: Principal = ANNA) -> Bearer:
        return self.now(self.service.issue(principal, parse_scopes([scope]), SERVICE))

    def redeem(self, token: str, origin: str = ORIGIN) -> Principal:
        return self.now(self.service.redeem(token, origin))

    def assert_refused(self, token: str, origin: str = ORIGIN) -> str:
        error = self.fails(Unauthorized, self.service.redeem(token, origin))
        assert isinstance(error, Unauthorized)
        self.assertEqual("invalid_token", error.fault)
        return error.reason

    def refresh_token(self, principal: Principal = ANNA, ends: int | None = None) -> str:
        token = self.now(self.service.issue_refresh(principal, SERVICE, ends))
        assert token is not None
        return token

    def assert_no_refresh(self, token: str, service: str = SERVICE) -> str:
        error = self.fails(Unauthorized, self.service.refresh(token, service))
        return str(error)

    def claims(self, token: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return claims

    def signing(self, keys: TokenKeys) -> LoadedKey:
        return self.now(keys.signing())

    def forge(self, header: Mapping[str, Any] | None = None, without: str = "", **claims: Any) -> str:
        """A bearer token signed with the right key, and with other headers or claims."""
        key = self.signing(self.own_keys.bearers)
        wanted = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": "anna",
            "access": [],
            "asked": "repository:demo/app:pull",
            "iat": NOW,
            "nbf": NOW,
            "exp": NOW + 300,
            "jti": "1",
        }
        wanted |= claims
        wanted.pop(without, None)
        return signed({"alg": "ES256", "kid": key.key_id, "typ": BEARER_TYPE} | dict(header or {}), wanted, key)

    def forge_refresh(self, header: Mapping[str, Any] | None = None, without: str = "", **claims: Any) -> str:
        """The same for a refresh token of anna's."""
        key = self.signing(self.own_keys.refreshers)
        wanted = self.claims(self.refresh_token()) | claims
        wanted.pop(without, None)
        return signed({"alg": "HS256", "kid": key.key_id, "typ": REFRESH_TYPE} | dict(header or {}), wanted, key)


def signed(header: Mapping[str, Any], claims: Mapping[str, Any], key: LoadedKey) -> str:
    """A JWT with these very parts, signed by ``key``; a header of None is left out."""
    signing = f"{encoded({k: v for k, v in header.items() if v is not None})}.{encoded(claims)}"
    return f"{signing}.{encoded(signature(signing, key))}"


def signature(signing: str, key: LoadedKey) -> bytes:
    """The signature of a text by the algorithm of the key."""
    if key.algorithm == "HS256":
        return hmac.digest(key.private, signing.encode(), "sha256")
    return ECAlgorithm(ECAlgorithm.SHA256).sign(signing.encode(), key.private)


def header_of(token: str) -> dict[str, Any]:
    """The header of a JWT."""
    header: dict[str, Any] = json.loads(jwt.utils.base64url_decode(token.partition(".")[0]))
    return header
