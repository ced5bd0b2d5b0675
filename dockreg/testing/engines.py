"""Docker engines of 2013 to 2015 as data: what each one sends on v1, and what it insists on."""

from enum import Enum

from attrs import evolve, frozen

#: What Go before 1.5 calls itself where the engine sets no name of its own.
BARE_AGENT = "Go 1.1 package http"


class V2Probe(Enum):
    """When an engine asks for ``/v2/`` before it uses v1."""

    NEVER = "never"
    #: Before each ping (1.5 to 1.7).
    WITH_PING = "with ping"
    #: As a candidate of its own; v1 over plain http is then used without any ping (1.8 and 1.9).
    PER_ENDPOINT = "per endpoint"


class Payload(Enum):
    """What stands in ``X-Docker-Checksum-Payload``."""

    ABSENT = "absent"
    #: The sum of the local, uncompressed tar, which no server can check (0.9).
    OF_LOCAL_TAR = "of local tar"
    #: The sum of json, newline and layer as sent (from 0.10).
    OF_UPLOAD = "of upload"


@frozen(kw_only=True)
class EngineProfile:
    """
    How one version of the engine speaks v1 (rows of the table "differences by engine version").

    Every member names something that differs between versions and can be seen by a registry.
    """

    version: str
    user_agent: str

    # Ping and scheme
    #: Requests that carry the name of Go and not of docker: any of ``ping`` and ``register``.
    bare_agent: frozenset[str]
    #: Requests without ``Connection: close``: any of ``ping``, ``register`` and ``login``.
    keeps_alive: frozenset[str]
    #: Pings for each operation over plain http; the command line and the daemon ping for themselves up to 0.8.
    pings: int
    #: One more ping over https when the operation starts (0.7.4 to 1.7).
    pings_again_on_https: bool
    probes_v2: V2Probe
    #: Gives up when a ping does not show ``X-Docker-Registry-Version`` (up to 0.10).
    needs_version_header: bool

    # Credentials
    #: Sends Basic with every request over https when the ping says standalone (from 0.7.4).
    basic_when_standalone: bool
    #: Sends ``Basic Og==`` on index PUTs and a bare ``Token`` on the rest when it has nothing better (up to 1.6).
    sends_empty_credentials: bool
    #: Aborts a push without ``X-Docker-Token`` (up to 1.6).
    needs_token: bool
    #: Takes over each newer ``X-Docker-Token`` (from 1.7).
    refreshes_token: bool
    #: Between the values of several tokens, on GETs.
    joins_tokens_with: str
    #: Goes on to ``GET /v1/users/`` when the registration is answered with 401 (from 0.7.1).
    login_after_401: bool
    #: Search carries ``X-Docker-Token: true``.
    search_wants_token: bool
    #: Search carries Basic when logged in (0.8 to 1.4 and from 1.6; over http, 1.5.0 was seen without).
    search_sends_basic: bool
    #: Understands only strings in search results (0.6.0 to 0.6.5), else numbers and truth values too.
    search_wants_strings: bool

    #: Sends each cookie twice in one header (seen from 0.6 to 0.9).
    doubles_cookies: bool

    # Index answers
    #: Aborts a pull without ``X-Docker-Endpoints`` (up to 0.10); every engine aborts a push without.
    needs_endpoints_on_pull: bool
    #: Understands several endpoints in one line, separated by commas (from 0.11).
    splits_endpoints: bool
    #: The spelling of this name on the two index PUTs.
    content_type_on_index: str

    # Push
    #: All existence tests before the first upload, up to five at a time (from 1.5).
    looks_up_first: bool
    #: Announces and puts each tag for every image of the chain, base first (up to 0.7).
    tags_every_image: bool
    #: The closing PUT lists what was pushed with checksums (up to 0.7), else it is ``[]``.
    closes_with_checksums: bool
    #: ``Content-Type: application/octet-stream`` with layers (from 1.2).
    types_layers: bool
    #: Ends the tar of a layer with zero blocks (from 1.3).
    writes_trailer: bool
    #: The rule of :func:`dockreg.testing.tarsums.tarsum`.
    tarsum_rule: str
    payload: Payload

    # Pull
    #: Fetches one tag instead of all to pull one (from 1.8).
    asks_for_one_tag: bool
    #: Aborts when ``X-Docker-Size`` is missing or no number (up to 0.10).
    needs_size: bool
    #: Tries for an image json, half a second longer between each (5 from 0.9.1, else 1).
    json_tries: int
    #: HEAD before each layer (0.12 to 1.1).
    heads_layers: bool
    #: Goes on where a broken layer stopped (from 0.12).
    resumes: bool
    #: Takes the name for an image id after a failed pull (up to 0.7.0).
    falls_back_to_id: bool

    # What it prints
    #: The text for a repository that is not there, with ``name`` and ``tag``.
    says_not_found: str


