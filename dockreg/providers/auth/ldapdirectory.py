"""People of an LDAP directory: who they are, which groups they are in, and whether a password is theirs."""

import re
from collections.abc import Callable
from pathlib import Path

from attrs import field, frozen
from ldap.dn import escape_dn_chars
from ldap.filter import escape_filter_chars
from twisted.logger import Logger

from dockreg.model.people import Person
from dockreg.providers.auth.ldapsession import Entry, Session, TooMany
from dockreg.providers.auth.ldapwire import Deadline, Dialling, DirectoryTrouble

log = Logger()

_PLACE = re.compile(r"\{(name|dn)\}")
_MAX_GROUPS = 1000
_MAX_PASSWORD_FILE_BYTES = 4096


@frozen
class People:
    """
    How to find a person: at the name ``dn``, in which ``{name}`` stands for the given name, or by a search.

    ``attribute`` has the name that counts here. Directories find ``ANNA`` for ``anna``, and these must not become two.
    """

    dn: str = ""
    base: str = ""
    filter: str = "(uid={name})"
    attribute: str = "uid"


@frozen
class Groups:
    """
    How to find groups of a person: entries below ``base`` with the name in ``attribute``; none without a base.

    In the filter ``{dn}`` stands for the person's entry and ``{name}`` for the name.
    """

    base: str = ""
    filter: str = "(member={dn})"
    attribute: str = "cn"


@frozen
class Reader:
    """Who searches; nobody in particular without a name. The password may be kept in a file, which is read each time."""

    dn: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""

    def secret(self) -> bytes:
        """The password. :raises DirectoryTrouble: the file can not be used."""
        if not self.password_file:
            return self.password.encode("utf-8")
        try:
            with Path(self.password_file).open("rb") as file:
                content = file.read(_MAX_PASSWORD_FILE_BYTES + 1)
        except OSError as error:
            raise DirectoryTrouble(f"{self.password_file} can not be read: {error.strerror}") from error
        secret = content.removesuffix(b"\n").removesuffix(b"\r")
        if not 0 < len(secret) <= _MAX_PASSWORD_FILE_BYTES:
            raise DirectoryTrouble(f"{self.password_file} holds no password")
        return secret


@frozen
class LDAPDirectory:
    """
    Asks a directory, over a connection of its own each time. All methods block, for ``timeout_seconds`` at most.

    :param seconds: the time, asked from threads.
    :raises DirectoryTrouble: from every method, when the directory can not be asked.
    """

    _dialling: Dialling
    _reader: Reader
    _people: People
    _groups: Groups
    _timeout_seconds: float
    _seconds: Callable[[], float]

    @property
    def can_search(self) -> bool:
        """Whether people can be found who do not show their password."""
        return bool(self._reader.dn or self._people.base)

    def check_files(self) -> None:
        """Look at the files that are needed, without a connection."""
        self._dialling.trust()
        self._reader.secret()

    def probe(self) -> None:
        """Whether the directory answers, and has what the settings name."""
        with self._session() as session:
            self._become_reader(session)
            for base in (self._people.base, self._groups.base):
                if base and session.read(base, ["1.1"]) is None:
                    raise DirectoryTrouble(f"there is no {base}, or it can not be read")
            if not self._people.base and not self._groups.base:
                session.read("", ["1.1"])

    def authenticate(self, name: str, password: bytes) -> Person | None:
        """The person who goes by ``name`` when that is the password, else None."""
        if not password:
            return None
        with self._session() as session:
            if self._people.dn:
                if not session.bind(self._dn_of(name), password):
                    return None
                self._become_reader(session)
                entry = self._entry(session, name)
            else:
                self._become_reader(session)
                entry = self._entry(session, name)
                if entry is None or not session.bind(entry.dn, password):
                    return None
                self._become_reader(session)
            return None if entry is None else self._person(session, entry, name)

    def find(self, name: str) -> Person | None:
        """The person of this very name, if there is one."""
        with self._session() as session:
            self._become_reader(session)
            entry = self._entry(session, name)
            person = None if entry is None else self._person(session, entry, name)
        return person if person is not None and person.name == name else None

    def _session(self) -> Session:
        deadline = Deadline.after(self._timeout_seconds, self._seconds)
        return Session(self._dialling.dial(deadline), self._timeout_seconds)

    def _become_reader(self, session: Session) -> None:
        # Without a reader people are looked for as nobody, and their groups as themselves.
        if self._reader.dn and not session.bind(self._reader.dn, self._reader.secret()):
            raise DirectoryTrouble(f"it refuses {self._reader.dn}")

    def _dn_of(self, name: str) -> str:
        return self._people.dn.replace("{name}", escape_dn_chars(name))

    def _entry(self, session: Session, name: str) -> Entry | None:
        attribute = self._people.attribute
        if self._people.dn:
            return session.read(self._dn_of(name), [attribute])
        try:
            found = session.search(self._people.base, _filled(self._people.filter, name=name), [attribute], 1)
        except TooMany:
            log.warn("the directory has several people by one name, so none can log in by it")
            return None
        return found[0] if found else None

    def _person(self, session: Session, entry: Entry, given: str) -> Person | None:
        name = _name_of(entry.texts(self._people.attribute), given)
        if name is None:
            log.warn("{dn} has no usable {attribute}", dn=entry.dn, attribute=self._people.attribute)
            return None
        if not self._groups.base:
            return Person(name)
        text = _filled(self._groups.filter, name=name, dn=entry.dn)
        try:
            found = session.search(self._groups.base, text, [self._groups.attribute], _MAX_GROUPS)
        except TooMany:
            raise DirectoryTrouble(f"somebody is in more than {_MAX_GROUPS} groups") from None
        names = [value for each in found for value in each.texts(self._groups.attribute)[:1]]
        return Person(name, Person.groups_from("ldap", names))


def _filled(template: str, **values: str) -> str:
    # In one go: a value that has such a place in it is not filled in itself.
    return _PLACE.sub(lambda place: escape_filter_chars(values.get(place[1], place[0])), template)


def _name_of(values: list[str], given: str) -> str | None:
    """The value that was given, in the spelling of the directory; the only value, where something else was given."""
    same = [value for value in values if value == given] or [
        value for value in values if value.casefold() == given.casefold()
    ]
    chosen = same or values
    if len(chosen) != 1 or not chosen[0].isprintable() or chosen[0] != chosen[0].strip():
        return None
    return chosen[0]
