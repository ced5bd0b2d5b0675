"""Every route, for every kind of caller and repository: who gets which status."""

from collections.abc import Iterator

from attrs import frozen
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from dockreg.model.access import PUBLIC
from tests.integration.rightstable import EVERYBODY, ROWS, Row
from tests.integration.rightsworld import (
    ABSENT_IMAGE,
    CALLERS,
    LAYER,
    OWNER,
    World,
    json_of,
    payload_checksum,
    start_world,
)
from tests.integration.test_refusals import all_routes
from tests.integration.v2case import digest_of


class RowTests(SynchronousTestCase):
    """The table is whole."""

    def test_every_route(self) -> None:
        """Each route has a row, and each row a route."""
        self.assertEqual(
            {route.endpoint: route.method for route in all_routes()}, {name: row.method for name, row in ROWS.items()}
        )

    def test_open_routes(self) -> None:
        """What is open to everybody is so in the table of routes and in this one."""
        self.assertEqual(
            {route.endpoint for route in all_routes() if route.needs is PUBLIC},
            {name for name, row in ROWS.items() if row.pattern is EVERYBODY},
        )


class TableTests(TestCase):
    """The table is true."""

    timeout = 480

    async def test_table(self) -> None:
        """Everybody gets what the table says, and who is refused changes nothing."""
        world = await start_world(self)
        wrong = await deferToThread(go_through, world)
        self.assertEqual([], wrong, "\n".join(wrong))


def go_through(world: World) -> list[str]:
    """Make all requests; what was answered otherwise than it should be."""
    world.set_up()
    before = world.state()
    wrong = [sentence for name, row in ROWS.items() for sentence in judge(world, name, row)]
    after = world.state()
    return wrong if after == before else [*wrong, f"a refused request has changed {before} to {after}"]


def judge(world: World, name: str, row: Row) -> Iterator[str]:
    """All requests of a row."""
    for caller in CALLERS:
        answers = {}
        for visibility in row.pattern.visibilities:
            expected, may = row.expected(visibility, caller)
            answer = ask(world, row, visibility, caller, may=may)
            answers[visibility] = answer
            if answer.status != expected:
                yield f"{name}, {visibility}, {caller}: {answer.status} instead of {expected}: {answer.body[:100]!r}"
            if answer.status == 401 and "www-authenticate" not in answer.headers:
                yield f"{name}, {visibility}, {caller}: 401 without a challenge"
        if "absent" in answers and row.hides(caller) and answers["private"] != answers["absent"]:
            yield f"{name}, {caller}: private {answers['private']} and absent {answers['absent']} differ"


@frozen
class Answer:
    """What came; what the request named itself is not in it."""

    status: int
    body: bytes
    headers: frozenset[str]


def ask(world: World, row: Row, visibility: str, caller: str, *, may: bool) -> Answer:
    """
    Make the request of a row.

    Who may has what it needs made by himself; who is refused tries it on what is the owner's.
    """
    begins = "{new}" in row.path or "{with " in row.path
    if may and (row.changes or (row.makes and visibility == "absent")):
        repository = world.fresh(visibility)
    else:
        repository = (world.scratch if begins else world.shared)[visibility]
    authorization = CALLERS[caller](world, repository)
    maker = authorization if may else OWNER
    sample = world.samples.get(visibility, world.samples["public"])
    parts = {
        "repo": repository,
        "image": world.images.get(repository, ABSENT_IMAGE),
        "digest": sample.digest,
        "blob": digest_of(sample.blobs[0]),
        "empty": digest_of(b""),
        "manifest": sample.manifest.decode(),
        "type": sample.media_type,
        "layer": LAYER.decode("latin-1"),
    }
    if row.path.startswith("{session}"):
        parts["session"] = world.session(repository, maker)
    for kind in ("new", "with json", "with layer"):
        if f"{{{kind}}}" in row.path:
            image_id = world.new_image() if visibility == "absent" else world.announced(repository, maker)
            if kind != "new":
                world.begin(image_id, maker, layer=kind == "with layer")
            parts |= {kind: image_id, "json": json_of(image_id).decode(), "checksum": payload_checksum(image_id)}
    headers = {name: value.format(**parts) for name, value in row.headers.items()}
    body = row.body.format(**parts).encode("latin-1")
    status, content, answered = world.ask(row.method, row.path.format(**parts), authorization, body, headers)
    named = {**parts, "session": parts.get("session", "no/session").rpartition("/")[2]}
    for part in ("repo", "image", "digest", "blob", "session"):
        content = content.replace(named[part].encode(), part.encode())
    return Answer(status, content, frozenset(answered))
