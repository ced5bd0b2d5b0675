"""Rights that change while a daemon runs, what new repositories are, and pushes that move no tags."""

import json
import secrets
from itertools import count

from twisted.internet.task import Clock

from dockreg.accesstokens import AccessTokens
from dockreg.model.access import Action, Scope
from dockreg.model.mediatypes import OCI_INDEX
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Role, Subject
from dockreg.providers.metadata.sql import SQLMetadataStore
from tests.integration.rightscase import OTHER, SAMPLE, SECRET, RightsCase, header
from tests.integration.v2case import described, digest_of, make_index

_numbers = count()


class ChangeTests(RightsCase):
    """What is changed beside the daemon counts at the next request."""

    def test_membership(self) -> None:
        """Who is taken out of a namespace has nothing of it any more, with a v1 token and an upload session in hand."""
        token = self.ask("GET", f"/v1/repositories/{SECRET}/images", None, **header("carl")).headers["x-docker-token"]
        bearer = {"Authorization": f"Token {token}"}
        paths = ((f"/v2/{SECRET}/tags/list", header("carl")), (f"/v1/repositories/{SECRET}/tags", bearer))
        for path, credentials in paths:
            self.assertEqual(200, self.ask("GET", path, None, **credentials).status)
        self.rights(lambda rights: rights.remove_member("team", Subject.account("carl")))
        for path, credentials in paths:
            self.assertEqual(404, self.ask("GET", path, None, **credentials).status)
        self.rights(lambda rights: rights.set_member("team", Subject.account("carl"), Role.READER))
        for path, credentials in paths:
            self.assertEqual(200, self.ask("GET", path, None, **credentials).status)

    def test_group(self) -> None:
        """So does a group that is given something, and who is put into it or taken out."""
        name = f"team/group{next(_numbers)}"
        self.push_as("anna", SAMPLE, "latest", name)
        path = f"/v2/{name}/tags/list"
        self.rights(lambda rights: rights.create_group("dev"))
        self.grant("group:dev", name, Action.PULL)
        self.assertEqual(404, self.ask("GET", path, None, **header("dora")).status)
        self.rights(lambda rights: rights.add_to_group("dev", "dora"))
        self.assertEqual(200, self.ask("GET", path, None, **header("dora")).status)
        self.rights(lambda rights: rights.delete_group("dev"))
        self.assertEqual(404, self.ask("GET", path, None, **header("dora")).status)

    def test_session(self) -> None:
        """Who may no longer push does not go on with an upload, nor with a mount."""
        self.grant("dora", "team/up", Action.PULL, Action.PUSH)
        session = self.ask("POST", "/v2/team/up/blobs/uploads/", b"", **header("dora")).headers["location"]
        self.assertEqual(202, self.ask("PATCH", session, b"begun", **header("dora")).status)
        self.rights(lambda rights: rights.revoke(Subject.account("dora"), RepositoryPattern("team/up")))
        for method, path in (("PATCH", session), ("GET", session), ("PUT", f"{session}?digest={digest_of(b'begun')}")):
            self.assertEqual(404, self.ask(method, path, b"", **header("dora")).status)

    def test_namespace(self) -> None:
        """A namespace that somebody is given is closed to others at once."""
        name = f"space{next(_numbers)}"
        self.assertEqual(202, self.ask("POST", f"/v2/{name}/a/blobs/uploads/", b"", **header("dora")).status)
        self.rights(lambda rights: rights.create_namespace(name, [Subject.account("anna")]))
        self.assertEqual(404, self.ask("POST", f"/v2/{name}/a/blobs/uploads/", b"", **header("dora")).status)
        self.assertEqual(202, self.ask("POST", f"/v2/{name}/a/blobs/uploads/", b"", **header("anna")).status)