def _agent(version: str, go: str, commit: str, system: bool = True) -> str:
    place = " os/linux arch/amd64" if system else ""
    return f"docker/{version} go/{go} git-commit/{commit} kernel/3.13.0{place}"


ENGINE_0_7_0 = EngineProfile(
    version="0.7.0",
    user_agent=_agent("0.7.0", "go1.2rc5", "0d078b6", system=False),
    bare_agent=frozenset({"ping", "register"}),
    keeps_alive=frozenset({"ping", "register", "login"}),
    pings=2,
    pings_again_on_https=False,
    probes_v2=V2Probe.NEVER,
    needs_version_header=True,
    basic_when_standalone=False,
    sends_empty_credentials=True,
    needs_token=True,
    refreshes_token=False,
    joins_tokens_with=", ",
    login_after_401=False,
    search_wants_token=False,
    search_sends_basic=False,
    search_wants_strings=False,
    doubles_cookies=True,
    needs_endpoints_on_pull=True,
    splits_endpoints=False,
    content_type_on_index="Content-Type",
    looks_up_first=False,
    tags_every_image=True,
    closes_with_checksums=True,
    types_layers=False,
    writes_trailer=False,
    tarsum_rule="all",
    payload=Payload.ABSENT,
    asks_for_one_tag=False,
    needs_size=True,
    json_tries=1,
    heads_layers=False,
    resumes=False,
    falls_back_to_id=True,
    says_not_found="HTTP code: 404",
)

ENGINE_0_9_1 = evolve(
    ENGINE_0_7_0,
    version="0.9.1",
    # The blank at the end is what this version sends.
    user_agent=_agent("0.9.1", "go1.2.1", "867b2a9") + " ",
    pings=1,
    pings_again_on_https=True,
    basic_when_standalone=True,
    joins_tokens_with=",",
    login_after_401=True,
    search_wants_token=True,
    search_sends_basic=True,
    tags_every_image=False,
    closes_with_checksums=False,
    tarsum_rule="last",
    payload=Payload.OF_LOCAL_TAR,
    json_tries=5,
    falls_back_to_id=False,
)

ENGINE_1_0_0 = evolve(
    ENGINE_0_9_1,
    version="1.0.0",
    user_agent=_agent("1.0.0", "go1.2.1", "63fe64c"),
    keeps_alive=frozenset({"ping", "register"}),
    doubles_cookies=False,
    needs_version_header=False,
    needs_endpoints_on_pull=False,
    splits_endpoints=True,
    payload=Payload.OF_UPLOAD,
    needs_size=False,
    heads_layers=True,
    resumes=True,
)

ENGINE_1_5_0 = evolve(
    ENGINE_1_0_0,
    version="1.5.0",
    user_agent=_agent("1.5.0", "go1.4.1", "a8a31ef"),
    keeps_alive=frozenset({"register"}),
    probes_v2=V2Probe.WITH_PING,
    search_sends_basic=False,
    content_type_on_index="Content-type",
    looks_up_first=True,
    types_layers=True,
    writes_trailer=True,
    tarsum_rule="order",
    heads_layers=False,
    says_not_found="Error: image {name}:{tag} not found",
)

ENGINE_1_9_1 = evolve(
    ENGINE_1_5_0,
    version="1.9.1",
    user_agent=_agent("1.9.1", "go1.4.3", "a34a1d5"),
    bare_agent=frozenset(),
    keeps_alive=frozenset(),
    probes_v2=V2Probe.PER_ENDPOINT,
    sends_empty_credentials=False,
    needs_token=False,
    refreshes_token=True,
    search_sends_basic=True,
    asks_for_one_tag=True,
)

#: The engines that a registry has to work with, oldest first.
ENGINES = (ENGINE_0_7_0, ENGINE_0_9_1, ENGINE_1_0_0, ENGINE_1_5_0, ENGINE_1_9_1)
