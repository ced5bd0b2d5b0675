"""A daemon that knows some people, whose rights are changed beside it."""

import base64
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from dockreg.model.access import Action
from dockreg.model.mediatypes import OCI_MANIFEST
from dockreg.model.names import RepositoryName
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Role, Subject
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.rights import Rights
from tests.integration.v2case import Sample, V2Case, digest_of, make_sample
from tests.processes import Daemon
from tests.unit.providers.auth.support import cheap_hasher

PEOPLE = ("anna", "berta", "carl", "dora", "root")
OPEN, SECRET = "team/open", "team/secret"
#: anna owns the namespace team, berta writes in it, carl reads; dora has a namespace of her own; root administers.
ROLES = {"anna": Role.OWNER, "berta": Role.WRITER, "carl": Role.READER}
SAMPLE, OTHER = make_sample("rights", OCI_MANIFEST), make_sample("other rights", OCI_MANIFEST)


def header(name: str | None, password: str = "secret") -> dict[str, str]:
    """The credentials of somebody, as the arguments of a request."""
    if name is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


class Database:
    """The database of a daemon that runs, as the commands of an administrator see it."""

    def __init__(self, daemon: Daemon) -> None:
        self._url = f"sqlite:///{daemon.data / 'metadata.sqlite3'}"
        self._clock = Clock()

    def do(self, case: V2Case, work: Any) -> Any:
        """The result of what ``work`` makes of the store."""

        async def opened() -> Any:
            metadata = SQLMetadataStore(self._url, maybeDeferred)
            await metadata.open()
            try:
                return await work(metadata)
            finally:
                await metadata.close()

        return case.successResultOf(Deferred.fromCoroutine(opened()))


class RightsCase(V2Case):
    """A daemon that knows :data:`PEOPLE`, and the namespace team with a public and a private repository."""

    CONFIG: ClassVar[str] = """
[auth]
anonymous = "pull"
registration = "closed"
new_repositories = "private"
[[auth.rules]]
who = ["authenticated", "anonymous"]
repositories = ["locked/**"]
deny = ["overwrite", "delete"]
"""
    _prepared: ClassVar[set[int]] = set()

    def setUp(self) -> None:
        super().setUp()
        self.database = Database(self.daemon)
        if self.daemon.port not in self._prepared:
            self._prepared.add(self.daemon.port)
            self.database.do(self, self.prepare)
            for name in (OPEN, SECRET):
                self.push_as("anna", SAMPLE, "latest", name)
            self.set_private(OPEN, private=False)

    async def prepare(self, metadata: SQLMetadataStore) -> None:
        password = await cheap_hasher().hash(b"secret")
        for name in PEOPLE:
            await metadata.accounts.create(name, password, "", admin=name == "root", now=1.0)
        rights = Rights(metadata.rights, Clock())
        await rights.create_namespace("team", [Subject.account("anna")])
        for name, role in ROLES.items():
            await rights.set_member("team", Subject.account(name), role)

    def rights(self, change: Any) -> Any:
        """Change something as an administrator does beside the daemon."""

        async def work(metadata: SQLMetadataStore) -> Any:
            return await change(Rights(metadata.rights, Clock()))

        return self.database.do(self, work)

    def grant(self, who: str, where: str, *actions: Action) -> None:
        pattern = RepositoryPattern.parse(where)
        self.rights(lambda rights: rights.grant(Subject.parse(who), pattern, actions))

    def set_private(self, name: str, *, private: bool) -> None:
        async def work(metadata: SQLMetadataStore) -> None:
            await metadata.repositories.set_private(RepositoryName(name), private)

        self.database.do(self, work)

    def push_as(self, who: str, sample: Sample, tag: str, name: str, password: str = "secret") -> None:
        """A whole image."""
        credentials = header(who, password)
        for content in (*sample.blobs, sample.config):
            digest = digest_of(content)
            reply = self.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", content, **credentials)
            self.assertEqual(201, reply.status, reply.content)
        self.assertEqual(201, self.tag_as(who, sample, tag, name, password))

    def tag_as(self, who: str, sample: Sample, reference: str, name: str, password: str = "secret") -> int:
        """A manifest whose blobs are there."""
        path, media_type = f"/v2/{name}/manifests/{reference}", sample.media_type
        return self.ask("PUT", path, sample.manifest, Content_Type=media_type, **header(who, password)).status
