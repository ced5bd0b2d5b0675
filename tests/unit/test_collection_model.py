"""
Collection beside pushes, held against a model of what was promised.

The model knows what somebody was told and for how long that has to be true. Two processes share a database and a folder;
each piece of work that a thread would do is done when the machine says so, so whatever can come between two transactions
does. A crash loses what has not begun.
"""

from collections import Counter
from collections.abc import Coroutine, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, select, update
from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.negotiation import parse_accept
from dockreg.errors import BlobUnknown, ReferencesUnknown, RegistryError
from dockreg.model.access import Principal
from dockreg.model.collection import CollectionPolicy, UntaggedRule
from dockreg.model.digest import Digest
from dockreg.model.mediatypes import OCI_INDEX, OCI_MANIFEST
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.patterns import RepositoryPattern
from dockreg.model.v1 import AnnouncedImage, ImageID, TagClient
from dockreg.providers.metadata.tables import manifest_blobs, manifests, repository_blobs, tags
from dockreg.providers.metadata.tables_collection import collection_state
from tests.unit.collectioncase import GRACE, LEASE, REPUSH, Worker, World
from tests.unit.v1case import document, payload, tar_layer, token
from tests.unit.v2case import described, encoded

KEPT, EXPIRING = RepositoryName("kept/app"), RepositoryName("ci/app")
JOE = Principal("joe")
EXPIRE = 300.0
POLICY = CollectionPolicy(GRACE, LEASE, REPUSH, (UntaggedRule((RepositoryPattern("ci/**"),), EXPIRE),))
#: Two layers, which come through v1, too, and a config.
LAYERS, CONFIG = (tar_layer("a"), tar_layer("b")), b"{}"
BLOBS = {Digest.sha256(content): content for content in (*LAYERS, CONFIG)}
V1 = {ImageID(letter * 64): layer for letter, layer in zip("ab", LAYERS, strict=True)}
_OCI = "application/vnd.oci.image"

WORKERS = st.integers(0, 1)
REPOSITORIES = st.sampled_from([KEPT, EXPIRING])
DIGESTS = st.sampled_from(list(BLOBS))
TAGS = st.just(Tag("one"))
IMAGES = st.sampled_from([(LAYERS[0],), (LAYERS[1],), LAYERS])
Layers = tuple[bytes, ...]


def manifest_of(layers: Layers) -> bytes:
    """An image with these layers."""
    parts = [described(f"{_OCI}.layer.v1.tar+gzip", layer) for layer in layers]
    config = described(f"{_OCI}.config.v1+json", CONFIG)
    return encoded({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": parts})


def index_of(images: Sequence[Layers]) -> bytes:
    """An index of images."""
    children = [described(OCI_MANIFEST, manifest_of(layers)) for layers in images]
    return encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})


