"""What the tests of tokens share: a signer, and what an attacker could do who had its key."""

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

from twisted.internet.task import Clock

from dockreg.errors import Unauthorized
from dockreg.model.access import Action, Principal
from dockreg.model.accounts import SigningKey
from dockreg.model.names import RepositoryName
from dockreg.providers.auth.keys import V1_TOKENS
from dockreg.providers.auth.tokens import AUDIENCE, ISSUER, TYPE, TokenSigner
from dockreg.testing import contracts_auth
from dockreg.testing.accountstores import MemoryKeyStore
from tests.unit.providers.auth.support import counted_bytes, counter

NOW = 1_400_000_000
PULL = frozenset({Action.PULL})
PUSH = frozenset({Action.PULL, Action.PUSH, Action.OVERWRITE})
APP = RepositoryName("demo/app")


def signature_of(token: str) -> str:
    """The JWT within a token."""
    return token.partition(",")[0].removeprefix("signature=")


def encoded(part: bytes | Mapping[str, Any]) -> str:
    """A part of a JWT."""
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class TokenCase(contracts_auth.ContractCase):
    """A signer, and what an attacker could do who had its key."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW + 0.75)
        self.keys = MemoryKeyStore()
        self.signer = self.make_signer()

    def make_signer(self) -> TokenSigner:
        return TokenSigner(self.keys, self.clock, counter("id"), counted_bytes(), lifetime_seconds=100)

    def issue(
        self, name: str | None = "anna", repository: RepositoryName = APP, actions: frozenset[Action] = PUSH
    ) -> str:
        return self.now(self.signer.issue(Principal(name), repository, actions))

    def redeem(self, token: str) -> Principal:
        return self.now(self.signer.redeem(token))

    def assert_refused(self, token: str) -> None:
        self.fails(Unauthorized, self.signer.redeem(token))

    @property
    def key(self) -> SigningKey:
        return self.now(self.keys.get(V1_TOKENS.name, lambda: SigningKey("unused", b"", 0)))[0]

    def forge(self, header: Mapping[str, Any] | None = None, without: str = "", **claims: Any) -> str:
        """A JWT signed with the right key, and with other headers or claims."""
        wanted = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "anna",
            "repo": "demo/app",
            "actions": ["pull"],
            "iat": NOW,
            "exp": NOW + 100,
            "jti": "1",
        }
        wanted |= claims
        wanted.pop(without, None)
        headers = {"alg": "HS256", "kid": self.key.key_id, "typ": TYPE} | dict(header or {})
        signing = f"{encoded({k: v for k, v in headers.items() if v is not None})}.{encoded(wanted)}"
        return f"{signing}.{encoded(hmac.digest(self.key.secret, signing.encode(), 'sha256'))}"
