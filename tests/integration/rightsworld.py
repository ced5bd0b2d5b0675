"""A registry with people and repositories of every kind, and the requests of one of them after the other."""

import hashlib
import http.client
import json
import secrets
from base64 import b64encode
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from itertools import count
from typing import Any

from attrs import define, evolve, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.trial.unittest import TestCase

from dockreg import service
from dockreg.callables import InThread
from dockreg.checkers import Means
from dockreg.config import Config
from dockreg.identity import make_access_tokens, make_accounts
from dockreg.interfaces_access import ITokenService
from dockreg.model.access import Action, Principal, Scope
from dockreg.model.mediatypes import OCI_MANIFEST
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Role, Subject
from dockreg.model.scopes import parse_scopes
from dockreg.providers.auth.hashing import PasswordHasher
from dockreg.providers.auth.tokens import TokenSigner
from dockreg.providers.auth.turns import Turns
from dockreg.providing import make_metadata_store, new_id
from dockreg.rights import Rights
from dockreg.testing.samples import make_tar
from dockreg.tokens import Tokens, make_tokens
from tests.integration.daemon import start_registry
from tests.integration.v2case import Sample, digest_of, make_sample
from tests.passwords import CHEAP

VISIBILITIES = ("public", "private", "absent")
ABSENT_IMAGE = "f" * 64
# The table has more wrong passwords than anybody types.
SETTINGS = """
[auth]
anonymous = "pull"
registration = "open"
[auth.attempts]
per_client = 0
per_account = 0
per_address = 0
registrations = 0
"""
_WEEK = 604_800
_reactor: Any = reactor


def basic(name: str, password: str) -> str:
    """A login."""
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


def cheap_hasher(_config: Config, in_thread: InThread) -> PasswordHasher:
    """What the registry of this test hashes passwords with."""
    return PasswordHasher(Turns(in_thread, 4, 64), CHEAP)


