"""The doors, put together and behind their gate."""

from collections.abc import Callable, Sequence

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from dockreg.accesstokens import AccessTokens
from dockreg.accounts import Accounts
from dockreg.callables import IdentifierFactory
from dockreg.interfaces_access import IAuthenticator, IBearers, ITokenIssuer, ITokenService
from dockreg.interfaces_people import IAuditLog
from dockreg.interfaces_v1 import IImageList
from dockreg.layerfiles import LayerFiles
from dockreg.manifests import Manifests
from dockreg.registry import Registry
from dockreg.uploads import Uploads
from dockreg.v1images import V1Images
from dockreg.version import VERSION
from dockreg.web.access import Gate
from dockreg.web.app import RegistryResource, make_routing
from dockreg.web.audit import RequestAudit
from dockreg.web.doors import Doors, V2Doors
from dockreg.web.errors import ErrorResponses
from dockreg.web.exchange import API, Role
from dockreg.web.identified import Identified
from dockreg.web.monitoring import Monitoring
from dockreg.web.proxies import Proxies
from dockreg.web.v1.images import ImagesDoor
from dockreg.web.v1.index import IndexHeaders
from dockreg.web.v1.programs import ProgramsDoor
from dockreg.web.v1.repositories import RepositoriesDoor
from dockreg.web.v1.search import SearchDoor
from dockreg.web.v1.status import StatusDoor
from dockreg.web.v1.tags import TagsDoor
from dockreg.web.v1.users import UsersDoor
from dockreg.web.v2.base import BaseDoor
from dockreg.web.v2.blobs import BlobsDoor
from dockreg.web.v2.lists import ListsDoor
from dockreg.web.v2.locations import Locations
from dockreg.web.v2.manifests import ManifestsDoor
from dockreg.web.v2.token import TokenDoor
from dockreg.web.v2.uploads import UploadsDoor


@frozen
class DoorSettings:
    """What the doors are told. Sizes in bytes; ``endpoints`` are the values of ``X-Docker-Endpoints``."""

    role: Role
    endpoints: Sequence[str]
    max_json_bytes: int
    max_list_bytes: int
    max_list_entries: int
    max_uncompressed_bytes: int
    max_listed_files: int
    max_manifest_bytes: int
    max_list_page: int
    max_referrers_page: int
    base_url: str
    proxies: Proxies
    audit_reads: bool
    name_characters: int
    sends_to_bearers: bool
    anonymous_search: str

    @property
    def locations(self) -> Locations:
        """What makes URLs of the registry."""
        return Locations(self.base_url, self.proxies)


@frozen
class Core:
    """What is behind the doors."""

    registry: Registry
    images: V1Images
    manifests: Manifests
    uploads: Uploads
    accounts: Accounts
    access_tokens: AccessTokens
    authenticator: IAuthenticator
    image_list: IImageList
    tokens: ITokenIssuer
    monitoring: Monitoring
    #: The tokens of v2, and what makes them; None where there are none, or another server makes them.
    bearers: IBearers | None = None
    token_service: ITokenService | None = None
    audit: IAuditLog | None = None
    takes_certificates: bool = False
    settled_tokens: bool = False
    let_in: Callable[[str, str], bool] | None = None


def make_resource(
    core: Core, settings: DoorSettings, clock: IReactorTime, new_id: IdentifierFactory
) -> RegistryResource:
    """The resource that serves all doors of the role."""
    gate = make_gate(core, settings, new_id)
    responses = ErrorResponses(gate.challenges, new_id)
    routing = make_routing(
        make_doors(core, settings, clock, new_id, gate), gate, responses, VERSION, settings.name_characters
    )
    return RegistryResource(routing, responses, VERSION, frozenset(API) if settings.role.is_registry else {API.V1})


def make_gate(core: Core, settings: DoorSettings, new_id: IdentifierFactory) -> Gate:
    """What lets requests through."""
    audit = None if core.audit is None else RequestAudit(core.audit, new_id, settings.audit_reads)
    registry, let_in = core.registry, core.let_in
    identified = None if let_in is None else Identified(registry.metadata.lasting_version, registry.clock, let_in)
    return Gate(
        core.registry,
        core.authenticator,
        settings.locations.origin,
        core.bearers,
        settings.sends_to_bearers,
        audit=audit,
        takes_certificates=core.takes_certificates,
        settled_tokens=core.settled_tokens,
        identified=identified,
    )


def make_doors(core: Core, settings: DoorSettings, clock: IReactorTime, new_id: IdentifierFactory, gate: Gate) -> Doors:
    """What the routes name."""
    registry, images = core.registry, core.images
    files = LayerFiles(registry, settings.max_uncompressed_bytes, settings.max_listed_files)
    return Doors(
        role=settings.role,
        status=StatusDoor(settings.role, VERSION, core.monitoring),
        monitoring=core.monitoring,
        images=ImagesDoor(images, files, clock, settings.max_json_bytes),
        tags=TagsDoor(registry, images),
        repositories=RepositoriesDoor(
            settings.role,
            registry,
            images,
            core.image_list,
            IndexHeaders(registry, core.tokens, settings.endpoints),
            settings.max_list_bytes,
            settings.max_list_entries,
        ),
        users=UsersDoor(core.accounts),
        programs=ProgramsDoor(core.access_tokens, core.accounts),
        search=SearchDoor(registry, settings.anonymous_search),
        v2=_make_v2_doors(core, settings, new_id, gate),
    )


def _make_v2_doors(core: Core, settings: DoorSettings, new_id: IdentifierFactory, gate: Gate) -> V2Doors:
    registry, manifests, locations = core.registry, core.manifests, settings.locations
    return V2Doors(
        base=BaseDoor(registry),
        blobs=BlobsDoor(registry, new_id),
        uploads=UploadsDoor(core.uploads, locations),
        manifests=ManifestsDoor(manifests, locations, settings.max_manifest_bytes),
        lists=ListsDoor(registry, manifests, settings.max_list_page, settings.max_referrers_page),
        token=None if core.token_service is None else TokenDoor(core.token_service, gate.login, gate.origin),
    )
