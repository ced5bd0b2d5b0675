"""From failures to statuses and bodies, for each door once."""

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from attrs import define, frozen
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from dockreg import errors, errors_access, errors_blobs, errors_quotas, errors_rights
from dockreg.callables import IdentifierFactory
from dockreg.web.admission import flat_error
from dockreg.web.bodies import BodyCut
from dockreg.web.headers import set_nocache
from dockreg.web.v2.base import is_v2
from dockreg.web.v2.errors import UNKNOWN, UNSUPPORTED, V2_ANSWERS, error_list, errors_of

log = Logger()


@frozen
class NoRoute(Exception):
    """
    There is nothing to call at a URL.

    :param methods: those that the URL takes, where it takes another one than that of the request.
    """

    status: int
    methods: Sequence[str] = ()


#: What v1 clients are told. Engines look at the text of ``ImageExists``, and at little else than 200, 401 and 404.
V1_STATUS: Mapping[type[errors.RegistryError], HTTPStatus] = {
    errors.NameInvalid: HTTPStatus.BAD_REQUEST,
    errors.TagInvalid: HTTPStatus.BAD_REQUEST,
    errors.DigestInvalid: HTTPStatus.BAD_REQUEST,
    errors.RequestInvalid: HTTPStatus.BAD_REQUEST,
    errors.RangeInvalid: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    errors.SizeInvalid: HTTPStatus.BAD_REQUEST,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.LayerTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NameUnknown: HTTPStatus.NOT_FOUND,
    errors.TagUnknown: HTTPStatus.NOT_FOUND,
    errors.BlobUnknown: HTTPStatus.NOT_FOUND,
    errors.UploadUnknown: HTTPStatus.NOT_FOUND,
    errors.UploadBusy: HTTPStatus.CONFLICT,
    errors.ManifestInvalid: HTTPStatus.BAD_REQUEST,
    errors.ManifestUnknown: HTTPStatus.NOT_FOUND,
    errors.ReferencesUnknown: HTTPStatus.BAD_REQUEST,
    errors.TagChanged: HTTPStatus.PRECONDITION_FAILED,
    errors.BlobInUse: HTTPStatus.CONFLICT,
    errors.AccountUnknown: HTTPStatus.NOT_FOUND,
    errors.ImageUnknown: HTTPStatus.NOT_FOUND,
    errors.ImageIncomplete: HTTPStatus.BAD_REQUEST,
    errors.ImageExists: HTTPStatus.CONFLICT,
    errors.ImageConflict: HTTPStatus.CONFLICT,
    errors.ImageJSONInvalid: HTTPStatus.BAD_REQUEST,
    errors.LayerMissing: HTTPStatus.BAD_REQUEST,
    errors.ChecksumMismatch: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Denied: HTTPStatus.FORBIDDEN,
    errors.AccountInactive: HTTPStatus.FORBIDDEN,
    errors.AccountExists: HTTPStatus.BAD_REQUEST,
    errors.AccountInvalid: HTTPStatus.BAD_REQUEST,
    errors_access.AccessTokenUnknown: HTTPStatus.NOT_FOUND,
    errors_access.TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    errors_quotas.QuotaExceeded: HTTPStatus.FORBIDDEN,
    errors_rights.RightsInvalid: HTTPStatus.BAD_REQUEST,
    errors_rights.GroupUnknown: HTTPStatus.NOT_FOUND,
    errors_rights.GroupExists: HTTPStatus.CONFLICT,
    errors_rights.NamespaceUnknown: HTTPStatus.NOT_FOUND,
    errors_rights.NamespaceExists: HTTPStatus.CONFLICT,
    errors_rights.MemberUnknown: HTTPStatus.NOT_FOUND,
    errors_rights.GrantUnknown: HTTPStatus.NOT_FOUND,
    errors_access.InvitationInvalid: HTTPStatus.BAD_REQUEST,  # the only status with which engines show the sentence
    errors_access.InvitationUnknown: HTTPStatus.NOT_FOUND,
    errors_blobs.BlobLost: HTTPStatus.NOT_FOUND,
    errors.Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IndexUnavailable: HTTPStatus.BAD_GATEWAY,
}

#: Of a kind that a foreign provider made up.
_NO_STATUS = HTTPStatus.INTERNAL_SERVER_ERROR

