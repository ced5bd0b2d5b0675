"""
The content of an htpasswd file, as Apache's ``htpasswd -B`` writes it.

Of each line nothing is told but its number: what looks like no entry may be a password all the same.
"""

import re
from collections.abc import Mapping

from attrs import frozen

MAX_BYTES = 16 * 2**20
#: What Apache's htpasswd allows; each step doubles the work.
_MAX_COST = 17
_BCRYPT = re.compile(rb"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_BCRYPT_BEGINS = re.compile(rb"\$2[aby]?\$")
#: The cost when there is no entry to take it from; that of htpasswd is 5, that of most others 10 to 12.
_DEFAULT_COST = 10
_MIN_COST = 4


class HtpasswdInvalid(ValueError):
    """A file that is none: it is half-written, or something else."""


@frozen
class Htpasswd:
    """
    The usable entries by name, with the highest cost of any.

    ``refused`` has the number of each line that is an entry and can not be used, and why.
    """

    entries: Mapping[bytes, bytes]
    cost: int = _DEFAULT_COST
    refused: tuple[tuple[int, str], ...] = ()


def parse_htpasswd(content: bytes) -> Htpasswd:
    """:raises HtpasswdInvalid: it is too long, or has a line that is no entry at all."""
    if len(content) > MAX_BYTES:
        raise HtpasswdInvalid(f"it has more than {MAX_BYTES} bytes")
    entries: dict[bytes, bytes] = {}
    costs: set[int] = set()
    refused: list[tuple[int, str]] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        name, colon, rest = line.partition(b":")
        stored = rest.partition(b":")[0].rstrip()
        if not colon or not name or not stored:
            raise HtpasswdInvalid(f"line {number} is no entry")
        problem = _problem(name, stored, entries)
        if problem is None:
            entries[name] = stored
            costs.add(cost_of(stored))
        elif problem:
            refused.append((number, problem))
        else:
            raise HtpasswdInvalid(f"the hash of line {number} is broken")
    return Htpasswd(entries, max(costs, default=_DEFAULT_COST), tuple(refused))


def cost_of(stored: bytes) -> int:
    """The cost of a bcrypt hash."""
    return int(stored[4:6])


def _problem(name: bytes, stored: bytes, entries: Mapping[bytes, bytes]) -> str | None:
    """Why an entry is refused; nothing at all when its hash is broken, and None when it is all right."""
    if not _BCRYPT_BEGINS.match(stored):
        return "it is no bcrypt hash (htpasswd -B makes one)"
    if not _BCRYPT.fullmatch(stored):
        return ""
    if not _MIN_COST <= cost_of(stored) <= _MAX_COST:
        return f"the cost of its hash is not within {_MIN_COST} and {_MAX_COST}"
    if name in entries:
        return "an earlier line has the same name"
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return "its name is not UTF-8"
    return None
