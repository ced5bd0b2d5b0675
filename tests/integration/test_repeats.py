"""Two processes that are asked the same again and again within a second, and answer what there is now."""

import re
import sqlite3
import time
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

from attrs import frozen
from twisted.internet.task import Clock

from dockreg.model.access import Action
from dockreg.model.conditions import Condition
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_INDEX
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.rights import Subject
from dockreg.providers.metadata.sql import SQLMetadataStore
from dockreg.rights import Rights
from tests.integration.rightscase import OPEN, SAMPLE, Database, RightsCase, header
from tests.integration.streaming import Client, head
from tests.integration.v2case import V2Case, digest_of, make_index, make_sample
from tests.unit.providers.auth.support import cheap_hasher

#: With an audit log each answer has an id of its own.
_NO_AUDIT = "[log]\naccess = '-'\n"
#: So many that both processes have some of them.
_CONNECTIONS = 6
_LOG_SECONDS = 30.0
_ID = re.compile(rb"Docker-Upload-UUID: (\S+)", re.IGNORECASE)
#: Headers that another second changes; ``-1`` is no time.
_TIMES = re.compile(rb"\A((?:Date|Expires): )\w+, .*")


@frozen
class Said:
    """An answer, without the time at which it was made."""

    status: int
    lines: tuple[bytes, ...]
    body: bytes


class RepeatsCase(V2Case):
    """Connections to both processes."""

    CONFIG = f"workers = 2\n{_NO_AUDIT}"

    def setUp(self) -> None:
        super().setUp()
        opened = ExitStack()
        self.addCleanup(opened.close)
        self.clients = [Client(self.daemon.port) for _ in range(_CONNECTIONS)]
        for each in self.clients:
            opened.callback(each.close)

    def say(self, client: Client, line: str, *headers: str, body: bytes = b"") -> Said:
        """One answer."""
        client.send(head(line, *headers, *([f"Content-Length: {len(body)}"] if body else [])) + body)
        status = int(client.line().split()[1])
        lines = []
        while got := client.line():
            lines.append(got)
        length = next((int(each[15:]) for each in lines if each.lower().startswith(b"content-length:")), 0)
        body = b"" if line.startswith("HEAD") or status == 304 else client._exactly(length)
        return Said(status, tuple(_TIMES.sub(rb"\1", each) for each in lines), body)

    def everywhere(self, line: str, *headers: str) -> Said:
        """What all answer, four times each: parsed, found by its bytes, and twice as it was kept."""
        said = [self.say(each, line, *headers) for each in self.clients for _ in range(4)]
        for each in said:
            self.assertEqual(said[0], each)
        return said[0]


