"""
A process that shares a folder with others, with the folder and what to do as its arguments.

It says "ready" when all is imported, does its part after each line that it reads, and answers each with a line of JSON.
"""

import json
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

from dockreg.model.accounts import SigningKey
from dockreg.providers.blobs.filesystem import FilesystemBlobStore
from dockreg.providers.metadata.sql import SQLMetadataStore

T = TypeVar("T")


def at_once(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Awaitable[T]:
    return maybeDeferred(function, *args, **kwargs)


class Contender:
    """One process."""

    def __init__(self, folder: Path) -> None:
        self.blobs = FilesystemBlobStore(folder / "blobs", at_once, lambda: secrets.token_urlsafe(9))
        self.metadata = SQLMetadataStore(f"sqlite:///{folder}/metadata/dockreg.sqlite", at_once)

    async def open(self) -> None:
        """Open the store, and ask for a key."""
        await self.turn()
        await self.metadata.open()
        keys = await self.metadata.keys.get("tokens", self._key)
        self.say({"keys": [key.secret.hex() for key in keys], "alembic": "alembic" in sys.modules})
        await self.metadata.close()

    async def push(self) -> None:
        """Push the same bytes as the others, again and again."""
        await self.metadata.open()
        for _ in range(5):
            await self.turn()
            generations = []
            for number in range(5):
                upload = await self.blobs.start_upload()
                await upload.write([b"%d" % number])
                committed = await upload.commit()
                recorded = await self.metadata.blobs.record(committed, None, 1.0)
                await (self.blobs.confirm(committed) if recorded == committed else self.blobs.delete(committed))
                generations.append(recorded.generation)
            self.say(generations)

    async def hold(self) -> None:
        """Have an upload, a commit that is not recorded, and one that is recorded and not confirmed."""
        await self.metadata.open()
        await self.turn()
        running = await self.blobs.start_upload()
        await running.write([b"running"])
        committed = []
        for content in (b"committed", b"recorded"):
            upload = await self.blobs.start_upload()
            await upload.write([content])
            committed.append(await upload.commit())
        await self.metadata.blobs.record(committed[1], None, 1.0)
        self.say(None)
        await self.turn()
        committed.append(await running.commit())
        for blob in committed:
            await self.metadata.blobs.record(blob, None, 1.0)
            await self.blobs.confirm(blob)
        self.say([blob.generation for blob in committed])

    async def recover(self) -> None:
        """Settle what others left."""
        await self.metadata.open()
        await self.turn()
        self.say(await self.blobs.recover(self.metadata.blobs.is_recorded, self.metadata.uploads.is_known))

    async def turn(self) -> None:
        """Wait for the test; it may want this process dead."""
        if sys.stdin.readline() == "die\n":
            os.kill(os.getpid(), signal.SIGKILL)

    def say(self, answer: object) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    def _key(self) -> SigningKey:
        name = secrets.token_hex(8)
        return SigningKey(name, secrets.token_bytes(32), 1.0)


def main(arguments: Sequence[str]) -> None:
    contender = Contender(Path(arguments[0]))
    work = getattr(contender, arguments[1])
    contender.say("ready")
    failures: list[Any] = []
    _ = Deferred.fromCoroutine(work()).addErrback(failures.append)
    if failures:
        failures[0].raiseException()
