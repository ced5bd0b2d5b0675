"""
Who gets which status: one row for each route.

A pattern says, for each visibility of a repository, what each caller gets. ``ok`` stands for what the row says that the
route answers when the caller may, and ``none`` for its answer about a repository that is not there, with the same status.
"""

from collections.abc import Mapping, Sequence

from attrs import frozen

from tests.integration.rightsworld import CALLERS, VISIBILITIES


@frozen
class Pattern:
    """What callers get, in the order of :data:`~tests.integration.rightsworld.CALLERS`."""

    public: str
    #: Empty where the route is about no repository.
    private: str = ""
    absent: str = ""

    @property
    def visibilities(self) -> Sequence[str]:
        """The kinds of repositories that the route knows."""
        return [each for each in VISIBILITIES if getattr(self, each)]

    def expected(self, visibility: str, caller: str) -> str:
        """A status, or ``ok``."""
        statuses = getattr(self, visibility).split()
        return str(dict(zip(CALLERS, statuses, strict=True))[caller])


#             anon wrng strn read writ ownr admn dsbl v1ex v1el v1rd atok atel atrv brer brel brex
EVERYBODY = Pattern(
    public="  ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok   ok",
)  # fmt: skip
WHO_PULLS = Pattern(
    public="  ok   401  ok   ok   ok   ok   ok   403  401  404  ok   ok   404  401  ok   401  401",
    private=" 401  401  404  ok   ok   ok   ok   403  401  404  ok   ok   404  401  ok   401  401",
    absent="  ok   401  ok   ok   ok   ok   ok   403  401  404  ok   ok   404  401  ok   401  401",
)  # fmt: skip
# These answer something for what is not there, too.
WHO_PULLS_OR_NOTHING = Pattern(
    public="  ok   401  ok   ok   ok   ok   ok   403  401  none ok   ok   none 401  ok   401  401",
    private=" 401  401  none ok   ok   ok   ok   403  401  none ok   ok   none 401  ok   401  401",
    absent="  ok   401  ok   ok   ok   ok   ok   403  401  none ok   ok   none 401  ok   401  401",
)  # fmt: skip
WHO_PUSHES = Pattern(
    public="  401  401  403  403  ok   ok   ok   403  401  404  403  403  404  401  401  401  401",
    private=" 401  401  404  403  ok   ok   ok   403  401  404  403  403  404  401  401  401  401",
    absent="  401  401  404  403  ok   ok   ok   403  401  404  403  403  404  401  401  401  401",
)  # fmt: skip
WHO_ADMINISTERS = Pattern(
    public="  401  401  403  403  403  ok   ok   403  401  404  403  403  404  401  401  401  401",
    private=" 401  401  404  403  403  ok   ok   403  401  404  403  403  404  401  401  401  401",
    absent="  401  401  404  403  403  ok   ok   403  401  404  403  403  404  401  401  401  401",
)  # fmt: skip
# What is pushed here belongs to no repository until it is tagged, and to its pusher alone.
WHO_PUSHES_IMAGES = Pattern(
    public="  401  401  ok   ok   ok   ok   ok   403  401  400  403  403  ok   401  401  400  401",
    private=" 401  401  ok   ok   ok   ok   ok   403  401  400  403  403  ok   401  401  400  401",
    absent="  401  401  ok   ok   ok   ok   ok   403  401  400  403  403  ok   401  401  400  401",
)  # fmt: skip
# The id of an image says nothing of repositories: who may read it through none is told that there is no such image.
WHO_READS_IMAGES = Pattern(
    public="  ok   401  ok   ok   ok   ok   ok   403  401  404  ok   ok   404  401  ok   404  401",
    private=" 404  401  404  ok   ok   ok   ok   403  401  404  ok   ok   404  401  ok   404  401",
    absent="  ok   401  ok   ok   ok   ok   ok   403  401  404  ok   ok   404  401  ok   404  401",
)  # fmt: skip
# docker-registry had these paths for tokens of private repositories only.
WHO_HAS_ITS_TOKEN = Pattern(
    public="  404  401  404  404  404  404  404  403  401  404  404  404  404  401  404  404  401",
    private=" 404  401  404  404  404  404  404  403  401  404  ok   404  404  401  ok   404  401",
    absent="  404  401  404  404  404  404  404  403  401  404  404  404  404  401  404  404  401",
)  # fmt: skip
WHO_HAS_A_NAME = Pattern(
    public="  401  401  ok   ok   ok   ok   ok   403  401  ok   ok   ok   ok   401  ok   ok   401",
)  # fmt: skip
# Everybody gets a token, with less in it for who may do less; only credentials that are wrong, or no password, get none.
WHO_ASKS_FOR_TOKENS = Pattern(
    public="  ok   401  ok   ok   ok   ok   ok   403  401  401  401  ok   ok   401  401  401  401",
)  # fmt: skip
WHO_OWNS_THE_ACCOUNT = Pattern(
    public="  401  401  403  403  403  ok   ok   403  401  401  401  401  401  401  401  401  401",
)  # fmt: skip
WHO_LISTS = Pattern(
    public="  ok   401  ok   ok   ok   ok   ok   403  401  403  403  ok   ok   401  401  401  401",
)  # fmt: skip
WHO_SEARCHES = Pattern(
    public="  401  401  ok   ok   ok   ok   ok   403  401  403  403  ok   ok   401  401  401  401",
)  # fmt: skip
ADMINISTRATORS = Pattern(
    public="  401  401  403  403  403  403  ok   403  401  403  403  403  403  401  401  401  401",
)  # fmt: skip