class RepeatsTests(RepeatsCase):
    """What is written is seen by the next request, in whichever process."""

    def test_tag(self) -> None:
        """A tag that appears, is moved and is deleted."""
        line = f"/v2/{self.name}/manifests/now"
        self.assertEqual(404, self.everywhere(f"GET {line}").status)
        for number in range(4):
            manifest = make_index(annotations={"number": str(number)})
            self.assertEqual(201, self.put("now", manifest, OCI_INDEX).status)
            self.assertEqual(manifest, self.everywhere(f"GET {line}").body)
            digest = digest_of(manifest).encode()
            self.assertIn(b"Docker-Content-Digest: " + digest, self.everywhere(f"HEAD {line}").lines)
            self.assertEqual(304, self.everywhere(f"GET {line}", f'If-None-Match: "{digest.decode()}"').status)
        self.assertEqual(202, self.ask("DELETE", "manifests/now").status)
        self.assertEqual(404, self.everywhere(f"GET {line}").status)
        self.assertEqual(404, self.everywhere(f"HEAD {line}").status)

    def test_digest(self) -> None:
        """A manifest of a digest that appears, stays while tags move, is deleted, and is pushed again."""
        manifest = make_index(annotations={"number": "1"})
        line = f"/v2/{self.name}/manifests/{digest_of(manifest)}"
        for number in range(2):
            self.assertEqual(404, self.everywhere(f"GET {line}").status)
            self.assertEqual(201, self.put("now", manifest, OCI_INDEX).status)
            told = self.everywhere(f"GET {line}")
            self.assertEqual(manifest, told.body)
            self.assertEqual(told.lines, self.everywhere(f"HEAD {line}").lines)
            other = make_index(annotations={"other": str(number)})
            self.assertEqual(201, self.put("now", other, OCI_INDEX).status)
            self.assertEqual(other, self.everywhere(f"GET /v2/{self.name}/manifests/now").body)
            self.assertEqual(told, self.everywhere(f"GET {line}"))
            self.assertEqual(202, self.ask("DELETE", f"manifests/{digest_of(manifest)}").status)
            self.assertEqual(404, self.everywhere(f"HEAD {line}").status)

    def test_blob(self) -> None:
        """A blob that appears, stays while others come, is no longer part of the repository, and is pushed again."""
        content = b"bytes of a blob"
        line = f"/v2/{self.name}/blobs/{digest_of(content)}"
        for _ in range(2):
            self.assertEqual(404, self.everywhere(f"HEAD {line}").status)
            self.push_blob(content)
            told = self.everywhere(f"HEAD {line}")
            self.assertEqual((200, b""), (told.status, told.body))
            self.assertIn(b"Content-Length: 15", told.lines)
            self.push_blob(b"bytes of another one")
            self.assertEqual(told, self.everywhere(f"HEAD {line}"))
            sent = self.everywhere(f"GET {line}")
            self.assertEqual((content, told.lines), (sent.body, sent.lines))
            part = self.everywhere(f"GET {line}", "Range: bytes=1-2")
            self.assertEqual((206, b"yt"), (part.status, part.body))
            self.assertEqual(202, self.ask("DELETE", line).status)
            self.assertEqual(404, self.everywhere(f"GET {line}").status)

    def test_lost(self) -> None:
        """A blob that another process finds to be lost, and to be well again."""
        content = b"bytes that are lost"
        digest = self.push_blob(content)
        line = f"/v2/{self.name}/blobs/{digest}"

        def note(condition: Condition | None) -> None:
            async def work(metadata: SQLMetadataStore) -> Any:
                blob = await metadata.blobs.find(Digest.parse(digest))
                assert blob is not None
                return await metadata.conditions.note(blob, condition, 1.0)

            self.assertTrue(Database(self.daemon).do(self, work))

        for condition, status in ((None, 200), (Condition.DAMAGED, 404), (None, 200)):
            if condition is not None or status != self.everywhere(f"HEAD {line}").status:
                note(condition)
            self.assertEqual(status, self.everywhere(f"HEAD {line}").status)
            self.assertEqual(status, self.everywhere(f"GET {line}").status)

    def test_image(self) -> None:
        """A v1 image whose repository is deleted."""
        self.push(make_sample("repeats"))
        image_id = self.ask("GET", f"/v1/repositories/{self.name}/tags").document["latest"]
        line = f"GET /v1/images/{image_id}/json"
        said = self.everywhere(line)
        self.assertIn(image_id.encode(), said.body)
        self.assertTrue([each for each in said.lines if each.startswith(b"X-Docker-Size:")])
        token = self.ask("GET", f"/v1/repositories/{self.name}/images", X_Docker_Token="true").headers["x-docker-token"]
        with_token = self.everywhere(line, f"Authorization: Token {token}")
        self.assertEqual(said.body, with_token.body)
        self.assertEqual(401, self.everywhere(line, f"Authorization: Token {token}x").status)
        self.assertEqual(200, self.ask("DELETE", f"/v1/repositories/{self.name}/").status)
        self.assertEqual(404, self.everywhere(line).status)
        self.assertEqual(404, self.everywhere(line, f"Authorization: Token {token}").status)

    def test_base(self) -> None:
        """What answers whether this is a registry; each request is in the log."""
        agent = "User-Agent: repeats/1"
        self.assertEqual(b"{}", self.everywhere("GET /v2/", agent).body)
        self.assertEqual(b"", self.everywhere("HEAD /v2/", agent).body)
        times = 4 * _CONNECTIONS
        deadline, lines = time.monotonic() + _LOG_SECONDS, list[Any]()
        while len(lines) < 2 * times and time.monotonic() < deadline:
            time.sleep(0.02)
            lines = re.findall(r'"(GET|HEAD) /v2/" 200 (\d) "-" "repeats/1"', self.daemon.log())
        self.assertEqual([("GET", "2")] * times + [("HEAD", "0")] * times, sorted(lines))


