#!/usr/bin/env python3
"""
Make a docker-save archive out of folders: each becomes one layer, the first one the base.

    python3 make_archive.py base app -o image.tar --tag demo/app:1.0

It needs nothing but Python. The same folders give the same archive: ids are made from content, times are 0, everything
belongs to root. The archive has the form of docker 1.0 and, beside it, what docker since 1.10 reads.
"""

import argparse
import hashlib
import io
import json
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

CREATED = "1970-01-01T00:00:00Z"
PIECE = 1024 * 1024
Document = dict[str, Any]


def paths_below(folder: Path) -> Iterator[Path]:
    """Everything in a folder, parents first, in an order that depends on names only."""
    for path in sorted(folder.iterdir(), key=lambda each: each.name.encode()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from paths_below(path)


def same_for_everybody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs from one checkout to the next: owner, times, and how liberal the umask was."""
    executable = member.isdir() or member.issym() or member.mode & stat.S_IXUSR
    member.mode = (0o755 if executable else 0o644) | (member.mode & 0o7000)
    member.mtime = 0
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def write_layer(folder: Path, target: IO[bytes]) -> str:
    """Write the tar of a folder, and return the sha256 of its bytes."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as layer:
        for path in paths_below(folder):
            name = path.relative_to(folder).as_posix()
            layer.add(path, name, recursive=False, filter=same_for_everybody)
        end = layer.offset
    trim(target, end)
    digest = hashlib.sha256()
    target.seek(0)
    while piece := target.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()


def trim(archive: IO[bytes], end: int) -> None:
    """Leave two zero blocks at the end: tapes needed more, small layers can do without."""
    archive.truncate(end + 2 * tarfile.BLOCKSIZE)


def image_json(folder: Path, parent: str | None, digest: str, size: int) -> Document:
    """The v1 json of a layer; its id is made from its parent's and its own content."""
    members: Document = {"created": CREATED, "container_config": {"Cmd": ["make_archive.py", folder.name]}}
    members.update(config={"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}, architecture="amd64", os="linux", Size=size)
    if parent is not None:
        members["parent"] = parent
    members["id"] = hashlib.sha256(compact([parent, digest, members])).hexdigest()
    return members


def image_config(images: Sequence[Document], digests: Sequence[str]) -> Document:
    """What docker since 1.10 reads in place of the jsons."""
    top = images[-1]
    created_by = [" ".join(image["container_config"]["Cmd"]) for image in images]
    return {
        "architecture": top["architecture"],
        "config": top["config"],
        "created": top["created"],
        "history": [{"created": CREATED, "created_by": command} for command in created_by],
        "os": top["os"],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }


def compact(document: object) -> bytes:
    """A document as bytes, always the same."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    """Add a member with times and owner of 0."""
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, content)


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a short member."""
    add(archive, name, io.BytesIO(content), len(content))


def make_archive(folders: Sequence[Path], output: Path, name: str, tag: str) -> None:
    """Write the archive."""
    images: list[Document] = []
    digests: list[str] = []
    with ExitStack() as closing, tarfile.open(output, "w", format=tarfile.GNU_FORMAT) as archive:
        for folder in folders:
            layer = closing.enter_context(tempfile.TemporaryFile())
            digest = write_layer(folder, layer)
            size = layer.tell()
            image = image_json(folder, images[-1]["id"] if images else None, digest, size)
            add_bytes(archive, f"{image['id']}/VERSION", b"1.0")
            add_bytes(archive, f"{image['id']}/json", compact(image))
            layer.seek(0)
            add(archive, f"{image['id']}/layer.tar", layer, size)
            images.append(image)
            digests.append(digest)
        config = compact(image_config(images, digests))
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        layers = [f"{image['id']}/layer.tar" for image in images]
        add_bytes(archive, config_name, config)
        entry = {"Config": config_name, "RepoTags": [f"{name}:{tag}"], "Layers": layers}
        add_bytes(archive, "manifest.json", compact([entry]))
        add_bytes(archive, "repositories", compact({name: {tag: images[-1]["id"]}}))
        end = archive.offset
    with output.open("r+b") as written:
        trim(written, end)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make a docker-save archive out of folders, one layer for each.")
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path)
    parser.add_argument("-o", "--output", metavar="ARCHIVE", required=True, type=Path)
    parser.add_argument("--tag", metavar="NAME:TAG", required=True)
    arguments = parser.parse_args()
    name, colon, tag = arguments.tag.rpartition(":")
    if not colon or "/" in tag:
        name, tag = arguments.tag, "latest"
    missing = [folder for folder in arguments.folders if not folder.is_dir()]
    if missing:
        parser.error(f"{missing[0]} is no folder")
    make_archive(arguments.folders, arguments.output, name, tag)


if __name__ == "__main__":
    main()
