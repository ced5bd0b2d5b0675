"""``dockreg import v1-tree``: the images and tags of an old registry, whatever state its folder is in."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from dockreg.callables import InThread
from dockreg.cli.moving.importing import Choice, prepare
from dockreg.cli.moving.names import parse_repository
from dockreg.cli.moving.stores import Stores
from dockreg.cli.moving.v1chains import Broken, ChainImport, Conflict, SourceImage, check
from dockreg.cli.moving.v1tree import Tree, TreeRepository, TreeTag
from dockreg.cli.progress import Meter, Reporter
from dockreg.errors import LayerTooLarge, NameInvalid, TagInvalid
from dockreg.model.layers import LayerInspector, PayloadHasher
from dockreg.model.names import RepositoryName, Tag
from dockreg.model.v1 import Checksums, ImageID, V1Image

_PIECE = 1024 * 1024


@frozen
class Problem:
    """What could not be taken, and why."""

    what: str
    why: str


@define
class TreeDone:
    """
    What was done, or (``dry_run``) would be: tags by repository, new images with the bytes of their layers, images that
    were there, tags that are something else and stay, problems, and images that no tag reaches.
    """

    dry_run: bool
    repositories: dict[str, list[str]] = field(factory=dict)
    images: int = 0
    present: int = 0
    bytes: int = 0
    kept: list[str] = field(factory=list)
    problems: list[Problem] = field(factory=list)
    untagged: int = 0
    unfinished: int = 0


@frozen
class TreeChoice:
    """What the command line says. ``renamed`` maps names in the tree to names here."""

    choice: Choice = field(factory=Choice)
    renamed: Mapping[str, RepositoryName] = field(factory=dict)
    only: frozenset[str] = frozenset()
    overwrite: bool = False
    unverified: bool = False


@define(eq=False)
class TreeImport:
    """
    One run. What is there already is found by json, parent and size, and not read again.

    :param _stores: None in a dry run without a registry: then nothing is there.
    """

    _tree: Tree
    _stores: Stores | None
    _in_thread: InThread
    _asked: TreeChoice
    _reporter: Reporter
    done: TreeDone
    # What became of each image: in a dry run None for one that would be new.
    _images: dict[ImageID, V1Image | Broken | None] = field(factory=dict, init=False)
    _meter: Meter = field(init=False)
    _chains: ChainImport | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._meter = self._reporter.meter("layers", None)
        if self._stores is not None:
            owner, unverified = self._asked.choice.owner, self._asked.unverified
            self._chains = ChainImport(self._stores, owner, self._meter.advance, unverified)

    async def run(self) -> TreeDone:
        """Take what can be taken. :raises RegistryError: the stores do not work."""
        for repository in await self._in_thread(lambda: [*self._tree.repositories()]):
            if not self._asked.only or repository.name in self._asked.only:
                await self._repository(repository)
        if not self._asked.only:
            await self._in_thread(self._count_untagged)
        return self.done

    def _count_untagged(self) -> None:
        reached = {str(image_id) for image_id in self._images}
        for image_id in self._tree.image_ids():
            if image_id not in reached:
                self.done.untagged += 1
                self.done.unfinished += self._tree.is_unfinished(image_id)

    async def _repository(self, repository: TreeRepository) -> None:
        try:
            name = self._asked.renamed.get(repository.name) or parse_repository(repository.name)
        except NameInvalid as error:
            self._problem(repository.name, f"{error}; give it another name with --rename '{repository.name}=NAME'")
            return
        try:
            tags = await self._in_thread(lambda: [*self._tree.tags(repository)])
        except Broken as error:
            self._problem(repository.name, str(error))
            return
        is_ready = False
        for each in tags:
            what = f"{name}:{each.name}"
            try:
                tag, image_id = _sound(each)
                chain = await self._in_thread(self._tree.chain, image_id)
                if not is_ready and not self.done.dry_run:
                    await self._prepare(name, repository)
                    is_ready = True
                image = await self._chain(name, chain)
                await self._tag(name, tag, image_id, image, each)
            except (Broken, TagInvalid) as error:
                self._problem(what, str(error))

    async def _prepare(self, name: RepositoryName, repository: TreeRepository) -> None:
        assert self._stores is not None
        choice = self._asked.choice
        private = True if repository.private and choice.private is None else choice.private
        await prepare(self._stores, name, Choice(owner=choice.owner, private=private))

    async def _chain(self, name: RepositoryName, chain: Sequence[ImageID]) -> V1Image | None:
        parent: V1Image | None = None
        for image_id in chain:
            if image_id not in self._images:
                self._images[image_id] = await self._one(name, image_id, parent)
            found = self._images[image_id]
            if isinstance(found, Broken):
                raise found if image_id == chain[-1] else Broken(f"its ancestor {image_id}: {found}")
            parent = found
        return parent

    async def _one(self, name: RepositoryName, image_id: ImageID, parent: V1Image | None) -> V1Image | Broken | None:
        try:
            source = await self._in_thread(self._tree.image, image_id)
            found, new = await self._image(name, source, parent)
        except Conflict:
            raise
        except Broken as error:
            return error
        self.done.images += new
        self.done.present += not new
        self.done.bytes += source.layer.size if new else 0
        return found

    async def _image(
        self, name: RepositoryName, source: SourceImage, parent: V1Image | None
    ) -> tuple[V1Image | None, bool]:
        if self._chains is not None and not self.done.dry_run:
            return await self._chains.image(name, source, parent)
        found = None if self._chains is None else await self._chains.present(name, source, parent)
        if found is not None:
            return found, False
        await self._in_thread(_inspect, source, self._asked.unverified, self._meter.advance)
        return None, True

    async def _tag(
        self, name: RepositoryName, tag: Tag, image_id: ImageID, image: V1Image | None, found: TreeTag
    ) -> None:
        before = ""
        if self._chains is not None and not self.done.dry_run:
            assert image is not None
            before = await self._chains.tag(name, tag, image, found.client, move=self._asked.overwrite)
        elif self._chains is not None:
            before = await self._chains.tagged(name, tag)
        if before not in ("", str(image_id)) and not self._asked.overwrite:
            self.done.kept.append(f"{name}:{tag} is {before} here, and {image_id} in the tree")
            return
        self.done.repositories.setdefault(name.value, []).append(tag.value)
        self._reporter.say(f"{name}:{tag}: {image_id}")

    def _problem(self, what: str, why: str) -> None:
        self.done.problems.append(Problem(what, why))
        self._reporter.say(f"{what}: {why}")


def _sound(found: TreeTag) -> tuple[Tag, ImageID]:
    if found.image_id is None:
        raise Broken("its file holds no image id")
    return Tag.parse(found.name), found.image_id


def _inspect(source: SourceImage, unverified: bool, advance: Any) -> None:
    """Read a layer, as an import would. :raises Broken: the image could not be taken."""
    payload, inspector, position = PayloadHasher(source.json), LayerInspector(), 0
    try:
        while data := source.layer.read(position, _PIECE):
            payload.update(data)
            inspector.update(data)
            position += len(data)
            advance(len(data))
        facts = inspector.finish()
    except LayerTooLarge as error:
        raise Broken(str(error)) from None
    found = Checksums(payload.checksum, inspector.tarsums(source.json))
    check(source, found, is_tar=facts.diff_id is not None, unverified=unverified)
