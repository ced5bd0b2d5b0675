"""
Import of what is in an archive: blobs first, then manifests, and when all of that is durable the tags.

What the registry has already is not sent again, so an import that was interrupted is simply run again.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import define, field, frozen

from dockreg.cli.failures import CommandFailed
from dockreg.cli.members import Members, Stored
from dockreg.cli.moving.contents import ArchivedManifest, Contents, Entry
from dockreg.cli.moving.stores import Stores
from dockreg.cli.progress import Meter, Reporter
from dockreg.errors import DigestInvalid, NameUnknown, RegistryError, TagUnknown
from dockreg.model.access import Principal
from dockreg.model.digest import Digest, Hasher
from dockreg.model.names import RepositoryName, Tag

_PIECE = 1024 * 1024


@frozen
class Choice:
    """
    What the command line says.

    ``into`` is the repository of all that is imported, ``only`` what is imported of the archive (``REPOSITORY[:TAG]``,
    empty for all), ``owner`` whose new repositories are, ``private`` what they are, None for what the archive or else
    the registry says.
    """

    into: RepositoryName | None = None
    only: frozenset[str] = frozenset()
    owner: str | None = None
    private: bool | None = None


@define
class Imported:
    """What was done: tags by repository, how many blobs and bytes were new, what was there, what was left out and why."""

    repositories: dict[str, list[str]] = field(factory=dict)
    manifests: int = 0
    blobs: int = 0
    present: int = 0
    bytes: int = 0
    moved: list[str] = field(factory=list)
    left_out: list[str] = field(factory=list)


#: By repository: each manifest that has a name or none, with its tags.
Plan = Mapping[RepositoryName, Mapping[Digest, Sequence[Tag]]]


def plan(contents: Contents, choice: Choice) -> Plan:
    """
    Which manifest goes into which repository, under which tags.

    :raises CommandFailed: that is not clear.
    """
    entries = [each for each in contents.entries if not choice.only or _is_chosen(each, choice.only)]
    if choice.only:
        entries += _referring(contents, entries)
    if not entries:
        raise CommandFailed("the archive has none of these images: " + (", ".join(_names(contents)) or "it names none"))
    named = {each.name.repository for each in entries} - {None}
    default = next(iter(named)) if len(named) == 1 else None
    planned: dict[RepositoryName, dict[Digest, list[Tag]]] = {}
    targets: dict[tuple[RepositoryName, Tag], Digest] = {}
    for entry in entries:
        name = choice.into or entry.name.repository or default
        if name is None:
            raise CommandFailed(f"the archive does not say which repository {entry.digest} is of: name one with --into")
        tags = planned.setdefault(name, {}).setdefault(entry.digest, [])
        if entry.name.tag is not None and entry.name.tag not in tags:
            tags.append(entry.name.tag)
            if targets.setdefault((name, entry.name.tag), entry.digest) != entry.digest:
                raise CommandFailed(
                    f"two images of the archive would be {name}:{entry.name.tag}: choose one with --only, of"
                    f" {', '.join(_names(contents))}"
                )
    return planned


def _is_chosen(entry: Entry, only: frozenset[str]) -> bool:
    name = entry.name
    if name.repository is None:
        return name.tag is not None and f":{name.tag}" in only
    return str(name.repository) in only or (name.tag is not None and f"{name.repository}:{name.tag}" in only)


def _referring(contents: Contents, chosen: Sequence[Entry]) -> Sequence[Entry]:
    """What has no tag and refers to what was chosen: signatures, lists of materials."""
    referring: dict[tuple[RepositoryName | None, Digest | None], list[Entry]] = {}
    for each in contents.entries:
        if each.name.tag is None:
            key = (each.name.repository, contents.manifests[each.digest].subject)
            referring.setdefault(key, []).append(each)
    found: list[Entry] = []
    waiting = [(each.name.repository, each.digest) for each in chosen]
    seen = set(waiting)
    while waiting:
        repository, digest = waiting.pop()
        more = [(repository, child) for child in contents.manifests[digest].children]
        for each in referring.get((repository, digest), ()):
            if (repository, each.digest) not in seen:
                found.append(each)
                more.append((repository, each.digest))
        waiting += [key for key in more if key not in seen]
        seen.update(more)
    return found


def _names(contents: Contents) -> Sequence[str]:
    found = {f"{each.name.repository or ''}:{each.name.tag}" for each in contents.entries if each.name.tag is not None}
    return sorted(found)


@define(eq=False)
class Import:
    """One import."""

    _stores: Stores
    _members: Members
    _contents: Contents
    _choice: Choice
    _reporter: Reporter
    done: Imported = field(factory=Imported, init=False)
    _meter: Meter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._meter = self._reporter.meter("blobs", None)

    async def run(self, planned: Plan) -> Imported:
        """
        Import what is planned.

        :raises CommandFailed: something is wrong with the archive. :raises RegistryError: or with the registry. In both
            cases no tag was set.
        """
        self.done.left_out += self._contents.left_out
        for name, manifests in planned.items():
            await prepare(self._stores, name, self._choice, self._contents)
            for digest in manifests:
                await self._blobs(name, digest)
        # From here on nothing can be wrong with the archive any more.
        for name, manifests in planned.items():
            for digest in manifests:
                await self._manifest(name, digest)
        for name, manifests in planned.items():
            tagged = self.done.repositories.setdefault(name.value, [])
            for digest, tags in manifests.items():
                if tags:
                    await self._tag(name, digest, tags)
                    tagged += [tag.value for tag in tags]
        return self.done

    async def _blobs(self, name: RepositoryName, top: Digest) -> None:
        pending, seen = [top], set[Digest]()
        while pending:
            digest = pending.pop()
            if digest not in seen:
                seen.add(digest)
                for blob in self._contents.manifests[digest].blobs:
                    await self._blob(name, blob)
                pending += self._contents.manifests[digest].children

    async def _manifest(self, name: RepositoryName, top: Digest) -> None:
        pending = [(top, False)]
        seen: set[Digest] = set()
        while pending:
            digest, is_ready = pending.pop()
            manifest = self._contents.manifests[digest]
            if is_ready:
                await self._put(name, manifest, ())
            elif digest not in seen:
                seen.add(digest)
                pending.append((digest, True))
                pending += [(child, False) for child in manifest.children]

    async def _put(self, name: RepositoryName, manifest: ArchivedManifest, tags: Sequence[Tag]) -> None:
        content = manifest.content
        if isinstance(content, Stored):
            content = await self._stores.registry.in_thread(self._members.content, content.name)
        try:
            await self._stores.manifests.put(
                Principal(self._choice.owner), name, manifest.digest, content, manifest.media_type, tags
            )
        except RegistryError as error:
            raise CommandFailed(f"{self._members.path}: manifest {manifest.digest} for {name}: {error}") from None
        if not tags:
            self.done.manifests += 1

    async def _tag(self, name: RepositoryName, digest: Digest, tags: Sequence[Tag]) -> None:
        for tag in tags:
            with suppress(TagUnknown):
                record = await self._stores.registry.get_tag(name, tag)
                if record.digest != digest:
                    self.done.moved.append(f"{name}:{tag} was {record.digest or record.image_id}")
        await self._put(name, self._contents.manifests[digest], tags)
        for tag in tags:
            self._reporter.say(f"{name}:{tag}: {digest}")

    def _check(self, digest: Digest) -> None:
        stored, hasher, position = self._contents.blobs[digest], Hasher(digest.algorithm), 0
        while data := self._members.read(stored, position, _PIECE):
            hasher.update(data)
            position += len(data)
        if hasher.digest != digest:
            raise self._members.invalid(f"has other content in {stored.name} than it should, {digest}")

    async def _blob(self, name: RepositoryName, digest: Digest) -> None:
        principal, registry = Principal(self._choice.owner), self._stores.registry
        # What is there is leased again, so that nothing collects it before its manifest comes.
        # What only other repositories have is read: to know a digest is no right to what it is of.
        known = await registry.metadata.blobs.find_in(name, digest)
        source = None if known is None else name
        if known is None and await registry.metadata.blobs.find(digest) is not None:
            await registry.in_thread(self._check, digest)
        found = await self._stores.uploads.mount(principal, name, digest, source)
        if found is not None and found.lost is None:
            self.done.present += 1
            return
        stored = self._contents.blobs[digest]
        upload = await self._stores.uploads.begin(principal, name, digest)
        try:
            position = 0
            while data := await registry.in_thread(self._members.read, stored, position, _PIECE):
                await upload.write([data])
                position += len(data)
                self._meter.advance(len(data))
            await upload.commit(digest)
        except DigestInvalid:
            raise self._members.invalid(f"has other content in {stored.name} than it should, {digest}") from None
        finally:
            await upload.release()
        self.done.blobs += 1
        self.done.bytes += position


async def prepare(stores: Stores, name: RepositoryName, choice: Choice, contents: Contents | None = None) -> None:
    """Make sure that the repository is there. A new one gets its owner, and is private, before anything is in it."""
    repositories = stores.registry.metadata.repositories
    with suppress(NameUnknown):
        await repositories.get(name)
        return
    told = None if contents is None else contents.facts.get(name)
    owner = choice.owner if choice.owner is not None or told is None else told.owner
    record = await repositories.create(name, owner, stores.registry.clock.seconds())
    private = choice.private if choice.private is not None or told is None else told.private
    if private is not None and private != record.private:
        await repositories.set_private(name, private)
