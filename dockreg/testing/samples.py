"""Images to push: small, deterministic, and with the oddities that real layers have."""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from dockreg.testing.tarsums import without_trailer

_CREATED = 1_400_000_000
_FLUSH_EVERY = 32 * 1024


@frozen
class V1Image:
    """One v1 image: its id, its json exactly as an engine sends it, and its layer as an uncompressed tar."""

    id: str
    json: bytes = field(repr=False)
    layer: bytes = field(repr=False)

    @property
    def parent(self) -> str | None:
        """The id of the next lower image; ``None`` for a base image."""
        parent = json.loads(self.json).get("parent")
        return parent if isinstance(parent, str) else None


def sample_id(seed: str) -> str:
    """A v1 image id (64 hex digits) that only depends on ``seed``."""
    return hashlib.sha256(seed.encode("utf-8")).hexdigest()


def image_json(image_id: str, parent: str | None, **more: object) -> bytes:
    """An image json in the key order and spelling of engines (1.0 to 1.8)."""
    config = {"Hostname": "", "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "Image": "", "Volumes": None, "OnBuild": None}
    document: dict[str, object] = {"id": image_id}
    if parent is not None:
        document["parent"] = parent
    document.update(created="2014-05-13T16:53:00.123456789Z", container_config=config, docker_version="1.2.0")
    document.update(author="a <b@example.org> & co", config=config, architecture="amd64", os="linux", Size=0, **more)
    text = json.dumps(document, separators=(",", ":"))
    # The encoder of engines escapes these three, which makes the bytes differ from those of other encoders.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode("ascii")


def make_tar(
    files: Mapping[str, bytes | None],
    tar_format: int = tarfile.USTAR_FORMAT,
    pax: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
) -> bytes:
    """
    An uncompressed tar that only depends on its arguments.

    :param files: path to content; ``None`` makes a directory.
    :param tar_format: one of the formats of :mod:`tarfile`.
    :param pax: records for every member; they need the pax format.
    :param links: path to target of symbolic links.
    """
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tar_format) as archive:
        for place, (path, content) in enumerate(files.items()):
            member = _member(path, place, pax)
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.mode = 0o755 if content is None else 0o644
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content or b""))
        for path, to in (links or {}).items():
            member = _member(path, 0, pax)
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, to, 0o777
            archive.addfile(member)
    return target.getvalue()


def _member(path: str, place: int, pax: Mapping[str, str] | None) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.mtime = _CREATED + place
    member.uname = member.gname = "root"
    member.pax_headers = dict(pax or {})
    return member


def bytes_of(seed: str, size: int) -> bytes:
    """``size`` bytes that do not compress and only depend on ``seed``."""
    return hashlib.shake_256(seed.encode("utf-8")).digest(size)


def make_image(seed: str, parent: V1Image | None = None, layer: bytes | None = None) -> V1Image:
    """An image whose id, json and (unless given) layer only depend on ``seed`` and its parent."""
    image_id = sample_id(seed)
    if layer is None:
        layer = make_tar({"etc/": None, f"etc/{image_id[:8]}": seed.encode("utf-8") * 100})
    return V1Image(image_id, image_json(image_id, parent.id if parent else None), layer)


def layered_image(seed: str = "sample", size: int = 70_000) -> tuple[V1Image, V1Image, V1Image]:
    """
    Three images, base first: a layer of ``size`` incompressible bytes, one with links and long names, an empty one.

    The last one is what engines push for every line of a Dockerfile that only sets a value.
    """
    base = make_image(f"{seed} base", None, make_tar({"data": bytes_of(seed, size), "etc/": None, "etc/a": b"a\n"}))
    long_name = "d" * 80 + "/" + "f" * 120
    middle = make_tar(
        {"etc/": None, "etc/.wh.a": b"", long_name: b"long"}, tarfile.GNU_FORMAT, links={"etc/b": "../data"}
    )
    image = make_image(f"{seed} middle", base, middle)
    return base, image, make_image(f"{seed} top", image, make_tar({}))


def odd_layers() -> Mapping[str, bytes]:
    """Layers, uncompressed, that have broken registries: by a name for the oddity."""
    plain = make_tar({"a": b"x" * 600})
    return {
        "no bytes at all": b"",
        "only a trailer": make_tar({}),
        "without a trailer": without_trailer(plain),
        "one zero block": without_trailer(plain) + bytes(512),
        "pax with an attribute": make_tar({"bin/a": b"abc"}, tarfile.PAX_FORMAT, {"SCHILY.xattr.user.demo": "1"}),
        "pax with a fractional time": make_tar({"a": b"abc"}, tarfile.PAX_FORMAT, {"mtime": "1400000000.75"}),
        "not ascii": make_tar({"grüße/ä": b"1"}, tarfile.PAX_FORMAT),
        "the same path twice": _twice("f", b"A", b"B"),
        "zeros inside": make_tar({"zeros": bytes(70_000), "after": b"1"}),
    }


def _twice(path: str, first: bytes, second: bytes) -> bytes:
    return without_trailer(make_tar({path: first})) + make_tar({path: second})


def gzip_layer(tar: bytes, flushed: bool = True) -> bytes:
    """The gzip stream that an engine sends, with flush points all along as engines write them."""
    if not flushed:
        return gzip.compress(tar, 6, mtime=0)
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    pieces = []
    for start in range(0, len(tar), _FLUSH_EVERY):
        pieces += [packer.compress(tar[start : start + _FLUSH_EVERY]), packer.flush(zlib.Z_SYNC_FLUSH)]
    return b"".join([*pieces, packer.flush()])


def chain_of(images: Sequence[V1Image], image_id: str) -> list[V1Image]:
    """The images from ``image_id`` down to its base, newest first."""
    by_id = {image.id: image for image in images}
    chain: list[V1Image] = []
    wanted: str | None = image_id
    while wanted is not None and wanted in by_id:
        chain.append(by_id[wanted])
        wanted = by_id[wanted].parent
    return chain
