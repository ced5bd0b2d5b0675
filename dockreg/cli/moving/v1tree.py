"""
The storage folder of docker-registry, the old registry in Python (0.5 to 0.9.1), as it lies on a disk.

Nothing in it is believed: what matters is ``json`` and ``layer`` of an image, and the files of tags. Images that are not
whole, as mirrors and broken uploads left them, are told from others by what is in them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from attrs import frozen

from dockreg.cli.failures import CommandFailed
from dockreg.cli.moving.v1chains import Broken, SourceImage
from dockreg.errors import ImageJSONInvalid, ImageUnknown
from dockreg.model.v1 import MAX_ANCESTRY, ImageID, ImageJSON, TagClient

_MAX_SMALL = 1024 * 1024
_TAG = "tag_"
_CHECKSUMS = ("sha256:", "tarsum+sha256:")
_MOST_DECODINGS = 3


@frozen
class FileLayer:
    """The bytes of a layer in a file."""

    path: Path
    size: int

    def read(self, position: int, limit: int) -> bytes:
        """See :class:`.LayerSource`. :raises Broken: the file can not be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(position)
                return file.read(limit)
        except OSError as error:
            raise Broken(f"its layer can not be read: {error.strerror}") from None


@frozen
class TreeTag:
    """A tag: its name, the image that it points to (None: none), and what a client said of itself when it set it."""

    name: str
    image_id: ImageID | None
    client: TagClient


@frozen
class TreeRepository:
    """A repository: its name as users typed it, whether it was private, and its folder."""

    name: str
    private: bool
    folder: Path


class Tree:
    """
    The folder, with ``images`` and ``repositories`` in it.

    :param max_json: how many bytes an image json may have.
    :raises CommandFailed: it is no such folder.
    """

    def __init__(self, path: Path, max_json: int) -> None:
        if not (path / "images").is_dir() or not (path / "repositories").is_dir():
            raise CommandFailed(
                f"{path} is no storage folder of docker-registry: it lacks the folders images and repositories"
            )
        self._images = path / "images"
        self._repositories = path / "repositories"
        self._max_json = max_json
        self._parents: dict[ImageID, ImageID | Broken | None] = {}

    def repositories(self) -> Iterator[TreeRepository]:
        """All of them, in the order of the folders."""
        for namespace in _folders(self._repositories):
            for folder in _folders(namespace):
                name = f"{_decoded(namespace.name)}/{_decoded(folder.name)}"
                yield TreeRepository(name, (folder / "_private").exists(), folder)

    def tags(self, repository: TreeRepository) -> Iterator[TreeTag]:
        """
        The tags of a repository, in the order of their files.

        Properties of a tag that begins with ``_`` lie where another tag could lie; they are told by what is in them.
        """
        for path in sorted(repository.folder.glob(f"{_TAG}*")):
            written = path.name.removeprefix(_TAG)
            content = _small(path)
            try:
                image_id: ImageID | None = ImageID.parse(content.decode("ascii", "replace").strip())
            except ImageUnknown:
                if written.endswith("_json") and isinstance(_parsed(content), dict):
                    continue
                image_id = None
            client = _client(repository.folder / f"tag{written}_json")
            if client is None and written == "latest":
                client = _client(repository.folder / "json")
            yield TreeTag(unquote_plus(written), image_id, client or TagClient())

    def image_ids(self) -> Iterator[str]:
        """What the folders of images are called."""
        for folder in _folders(self._images):
            yield folder.name

    def is_unfinished(self, image_id: str) -> bool:
        """Whether the upload of an image never came to its end."""
        return (self._images / image_id / "_inprogress").exists()

    def chain(self, image_id: ImageID) -> Sequence[ImageID]:
        """
        An image and its ancestors, base first, as their jsons tell them: the file ``ancestry`` may be wrong.

        :raises Broken: one of them is missing or not whole, or there is a circle.
        """
        chain: list[ImageID] = []
        wanted: ImageID | None = image_id
        while wanted is not None:
            if wanted in chain:
                raise Broken(f"its ancestors are a circle: {wanted} comes twice")
            chain.append(wanted)
            if len(chain) > MAX_ANCESTRY:
                raise Broken(f"it has more than {MAX_ANCESTRY - 1} ancestors")
            parent = self._parent(wanted)
            if isinstance(parent, Broken):
                raise parent if wanted == image_id else Broken(f"its ancestor {wanted}: {parent}")
            wanted = parent
        return chain[::-1]

    def image(self, image_id: ImageID) -> SourceImage:
        """
        An image.

        :raises Broken: it is not whole, as far as that can be told without reading its layer.
        """
        folder = self._images / str(image_id)
        if not folder.is_dir():
            raise Broken("it is not there")
        if (folder / "_inprogress").exists():
            raise Broken("its upload was never finished (_inprogress)")
        document = self._json(folder)
        if document.image_id != image_id:
            raise Broken(f"its json is that of image {document.image_id}")
        layer = folder / "layer"
        if not layer.is_file():
            raise Broken("it has no layer")
        source = FileLayer(layer, layer.stat().st_size)
        return SourceImage(image_id, document.content, source, _checksums(folder / "_checksum"))

    def _parent(self, image_id: ImageID) -> ImageID | Broken | None:
        if image_id not in self._parents:
            try:
                self._parents[image_id] = ImageJSON.parse(self.image(image_id).json).parent
            except Broken as error:
                self._parents[image_id] = error
        return self._parents[image_id]

    def _json(self, folder: Path) -> ImageJSON:
        path = folder / "json"
        if not path.is_file():
            raise Broken("it has no json")
        if path.stat().st_size > self._max_json:
            raise Broken(f"its json has more than {self._max_json} bytes")
        try:
            return ImageJSON.parse(_small(path, self._max_json))
        except ImageJSONInvalid as error:
            raise Broken(f"its json is damaged: {error}") from None


