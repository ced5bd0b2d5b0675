"""Tests of the search for secrets in logs: it finds what is planted, and nothing else."""

import contextlib
import io
import shutil
from base64 import b64encode
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.logscan import KINDS, find_secrets, main, passwords_in

PASSWORDS = {"secret of joe", "correct horse battery"}
# Put together here, so that the log of this test holds none of them.
LOGIN = b64encode(b"joe:sesame").decode()
JWT = "eyJhbGciOiJFUzI1NiJ9" + ".eyJzdWIiOiJqb2UifQ" + ".c2lnbmF0dXJl"
ACCESS_TOKEN = "dockreg_" + "0123456789abcdefghijABCDEFGHIJ"


class LineTests(SynchronousTestCase):
    """What is a secret, and what is not."""

    def kinds(self, line: str) -> list[str]:
        return [finding.kind for finding in find_secrets([line], "x", PASSWORDS)]

    def test_passwords(self) -> None:
        """Passwords of tests are found as they are, in forms and queries, and wherever in base64 they stand."""
        word = "password of a test"
        for line in ("login as joe: secret of joe!", "password=secret+of+joe&x", "GET /x?password=secret%20of%20joe"):
            self.assertEqual([word], self.kinds(line), line)
        for name in ("j", "jo", "joe", "joey"):
            encoded = b64encode(f"{name}:correct horse battery".encode()).decode()
            self.assertEqual([word], self.kinds(f"sent {encoded}."), name)

    def test_forms(self) -> None:
        """What has the form of a credential is found, whoever's it is."""
        cases = {
            f"Authorization: Basic {LOGIN}": "Basic credentials",
            f"'Basic {LOGIN.rstrip('=')}'": "Basic credentials",
            f"authorization: bearer {JWT}": "bearer or v1 token",
            "Token " + "0123456789abcdefABCDEF": "bearer or v1 token",
            f"signature={JWT},repository=x": "signature of a v1 token",
            f"was given {JWT}": "JWT",
            f"made {ACCESS_TOKEN} for joe": "access token",
            "stored $argon2" + "id$v=19$m=65536": "hash of a password",
            "stored $2" + "b$12$": "hash of a password",
            "-----BEGIN EC " + "PRIVATE KEY-----": "private key",
        }
        for line, kind in cases.items():
            self.assertIn(kind, self.kinds(line), line)

    def test_innocent(self) -> None:
        """Challenges, lengths, words about credentials and digests are none."""
        for line in (
            'Basic realm="dockreg", Token',
            'Bearer realm="https://r.example:5000/v2/token",service="r.example"',
            "the Basic credentials are not of the form base64(user:password)",
            "a token of 812 characters, expires_in 300",
            "Token authentication is not configured here",
            "GET /v2/a/blobs/sha256:" + "ab" * 32 + ' 200 "-" "docker/1.5.0"',
            "dockreg_requests_total 5",
            "secret",
        ):  # fmt: skip
            self.assertEqual([], self.kinds(line), line)


class SourceTests(SynchronousTestCase):
    """The passwords that tests use are read from their source."""

    def test_places(self) -> None:
        """In documents, arguments, logins and names of constants; of what is put together the longest part counts."""
        source = """
SOME_PASSWORD = "password one"
A = {"username": "joe", "password": "password two"}
B = make(password=b"password three")
C = basic("joe", f"password four of {name}")
D = v1session.Credentials("joe", "password five")
E = basic(name, password)
F = {"password": "short"}
H = b'{"username": "joe", "password": "password six"}'
G = other("joe", "no password")
"""
        words = ("one", "two", "three", "four of", "five", "six")
        self.assertEqual({f"password {word}" for word in words}, set(passwords_in(source)))


class ProgramTests(SynchronousTestCase):
    """A run over folders."""

    def run_over(self, **logs: str) -> tuple[int, str]:
        folder = Path(self.mktemp())
        folder.mkdir()
        # Planted secrets must not be found by the run that looks through the logs of this one.
        self.addCleanup(shutil.rmtree, folder)
        for name, text in {**dict.fromkeys(KINDS, "fine\n"), **logs}.items():
            (folder / name).write_text(text)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = main([str(folder)])
        return status, output.getvalue()

    def test_clean(self) -> None:
        """Logs without secrets pass, and what was looked at is told."""
        status, output = self.run_over()
        self.assertEqual(0, status, output)
        self.assertRegex(output, rf"\A{len(KINDS)} logs, {5 * len(KINDS)} bytes, [1-9][0-9]* passwords: 0 secrets\n\Z")

    def test_planted(self) -> None:
        """A secret fails the run, which tells where it is and not what it is."""
        status, output = self.run_over(**{"access.log": f"fine\nnot fine: {ACCESS_TOKEN}\n"})
        self.assertEqual(1, status)
        self.assertRegex(output, r"access\.log:2: access token\n")
        self.assertNotIn(ACCESS_TOKEN, output)

    def test_no_logs(self) -> None:
        """A run without one of the logs fails: nothing was looked at."""
        for kind in KINDS:
            status, output = self.run_over(**{kind: ""})
            self.assertEqual(1, status)
            self.assertIn(f"there is no {kind}", output)
