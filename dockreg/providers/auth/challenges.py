"""What sends a client of v2 to a token service (RFC 6750 3; distribution, "Token Authentication Specification")."""

from collections.abc import Sequence

from dockreg.model.access import Access
from dockreg.model.scopes import scope_of


def bearer_challenge(realm: str, service: str, wanted: Sequence[Access], fault: str) -> str:
    """The value of ``WWW-Authenticate``; what does not fit into a quoted text is left out."""
    members = {"realm": realm, "service": service, "scope": scope_of(wanted), "error": fault}
    return "Bearer " + ",".join(f'{name}="{_quoted(value)}"' for name, value in members.items() if value)


def _quoted(text: str) -> str:
    kept = "".join(letter for letter in text if letter.isascii() and letter.isprintable())
    return kept.replace("\\", "\\\\").replace('"', '\\"')
