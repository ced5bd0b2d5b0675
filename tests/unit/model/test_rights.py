"""Tests of :mod:`dockreg.model.rights`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.errors_rights import RightsInvalid
from dockreg.model.access import Action
from dockreg.model.rights import ANYBODY, AUTHENTICATED, Kind, Role, Subject, parse_group, parse_namespace

_SUBJECTS = st.one_of(
    st.sampled_from([ANYBODY, AUTHENTICATED]),
    st.builds(
        Subject,
        st.sampled_from([Kind.ACCOUNT, Kind.GROUP]),
        st.one_of(
            st.text("abz:+é' ", min_size=1, max_size=9),
            st.sampled_from(["anonymous", "authenticated", "group:x", "account:x", "account:group:x"]),
        ).filter(lambda name: name == name.strip()),
    ),
)


class SubjectTests(SynchronousTestCase):
    def test_parse(self) -> None:
        """A bare name is an account, what is behind ``group:`` a group; two words stand for many."""
        for text, expected in (
            ("anna", Subject.account("anna")),
            ("anna+ci", Subject.account("anna+ci")),
            ("Anna Ä.", Subject.account("Anna Ä.")),
            ("account:anna", Subject.account("anna")),
            ("account:anonymous", Subject.account("anonymous")),
            ("group:dev", Subject.group("dev")),
            ("group:ldap:Dev Ops", Subject.group("ldap:Dev Ops")),
            ("ldap:dev", Subject.account("ldap:dev")),
            ("authenticated", AUTHENTICATED),
            ("anonymous", ANYBODY),
        ):
            self.assertEqual(expected, Subject.parse(text), text)

    def test_nobody(self) -> None:
        """What can not be a name is nobody."""
        for text in ("", "group:", "account:", " anna", "anna ", "an\nna", "a\x00", "\ud800", "group: dev", "a" * 257):
            with self.assertRaises(RightsInvalid):
                Subject.parse(text)

    @given(_SUBJECTS)
    def test_text(self, subject: Subject) -> None:
        """The text of a subject is read as that subject."""
        self.assertEqual(subject, Subject.parse(str(subject)))

    def test_short(self) -> None:
        """It is as short as it can be."""
        texts = ["anna", "group:dev", "authenticated", "anonymous", "account:anonymous"]
        self.assertEqual(texts, [str(Subject.parse(text)) for text in texts])


class NameTests(SynchronousTestCase):
    def test_groups(self) -> None:
        """The names of groups can be told from those that are known elsewhere."""
        for name in ("d", "0", "dev", "dev-ops_2.x", "a" * 64):
            self.assertEqual(name, parse_group(name))
        for name in ("", "a" * 65, "Dev", "-dev", ".dev", "dev\n", "ldap:dev", "dev ops", "dév", "a/b"):
            with self.assertRaises(RightsInvalid):
                parse_group(name)

    def test_namespaces(self) -> None:
        """A namespace is one component of a name, of either door."""
        for name in ("team", "library", "a", "0", "team_1.x-y", "_x", "tags"):
            self.assertEqual(name, parse_namespace(name))
        for name in ("", "a/b", "/a", "a/", "Team", "..", ".", "téam", "a" * 254, "team\n", "*", "a b"):
            with self.assertRaises(RightsInvalid):
                parse_namespace(name)


class RoleTests(SynchronousTestCase):
    def test_actions(self) -> None:
        """Owners may do everything, writers all but administer, readers read."""
        self.assertEqual(frozenset(Action), Role.OWNER.actions)
        self.assertEqual(frozenset(Action) - {Action.ADMIN}, Role.WRITER.actions)
        self.assertEqual({Action.PULL}, Role.READER.actions)
