"""The table of all URLs, and the right that each one needs."""

from collections.abc import Awaitable, Callable, Iterator

from attrs import frozen

from dockreg.model.access import PUBLIC, Action, On, Public, Right
from dockreg.web.doors import Doors, V2Doors

Handler = Callable[..., Awaitable[bytes | None]]


@frozen
class Route:
    """
    One URL and method. HEAD comes with GET.

    ``to`` is called with the exchange and the parsed parts of the path. It returns the body, or None when it has
    written the response itself. Where it has an answer for repositories that are not there, ``hidden`` gives the same to
    a known caller who may not know that there is one; elsewhere he gets the 404 of an absent repository.

    ``repeats`` says that an answer for which nothing was waited depends on nothing but the head of the request, who asks,
    what is stored, and the second: it may be given again, see :mod:`dockreg.web.repeats`. ``lasts`` says
    that nothing of what is stored matters but what lasts while others write, see :meth:`.IMoments.lasting_version`, where
    the answer is no failure; so it is for what a digest refers to anyway. ``varies`` says that something in the answer is
    another one each time, so that it is given again only where :meth:`.Exchange.varies` was told of that.

    ``outlasts`` says that ``to`` goes on when its client has gone: it keeps what came of the body, which says itself where that
    ends (:class:`.BodyCut`). All others are cancelled where they wait.
    """

    endpoint: str
    method: str
    rule: str
    needs: Right | Public
    to: Handler
    hidden: Handler | None = None
    repeats: bool = False
    lasts: bool = False
    varies: bool = False
    outlasts: bool = False


_PULL = Right(Action.PULL, On.REPOSITORY)
_PUSH = Right(Action.PUSH, On.REPOSITORY)
_DELETE = Right(Action.DELETE, On.REPOSITORY)
_ADMIN = Right(Action.ADMIN, On.REPOSITORY)
_PULL_IMAGE = Right(Action.PULL, On.IMAGE)
_PUSH_IMAGE = Right(Action.PUSH, On.IMAGE)

_REPOSITORY = "/v1/repositories/<repository:repository>"
_IMAGE = "/v1/images/<image_id>"
_NAME = "/v2/<name:name>"


def routes(doors: Doors) -> Iterator[Route]:
    """Every route that the configured roles serve."""
    yield from _status_routes(doors)
    if doors.role.is_registry:
        yield from _image_routes(doors)
        yield from _tag_routes(doors)
        yield from _v2_routes(doors.v2)
    yield from _repository_routes(doors)
    if doors.role.is_index:
        yield from _user_routes(doors)


def _status_routes(doors: Doors) -> Iterator[Route]:
    status, monitoring = doors.status, doors.monitoring
    yield Route("v1-ping", "GET", "/v1/_ping", PUBLIC, status.ping)
    yield Route("ping", "GET", "/_ping", PUBLIC, status.ping)
    yield Route("v1-status", "GET", "/v1/_status", PUBLIC, status.status)
    yield Route("status", "GET", "/_status", PUBLIC, status.status)
    yield Route("root", "GET", "/", PUBLIC, status.root)
    yield Route("healthz", "GET", "/healthz", PUBLIC, monitoring.healthz)
    yield Route("readyz", "GET", "/readyz", PUBLIC, monitoring.readyz)
    yield Route("metrics", "GET", "/metrics", Right(Action.ADMIN, On.REGISTRY), monitoring.metrics)


def _image_routes(doors: Doors) -> Iterator[Route]:
    images = doors.images
    yield Route("v1-put-json", "PUT", f"{_IMAGE}/json", _PUSH_IMAGE, images.put_json)
    yield Route("v1-put-layer", "PUT", f"{_IMAGE}/layer", _PUSH_IMAGE, images.put_layer)
    yield Route("v1-put-checksum", "PUT", f"{_IMAGE}/checksum", _PUSH_IMAGE, images.put_checksum)
    yield Route("v1-get-json", "GET", f"{_IMAGE}/json", _PULL_IMAGE, images.get_json, repeats=True)
    yield Route("v1-get-layer", "GET", f"{_IMAGE}/layer", _PULL_IMAGE, images.get_layer)
    yield Route("v1-get-ancestry", "GET", f"{_IMAGE}/ancestry", _PULL_IMAGE, images.get_ancestry)
    yield Route("v1-get-files", "GET", f"{_IMAGE}/files", _PULL_IMAGE, images.get_files)
    yield Route("v1-get-diff", "GET", f"{_IMAGE}/diff", _PULL_IMAGE, images.get_diff)
    private = "/v1/private_images/<image_id>"
    yield Route("v1-private-json", "GET", f"{private}/json", _PULL_IMAGE, images.get_private_json)
    yield Route("v1-private-layer", "GET", f"{private}/layer", _PULL_IMAGE, images.get_private_layer)
    yield Route("v1-private-files", "GET", f"{private}/files", _PULL_IMAGE, images.get_private_files)