@define(eq=False)
class World:
    """
    The registry as a client sees it.

    The repositories of the owner are copies of one image for each visibility. ``shared`` has one of each, for requests that
    are refused or only read; :meth:`fresh` makes others for the rest.
    """

    port: int
    signer: TokenSigner
    expired: TokenSigner
    #: Signs bearer tokens that have expired since.
    expired_bearers: ITokenService
    #: Logins with access tokens of the owner.
    access_tokens: Mapping[str, str]
    #: A repository of each visibility.
    shared: dict[str, str] = field(factory=dict)
    #: Another one, for images to be announced to.
    scratch: dict[str, str] = field(factory=dict)
    #: The v1 image of each repository that was made.
    images: dict[str, str] = field(factory=dict)
    samples: dict[str, Sample] = field(
        factory=lambda: {each: make_sample(each, OCI_MANIFEST, layers=1) for each in VISIBILITIES[:2]}
    )
    _numbers: "count[int]" = field(factory=count)
    _tokens: dict[object, str] = field(factory=dict)
    _connection: http.client.HTTPConnection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(
        self,
        method: str,
        path: str,
        authorization: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """One request: status, body, headers."""
        sent = {**(headers or {}), **({"Authorization": authorization} if authorization else {})}
        self._connection.request(method, path, body or None, sent)
        response = self._connection.getresponse()
        return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}

    def must(self, status: int, method: str, path: str, body: bytes = b"", **headers: str) -> Mapping[str, str]:
        """One request of the owner, with this outcome."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        got, content, answered = self.ask(method, path, OWNER, body, named)
        assert got == status, (method, path, got, content)
        return answered

    # Things

    def set_up(self) -> None:
        """Make the shared repositories."""
        for visibility, sample in self.samples.items():
            for content in (*sample.blobs, sample.config):
                self.must(
                    201, "POST", f"/v2/alice/source-{visibility}/blobs/uploads/?digest={digest_of(content)}", content
                )
            self.must(200, "PUT", f"/v1/repositories/alice/source-{visibility}/properties", b'{"access":"private"}')
        for visibility in VISIBILITIES:
            self.shared[visibility] = self.fresh(visibility)
            self.scratch[visibility] = self.fresh(visibility)

    def fresh(self, visibility: str) -> str:
        """Another repository of the owner."""
        name = f"alice/{visibility}-{next(self._numbers)}"
        if visibility == "absent":
            return name
        sample = self.samples[visibility]
        for content in (*sample.blobs, sample.config):
            mount = f"mount={digest_of(content)}&from=alice/source-{visibility}"
            self.must(201, "POST", f"/v2/{name}/blobs/uploads/?{mount}")
        self.must(201, "PUT", f"/v2/{name}/manifests/latest", sample.manifest, Content_Type=OCI_MANIFEST)
        if visibility == "private":
            self.must(200, "PUT", f"/v1/repositories/{name}/properties", b'{"access":"private"}')
        self.images[name] = self._image_of(name)
        return name

    def _image_of(self, repository: str) -> str:
        body = self.ask("GET", f"/v1/repositories/{repository}/tags/latest", OWNER)[1]
        return str(json.loads(body))

    def state(self) -> list[bytes]:
        """What somebody could have changed in the shared repositories."""
        paths = (
            "/v1/repositories/{}/tags",
            "/v1/repositories/{}/properties",
            "/v1/repositories/{}/images",
            "/v2/{}/tags/list",
        )
        return [self.ask("GET", path.format(name), OWNER)[1] for name in self.shared.values() for path in paths]

    def new_image(self) -> str:
        """An image id that was never seen."""
        return f"{next(self._numbers):064x}"

    def announced(self, repository: str, authorization: str) -> str:
        """A new image id that somebody says will be pushed to a repository, if that is allowed."""
        image_id = self.new_image()
        body = json.dumps([{"id": image_id}]).encode()
        self.ask("PUT", f"/v1/repositories/{repository}/", authorization, body)
        return image_id

    def begin(self, image_id: str, authorization: str, *, layer: bool) -> None:
        """Push the json of an image, and its layer."""
        self.ask("PUT", f"/v1/images/{image_id}/json", authorization, json_of(image_id))
        if layer:
            self.ask("PUT", f"/v1/images/{image_id}/layer", authorization, LAYER)

    def session(self, repository: str, authorization: str) -> str:
        """The path of a new upload session."""
        status, content, headers = self.ask("POST", f"/v2/{repository}/blobs/uploads/", authorization)
        assert status == 202, content
        return headers["location"]

    def token(self, signer: TokenSigner, repository: str, *actions: Action) -> str:
        """A v1 token of the owner."""
        issue = partial(signer.issue, Principal("alice"), RepositoryName(repository), frozenset(actions))
        return self._once((id(signer), repository, actions), lambda: f"Token {_awaited(issue())}")

    def bearer(self, scope: str) -> str:
        """A bearer token of the owner, as clients get it."""

        def asked() -> str:
            status, content, _ = self.ask("GET", f"/v2/token?scope={scope}", OWNER)
            assert status == 200, content
            return f"Bearer {json.loads(content)['token']}"

        return self._once(scope, asked)

    def expired_bearer(self, scope: str) -> str:
        """The same, too late."""
        issue = partial(self.expired_bearers.issue, Principal("alice"), parse_scopes([scope]), f"127.0.0.1:{self.port}")
        return self._once(f"expired {scope}", lambda: f"Bearer {_awaited(issue()).token}")

    def _once(self, key: object, make: Callable[[], str]) -> str:
        if key not in self._tokens:
            self._tokens[key] = make()
        return self._tokens[key]


def _awaited(work: Coroutine[Any, Any, Any]) -> Any:
    """What ``work`` returns in the thread of the reactor."""
    begin: Any = partial(Deferred.fromCoroutine, work)
    return blockingCallFromThread(_reactor, begin)


LAYER = make_tar({"file": b"content"})


def json_of(image_id: str) -> bytes:
    """The document of an image."""
    return json.dumps({"id": image_id}).encode()


def payload_checksum(image_id: str) -> str:
    """What engines from 0.10 on send at the end."""
    return "sha256:" + hashlib.sha256(json_of(image_id) + b"\n" + LAYER).hexdigest()


OWNER = basic("alice", "secret of alice")
Authorization = Callable[[World, str], str]

#: Who asks; with a token the answer depends on the repository.
CALLERS: Mapping[str, Authorization] = {
    "anonymous": lambda world, repository: "",
    "wrong": lambda world, repository: basic("alice", "not her password"),
    "stranger": lambda world, repository: basic("mallory", "secret of mallory"),
    "reader": lambda world, repository: basic("reader", "secret of reader"),
    "writer": lambda world, repository: basic("writer", "secret of writer"),
    "owner": lambda world, repository: OWNER,
    "admin": lambda world, repository: basic("boss_1", "secret of boss_1"),
    "disabled": lambda world, repository: basic("gone_1", "secret of gone_1"),
    "expired": lambda world, repository: world.token(world.expired, repository, *Action),
    "elsewhere": lambda world, repository: world.token(world.signer, "alice/elsewhere", *Action),
    "read token": lambda world, repository: world.token(world.signer, repository, Action.PULL),
    "access token": lambda world, repository: world.access_tokens["read"],
    "access token elsewhere": lambda world, repository: world.access_tokens["elsewhere"],
    "revoked access token": lambda world, repository: world.access_tokens["revoked"],
    "bearer": lambda world, repository: world.bearer(f"repository:{repository}:pull"),
    "bearer elsewhere": lambda world, repository: world.bearer("repository:alice/elsewhere:pull,push,delete"),
    "expired bearer": lambda world, repository: world.expired_bearer(f"repository:{repository}:pull,push,delete"),
}


async def start_world(test: TestCase) -> World:
    """A registry on a real socket; it ends with the test."""
    test.patch(service, "make_hasher", cheap_hasher)
    made: list[Callable[[IReactorTime], Tokens]] = []

    def noted(config: Config, metadata: Any, identity: Any, means: Means) -> Tokens:
        made.append(lambda clock: make_tokens(config, metadata, identity, evolve(means, clock=clock)))
        return make_tokens(config, metadata, identity, means)

    test.patch(service, "make_tokens", noted)
    registry = await start_registry(test, settings=SETTINGS)
    metadata = make_metadata_store(registry.config, deferToThread, _reactor)
    await metadata.open()
    test.addCleanup(lambda: Deferred.fromCoroutine(metadata.close()))
    accounts = make_accounts(registry.config, metadata, cheap_hasher(registry.config, deferToThread), _reactor)
    for name in ("alice", "mallory", "reader", "writer", "boss_1", "gone_1"):
        await accounts.create(name, f"secret of {name}", "", admin=name == "boss_1")
    await accounts.set_active("gone_1", active=False)
    rights = Rights(metadata.rights, _reactor)
    await rights.create_namespace("alice", [Subject.account("alice")])
    await rights.set_member("alice", Subject.account("reader"), Role.READER)
    await rights.set_member("alice", Subject.account("writer"), Role.WRITER)

    tokens = make_access_tokens(metadata, _reactor)

    async def access_token(pattern: str, *actions: Action) -> tuple[str, str]:
        scopes = [Scope(RepositoryPattern.parse(pattern), frozenset(actions))]
        token, text = await tokens.create("alice", scopes, "", None)
        return token.token_id, basic("alice", text)

    revoked, login = await access_token("alice/**", *Action)
    await tokens.revoke(revoked)
    access_tokens = {
        "read": (await access_token("alice/**", Action.PULL))[1],
        "elsewhere": (await access_token("alice/elsewhere", *Action))[1],
        "revoked": login,
    }

    def signer(clock: IReactorTime) -> TokenSigner:
        return TokenSigner(metadata.keys, clock, new_id, secrets.token_bytes)

    past = Clock()
    past.advance(_reactor.seconds() - _WEEK)
    bearers = made[0](past).service
    assert bearers is not None
    return World(registry.port, signer(_reactor), signer(past), bearers, access_tokens)