class CollectionMachine(RuleBasedStateMachine):
    """What is promised is kept; what nobody needs goes."""

    folder: ClassVar[Path]
    numbers: ClassVar[Any] = count(1)

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.folder / f"run-{next(self.numbers)}", POLICY)
        #: Until when somebody may rely on a blob, a manifest or an image of a repository.
        self.told: dict[tuple[RepositoryName, Digest | ImageID], float] = {}
        #: How often people have begun or ended to remove something of a repository.
        self.cuts: Counter[RepositoryName] = Counter()
        #: What tags are for sure; how many change some of a repository now, and how often that was begun.
        self.tags: dict[tuple[RepositoryName, Tag], Digest] = {}
        self.changing_now: Counter[RepositoryName] = Counter()
        self.changes: Counter[RepositoryName] = Counter()
        self.problems: list[str] = []

    # Words of the rules

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin something; what a client would be refused is all right."""

        def failed(failure: Any) -> None:
            if failure.check(RegistryError) is None:
                self.problems.append(failure.getTraceback())

        _ = self.world.begin(work).addErrback(failed)

    async def telling(self, name: RepositoryName, what: Digest | ImageID, work: Coroutine[Any, Any, object]) -> None:
        """Who is told of this may rely on it, unless somebody else removes things meanwhile."""
        cut = self.cuts[name]
        found = await work
        if found is not None and cut == self.cuts[name]:
            self.told[name, what] = self.world.clock.seconds() + LEASE / 2

    def relies(self, name: RepositoryName, what: Digest | ImageID) -> bool:
        """Whether somebody may rely on this now."""
        return self.told.get((name, what), 0.0) > self.world.clock.seconds()

    async def removing(
        self, name: RepositoryName, gone: Sequence[Digest | ImageID] | None, work: Coroutine[Any, Any, object]
    ) -> None:
        """Remove something; nobody can rely on it any more (None: on anything of the repository)."""
        self.distrust(name, gone)
        try:
            await work
        finally:
            self.distrust(name, gone)

    def distrust(self, name: RepositoryName, gone: Sequence[Digest | ImageID] | None) -> None:
        """Nobody can rely on it any more."""
        self.cuts[name] += 1
        for key in [key for key in self.told if key[0] == name and (gone is None or key[1] in gone)]:
            del self.told[key]

    async def changing(self, name: RepositoryName, tag: Tag | None, work: Coroutine[Any, Any, object]) -> None:
        """Change a tag, or (None) all of a repository. While several do so, nobody knows what comes of it."""
        for key in [key for key in self.tags if key[0] == name and tag in (None, key[1])]:
            del self.tags[key]
        self.changes[name] += 1
        self.changing_now[name] += 1
        alone, begun = self.changing_now[name] == 1, self.changes[name]
        try:
            digest = await work
        finally:
            self.changing_now[name] -= 1
        if tag is not None and isinstance(digest, Digest) and alone and begun == self.changes[name]:
            self.tags[name, tag] = digest

    # What clients do

    @rule(worker=WORKERS, name=REPOSITORIES, digest=DIGESTS)
    def upload(self, worker: int, name: RepositoryName, digest: Digest) -> None:
        """A blob in one request."""
        self.begin(self.telling(name, digest, self.bring(self.world.workers[worker], name, digest)))

    async def bring(self, process: Worker, name: RepositoryName, digest: Digest) -> bool:
        """Upload a blob."""
        part = await process.uploads.begin(JOE, name, digest)
        await part.write([BLOBS[digest]])
        await part.commit(digest)
        return True

    @rule(worker=WORKERS, name=REPOSITORIES, digest=DIGESTS)
    def mount(self, worker: int, name: RepositoryName, digest: Digest) -> None:
        """A blob of the other repository."""
        source = KEPT if name == EXPIRING else EXPIRING
        work = self.world.workers[worker].uploads.mount(JOE, name, digest, source)
        self.begin(self.telling(name, digest, work))

    @rule(worker=WORKERS, name=REPOSITORIES, digest=DIGESTS, whole=st.booleans())
    def head(self, worker: int, name: RepositoryName, digest: Digest, whole: bool) -> None:
        """Is it there?"""
        work = self.world.workers[worker].registry.told_blob(JOE, name, digest)
        self.begin(self.telling(name, digest, work))
        self.end(whole)

    @rule(worker=WORKERS, name=REPOSITORIES, layers=IMAGES, tag=TAGS | st.none(), whole=st.booleans())
    def push(self, worker: int, name: RepositoryName, layers: Layers, tag: Tag | None, whole: bool) -> None:
        """An image as a client pushes it: what it is told is there it does not bring. It is not refused for that."""
        pushing = self.push_image(self.world.workers[worker], name, layers, tag)
        self.begin(pushing if tag is None else self.changing(name, tag, pushing))
        self.end(whole)

    def end(self, whole: bool) -> None:
        """Nothing comes between, and a collection follows."""
        if whole:
            self.world.jobs.run_all()
            self.collect(0, whole=True)

    async def push_image(self, process: Worker, name: RepositoryName, layers: Layers, tag: Tag | None) -> Digest:
        """The blobs, and then the manifest."""
        content, needed = manifest_of(layers), [Digest.sha256(each) for each in (*layers, CONFIG)]
        digest, cut = Digest.sha256(content), self.cuts[name]
        for each in needed:
            await self.telling(name, each, self.told_or_brought(process, name, each))
        try:
            await process.manifests.put(JOE, name, tag or digest, content, OCI_MANIFEST)
        except ReferencesUnknown as error:
            if cut == self.cuts[name] and all(self.relies(name, each) for each in needed):
                self.problems.append(f"{name}: {error}, of which somebody was told that it is there")
            raise
        return digest

    async def told_or_brought(self, process: Worker, name: RepositoryName, digest: Digest) -> bool:
        """Ask for a blob, and upload it if it is not there."""
        try:
            await process.registry.told_blob(JOE, name, digest)
        except BlobUnknown:
            await self.bring(process, name, digest)
        return True

    @rule(worker=WORKERS, name=REPOSITORIES, images=st.lists(IMAGES, min_size=1, max_size=2), tag=TAGS)
    def push_index(self, worker: int, name: RepositoryName, images: Sequence[Layers], tag: Tag) -> None:
        """An index of manifests, which are there or not."""
        content = index_of(images)

        async def work(process: Worker) -> Digest:
            return (await process.manifests.put(JOE, name, tag, content, OCI_INDEX)).digest

        self.begin(self.changing(name, tag, work(self.world.workers[worker])))

    @rule(worker=WORKERS, name=REPOSITORIES, layers=IMAGES)
    def head_manifest(self, worker: int, name: RepositoryName, layers: Layers) -> None:
        """Is this manifest there?"""
        digest = Digest.sha256(manifest_of(layers))

        async def work(process: Worker) -> bool:
            await process.manifests.get(name, digest, parse_accept([], ""), str(name))
            await process.manifests.keep(JOE, name, digest)
            return True

        self.begin(self.telling(name, digest, work(self.world.workers[worker])))

    @rule(worker=WORKERS, name=REPOSITORIES, image_id=st.sampled_from(list(V1)), tag=TAGS | st.none())
    def push_v1(self, worker: int, name: RepositoryName, image_id: ImageID, tag: Tag | None) -> None:
        """An image as an engine pushes it: what it is told is there it passes over."""
        layer, content = V1[image_id], document(image_id)
        caller = token(name, "joe")

        async def push(process: Worker) -> bool:
            images = process.images
            try:
                await images.told(caller, image_id)
            except RegistryError:
                await images.put_json(caller, image_id, content)
                upload = await images.start_layer(caller, image_id)
                await upload.write([layer])
                await upload.finish()
                await images.put_checksum(caller, image_id, payload(content, layer))
                await images.told(caller, image_id)
            return True

        async def work(process: Worker) -> None:
            await process.registry.create_repository(caller.principal, name, [AnnouncedImage(image_id)])
            await self.telling(name, image_id, push(process))
            if tag is not None:
                await process.images.put_tag(caller, name, tag, image_id, TagClient())

        pushing = work(self.world.workers[worker])
        self.begin(pushing if tag is None else self.changing(name, tag, pushing))

    @rule(worker=WORKERS, name=REPOSITORIES, tag=TAGS)
    def delete_tag(self, worker: int, name: RepositoryName, tag: Tag) -> None:
        """A tag goes."""
        self.begin(self.changing(name, tag, self.world.workers[worker].registry.delete_tag(name, tag)))

    @rule(worker=WORKERS, name=REPOSITORIES, layers=IMAGES, whole=st.booleans())
    def delete_manifest(self, worker: int, name: RepositoryName, layers: Layers, whole: bool) -> None:
        """A manifest goes, with its tags and its v1 image."""
        digest = Digest.sha256(manifest_of(layers))
        work = self.world.workers[worker].manifests.delete(name, digest)
        self.begin(self.changing(name, None, self.removing(name, [digest, *V1], work)))
        self.end(whole)

    @rule(worker=WORKERS, name=REPOSITORIES, digest=DIGESTS)
    def delete_blob(self, worker: int, name: RepositoryName, digest: Digest) -> None:
        """A client has a blob removed from a repository."""
        self.begin(self.removing(name, [digest], self.world.workers[worker].metadata.blobs.unlink(name, digest)))

    @rule(worker=WORKERS, name=REPOSITORIES, chance=st.integers(0, 2))
    def delete_repository(self, worker: int, name: RepositoryName, chance: int) -> None:
        """A repository goes, now and then."""
        if not chance:
            work = self.world.workers[worker].registry.delete_repository(name)
            self.begin(self.changing(name, None, self.removing(name, None, work)))

    # What happens to it

    @rule(worker=WORKERS, whole=st.booleans())
    def collect(self, worker: int, whole: bool) -> None:
        """A round of a collector begins, whether others are under way or not; it may be over at once."""

        async def work(process: Worker) -> None:
            # Whoever leads: several at once do no harm.
            await process.collector.tick()

        self.begin(work(self.world.workers[worker]))
        if whole:
            self.world.jobs.run_all()

    @rule(
        seconds=st.sampled_from([GRACE + 1, EXPIRE + 1, LEASE * 0.45, LEASE * 0.55, LEASE * 1.1]), whole=st.booleans()
    )
    def advance(self, seconds: float, whole: bool) -> None:
        """Time passes, in which the collector has looked at the clock."""
        self.world.clock.advance(seconds)
        seen = update(collection_state).values(seen_at=self.world.clock.seconds(), held_until=0.0)

        def change(connection: Connection) -> None:
            connection.execute(seen)

        self.world.workers[0].metadata._database._repeat(True, change)
        self.end(whole)

    @rule(which=st.lists(st.integers(0, 5), min_size=1, max_size=12))
    def go_on(self, which: Sequence[int]) -> None:
        """Threads do some of what waits for them, in any order."""
        for number in which:
            if len(self.world.jobs):
                self.world.jobs.run(number)

    @rule()
    def finish(self) -> None:
        """All that was begun ends."""
        self.world.jobs.run_all()

    @rule(chance=st.integers(0, 2))
    def crash(self, chance: int) -> None:
        """Everything that was begun breaks off, now and then."""
        if not chance:
            self.world.crash()
            self.changing_now.clear()

    # What must be so, always

    @invariant()
    def nothing_fails(self) -> None:
        """Nobody gets an error that is not for clients, or is told what is not so."""
        assert not self.problems, self.problems[0]

    @invariant()
    def every_row_has_its_object(self) -> None:
        """What the metadata names is stored."""
        missing = self.world.recorded() - self.world.objects()
        assert not missing, missing

    @invariant()
    def what_was_told_is_there(self) -> None:
        """Each promise is kept."""
        for name, what in self.told:
            assert not self.relies(name, what) or self.is_there(name, what), f"{name}: {what} was promised"

    def is_there(self, name: RepositoryName, what: Digest | ImageID) -> bool:
        """Whether a repository has it; such a read waits for no thread."""
        metadata, outcome = self.world.workers[0].metadata, list[Any]()
        find: Coroutine[Any, Any, object] = (
            metadata.images.find_in(name, what)
            if isinstance(what, ImageID)
            else metadata.blobs.find_in(name, what)
            if what in BLOBS
            else metadata.manifests.get(name, what)
        )
        _ = self.world.begin(find).addErrback(lambda _: None).addCallback(outcome.append)
        return outcome[0] is not None

    @invariant()
    def manifests_are_whole(self) -> None:
        """A tag that was acknowledged is there, and the repository has what a manifest holds."""
        held = select(manifests.c.repository_key, manifest_blobs.c.held_digest).join(
            manifests, manifests.c.key == manifest_blobs.c.manifest_key
        )
        held = held.where(manifest_blobs.c.held_digest.is_not(None))
        linked = select(repository_blobs.c.repository_key, repository_blobs.c.digest)
        assert not {tuple(row) for row in self.world.rows(held)} - {tuple(row) for row in self.world.rows(linked)}
        pointing = select(tags.c.name, manifests.c.digest).join(manifests, manifests.c.key == tags.c.manifest_key)
        there = {tuple(row) for row in self.world.rows(pointing)}
        for (_, tag), digest in self.tags.items():
            assert (tag.value, str(digest)) in there, f"{tag} was {digest}"

    def teardown(self) -> None:
        """When nobody does anything any more, all goes that nobody needs."""
        self.world.jobs.run_all()
        self.world.recover()
        for name in (KEPT, EXPIRING):
            self.begin(self.world.workers[0].registry.delete_repository(name))
            self.world.jobs.run_all()
        self.world.clock.advance(REPUSH)
        now = self.world.clock.seconds()
        self.world.now(self.world.workers[0].metadata.images.expire_staged(now))
        self.world.collect_all()
        self.world.stop()
        assert not self.world.objects(), "garbage stays"


class CollectionModelTests(SynchronousTestCase):
    """Collection against the model."""

    def test_model(self) -> None:
        """Whatever the order, and wherever it breaks off: promises are kept, and what nobody needs goes."""
        CollectionMachine.folder = Path(self.mktemp()).absolute()
        steady = settings(
            max_examples=40,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(CollectionMachine, settings=steady)  # type: ignore[no-untyped-call, unused-ignore]
