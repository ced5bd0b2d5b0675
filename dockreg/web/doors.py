"""All that can be behind a URL."""

from attrs import frozen

from dockreg.web.exchange import Monitor, Role
from dockreg.web.v1.images import ImagesDoor
from dockreg.web.v1.repositories import RepositoriesDoor
from dockreg.web.v1.search import SearchDoor
from dockreg.web.v1.status import StatusDoor
from dockreg.web.v1.tags import TagsDoor
from dockreg.web.v1.users import UsersDoor


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
    search: SearchDoor
