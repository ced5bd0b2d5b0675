"""What there is to say about an answer as such: of the registry, or of something in front of it."""

from collections.abc import Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from dockreg.cli.doctor.findings import Remark, Step, fail, note, warn
from dockreg.cli.doctor.place import Place, judge_destination, shown_url
from dockreg.cli.transport import Reply, printable

API_VERSION = "Docker-Distribution-Api-Version"
_REDIRECTS = (301, 302, 303, 307, 308)
_GATEWAY = (502, 503, 504)
_DOUBTFUL_SKEW = 30
_HARMFUL_SKEW = 300

#: What names a proxy in the header Server or Via, and what it does to pushes until it is told otherwise.
_PROXIES = {
    "nginx": "nginx refuses bodies over 1 MiB (client_max_body_size 0), and keeps each push and pull on its disk first "
    "(proxy_request_buffering off, proxy_buffering off).",
    "openresty": "OpenResty refuses bodies over 1 MiB (client_max_body_size 0), and keeps each push on its disk first "
    "(proxy_request_buffering off).",
    "apache": "Apache keeps the scheme and host that clients use to itself until told otherwise (ProxyPreserveHost On, "
    'RequestHeader set X-Forwarded-Proto "https"), and may limit bodies (LimitRequestBody 0).',
    "cloudflare": "Cloudflare refuses bodies over 100 MB on most plans: larger layers can not be pushed in one request.",
    "envoy": "Envoy ends requests after 15 seconds unless the route has a longer timeout.",
}


def came(reply: Reply) -> str:
    """An answer in a few words."""
    media_type = reply.header("Content-Type")
    parts = [f"{reply.status} {reply.sentence}"]
    if media_type is not None or reply.body:
        parts.append(printable(media_type) if media_type else "no Content-Type")
    version = reply.header(API_VERSION)
    if version is not None:
        parts.append(f"{API_VERSION}: {printable(version)}")
    location = reply.header("Location")
    if location is not None:
        parts.append(f"Location: {printable(shown_url(location))}")
    return ", ".join(parts)


def is_page(reply: Reply) -> bool:
    """Whether it is a page for people."""
    media_type = (reply.header("Content-Type") or "").lower()
    return "html" in media_type or reply.body[:256].lstrip().lower().startswith((b"<!doctype", b"<html"))


def judge_trouble(reply: Reply, place: Place) -> Sequence[Remark]:
    """What is wrong with an answer whatever was asked: it comes from something else than a registry, or leads away."""
    return list(_trouble(reply, place))


def _trouble(reply: Reply, place: Place) -> Iterator[Remark]:
    status = reply.status
    if status in _REDIRECTS:
        yield from _redirect(reply, place)
    elif status in _GATEWAY:
        if is_page(reply):
            yield fail(
                "A proxy in front does not reach the registry: see that it runs and where the proxy looks for it."
            )
        else:
            yield fail(
                "The registry, or a proxy in front, can not answer now: see its log, and that its database is up."
            )
    elif status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        yield fail(
            "The body is larger than something in front of the registry allows: raise the limit of the proxy (nginx: "
            "client_max_body_size 0)."
        )
    elif status == HTTPStatus.LENGTH_REQUIRED:
        yield fail("Something in front takes no chunked bodies, in which clients push: let it speak HTTP/1.1.")
    elif status == HTTPStatus.TOO_MANY_REQUESTS:
        after = reply.header("Retry-After")
        when = f"after {printable(after)} seconds" if after else "later (there is no Retry-After to say when)"
        yield fail(f"Too many requests, or failed logins, from here: try again {when}.")
    elif is_page(reply):
        yield fail(
            "This is a page for people, not the answer of a registry: a proxy or another web server has answered. Let it "
            "hand on everything below /v2/ (and /v1/ for old engines), answers with a status over 399 too."
        )
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        yield fail("The registry has failed: its log tells why.")


