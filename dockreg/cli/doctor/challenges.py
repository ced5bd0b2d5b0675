"""``WWW-Authenticate``: how a registry asks its clients to log in (RFC 9110 11.6.1, distribution's token specification)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, urlencode, urlsplit

from attrs import frozen

from dockreg.cli.doctor.findings import Remark, Step, fail, note, warn
from dockreg.cli.doctor.place import Place, judge_destination

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  # of the grammar
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(rf"({_TOKEN})(?=[\s,]|\Z)")
_BETWEEN = re.compile(r"[\s,]*")


@frozen
class Challenge:
    """One way to log in. Names are lowercase."""

    scheme: str
    parameters: Mapping[str, str]

    @property
    def realm(self) -> str:
        """For Bearer: the URL of the token service."""
        return self.parameters.get("realm", "")

    @property
    def can_be_used(self) -> bool:
        """Whether there is anything to go on with."""
        return self.scheme == "basic" or "://" in self.realm

    def token_url(self, scopes: Sequence[str], account: str | None) -> str:
        """Where to GET a token: what the realm says, with what clients add to it."""
        asked = [("service", self.parameters["service"])] if "service" in self.parameters else []
        asked += [("scope", scope) for scope in scopes]
        asked += [("account", account)] if account is not None else []
        if not asked:
            return self.realm
        separator = "&" if urlsplit(self.realm).query else "?"
        return f"{self.realm}{separator}{urlencode(asked, quote_via=quote)}"


def parse_challenges(values: Sequence[str]) -> Sequence[Challenge]:
    """The challenges in the lines of the header; what follows something that can not be read is left out."""
    return [challenge for value in values for challenge in _parse(value)]


def _parse(value: str) -> Iterator[Challenge]:
    scheme: str | None = None
    parameters: dict[str, str] = {}
    position = _end(_BETWEEN, value, 0)
    while position < len(value):
        parameter = _PARAMETER.match(value, position)
        found = _SCHEME.match(value, position)
        if parameter is not None and scheme is not None:
            name, quoted, plain = parameter.groups()
            text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), text)
            position = parameter.end()
        elif found is not None:
            if scheme is not None:
                yield Challenge(scheme, parameters)
            scheme, parameters = found[1].lower(), {}
            position = found.end()
        else:
            break
        position = _end(_BETWEEN, value, position)
    if scheme is not None:
        yield Challenge(scheme, parameters)


def _end(pattern: re.Pattern[str], value: str, position: int) -> int:
    match = pattern.match(value, position)
    return position if match is None else match.end()


def chosen(challenges: Sequence[Challenge]) -> Challenge | None:
    """The one that clients take: Bearer before Basic, others not at all."""
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    return None


def judge_challenge(values: Sequence[str], place: Place) -> Step:
    """The challenge of a 401 at ``/v2/``."""
    asked = "WWW-Authenticate of the 401"
    if not values:
        sentence = (
            "A 401 without WWW-Authenticate: clients do not learn how to log in (docker: no basic auth credentials). Let "
            "the registry send it, and a proxy in front hand it on."
        )
        return Step("challenge", asked, "no such header", (fail(sentence),))
    came = "; ".join(values)
    challenges = parse_challenges(values)
    challenge = chosen(challenges)
    if challenge is None:
        schemes = ", ".join(each.scheme for each in challenges) or "nothing that can be read"
        sentence = f"Clients of today log in with Bearer or Basic, and {schemes} is offered: offer one of the two."
        return Step("challenge", asked, came, (fail(sentence),))
    remarks = list(_bearer(challenge, place) if challenge.scheme == "bearer" else _basic(challenge, place))
    if len({each.scheme for each in challenges} & {"bearer", "basic"}) > 1:
        remarks.append(note("Bearer and Basic are both offered; clients take Bearer."))
    return Step("challenge", asked, came, tuple(remarks))


def _basic(challenge: Challenge, place: Place) -> Iterator[Remark]:
    if not challenge.realm:
        yield warn('Basic without a realm (RFC 7617 2 wants one): send Basic realm="registry".')
    if place.scheme == "http" and not place.is_local:
        yield warn("With Basic over http every request shows the password to everybody between: use https.")


def _bearer(challenge: Challenge, place: Place) -> Iterator[Remark]:
    if not challenge.realm:
        yield fail("Bearer without a realm: clients do not know where the token service is. Configure its URL.")
        return
    if "://" not in challenge.realm:
        yield fail("The realm is no absolute URL, and clients do not resolve it: configure the whole URL.")
        return
    yield from judge_destination(challenge.realm, place, "realm")
    if "service" not in challenge.parameters:
        yield warn("No service is named: token services that serve several registries do not know which one is meant.")


def may_have_password(challenge: Challenge, place: Place) -> bool:
    """Whether the password may go to the realm: never in the open where the registry itself is https."""
    scheme = urlsplit(challenge.realm).scheme
    return scheme == "https" or (scheme == "http" and place.scheme == "http")
