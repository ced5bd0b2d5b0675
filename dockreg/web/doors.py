"""All that can be behind a URL."""

from attrs import frozen

from dockreg.web.exchange import Monitor, Role
from dockreg.web.v1.images import ImagesDoor
from dockreg.web.v1.programs import ProgramsDoor
from dockreg.web.v1.repositories import RepositoriesDoor
from dockreg.web.v1.search import SearchDoor
from dockreg.web.v1.status import StatusDoor
from dockreg.web.v1.tags import TagsDoor
from dockreg.web.v1.users import UsersDoor
from dockreg.web.v2.base import BaseDoor
from dockreg.web.v2.blobs import BlobsDoor
from dockreg.web.v2.lists import ListsDoor
from dockreg.web.v2.manifests import ManifestsDoor
from dockreg.web.v2.token import TokenDoor
from dockreg.web.v2.uploads import UploadsDoor


@frozen
class V2Doors:
    """The functions of the v2 door. :attr:`token` is None where tokens are made elsewhere."""

    base: BaseDoor
    blobs: BlobsDoor
    uploads: UploadsDoor
    manifests: ManifestsDoor
    lists: ListsDoor
    token: TokenDoor | None


@frozen
class Doors:
    """The functions that the routes name, by their noun."""

    role: Role
    status: StatusDoor
    monitoring: Monitor
    images: ImagesDoor
    tags: TagsDoor
    repositories: RepositoriesDoor
    users: UsersDoor
    programs: ProgramsDoor
    search: SearchDoor
    v2: V2Doors