def _redirect(reply: Reply, place: Place) -> Iterator[Remark]:
    location = reply.header("Location")
    if location is None:
        yield fail("A redirection without Location: correct the proxy in front.")
        return
    target = urljoin(reply.url, location)
    parts = urlsplit(target)
    if parts.scheme == "https" and place.scheme == "http" and parts.hostname == place.host:
        yield fail(f"The registry is at https://{parts.netloc}: use that URL. Clients do not send a password before.")
        return
    yield from judge_destination(target, place, "Location")
    yield fail("Clients log in at the URL that they were given: answer here, or use the one that this leads to.")


def judge_ping(reply: Reply, place: Place, *, speaks_v1: bool, has_login: bool) -> Step:
    """``GET /v2/`` without credentials."""
    trouble = judge_trouble(reply, place)
    remarks = list(trouble or _ping(reply, speaks_v1=speaks_v1, has_login=has_login))
    return Step("/v2/", f"GET {place.origin}/v2/", came(reply), tuple(remarks))


def _ping(reply: Reply, *, speaks_v1: bool, has_login: bool) -> Iterator[Remark]:
    if reply.status == HTTPStatus.NOT_FOUND:
        if speaks_v1:
            yield warn("Only v1 is spoken here, which engines up to 17.05 know: let today's clients have v2 as well.")
        else:
            yield fail("There is no registry here: see host and port, and that a proxy hands on /v2/ at its root.")
        return
    if reply.status == HTTPStatus.FORBIDDEN:
        yield fail("Refused before anybody could log in: a firewall, or a rule of a proxy, keeps this client out.")
        return
    if reply.status not in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED):
        yield fail("A registry answers 200 or 401 here: see what else serves /v2/.")
        return
    if reply.status == HTTPStatus.OK and has_login:
        yield warn(
            "The registry asks nobody to log in, so docker and podman take any password without sending it. If people "
            "have to log in for something, answer 401 here."
        )
    if reply.header(API_VERSION) is None:
        where = " on this 401 (nginx: add_header ... always)" if reply.status == HTTPStatus.UNAUTHORIZED else ""
        yield warn(
            f"{API_VERSION}: registry/2.0 is missing{where}: engines 1.6 to 17.05 go on with v1. Let the registry send "
            "it, and the proxy hand it on."
        )


def judge_clock(reply: Reply, began: float, ended: float) -> Step:
    """
    The clock of the other side beside the one here.

    :param began: when it was asked, in seconds since 1970; ``ended`` when the answer was there.
    """
    asked = "the header Date"
    text = reply.header("Date")
    if text is None:
        remark = warn("Without Date nobody can tell whether the clocks agree: let the server send it.")
        return Step("clock", asked, "no such header", (remark,))
    try:
        there = parsedate_to_datetime(text)
    except ValueError:
        return Step("clock", asked, printable(text), (warn("Date can not be read: correct it (RFC 9110 6.6.1)."),))
    # A date without a zone is UTC, and it has no parts of seconds.
    seconds = there.replace(tzinfo=there.tzinfo or UTC).timestamp() + 0.5
    skew = seconds - (began + ended) / 2
    shown = f"{printable(text)}, {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the clock here"
    remarks = []
    if abs(skew) >= _DOUBTFUL_SKEW:
        harm = fail if abs(skew) >= _HARMFUL_SKEW else warn
        remarks.append(
            harm(
                f"The clocks differ by {abs(skew):.0f} s, so that tokens count as expired, or as not good yet, and "
                "certificates too: set both by NTP."
            )
        )
    return Step("clock", asked, shown, tuple(remarks))


def judge_proxy(reply: Reply) -> Step | None:
    """What is in front of the registry, where it says so, and what to set there."""
    names = {name: printable(reply.header(name) or "") for name in ("Server", "Via") if reply.header(name)}
    shown = ", ".join(f"{name}: {value}" for name, value in names.items())
    text = shown.lower() + (" cloudflare" if reply.header("CF-Ray") else "")
    remarks = [note(advice) for name, advice in _PROXIES.items() if name in text]
    if not remarks and "Via" not in names:
        return None
    return Step("proxy", "the headers Server and Via", shown or "CF-Ray", tuple(remarks))