class SessionsTests(RepeatsCase):
    """Upload sessions that are begun with the same bytes again and again."""

    def begin(self, name: str, *headers: str) -> list[Said]:
        """What all answer, four times each."""
        line = f"POST /v2/{name}/blobs/uploads/"
        return [self.say(each, line, "Content-Length: 0", *headers) for each in self.clients for _ in range(4)]

    def test_sessions(self) -> None:
        """Each is a session of its own, that both processes know; but for its id each answer is the same."""
        for headers in ((), ("User-Agent: docker/1.6.2", "X-Nobody: reads")):
            with_ids = self.begin(self.name, *headers)
            ids = [_ID.search(b"\n".join(each.lines))[1] for each in with_ids]  # type: ignore[index]  # else it fails
            self.assertEqual(len(with_ids), len(set(ids)))
            same = {
                tuple(each.replace(one, b"") for each in said.lines) for said, one in zip(with_ids, ids, strict=True)
            }
            self.assertEqual(1, len(same), same)
            self.assertEqual({202}, {each.status for each in with_ids})
            content = b"bytes"
            for number, each in enumerate(ids):
                path = f"/v2/{self.name}/blobs/uploads/{each.decode()}"
                self.assertEqual({204}, {self.say(client, f"GET {path}").status for client in self.clients})
                if number % 4 == 3:
                    self.assertEqual(201, self.ask("PUT", f"{path}?digest={digest_of(content)}", content).status)
                    self.assertEqual({404}, {self.say(client, f"GET {path}").status for client in self.clients})

    def test_rights(self) -> None:
        """Who may not push any more begins no session, from the next request on, in whichever process; nor does he later."""
        name, database = f"ours-{self.name}/app", Database(self.daemon)
        namespace = name.partition("/")[0]

        def change(work: Any) -> None:
            database.do(self, lambda metadata: work(Rights(metadata.rights, Clock())))

        for _ in range(3):
            self.assertEqual({202}, {each.status for each in self.begin(name)})
            change(lambda rights: rights.create_namespace(namespace, []))
            self.assertEqual({401}, {each.status for each in self.begin(name)})
            change(lambda rights: rights.delete_namespace(namespace))

    def test_logged(self) -> None:
        """Each is in the log."""
        agent = "sessions/1"
        count = len(self.begin(self.name, f"User-Agent: {agent}"))
        deadline, lines = time.monotonic() + _LOG_SECONDS, list[Any]()
        while len(lines) < count and time.monotonic() < deadline:
            time.sleep(0.02)
            lines = re.findall(rf'"POST /v2/{self.name}/blobs/uploads/" 202 0 "-" "{agent}"', self.daemon.log())
        self.assertEqual(count, len(lines))


class PullsTests(RepeatsCase):
    """Pulls that retention rules count."""

    CONFIG = f"{RepeatsCase.CONFIG}[[retention.rules]]\nrepositories = ['**']\nexpire_unpulled_seconds = 3600\n"

    def test_noted(self) -> None:
        """Who is given an answer again pulls in the second in which the pull was noted that it is from."""
        self.assertEqual(201, self.put("now", make_index(), OCI_INDEX).status)
        began = time.time()
        self.assertEqual(200, self.everywhere(f"GET /v2/{self.name}/manifests/now").status)
        ended = time.time()
        self.daemon.stop()
        with closing(sqlite3.connect(self.daemon.data / "metadata.sqlite3")) as database:
            ((pulled,),) = database.execute("SELECT pulled_at FROM tag_pulls").fetchall()
        self.assertTrue(began <= pulled <= ended)