def _folders(path: Path) -> Iterator[Path]:
    try:
        yield from sorted(each for each in path.iterdir() if each.is_dir())
    except OSError as error:
        raise CommandFailed(f"{path} can not be read: {error.strerror}") from None


def _decoded(text: str) -> str:
    """
    A part of the name of a repository. It was quoted once up to 0.8.0, from 0.8.1 on the name of the repository twice;
    no name that is allowed has a ``%`` or a ``+`` in it, so all of it goes.
    """
    for _ in range(_MOST_DECODINGS):
        decoded = unquote_plus(text)
        if decoded == text:
            break
        text = decoded
    return text


def _small(path: Path, limit: int = _MAX_SMALL) -> bytes:
    """The content of a short file; of a long one its beginning."""
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise Broken(f"{path.name} can not be read: {error.strerror}") from None


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _checksums(path: Path) -> Sequence[str]:
    """
    What was noted of an image: a list since 0.7, before that one value as it is.

    Values of other kinds (tarsums of later versions) say nothing that is known here.
    """
    if not path.is_file():
        return ()
    content = _small(path)
    listed = _parsed(content)
    if isinstance(listed, str):
        listed = [listed]
    elif not isinstance(listed, list):
        listed = [content.decode("ascii", "replace").strip()]
    return [each for each in listed if isinstance(each, str) and each.startswith(_CHECKSUMS)]


def _client(path: Path) -> TagClient | None:
    """What was noted of the client that set a tag; None when nothing was."""
    if not path.is_file():
        return None
    told = _parsed(_small(path))
    if not isinstance(told, dict):
        return None
    texts = {name: _text(told, name) for name in ("docker_version", "docker_go_version", "kernel")}
    update = told.get("last_update")
    seconds = int(update) if isinstance(update, int | float) and 0 < update < 2**40 else None
    return TagClient(seconds, arch=_text(told, "arch") or "amd64", os=_text(told, "os") or "linux", **texts)


def _text(told: Mapping[str, Any], name: str) -> str | None:
    value = told.get(name)
    return value if isinstance(value, str) and value.isprintable() and len(value) <= 255 else None