@frozen
class Row:
    """
    The request of a route.

    :param ok: what is answered to who may, for each visibility, or once for all.
    :param makes: whether a repository that was absent is there afterwards; what one has stays as it is.
    :param changes: whether one is another afterwards.
    """

    method: str
    path: str
    pattern: Pattern
    ok: str
    body: str = ""
    headers: Mapping[str, str] = {}
    makes: bool = False
    changes: bool = False
    #: Callers whose status is another than that of the pattern.
    but: Mapping[str, int] = {}

    def expected(self, visibility: str, caller: str) -> tuple[int, bool]:
        """The status, and whether the caller may."""
        status = str(self.but.get(caller, self.pattern.expected(visibility, caller)))
        if status.isdecimal():
            return int(status), False
        statuses = self.ok.split()
        return int(statuses[VISIBILITIES.index(visibility)] if len(statuses) > 1 else statuses[0]), status == "ok"

    def hides(self, caller: str) -> bool:
        """Whether a private repository has to look to the caller as one that is not there, and that he can not make."""
        makes = (self.makes or self.changes) and self.pattern.expected("absent", caller) == "ok"
        return not makes and self.pattern.expected("private", caller) in ("404", "none")


_V1 = "/v1/repositories/{repo}"
_IMAGE = "/v1/images/{image}"
_PRIVATE = "/v1/private_images/{image}"
_V2 = "/v2/{repo}"
_MANIFEST = {"Content-Type": "{type}"}
# Below the ceiling of such a token nobody has begun it.
_NO_IMAGE = {"elsewhere": 404, "bearer elsewhere": 404}
_CHECKSUM = {"X-Docker-Checksum-Payload": "{checksum}"}

