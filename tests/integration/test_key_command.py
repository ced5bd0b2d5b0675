"""``dockreg key`` beside a daemon that runs."""

from typing import Any

import jwt

from tests.integration.tokencase import TokenCase, basic


class KeyCommandTests(TokenCase):
    """What is changed counts from the next request on."""

    def setUp(self) -> None:
        super().setUp()
        reply = self.token_reply(authorization=basic("alice"), offline_token="true")
        self.bearer_token, self.refresh_token = reply.document["token"], reply.document["refresh_token"]

    def listed(self, purpose: str) -> list[Any]:
        """The keys for a purpose."""
        found = self.daemon.told("key", "list")
        # Nothing of the keys themselves is printed.
        self.assertEqual({"purpose", "id", "algorithm", "created_at", "verifies_until"}, set().union(*found))
        return [each for each in found if each["purpose"] == purpose]

    def published(self) -> list[str]:
        """The ids of the keys that everybody can see."""
        return [key["kid"] for key in self.ask("GET", "/v2/token/jwks.json").document["keys"]]

    def status(self, token: str) -> int:
        """What a bearer token opens."""
        return self.ask("GET", "/v2/", Authorization=f"Bearer {token}").status

    def renewed(self) -> int:
        """What the refresh token gives."""
        return self.form(grant_type="refresh_token", refresh_token=self.refresh_token).status

    def test_rotate(self) -> None:
        """The new key signs at once, the one before verifies what it has signed; both are published."""
        old = self.listed("bearer")[0]
        made = self.daemon.told("key", "rotate", "bearer", "--algorithm", "RS256")
        self.assertEqual(("bearer", "RS256", None), (made["purpose"], made["algorithm"], made["verifies_until"]))
        newer = self.token(name="alice")
        header = jwt.get_unverified_header(newer)
        self.assertEqual(("RS256", made["id"]), (header["alg"], header["kid"]))
        self.assertEqual([200, 200], [self.status(token) for token in (self.bearer_token, newer)])
        self.assertEqual([made["id"], old["id"]], self.published()[:2])
        listed = self.listed("bearer")
        self.assertEqual([made["id"], old["id"]], [key["id"] for key in listed[:2]])
        self.assertAlmostEqual(made["created_at"] + 600, listed[1]["verifies_until"], delta=1)
        # A further key is of the algorithm before.
        self.assertEqual("RS256", self.daemon.told("key", "rotate", "bearer")["algorithm"])

    def test_end_tokens(self) -> None:
        """What the keys before have signed ends at once, of this purpose alone."""
        made = self.daemon.told("key", "rotate", "bearer", "--end-tokens")
        self.assertEqual((401, 200), (self.status(self.bearer_token), self.renewed()))
        self.assertEqual([made["id"]], self.published())
        bearer = self.token(name="alice")
        self.daemon.told("key", "rotate", "refresh", "--end-tokens")
        self.assertEqual((200, 400), (self.status(bearer), self.renewed()))
