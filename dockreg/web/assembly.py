"""The doors, put together and behind their gate."""

from collections.abc import Sequence

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from dockreg.accounts import Accounts
from dockreg.callables import IdentifierFactory
from dockreg.interfaces import IAuthenticator, IImageList, ITokenIssuer
from dockreg.layerfiles import LayerFiles
from dockreg.registry import Registry
from dockreg.v1images import V1Images
from dockreg.version import VERSION
from dockreg.web.access import Gate
from dockreg.web.app import RegistryResource, make_app
from dockreg.web.doors import Doors
from dockreg.web.errors import ErrorResponses
from dockreg.web.exchange import Role
from dockreg.web.monitoring import Monitoring
from dockreg.web.v1.images import ImagesDoor
from dockreg.web.v1.index import IndexHeaders
from dockreg.web.v1.repositories import RepositoriesDoor
from dockreg.web.v1.search import SearchDoor
from dockreg.web.v1.status import StatusDoor
from dockreg.web.v1.tags import TagsDoor
from dockreg.web.v1.users import UsersDoor


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


@frozen
class Core:
    """What is behind the doors."""

    registry: Registry
    images: V1Images
    accounts: Accounts
    authenticator: IAuthenticator
    image_list: IImageList
    tokens: ITokenIssuer
    monitoring: Monitoring


def make_resource(
    core: Core, settings: DoorSettings, clock: IReactorTime, new_id: IdentifierFactory
) -> RegistryResource:
    """The resource that serves all doors of the role."""
    gate = Gate(core.registry, core.authenticator)
    responses = ErrorResponses(gate.challenge(), new_id)
    return RegistryResource(make_app(make_doors(core, settings, clock), gate, responses, VERSION), responses, VERSION)


def make_doors(core: Core, settings: DoorSettings, clock: IReactorTime) -> Doors:
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
            core.image_list,
            IndexHeaders(registry, core.tokens, settings.endpoints),
            settings.max_list_bytes,
            settings.max_list_entries,
        ),
        users=UsersDoor(core.accounts),
        search=SearchDoor(registry),
    )
