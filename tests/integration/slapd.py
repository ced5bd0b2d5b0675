"""An OpenLDAP server of Debian's packages for tests: in a folder of its own, on 127.0.0.1 and on a unix socket."""

import shutil
import socket
import subprocess
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from dockreg.testing.ports import free_port
from tests.certificates import Authority, named, pem
from tests.support import require_program

SUFFIX = "dc=example,dc=com"
PEOPLE, OPEN, GROUPS = f"ou=people,{SUFFIX}", f"ou=open,{SUFFIX}", f"ou=groups,{SUFFIX}"
READER, READER_PASSWORD = f"cn=reader,{SUFFIX}", "the reader's own"

_ROOT, _ROOT_PASSWORD = f"cn=root,{SUFFIX}", "all"

#: A name with everything that means something in a filter or a distinguished name.
ODD, ODD_DN = 'o*(d)d\\,"+<;>=é', f'uid=o*(d)d\\\\\\,\\"\\+\\<\\;\\>\\=é,{PEOPLE}'

# Whoever binds with a name and no password becomes nobody, and is told that all is well: that is "bind_anon_dn".
_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
allow bind_anon_dn
TLSCertificateFile {folder}/certificate.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
suffix {suffix}
rootdn {root}
rootpw {password}
directory {folder}/data
dbnosync
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree={open} by * read
access to * by dn.exact="{reader}" read by self read by * none
"""


def _entry(dn: str, *kinds: str, **values: str) -> str:
    lines = [f"dn: {dn}", *(f"objectClass: {kind}" for kind in kinds)]
    lines += [f"{name}: {value}" for name, value in values.items()]
    return "\n".join(lines) + "\n\n"


def _person(dn: str, *uids: str, password: str = "", mail: str = "") -> str:
    lines = [f"dn: {dn}", "objectClass: inetOrgPerson", "cn: Somebody", "sn: Somebody"]
    lines += [f"uid: {uid}" for uid in uids]
    lines += [f"userPassword: {password}"] if password else []
    lines += [f"mail: {mail}"] if mail else []
    return "\n".join(lines) + "\n\n"


def _group(name: str, *members: str) -> str:
    lines = [f"dn: cn={name},{GROUPS}", "objectClass: groupOfNames", f"cn: {name}"]
    return "\n".join([*lines, *(f"member: {member}" for member in members)]) + "\n\n"


def _content() -> str:
    anna, berta = f"uid=anna,{PEOPLE}", f"uid=berta,{PEOPLE}"
    return "".join(
        [
            _entry(SUFFIX, "dcObject", "organization", o="Example", dc="example"),
            _entry(READER, "organizationalRole", "simpleSecurityObject", cn="reader", userPassword=READER_PASSWORD),
            *(_entry(f"ou={name},{SUFFIX}", "organizationalUnit", ou=name) for name in ("people", "open", "groups")),
            _person(anna, "anna", password="secret", mail="anna@example.com"),
            _person(berta, "berta", password="other"),
            _person(f"uid=carla,{PEOPLE}", "carla", "carlotta", password="third", mail="carla@example.com"),
            _person(f"uid=twin,{PEOPLE}", "twin", password="secret"),
            _person(f"uid=twin,{OPEN}", "twin", password="secret"),
            _person(f"uid=locked,{PEOPLE}", "locked"),
            _person(f"cn=Somebody,{PEOPLE}", password="secret", mail="nameless@example.com"),
            _person(f"uid=emma,{OPEN}", "emma", password="open"),
            _person(ODD_DN, ODD, password="odd"),
            _person(f"uid={{dn}},{PEOPLE}", "{dn}", password="braces"),
            _entry(
                f"ou=elsewhere,{PEOPLE}",
                "referral",
                "extensibleObject",
                ou="elsewhere",
                ref=f"ldap://127.0.0.1:1/{PEOPLE}",
            ),
            _group("dev", anna, berta),
            _group("Domain Users", anna, ODD_DN),
            _group("braces", f"uid={{dn}},{PEOPLE}")[:-1] + "description: {dn}\n\n",
            _group("elsewhere", f"uid=emma,{OPEN}"),
        ]
    )


class Server:
    """A running server, with people whose names are well known."""

    def __init__(self) -> None:
        self._slapd, self._slapadd = require_program("slapd"), require_program("slapadd")
        # The path of a unix socket has at most 107 bytes, so not below trial's folder.
        self.folder = Path(tempfile.mkdtemp(prefix="dockreg-slapd-"))
        self.port, self.tls_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._prepare()

    def _prepare(self) -> None:
        (self.folder / "data").mkdir()
        authority, key = Authority(), ec.generate_private_key(ec.SECP256R1())
        certificate = authority.issue(
            named(cn="slapd"), x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), key=key
        )
        self.authority = self._write("authority.pem", pem(authority.own()))
        self._write("certificate.pem", pem(certificate))
        self._write("key.pem", pem(key))
        names = {"suffix": SUFFIX, "open": OPEN, "reader": READER, "root": _ROOT, "password": _ROOT_PASSWORD}
        text = _CONFIGURATION.format(folder=self.folder, **names)
        self._configuration = self._write("slapd.conf", text.encode())
        content = self._write("content.ldif", _content().encode())
        self._run(self._slapadd, "-q", "-f", str(self._configuration), "-l", str(content))

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        if done.returncode:
            raise AssertionError(done.stderr.decode(errors="replace"))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port} {self.local_url}"
        command = [self._slapd, "-f", str(self._configuration), "-h", urls, "-d", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("slapd did not start")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.tls_port), 1).close()
        except OSError:
            return False
        return True

    def modify(self, dn: str, attribute: str, value: str) -> None:
        """Give an entry another value of an attribute."""
        import ldap

        connection = ldap.initialize(self.url)
        connection.simple_bind_s(_ROOT, _ROOT_PASSWORD)
        connection.modify_s(dn, [(ldap.MOD_REPLACE, attribute, [value.encode()])])
        connection.unbind_s()

    def stop(self) -> None:
        """Stop it; its people stay."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop it, and leave nothing."""
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def local_url(self) -> str:
        return "ldapi://" + quote(str(self.folder / "socket"), safe="")
