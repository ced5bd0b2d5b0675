"""Questions to a directory over one connection, with python-ldap; all of this blocks."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import ldap
from attrs import frozen

from dockreg.providers.auth.ldapwire import DirectoryTrouble, Wire

#: What a server says of a name and password that are not good, or not good now.
_REFUSALS = (
    ldap.INVALID_CREDENTIALS,
    ldap.INAPPROPRIATE_AUTH,
    ldap.NO_SUCH_OBJECT,
    ldap.INVALID_DN_SYNTAX,
    ldap.UNWILLING_TO_PERFORM,
    ldap.CONSTRAINT_VIOLATION,
    ldap.INSUFFICIENT_ACCESS,
)


class TooMany(Exception):
    """More entries match than were asked for."""


@frozen
class Entry:
    """An entry with its attributes, by their names in lower case."""

    dn: str
    attributes: Mapping[str, Sequence[bytes]]

    def texts(self, attribute: str) -> list[str]:
        """The values of an attribute; those that are no text are left out."""
        values = self.attributes.get(attribute.lower(), ())
        decoded = (value.decode("utf-8", "replace") for value in values)
        return [text for text in decoded if "\N{REPLACEMENT CHARACTER}" not in text]


class Session:
    """
    Speaks LDAP over a :class:`.Wire`. Referrals are not followed: they would take the password elsewhere.

    Every method raises :class:`.DirectoryTrouble` when the server does not answer, or not to the question.
    """

    def __init__(self, wire: Wire, seconds: float) -> None:
        self._wire = wire
        # The scheme says only that the socket needs nothing more.
        self._ldap: Any = ldap.initialize("ldapi://", fileno=wire.end.fileno())
        wire.end.detach()  # it is libldap's now
        self._ldap.set_option(ldap.OPT_PROTOCOL_VERSION, ldap.VERSION3)
        self._ldap.set_option(ldap.OPT_REFERRALS, ldap.OPT_OFF)
        self._ldap.set_option(ldap.OPT_DEREF, ldap.DEREF_NEVER)
        self._ldap.set_option(ldap.OPT_RESTART, ldap.OPT_ON)
        self._ldap.set_option(ldap.OPT_TIMEOUT, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ldap.LDAPError):  # it is closed all the same
            self._ldap.unbind_s()

    def bind(self, dn: str, password: bytes) -> bool:
        """
        Become ``dn``; whether that is its password.

        Without a name or a password a server lets everybody in as nobody (RFC 4513 5.1.2), so that is never asked.
        """
        if not dn or not password:
            return False
        try:
            self._ldap.simple_bind_s(dn, password)
        except _REFUSALS:
            return False
        except ldap.LDAPError as error:
            raise self._trouble(error) from error
        return True

    def read(self, dn: str, attributes: Sequence[str]) -> Entry | None:
        """The entry ``dn``; None when there is none that may be seen."""
        try:
            found = self._search(dn, ldap.SCOPE_BASE, "(objectClass=*)", attributes, 1)
        except (ldap.NO_SUCH_OBJECT, ldap.INVALID_DN_SYNTAX, ldap.INSUFFICIENT_ACCESS):
            return None
        except ldap.LDAPError as error:
            raise self._trouble(error) from error
        return found[0] if found else None

    def search(self, base: str, text: str, attributes: Sequence[str], limit: int) -> list[Entry]:
        """
        The entries below ``base`` that match the filter ``text``.

        :raises TooMany: there are more than ``limit``.
        """
        try:
            found = self._search(base, ldap.SCOPE_SUBTREE, text, attributes, limit)
        except ldap.SIZELIMIT_EXCEEDED:
            raise TooMany from None
        except ldap.LDAPError as error:
            raise self._trouble(error) from error
        if len(found) > limit:
            raise TooMany
        return found

    def _search(self, base: str, scope: int, text: str, attributes: Sequence[str], limit: int) -> list[Entry]:
        results = self._ldap.search_ext_s(base, scope, text, list(attributes), sizelimit=limit)
        # A result without a name is a referral.
        return [
            Entry(dn, {name.lower(): values for name, values in values_of.items()}) for dn, values_of in results if dn
        ]

    def _trouble(self, error: ldap.LDAPError) -> DirectoryTrouble:
        if isinstance(error, ldap.TIMEOUT | ldap.SERVER_DOWN):
            return DirectoryTrouble(self._wire.problem or "no answer in time")
        said = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        parts = (said.get("desc"), said.get("info"))
        return DirectoryTrouble(": ".join(str(part) for part in parts if part) or type(error).__name__)
