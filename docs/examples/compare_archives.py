#!/usr/bin/env python3
"""
Compare the images of two docker-save archives: every byte of every json and every layer.

    python3 compare_archives.py pushed.tar pulled.tar

Times, order and names of the archives do not matter, nor does what the images are called. It needs nothing but Python;
the exit status is 1 when something differs.
"""

import argparse
import hashlib
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

PIECE = 1024 * 1024


def called(archive: tarfile.TarFile) -> str:
    """The path of an archive."""
    return os.fsdecode(archive.name or "")


def image_members(archive: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """The json and the layer of each image, by their names."""
    members = {member.name.removeprefix("./"): member for member in archive.getmembers() if member.isreg()}
    return {name: member for name, member in members.items() if name.endswith(("/json", "/layer.tar"))}


def pieces(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    """The content of a member."""
    content = opened(archive, member)
    while piece := content.read(PIECE):
        yield piece


def opened(archive: tarfile.TarFile, member: tarfile.TarInfo | str) -> IO[bytes]:
    """A member to read from."""
    content = archive.extractfile(member)
    if content is None:
        sys.exit(f"{called(archive)}: {member} is no file")
    return content


def sha256(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """The digest of a member."""
    digest = hashlib.sha256()
    for piece in pieces(archive, member):
        digest.update(piece)
    return digest.hexdigest()


def same_bytes(one: IO[bytes], other: IO[bytes]) -> bool:
    """Whether two files hold the same."""
    while (piece := one.read(PIECE)) == other.read(PIECE):
        if not piece:
            return True
    return False


def compare_images(one: tarfile.TarFile, other: tarfile.TarFile) -> Iterator[str]:
    """A sentence for each difference; prints what is the same."""
    members, others = image_members(one), image_members(other)
    for name in sorted(members.keys() ^ others.keys()):
        yield f"{name} is in one archive only"
    for name in sorted(members.keys() & others.keys()):
        if same_bytes(opened(one, members[name]), opened(other, others[name])):
            print(f"same {members[name].size:>11} bytes  {name}")
        else:
            yield f"{name} differs"


def check_configs(archive: tarfile.TarFile) -> Iterator[str]:
    """A sentence for each config whose name or diff ids are not those of the bytes."""
    for entry in manifest(archive):
        members = {member.name: member for member in archive.getmembers()}
        name = entry["Config"]
        config = json.load(opened(archive, name))
        if sha256(archive, members[name]) not in name:
            yield f"{called(archive)}: {name} has another digest than its name says"
        digests = [f"sha256:{sha256(archive, members[layer])}" for layer in entry["Layers"]]
        if digests == config["rootfs"]["diff_ids"]:
            print(f"{len(digests)} layers are those that the config of {called(archive)} names")
        else:
            yield f"{called(archive)}: the config names other layers than there are"


def compare_configs(one: tarfile.TarFile, other: tarfile.TarFile) -> Iterator[str]:
    """A sentence for each difference between what docker since 1.10 reads of two single images."""
    configs = [[json.load(opened(each, entry["Config"])) for entry in manifest(each)] for each in (one, other)]
    if [len(each) for each in configs] != [1, 1]:
        return
    for key in ("architecture", "os", "config", "rootfs"):
        if configs[0][0].get(key) == configs[1][0].get(key):
            print(f"same {key} in the configs")
        else:
            yield f"the configs have another {key}"


def manifest(archive: tarfile.TarFile) -> list[dict[str, Any]]:
    """The entries of manifest.json, where there is one."""
    if "manifest.json" not in archive.getnames():
        return []
    entries: list[dict[str, Any]] = json.load(opened(archive, "manifest.json"))
    return entries


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare the images of two docker-save archives.")
    parser.add_argument("archives", metavar="ARCHIVE", nargs=2, type=Path)
    paths = parser.parse_args().archives
    with tarfile.open(paths[0]) as one, tarfile.open(paths[1]) as other:
        differences = [*compare_images(one, other), *check_configs(one), *check_configs(other)]
        differences += compare_configs(one, other)
        layers = [member for name, member in image_members(one).items() if name.endswith("/layer.tar")]
    for difference in differences:
        print(difference, file=sys.stderr)
    if differences or not layers:
        sys.exit("the archives differ" if differences else "there is nothing to compare")
    print(f"{len(layers)} images with {sum(layer.size for layer in layers)} bytes of layers are the same")


if __name__ == "__main__":
    main()