def _tag_routes(doors: Doors) -> Iterator[Route]:
    tags = doors.tags
    one = f"{_REPOSITORY}/tags/<tag>"
    yield Route("v1-list-tags", "GET", f"{_REPOSITORY}/tags", _PULL, tags.list_tags)
    yield Route("v1-get-tag", "GET", one, _PULL, tags.get_tag)
    yield Route("v1-put-tag", "PUT", one, _PUSH, tags.put_tag)
    yield Route("v1-delete-tag", "DELETE", one, _DELETE, tags.delete_tag)
    yield Route("v1-tag-json", "GET", f"{one}/json", _PULL, tags.get_tag_json, tags.get_default_json)
    yield Route("v1-latest-json", "GET", f"{_REPOSITORY}/json", _PULL, tags.get_latest_json, tags.get_default_json)
    yield Route("v1-delete-tags", "DELETE", f"{_REPOSITORY}/tags", _DELETE, doors.repositories.delete)


def _repository_routes(doors: Doors) -> Iterator[Route]:
    repositories = doors.repositories
    yield Route("v1-delete-repository", "DELETE", f"{_REPOSITORY}/", _DELETE, repositories.delete)
    yield Route("v1-get-properties", "GET", f"{_REPOSITORY}/properties", _PULL, repositories.get_properties)
    yield Route("v1-put-properties", "PUT", f"{_REPOSITORY}/properties", _ADMIN, repositories.put_properties)
    if not doors.role.is_index:
        return
    yield Route("v1-create-repository", "PUT", f"{_REPOSITORY}/", _PUSH, repositories.create)
    yield Route("v1-list-images", "GET", f"{_REPOSITORY}/images", _PULL, repositories.list_images)
    yield Route("v1-put-images", "PUT", f"{_REPOSITORY}/images", _PUSH, repositories.put_images)
    yield Route("v1-delete-images", "DELETE", f"{_REPOSITORY}/images", _DELETE, repositories.delete_images)
    yield Route("v1-auth", "PUT", f"{_REPOSITORY}/auth", _PULL, repositories.check_token)
    access = f"{_REPOSITORY}/layer/<image_id>/access"
    yield Route("v1-layer-access", "GET", access, _PULL, repositories.layer_access, repositories.no_access)


def _v2_routes(v2: V2Doors) -> Iterator[Route]:
    """The endpoints of OCI Distribution, under the numbers that it gives them."""
    uploads, lists = v2.uploads, v2.lists
    blob, manifest = f"{_NAME}/blobs/<digest>", f"{_NAME}/manifests/<reference>"
    sessions = f"{_NAME}/blobs/uploads/"
    session = f"{sessions}<upload_id>"
    yield Route("end-1", "GET", "/v2/", Right(Action.PULL, On.CALLER), v2.base.check, repeats=True, lasts=True)
    yield Route("end-2", "GET", blob, _PULL, v2.blobs.get, repeats=True, lasts=True)
    yield Route("end-3", "GET", manifest, _PULL, v2.manifests.get, repeats=True)
    yield Route("end-4", "POST", sessions, _PUSH, uploads.start, repeats=True, lasts=True, varies=True)
    yield Route("end-5", "PATCH", session, _PUSH, uploads.append, outlasts=True)
    yield Route("end-6", "PUT", session, _PUSH, uploads.finish, outlasts=True)
    yield Route("end-7", "PUT", manifest, _PUSH, v2.manifests.put)
    yield Route("end-8", "GET", f"{_NAME}/tags/list", _PULL, lists.list_tags)
    yield Route("end-9", "DELETE", manifest, _DELETE, v2.manifests.delete)
    yield Route("end-10", "DELETE", blob, _DELETE, v2.blobs.delete)
    yield Route("end-12", "GET", f"{_NAME}/referrers/<digest>", _PULL, lists.referrers, lists.no_referrers)
    yield Route("end-13", "GET", session, _PUSH, uploads.status)
    yield Route("end-14", "DELETE", session, _PUSH, uploads.cancel)
    yield Route("catalog", "GET", "/v2/_catalog", Right(Action.PULL, On.REGISTRY), lists.catalog)
    if v2.token is not None:
        yield Route("token", "GET", "/v2/token", Right(Action.PULL, On.LOGIN), v2.token.get)
        # Who asks is told by the form, rather than by the headers.
        yield Route("token-form", "POST", "/v2/token", Right(Action.PULL, On.LOGIN), v2.token.post)
        yield Route("token-keys", "GET", "/v2/token/jwks.json", PUBLIC, v2.token.keys)


def _user_routes(doors: Doors) -> Iterator[Route]:
    users, change = doors.users, Right(Action.ADMIN, On.ACCOUNT)
    yield Route("v1-register", "POST", "/v1/users/", PUBLIC, users.register)
    yield Route("v1-login", "GET", "/v1/users/", Right(Action.PULL, On.ACCOUNT), users.login)
    yield Route("v1-change-user", "PUT", "/v1/users/<account>/", change, users.change)
    programs, own = doors.programs, "/v1/users/<account>"
    yield Route("v1-list-tokens", "GET", f"{own}/tokens/", change, programs.list_tokens)
    yield Route("v1-create-token", "POST", f"{own}/tokens/", change, programs.create_token)
    yield Route("v1-revoke-token", "DELETE", f"{own}/tokens/<token_id>", change, programs.revoke_token)
    yield Route("v1-list-robots", "GET", f"{own}/robots/", change, programs.list_robots)
    yield Route("v1-create-robot", "POST", f"{own}/robots/", change, programs.create_robot)
    yield Route("v1-delete-robot", "DELETE", f"{own}/robots/<robot>", change, programs.delete_robot)
    yield Route("v1-search", "GET", "/v1/search", Right(Action.PULL, On.REGISTRY), doors.search.search)
