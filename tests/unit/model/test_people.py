"""Tests of :mod:`dockreg.model.people`."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.people import Person


class PersonTests(SynchronousTestCase):
    def test_groups(self) -> None:
        """A person from elsewhere may be in groups, each with the place where it comes from."""
        person = Person("anna", frozenset({"ldap:dev", "cert:Domain Users", "ldap:a:b"}))
        self.assertEqual(frozenset({"ldap:dev", "cert:Domain Users", "ldap:a:b"}), person.groups)

    def test_no_group_of_the_registry(self) -> None:
        """A group without its origin is refused: it could be taken for one of the registry's own."""
        for group in (
            "dev",
            "",
            ":dev",
            "ldap:",
            "l dap:dev",
            "ldap: dev",
            "ldap:dev ",
            "ldap:d\nev",
            "ldap:" + "x" * 300,
        ):
            with self.assertRaises(ValueError, msg=group):
                Person("anna", frozenset({group}))
