"""What there is to say about a pull, and about the beginning of a push."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

from attrs import frozen

from dockreg.cli.doctor.answers import came, is_page, judge_trouble
from dockreg.cli.doctor.findings import Remark, Step, fail, note, warn
from dockreg.cli.doctor.place import Place, judge_destination, shown_url
from dockreg.cli.transport import Reply
from dockreg.errors import DigestInvalid
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST, SCHEMA2_LIST, SCHEMA2_MANIFEST

#: What clients of today accept.
ACCEPT = f"{OCI_INDEX}, {OCI_MANIFEST}, {SCHEMA2_LIST}, {SCHEMA2_MANIFEST}"
_REDIRECTS = (301, 302, 303, 307, 308)


def judge_tags(reply: Reply, place: Place, repository: str, *, pushing: bool = False) -> tuple[Step, Sequence[str]]:
    """
    ``GET tags/list``, and the tags.

    :param pushing: the repository need not be there yet.
    """
    tags = _tags(reply)
    remarks = list(judge_trouble(reply, place) or _refused(reply, repository, "pull"))
    if pushing and reply.status == HTTPStatus.NOT_FOUND and not is_page(reply):
        remarks = [note(f"{repository} is not there yet, or hidden; a push makes it.")]
    if not remarks and tags is None:
        remarks.append(fail('The answer is no list of tags: a registry sends {"name": ..., "tags": [...]}.'))
    shown = came(reply) if tags is None else f"{reply.status}, {len(tags)} tags"
    return Step("tags", f"GET {shown_url(reply.url)}", shown, tuple(remarks)), tags or ()


def _tags(reply: Reply) -> Sequence[str] | None:
    document = _json(reply)
    tags = document.get("tags", ()) if reply.status == HTTPStatus.OK and "name" in document else None
    if tags is None:
        # distribution before 2026 says null for none.
        return () if reply.status == HTTPStatus.OK and "tags" in document else None
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list | tuple) else None


def _json(reply: Reply) -> dict[str, Any]:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refused(reply: Reply, repository: str, what: str) -> Iterator[Remark]:
    if reply.status == HTTPStatus.UNAUTHORIZED:
        yield fail(f"To {what} from {repository} one has to log in, as somebody who may; give a name with --user.")
    elif reply.status == HTTPStatus.FORBIDDEN:
        yield fail(f"Known, and without the right to {what} here: give the account that right in {repository}.")
    elif reply.status == HTTPStatus.NOT_FOUND:
        yield fail(
            f"{repository} is not there, or hidden from who is asking: see the spelling, and who may read it. A registry "
            "that keeps secrets answers the same for both."
        )
    elif reply.status >= HTTPStatus.BAD_REQUEST:
        yield fail("The registry refuses: see what it says, and its log.")


@frozen
class Found:
    """What a manifest leads to: a blob of an image, or a manifest of an index."""

    digest: str
    is_manifest: bool


def judge_manifest(reply: Reply, head: Reply, place: Place, repository: str) -> tuple[Step, Found | None]:
    """``GET`` and ``HEAD`` of a manifest, and what to ask for next."""
    remarks = list(judge_trouble(reply, place) or _refused(reply, repository, "pull"))
    shown = came(reply)
    found = None
    if not remarks:
        remarks = list(_manifest(reply, head))
        shown = f"{reply.status}, {reply.header('Content-Type')}, {len(reply.body)} bytes"
        found = _leads_to(reply)
    return Step("manifest", f"GET and HEAD {shown_url(reply.url)}", shown, tuple(remarks)), found


def _manifest(reply: Reply, head: Reply) -> Iterator[Remark]:
    digest = reply.header("Docker-Content-Digest")
    if digest is None:
        yield warn("Docker-Content-Digest is missing: clients ask again for what they have. Let the proxy hand it on.")
    elif digest.startswith("sha256:") and digest != f"sha256:{hashlib.sha256(reply.body).hexdigest()}":
        yield fail(
            "The bytes are not those of Docker-Content-Digest, so clients refuse them: something in front rewrites "
            "answers, or the registry has lost data."
        )
    media_type = reply.header("Content-Type") or ""
    if not media_type or media_type.startswith(("text/", "application/octet-stream")):
        yield fail(f"Content-Type {media_type or 'is missing'}: clients do not know what the manifest is.")
    if head.status != reply.status:
        yield fail(f"HEAD answers {head.status} where GET answers {reply.status}: let the proxy hand on HEAD.")
    elif head.header("Docker-Content-Digest") != digest:
        yield warn("HEAD does not have the Docker-Content-Digest of GET: clients take one for the other.")


def _leads_to(reply: Reply) -> Found | None:
    document = _json(reply)
    children = document.get("manifests")
    candidates = children if isinstance(children, list) else [document.get("config")]
    for candidate in candidates:
        members = candidate if isinstance(candidate, dict) else {}
        digest = members.get("digest")
        # BuildKit keeps caches in indexes of layers.
        wanted = not isinstance(children, list) or members.get("mediaType") in (OCI_MANIFEST, SCHEMA2_MANIFEST)
        if wanted and isinstance(digest, str) and _is_digest(digest):
            return Found(digest, isinstance(children, list))
    return None


def _is_digest(text: str) -> bool:
    # A stranger sent it, and it becomes part of a URL.
    try:
        Digest.parse(text)
    except DigestInvalid:
        return False
    return True


def judge_blob(reply: Reply, place: Place, repository: str) -> Step:
    """``HEAD`` of a blob, which may lead to another server."""
    location = reply.header("Location")
    asked = f"HEAD {shown_url(reply.url)}"
    if reply.status in _REDIRECTS and location is not None:
        target = urljoin(reply.url, location)
        remarks = list(judge_destination(target, place, "Location"))
        return Step("blob", asked, came(reply), tuple(remarks))
    remarks = list(judge_trouble(reply, place) or _refused(reply, repository, "pull"))
    if not remarks and reply.header("Content-Length") is None:
        remarks.append(
            warn("Content-Length is missing: clients can not show progress, and some refuse. Let it through.")
        )
    if not remarks and (reply.header("Content-Encoding") or "identity") != "identity":
        remarks.append(fail("Content-Encoding on a blob: clients would unpack what must stay as it is. Switch it off."))
    return Step("blob", asked, came(reply), tuple(remarks))


def judge_start(reply: Reply, place: Place, repository: str) -> tuple[Step, str | None]:
    """The start of an upload, and where it goes on."""
    remarks = list(judge_trouble(reply, place) or _refused(reply, repository, "push"))
    location = reply.header("Location")
    target = None
    if not remarks and reply.status != HTTPStatus.ACCEPTED:
        remarks.append(fail("A registry answers 202 here: see its log, and that a proxy hands on POST."))
    elif not remarks and location is None:
        remarks.append(fail("Location is missing, so clients do not know where to push: let the proxy hand it on."))
    elif not remarks and location is not None:
        target = urljoin(reply.url, location)
        remarks += judge_destination(target, place, "Location")
        if reply.header("Range") is None:
            remarks.append(warn("Range: 0-0 is missing, which docker reads here: let the registry send it."))
    return Step("upload", f"POST {shown_url(reply.url)}", came(reply), tuple(remarks)), target


def judge_chunk(reply: Reply, place: Place, size: int) -> Step:
    """The answer to a chunk of an upload."""
    remarks = list(judge_trouble(reply, place))
    if not remarks and reply.status not in (HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT):
        remarks.append(fail("A registry answers 202 here: see its log, and that a proxy hands on PATCH."))
    return Step("chunk", f"PATCH with {size} bytes", came(reply), tuple(remarks))


def judge_cancel(reply: Reply, place: Place) -> Step:
    """The end of the upload, of which nothing shall stay."""
    remarks = list(judge_trouble(reply, place))
    if not remarks and reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
        remarks.append(note("Uploads can not be cancelled here; the registry drops it when it has been idle."))
    elif not remarks and reply.status != HTTPStatus.NO_CONTENT:
        remarks.append(
            warn("The upload could not be cancelled, as podman and skopeo do with rights to push: allow them DELETE.")
        )
    return Step("cancel", "DELETE of the upload", came(reply), tuple(remarks))


def at_home(target: str, place: Place) -> str:
    """The same path and query at the registry itself."""
    parts = urlsplit(target)
    return f"{place.origin}{parts.path}{f'?{parts.query}' if parts.query else ''}"


def moved(reply: Reply, target: str, place: Place) -> str:
    """Where an upload goes on after a chunk, at the registry itself."""
    location = reply.header("Location")
    return target if location is None else at_home(urljoin(target, location), place)