ROWS: Mapping[str, Row] = {
    "v1-ping": Row("GET", "/v1/_ping", EVERYBODY, "200"),
    "ping": Row("GET", "/_ping", EVERYBODY, "200"),
    "v1-status": Row("GET", "/v1/_status", EVERYBODY, "200"),
    "status": Row("GET", "/_status", EVERYBODY, "200"),
    "root": Row("GET", "/", EVERYBODY, "200"),
    "healthz": Row("GET", "/healthz", EVERYBODY, "200"),
    "readyz": Row("GET", "/readyz", EVERYBODY, "200"),
    "metrics": Row("GET", "/metrics", ADMINISTRATORS, "200"),
    "v1-put-json": Row("PUT", "/v1/images/{new}/json", WHO_PUSHES_IMAGES, "200", "{json}", makes=True),
    "v1-put-layer": Row(
        "PUT", "/v1/images/{with json}/layer", WHO_PUSHES_IMAGES, "200", "{layer}", makes=True, but=_NO_IMAGE
    ),
    "v1-put-checksum": Row(
        "PUT", "/v1/images/{with layer}/checksum", WHO_PUSHES_IMAGES, "200", "", _CHECKSUM, makes=True, but=_NO_IMAGE
    ),
    "v1-get-json": Row("GET", f"{_IMAGE}/json", WHO_READS_IMAGES, "200 200 404"),
    "v1-get-layer": Row("GET", f"{_IMAGE}/layer", WHO_READS_IMAGES, "200 200 404"),
    "v1-get-ancestry": Row("GET", f"{_IMAGE}/ancestry", WHO_READS_IMAGES, "200 200 404"),
    "v1-get-files": Row("GET", f"{_IMAGE}/files", WHO_READS_IMAGES, "200 200 404"),
    "v1-get-diff": Row("GET", f"{_IMAGE}/diff", WHO_READS_IMAGES, "200 200 404"),
    "v1-private-json": Row("GET", f"{_PRIVATE}/json", WHO_HAS_ITS_TOKEN, "200"),
    "v1-private-layer": Row("GET", f"{_PRIVATE}/layer", WHO_HAS_ITS_TOKEN, "200"),
    "v1-private-files": Row("GET", f"{_PRIVATE}/files", WHO_HAS_ITS_TOKEN, "200"),
    "v1-list-tags": Row("GET", f"{_V1}/tags", WHO_PULLS, "200 200 404"),
    "v1-get-tag": Row("GET", f"{_V1}/tags/latest", WHO_PULLS, "200 200 404"),
    "v1-put-tag": Row("PUT", f"{_V1}/tags/latest", WHO_PUSHES, "200 200 404", '"{image}"', makes=True),
    "v1-delete-tag": Row("DELETE", f"{_V1}/tags/latest", WHO_PUSHES, "200 200 404", changes=True),
    # Defaults for what is not there, as docker-registry had them.
    "v1-tag-json": Row("GET", f"{_V1}/tags/latest/json", WHO_PULLS_OR_NOTHING, "200"),
    "v1-latest-json": Row("GET", f"{_V1}/json", WHO_PULLS_OR_NOTHING, "200"),
    "v1-delete-tags": Row("DELETE", f"{_V1}/tags", WHO_PUSHES, "200 200 404", changes=True),
    "v1-delete-repository": Row("DELETE", f"{_V1}/", WHO_PUSHES, "200 200 404", changes=True),
    "v1-get-properties": Row("GET", f"{_V1}/properties", WHO_PULLS, "200 200 404"),
    "v1-put-properties": Row(
        "PUT", f"{_V1}/properties", WHO_ADMINISTERS, "200 200 404", '{{"access":"public"}}', changes=True
    ),
    "v1-create-repository": Row("PUT", f"{_V1}/", WHO_PUSHES, "200", "[]", makes=True),
    "v1-list-images": Row("GET", f"{_V1}/images", WHO_PULLS, "200 200 404"),
    "v1-put-images": Row("PUT", f"{_V1}/images", WHO_PUSHES, "204", "[]", makes=True),
    "v1-delete-images": Row("DELETE", f"{_V1}/images", WHO_PUSHES, "204 204 404", makes=True),
    "v1-auth": Row("PUT", f"{_V1}/auth", WHO_PULLS, "200 200 404"),
    "v1-layer-access": Row("GET", f"{_V1}/layer/{{image}}/access", WHO_PULLS_OR_NOTHING, "200"),
    "end-1": Row("GET", "/v2/", WHO_HAS_A_NAME, "200"),
    "end-2": Row("GET", f"{_V2}/blobs/{{blob}}", WHO_PULLS, "200 200 404"),
    "end-3": Row("GET", f"{_V2}/manifests/latest", WHO_PULLS, "200 200 404"),
    "end-4": Row("POST", f"{_V2}/blobs/uploads/", WHO_PUSHES, "202", makes=True),
    "end-5": Row("PATCH", "{session}", WHO_PUSHES, "202", "x", makes=True),
    "end-6": Row("PUT", "{session}?digest={empty}", WHO_PUSHES, "201", makes=True),
    "end-7": Row("PUT", f"{_V2}/manifests/latest", WHO_PUSHES, "201 201 400", "{manifest}", _MANIFEST, makes=True),
    "end-8": Row("GET", f"{_V2}/tags/list", WHO_PULLS, "200 200 404"),
    "end-9": Row("DELETE", f"{_V2}/manifests/{{digest}}", WHO_PUSHES, "202 202 404", changes=True),
    # A manifest needs the blob.
    "end-10": Row("DELETE", f"{_V2}/blobs/{{blob}}", WHO_PUSHES, "405 405 404", makes=True),
    "end-12": Row("GET", f"{_V2}/referrers/{{digest}}", WHO_PULLS_OR_NOTHING, "200"),
    "end-13": Row("GET", "{session}", WHO_PUSHES, "204", makes=True),
    "end-14": Row("DELETE", "{session}", WHO_PUSHES, "204", makes=True),
    "token": Row("GET", "/v2/token?scope=registry:catalog:*", WHO_ASKS_FOR_TOKENS, "200"),
    # A form without a word of what is wanted.
    "token-form": Row("POST", "/v2/token", WHO_ASKS_FOR_TOKENS, "400", "x=y"),
    "token-keys": Row("GET", "/v2/token/jwks.json", EVERYBODY, "200"),
    "catalog": Row("GET", "/v2/_catalog", WHO_LISTS, "200"),
    "v1-register": Row("POST", "/v1/users/", EVERYBODY, "400", "{{}}"),
    "v1-login": Row("GET", "/v1/users/", WHO_HAS_A_NAME, "200"),
    "v1-change-user": Row("PUT", "/v1/users/alice/", WHO_OWNS_THE_ACCOUNT, "400", "{{}}"),
    "v1-list-tokens": Row("GET", "/v1/users/alice/tokens/", WHO_OWNS_THE_ACCOUNT, "200"),
    "v1-create-token": Row("POST", "/v1/users/alice/tokens/", WHO_OWNS_THE_ACCOUNT, "400", "{{}}"),
    "v1-revoke-token": Row("DELETE", "/v1/users/alice/tokens/x", WHO_OWNS_THE_ACCOUNT, "404"),
    "v1-list-robots": Row("GET", "/v1/users/alice/robots/", WHO_OWNS_THE_ACCOUNT, "200"),
    "v1-create-robot": Row("POST", "/v1/users/alice/robots/", WHO_OWNS_THE_ACCOUNT, "400", "{{}}"),
    "v1-delete-robot": Row("DELETE", "/v1/users/alice/robots/x", WHO_OWNS_THE_ACCOUNT, "404"),
    "v1-search": Row("GET", "/v1/search?q=alice", WHO_SEARCHES, "200"),
}