class RightsTests(RepeatsCase, RightsCase):
    """Who may read."""

    CONFIG = f"workers = 2\n{RightsCase.CONFIG}{_NO_AUDIT}"

    def test_private(self) -> None:
        """A repository that is made private is closed at once to who has no name, and open to who may read it."""
        line = f"/v2/{OPEN}/manifests/latest"
        (credentials,) = (f"{name}: {value}" for name, value in header("carl").items())
        given = self.ask("GET", f"/v2/token?service=registry&scope=repository:{OPEN}:pull", Host="registry")
        bearer = f"Authorization: Bearer {given.document['token']}"
        for private in (False, True, False):
            self.set_private(OPEN, private=private)
            self.assertEqual(401 if private else 200, self.everywhere(f"GET {line}", bearer).status)
            expected = 401 if private else 200
            self.assertEqual(expected, self.everywhere(f"GET {line}").status)
            self.assertEqual(expected, self.everywhere(f"HEAD {line}").status)
            blob = f"GET /v2/{OPEN}/blobs/{digest_of(SAMPLE.config)}"
            self.assertEqual(expected, self.everywhere(blob).status)
            named = self.everywhere(f"GET {line}", credentials)
            self.assertEqual((200, SAMPLE.manifest), (named.status, named.body))

    def test_pushes(self) -> None:
        """Who may push no more pushes no tag, no blob and no part of one, from the next request on, in both processes."""
        (credentials,) = (f"{name}: {value}" for name, value in header("carl").items())
        uploads, body = f"/v2/{OPEN}/blobs/uploads/", b"bytes"
        kind = f"Content-Type: {SAMPLE.media_type}"

        def pushed(number: int) -> set[tuple[int, int, int]]:
            begun = self.ask("POST", uploads, None, **header("carl"))
            place = begun.headers.get("location", f"{uploads}{'0' * 20}")
            return {
                (
                    self.say(
                        client, f"PUT /v2/{OPEN}/manifests/t{number}", credentials, kind, body=SAMPLE.manifest
                    ).status,
                    self.say(client, f"PATCH {place}", credentials, body=body).status,
                    self.say(client, f"POST {uploads}?digest={digest_of(body)}", credentials, body=body).status,
                )
                for client in self.clients
            }

        carl = "account:carl"
        for number in range(3):
            self.assertEqual({(403, 403, 403)}, pushed(number))
            self.grant(carl, OPEN, Action.PUSH)
            self.assertEqual({(201, 202, 201)}, pushed(number))
            self.rights(lambda rights: rights.revoke(Subject.parse(carl), RepositoryPattern.parse(OPEN), [Action.PUSH]))

    def test_account(self) -> None:
        """A token ends with the account that it was had for."""
        password = self.database.do(self, lambda _: cheap_hasher().hash(b"secret"))
        create = partial(_with, lambda metadata: metadata.accounts.create("erik", password, "", admin=False, now=1.0))
        self.database.do(self, create)
        images = f"/v1/repositories/{OPEN}/images"
        asked = self.ask("GET", images, None, X_Docker_Token="true", **header("erik"))
        tags = self.ask("GET", f"/v1/repositories/{OPEN}/tags").document
        line = f"GET /v1/images/{tags['latest']}/json"
        token = f"Authorization: Token {asked.headers['x-docker-token']}"
        self.assertEqual(200, self.everywhere(line, token).status)
        self.database.do(self, partial(_with, lambda metadata: metadata.accounts.delete("erik", 2.0)))
        self.assertEqual(401, self.everywhere(line, token).status)

    def test_names(self) -> None:
        """Who has a name gets his own answer, whoever has asked before without one."""
        line = f"GET /v2/{OPEN}/blobs/{digest_of(SAMPLE.config)}"
        (credentials,) = (f"{name}: {value}" for name, value in header("carl").items())
        for _ in range(2):
            shared, own = self.everywhere(line), self.everywhere(line, credentials)
            self.assertIn(b"Cache-Control: public, max-age=31536000, immutable", shared.lines)
            self.assertIn(b"Cache-Control: private, max-age=31536000, immutable", own.lines)


async def _with(work: Any, metadata: SQLMetadataStore) -> Any:
    return await work(metadata)
