"""What the v2 door tells: statuses, the codes of OCI Distribution ("Error Codes"), and what helps to go on."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import attrs

from dockreg import errors, errors_quotas

#: Statuses and codes. For answers with 5xx the specification has no codes; these are docker's.
V2_ANSWERS: Mapping[type[errors.RegistryError], tuple[HTTPStatus, str]] = {
    errors.NameInvalid: (HTTPStatus.BAD_REQUEST, "NAME_INVALID"),
    errors.TagInvalid: (HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID"),
    errors.DigestInvalid: (HTTPStatus.BAD_REQUEST, "DIGEST_INVALID"),
    errors.RequestInvalid: (HTTPStatus.BAD_REQUEST, "UNSUPPORTED"),
    errors.RangeInvalid: (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
    errors.SizeInvalid: (HTTPStatus.BAD_REQUEST, "SIZE_INVALID"),
    errors.BodyTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID"),
    errors.LayerTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID"),
    errors.NameUnknown: (HTTPStatus.NOT_FOUND, "NAME_UNKNOWN"),
    errors.TagUnknown: (HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN"),
    errors.BlobUnknown: (HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN"),
    errors.TagChanged: (HTTPStatus.PRECONDITION_FAILED, "DENIED"),
    errors.BlobInUse: (HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED"),
    errors.UploadUnknown: (HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
    errors.UploadBusy: (HTTPStatus.CONFLICT, "BLOB_UPLOAD_INVALID"),
    errors.ManifestInvalid: (HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID"),
    errors.ManifestUnknown: (HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN"),
    errors.ReferencesUnknown: (HTTPStatus.BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"),
    errors.Unauthorized: (HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED"),
    errors.Denied: (HTTPStatus.FORBIDDEN, "DENIED"),
    errors.AccountInactive: (HTTPStatus.FORBIDDEN, "DENIED"),
    # Clients show the sentence, and do not try again.
    errors_quotas.QuotaExceeded: (HTTPStatus.FORBIDDEN, "DENIED"),
    errors.Busy: (HTTPStatus.TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
    errors.StorageFull: (HTTPStatus.INSUFFICIENT_STORAGE, "UNAVAILABLE"),
    errors.StoreUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    errors.IndexUnavailable: (HTTPStatus.BAD_GATEWAY, "UNAVAILABLE"),
}

UNKNOWN = "UNKNOWN"
#: For what is not about anything that the registry has: a URL or a method that does not exist, a body that broke off.
UNSUPPORTED = "UNSUPPORTED"


def error_list(code: str, message: str, detail: object = None) -> bytes:
    """The body of an error, as the specification has it."""
    return _body([_entry(code, message, detail)])


def errors_of(problem: errors.RegistryError, code: str) -> bytes:
    """The body of an error, with one entry for each thing that is missing."""
    if isinstance(problem, errors.ReferencesUnknown):
        sentence = "the repository does not have this; push it first"
        return _body([_entry(code, sentence, {"digest": digest}) for digest in problem.digests])
    if isinstance(problem, errors.Unauthorized):
        # What it wants is in the challenge.
        return error_list(code, str(problem))
    kind = type(problem)
    members = {each.name: getattr(problem, each.name) for each in attrs.fields(kind)} if attrs.has(kind) else {}
    told = {name: value for name, value in members.items() if isinstance(value, str | int)}
    return error_list(code, str(problem), told or None)


def _entry(code: str, message: str, detail: object) -> Mapping[str, Any]:
    return {"code": code, "message": message, **({} if detail is None else {"detail": detail})}


def _body(entries: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps({"errors": entries}, separators=(",", ":"), default=str).encode("ascii")