class NewRepositoryTests(RightsCase):
    def access(self, name: str) -> str:
        return str(self.ask("GET", f"/v1/repositories/{name}/properties", None, **header("root")).document["access"])

    def test_private(self) -> None:
        """A repository begins as the configuration says, or else as its namespace does, whoever makes it and how."""
        self.rights(lambda rights: rights.create_namespace("shown", [Subject.account("anna")], private=False))
        self.rights(lambda rights: rights.create_namespace("kept", [Subject.account("anna")], private=True))
        for namespace, expected in (("shown", "public"), ("kept", "private"), ("anna", "private")):
            self.push_as("anna", SAMPLE, "latest", f"{namespace}/v2")
            mount = f"?mount={digest_of(SAMPLE.config)}&from={namespace}/v2"
            self.assertEqual(
                201, self.ask("POST", f"/v2/{namespace}/m/blobs/uploads/{mount}", b"", **header("anna")).status
            )
            self.assertEqual(200, self.ask("PUT", f"/v1/repositories/{namespace}/v1/", b"[]", **header("anna")).status)
            for way in ("v2", "m", "v1"):
                self.assertEqual(expected, self.access(f"{namespace}/{way}"), (namespace, way))

    def test_robot(self) -> None:
        """What a robot makes is owned by the account that it belongs to, and the robot keeps what it was granted."""

        async def robot(metadata: SQLMetadataStore) -> str:
            await metadata.accounts.create_robot("dora+ci", "dora", 1.0)
            tokens = AccessTokens(metadata.access_tokens, Clock(), secrets.token_bytes)
            everything = Scope(RepositoryPattern("**"), frozenset(Action))
            return (await tokens.create("dora+ci", [everything], "", None))[1]

        password = self.database.do(self, robot)
        credentials = header("dora+ci", password)
        self.assertEqual(404, self.ask("POST", "/v2/wild/app/blobs/uploads/", b"", **credentials).status)
        self.grant("dora+ci", "wild/*", Action.PUSH, Action.PULL)
        self.push_as("dora+ci", SAMPLE, "latest", "wild/app", password)
        self.assertEqual(403, self.ask("DELETE", "/v2/wild/app/manifests/latest", None, **credentials).status)
        self.assertEqual(202, self.ask("DELETE", "/v2/wild/app/manifests/latest", None, **header("dora")).status)


class CreateOnlyTests(RightsCase):
    """``push`` without ``overwrite``, by a grant and by a rule that denies."""

    def fill(self) -> str:
        name = f"team/only{next(_numbers)}"
        self.push_as("anna", SAMPLE, "latest", name)
        self.push_as("anna", OTHER, "other", name)
        self.grant("dora", name, Action.PULL, Action.PUSH)
        return name

    def points_to(self, name: str, tag: str) -> str:
        return self.ask("HEAD", f"/v2/{name}/manifests/{tag}", None, **header("anna")).headers["docker-content-digest"]

    def check(self, who: str, name: str) -> None:
        """New tags are made, none is moved, by any way there is; what a tag is already may be pushed again."""
        self.assertEqual(201, self.tag_as(who, OTHER, f"new-{who}", name))
        self.assertEqual(201, self.tag_as(who, SAMPLE, "latest", name))
        for reference in ("latest", f"latest?tag=more-{who}", f"more-{who}?tag=latest", f"{OTHER.digest}?tag=latest"):
            self.assertEqual(403, self.tag_as(who, OTHER, reference, name), reference)
            self.assertEqual(404, self.tag_status(name, f"more-{who}"), reference)
        v1 = {
            tag: self.ask("GET", f"/v1/repositories/{name}/tags/{tag}", None, **header(who)).document
            for tag in ("latest", "other")
        }
        self.assertNotEqual(v1["latest"], v1["other"])
        for tag, status in (("latest", 403), (f"v1-{who}", 200), (f"v1-{who}", 200)):
            body = json.dumps(v1["other"]).encode()
            answered = self.ask("PUT", f"/v1/repositories/{name}/tags/{tag}", body, **header(who))
            self.assertEqual(status, answered.status, answered.content)
        self.assertEqual(SAMPLE.digest, self.points_to(name, "latest"))
        self.check_fallback(who, name)

    def tag_status(self, name: str, tag: str) -> int:
        return self.ask("HEAD", f"/v2/{name}/manifests/{tag}", None, **header("anna")).status

    def check_fallback(self, who: str, name: str) -> None:
        """The tag under which clients keep a list of referrers is one as any."""
        tag = digest_of(who.encode()).replace(":", "-")
        statuses = []
        for sample in (SAMPLE, OTHER):
            index = make_index(described(sample.media_type, sample.manifest))
            path = f"/v2/{name}/manifests/{tag}"
            statuses.append(self.ask("PUT", path, index, Content_Type=OCI_INDEX, **header(who)).status)
        self.assertEqual([201, 403], statuses)

    def test_grant(self) -> None:
        """Who was granted no more than to push moves no tag."""
        self.check("dora", self.fill())

    def test_rule(self) -> None:
        """Where a rule denies it nobody does, owner or not, but administrators."""
        name = f"locked/only{next(_numbers)}"
        self.push_as("anna", SAMPLE, "latest", name)
        self.push_as("anna", OTHER, "other", name)
        self.check("anna", name)
        for method, path in (("DELETE", f"/v2/{name}/manifests/latest"), ("DELETE", f"/v1/repositories/{name}/")):
            self.assertEqual(403, self.ask(method, path, None, **header("anna")).status)
        self.assertEqual(201, self.tag_as("root", OTHER, "latest", name))