_RETRY_AFTER = 5
_COME_BACK = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.BAD_GATEWAY, HTTPStatus.TOO_MANY_REQUESTS)


#: The values of ``WWW-Authenticate`` for a request that was refused, and whether it is one of v2.
Challenges = Callable[[Request, errors.Unauthorized, bool], Sequence[str]]


@define(eq=False)
class ErrorResponses:
    """Answers a request whose route raised."""

    challenges: Challenges
    new_id: IdentifierFactory

    def respond(self, request: Request, failure: Failure) -> bytes:
        """Set status and headers, and return the body."""
        problem = failure.value
        if isinstance(problem, errors.RegistryError):
            return self._registry_error(request, problem)
        if isinstance(problem, NoRoute):
            return _no_route(request, problem)
        if isinstance(problem, BodyCut) and problem.status is not None:
            return _plain(request, HTTPStatus(problem.status), str(problem))
        incident = self.new_id()
        log.failure("incident {incident} in {where}", failure, incident=incident, where=_where(request))
        return _plain(request, HTTPStatus.INTERNAL_SERVER_ERROR, f"internal error; it is in the log as {incident}")

    def _registry_error(self, request: Request, problem: errors.RegistryError) -> bytes:
        v2 = _is_v2(request)
        status, code = _v2_answer(problem) if v2 else (_v1_status(problem), "")
        if status is HTTPStatus.UNAUTHORIZED:
            refused = problem if isinstance(problem, errors.Unauthorized) else errors.Unauthorized(str(problem))
            for value in self.challenges(request, refused, v2):
                request.responseHeaders.addRawHeader(b"www-authenticate", value.encode("ascii"))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            request.setHeader(b"allow", b"GET, HEAD")
        if status in _COME_BACK:
            retry_after = problem.retry_after if isinstance(problem, errors.Busy) else _RETRY_AFTER
            request.setHeader(b"retry-after", str(retry_after).encode("ascii"))
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warn("{where}: {problem}", problem=str(problem), where=_where(request))
        if isinstance(problem, errors.AccountExists):
            return _magic(request, status, str(problem))
        return _begin(request, status, errors_of(problem, code) if v2 else flat_error(str(problem)))


def _v1_status(problem: errors.RegistryError) -> HTTPStatus:
    return next((V1_STATUS[kind] for kind in type(problem).__mro__ if kind in V1_STATUS), _NO_STATUS)


def _v2_answer(problem: errors.RegistryError) -> tuple[HTTPStatus, str]:
    """What only v1 knows has the status that it has there."""
    kinds = type(problem).__mro__
    return next((V2_ANSWERS[kind] for kind in kinds if kind in V2_ANSWERS), (_v1_status(problem), UNKNOWN))


def _no_route(request: Request, problem: NoRoute) -> bytes:
    status = HTTPStatus(problem.status)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        request.setHeader(b"allow", ", ".join(sorted(problem.methods)).encode("ascii"))
        return _plain(request, status, "this URL does not take that method")
    return _plain(request, status, "there is nothing at this URL" if status == HTTPStatus.NOT_FOUND else status.phrase)


def _plain(request: Request, status: HTTPStatus, sentence: str) -> bytes:
    """What is about the request rather than about the registry."""
    code = UNKNOWN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else UNSUPPORTED
    return _begin(request, status, error_list(code, sentence) if _is_v2(request) else flat_error(sentence))


def _is_v2(request: Request) -> bool:
    return is_v2(request.path.decode("ascii", "replace"))


def _magic(request: Request, status: HTTPStatus, sentence: str) -> bytes:
    # All engines compare the whole body of a failed registration with these 34 bytes.
    return _begin(request, status, json.dumps(sentence).encode("ascii"))


def _begin(request: Request, status: HTTPStatus, body: bytes) -> bytes:
    request.setResponseCode(status, status.phrase.encode("ascii"))
    for name in (b"last-modified", b"vary", b"etag", b"docker-content-digest"):  # Of what would have been answered.
        request.responseHeaders.removeHeader(name)
    set_nocache(request)
    return body


def _where(request: Request) -> str:
    return f"{request.method.decode('ascii', 'replace')} {request.path.decode('ascii', 'replace')}"
