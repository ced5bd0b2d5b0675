"""
Which requests are written down in the audit log, and as what.

Failed logins and refusals always are, what changes something when it was allowed or failed, and reads that were allowed
when that is wanted. A challenge to a client that has not said who it is, at the place where clients ask for one, is no refusal:
every pull begins with it. Of an upload the end is written down, not its steps.
"""

from collections.abc import Mapping
from weakref import WeakSet

from attrs import define, field
from twisted.web.server import Request

from dockreg.callables import IdentifierFactory
from dockreg.errors import (
    AccountInactive,
    BlobUnknown,
    Denied,
    ImageUnknown,
    NameUnknown,
    RegistryError,
    Unauthorized,
)
from dockreg.errors_access import TooManyAttempts
from dockreg.interfaces_people import IAuditLog
from dockreg.model.access import Caller, On, Right
from dockreg.model.accesstokens import PREFIX
from dockreg.model.audit import MAX_TEXT, AuditEvent, Result
from dockreg.web.proxies import client_address
from dockreg.web.routes import Route

#: The header of the answer by which a line of the audit log is found.
REQUEST_ID = b"x-request-id"

#: By what somebody is known who has not said who it is.
ANONYMOUS_HOW = "anonymous"

_READING = (b"GET", b"HEAD")
#: What of pushes is written down only when it makes something: a mount, a blob in one request. A token makes nothing.
_STEPS = frozenset({"end-4", "end-5", "end-14", "v1-put-json", "v1-put-layer", "token-form"})
_CREATED = 201
_REFUSALS = (Unauthorized, Denied, AccountInactive, TooManyAttempts)
#: What a caller without the right is told is not there.
_HIDDEN = (NameUnknown, ImageUnknown, BlobUnknown)
#: Parts of paths, and what a target calls them.
_PARTS: Mapping[str, str] = {
    "repository": "repository",
    "name": "repository",
    "image_id": "image",
    "tag": "tag",
    "reference": "reference",
    "digest": "digest",
    "account": "account",
    "token_id": "token",
    "robot": "robot",
}


@define(eq=False)
class RequestAudit:
    """Begins a :class:`Witness` for each request. :param reads: whether reads that were allowed are written down."""

    log: IAuditLog
    new_id: IdentifierFactory
    reads: bool = False
    #: Errors that have been written down, so that the request that ends with one is not another line.
    _told: WeakSet[BaseException] = field(init=False, factory=WeakSet)

    def begin(self, request: Request, route: Route, parts: Mapping[str, str]) -> "Witness":
        """The request has found its route."""
        request_id = self.new_id()
        request.setHeader(REQUEST_ID, request_id.encode("ascii"))
        target = {_PARTS[each]: text[:MAX_TEXT] for each, text in parts.items() if each in _PARTS}
        return Witness(self, request, route, request_id, target)

    def login_failed(self, request: Request, name: bytes, password: bytes, problem: RegistryError) -> None:
        """Somebody was not let in with these."""
        if not isinstance(problem, _REFUSALS):
            return
        request_id = request.responseHeaders.getRawHeaders(REQUEST_ID, [b""])[-1].decode("ascii")
        claimed = name.decode("utf-8", "backslashreplace")[:MAX_TEXT]
        event = AuditEvent(
            # Some type the secret into the wrong field.
            who=claimed if PREFIX not in claimed else f"{PREFIX}(not shown)",
            how="access token" if password.startswith(PREFIX.encode("ascii")) else "password",
            action="login",
            target={},
            result=Result.FAILED if isinstance(problem, Unauthorized) else Result.DENIED,
            reason=type(problem).__name__,
            address=client_address(request),
            request=request_id,
        )
        self.log.record(event)
        self._told.add(problem)

    def has_told(self, problem: BaseException | None) -> bool:
        """Whether the error has been written down already."""
        return problem is not None and problem in self._told


@define(eq=False)
class Witness:
    """What is learnt of one request on its way, and written down when it has ended."""

    audit: RequestAudit
    request: Request
    route: Route
    request_id: str
    #: What it is about; a door adds what only the body says.
    target: dict[str, str]
    #: By what the caller is known.
    how: str = ANONYMOUS_HOW
    caller: Caller | None = None
    #: Whether the caller has the right that the route needs.
    admitted: bool = False

    def ended(self, problem: BaseException | None) -> None:
        """The route returned, or the request was refused on the way to it, or failed."""
        if self.audit.has_told(problem):
            return
        result = self._result(problem)
        if result is None:
            return
        caller = self.caller
        target = self.target
        if caller is not None and caller.repository is not None and "repository" not in target:
            target = {"repository": str(caller.repository), **target}
        needs = self.route.needs
        self.audit.log.record(
            AuditEvent(
                who=None if caller is None else caller.principal.name,
                how=self.how,
                action=needs.action.value if isinstance(needs, Right) else "register",
                target=target,
                result=result,
                reason="" if problem is None else type(problem).__name__,
                address=client_address(self.request),
                request=self.request_id,
                route=self.route.endpoint,
                token=None if caller is None else caller.principal.token_id,
            )
        )

    def _result(self, problem: BaseException | None) -> Result | None:
        """What came of it; None when that is not worth a line."""
        needs = self.route.needs
        reading = self.request.method in _READING
        if not isinstance(needs, Right) and not self.target:
            return None
        if self._is_refusal(problem):
            asked = isinstance(problem, Unauthorized) and self.how == ANONYMOUS_HOW
            return None if asked and isinstance(needs, Right) and needs.on is On.CALLER else Result.DENIED
        if reading:
            return Result.ALLOWED if self.audit.reads and problem is None else None
        if problem is not None:
            return Result.FAILED
        if self.route.endpoint in _STEPS and self.request.code != _CREATED:
            return None
        return Result.ALLOWED

    def _is_refusal(self, problem: BaseException | None) -> bool:
        if problem is None:
            # The answer to who may not know that there is something; it looks like that for what is not there.
            return not self.admitted
        return isinstance(problem, _REFUSALS) or (
            not self.admitted and self.caller is not None and isinstance(problem, _HIDDEN)
        )
