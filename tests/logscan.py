"""
``python -m tests.logscan FOLDER...``: no log of a test run has a secret in it.

It looks for the passwords that the tests themselves use, which it reads from their source, and for whatever has the form
of a credential. The status is 1 when something is found, and when there are no logs to look at.
"""

import ast
import re
import sys
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

from attrs import frozen

from tests.processes import LOGS

#: A shorter word would be found where nobody meant a password.
_SHORTEST = 9
#: What has to be there: the log of trial, what a daemon prints, and all that it can write.
KINDS = ("test.log", "daemon.log", *(f"{name}.log" for name in LOGS))
#: What takes a name and a password.
_TAKES_LOGIN = frozenset({"basic", "Account", "Credentials", "UsernamePassword"})
#: What a source without passwords has not; to parse all sources takes long.
_MAY_HAVE = re.compile("|".join(("PASSWORD", "password", *sorted(_TAKES_LOGIN))))

_IN_JSON = re.compile(r'"password"\s*:\s*"([^"\\%{}]+)"')
_BASIC = re.compile(r"\bBasic\s+([A-Za-z0-9+/_-]{4,}={0,2})", re.IGNORECASE)
_FORMS = {
    "bearer or v1 token": re.compile(r"\b(?:Bearer|Token)\s+(?=[^\s\"']*[0-9])[\w.~+/=-]{16,}", re.IGNORECASE),
    "signature of a v1 token": re.compile(r"\bsignature=[\w.~+/-]{8,}"),
    "JWT": re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}"),
    "access token": re.compile(r"\bdockreg_[0-9A-Za-z]{20,}"),
    "hash of a password": re.compile(r"\$(?:argon2id?|2[abxy])\$"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}


@frozen
class Finding:
    """A secret in a log; it is not told again."""

    where: str
    kind: str


def find_secrets(lines: Iterator[str] | Sequence[str], where: str, passwords: Collection[str]) -> Iterator[Finding]:
    """The secrets in the lines of a log."""
    known = re.compile("|".join(re.escape(each) for word in passwords for each in _spellings(word)) or r"(?!)")
    for number, line in enumerate(lines, 1):
        place = f"{where}:{number}"
        if known.search(line):
            yield Finding(place, "password of a test")
        if any(_is_login(match[1]) for match in _BASIC.finditer(line)):
            yield Finding(place, "Basic credentials")
        for kind, form in _FORMS.items():
            if form.search(line):
                yield Finding(place, kind)


def _spellings(password: str) -> Iterator[str]:
    """A password as it is, in a query or form, and as a part of base64, wherever in it it begins."""
    yield password
    if " " in password:
        yield password.replace(" ", "+")
        yield password.replace(" ", "%20")
    for offset in range(3):
        encoded = b64encode(b"\0" * offset + password.encode()).decode()
        # What depends on the neighbours is left out.
        yield encoded[offset and 4 : len(encoded) // 4 * 4 - 4]


def _is_login(text: str) -> bool:
    try:
        login = b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except NoBase64:
        return False
    # A shorter one is of nobody: it stands in tests of odd headers.
    return b":" in login[1:] and len(login) >= _SHORTEST


def passwords_in(source: str) -> Iterator[str]:
    """The passwords that a test uses; of one that is put together, the longest part."""
    if not _MAY_HAVE.search(source):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode(errors="replace")
            yield from (word for word in _IN_JSON.findall(text) if len(word) >= _SHORTEST)
        for value in _password_nodes(node):
            parts = [each.value for each in ast.walk(value) if isinstance(each, ast.Constant)]
            words = [each.decode(errors="replace") if isinstance(each, bytes) else each for each in parts]
            longest = max((word.strip() for word in words if isinstance(word, str)), key=len, default="")
            if len(longest) >= _SHORTEST:
                yield longest


@cache
def passwords_of_tests() -> frozenset[str]:
    """The passwords in all tests."""
    tests = Path(__file__).parent
    return frozenset(word for path in tests.rglob("*.py") for word in passwords_in(path.read_text()))


def _password_nodes(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "password":
                yield value
    elif isinstance(node, ast.keyword) and node.arg == "password":
        yield node.value
    elif isinstance(node, ast.Call) and len(node.args) > 1 and _called(node.func) in _TAKES_LOGIN:
        yield node.args[1]
    elif isinstance(node, ast.Assign) and any("PASSWORD" in ast.unparse(target) for target in node.targets):
        yield node.value


def _called(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def logs_in(folder: Path) -> Iterator[Path]:
    """The logs below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix == ".log":
            yield path


def main(folders: Sequence[str]) -> int:
    """Look, tell, and return a status."""
    passwords = passwords_of_tests()
    logs = [log for folder in folders for log in logs_in(Path(folder))]
    missing = [kind for kind in KINDS if not any(log.name == kind and log.stat().st_size for log in logs)]
    found: list[Finding] = []
    for log in logs:
        with log.open(errors="replace") as lines:
            found += find_secrets(lines, str(log), passwords)
    for finding in found:
        print(f"{finding.where}: {finding.kind}")
    for kind in missing:
        print(f"there is no {kind}: nothing was looked at")
    size = sum(log.stat().st_size for log in logs)
    print(f"{len(logs)} logs, {size} bytes, {len(passwords)} passwords: {len(found)} secrets")
    return 1 if found or missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
