"""Tests of :mod:`dockreg.model.ldapserver`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.ldapserver import LDAPServer


class LDAPServerTests(SynchronousTestCase):
    def test_urls(self) -> None:
        """A server is a host and a port, which each scheme has one of its own for, or the path of a socket."""
        for url, server, spelled in (
            ("ldap://ldap.example.com", LDAPServer("ldap", "ldap.example.com", 389), "ldap.example.com:389"),
            ("ldaps://ldap.example.com/", LDAPServer("ldaps", "ldap.example.com", 636), "ldap.example.com:636"),
            ("LDAP://192.0.2.1:3890", LDAPServer("ldap", "192.0.2.1", 3890), "192.0.2.1:3890"),
            ("ldaps://[2001:db8::1]:1", LDAPServer("ldaps", "2001:db8::1", 1), "[2001:db8::1]:1"),
            ("ldapi://%2Frun%2Fslapd%2Fldapi", LDAPServer("ldapi", "/run/slapd/ldapi"), "/run/slapd/ldapi"),
        ):
            self.assertEqual(server, LDAPServer.parse(url))
            self.assertEqual(spelled, str(server))

    def test_no_urls(self) -> None:
        """Everything else is refused, a search and a name in it as well."""
        for url in (
            "", "ldap", "ldap://", "ldap.example.com", "http://ldap.example.com", "ldap://host:port", "ldap://host:70000",
            "ldap://host/dc=example", "ldap://host/?uid", "ldap://me:secret@host", "ldapi://", "ldapi://run/slapd",
            "ldap://[::1", "ldap://host#x",
        ):  # fmt: skip
            error = self.assertRaises(ValueError, LDAPServer.parse, url)
            self.assertNotIn("secret", str(error))

    def test_here(self) -> None:
        """What stays on this machine is known by the address, or by the name that always means it."""
        for url in ("ldap://127.0.0.1", "ldap://127.1.2.3:1", "ldap://[::1]", "ldap://localhost", "ldapi://%2Frun%2Fx"):
            self.assertTrue(LDAPServer.parse(url).is_here, url)
        for url in (
            "ldap://192.0.2.1",
            "ldaps://ldap.example.com",
            "ldap://localhost.example.com",
            "ldap://[2001:db8::1]",
        ):
            self.assertFalse(LDAPServer.parse(url).is_here, url)

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """Whatever it is, the outcome is a server or a sentence."""
        for url in (text, f"ldap://{text}", f"ldapi://{text}"):
            try:
                LDAPServer.parse(url)
            except ValueError as error:
                self.assertNotEqual("", str(error))
