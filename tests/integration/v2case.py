"""A daemon that several tests share, each in repositories of its own, and the words of the v2 API."""

import atexit
import gzip
import hashlib
import json
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from attrs import define, frozen
from twisted.trial.unittest import SynchronousTestCase

from dockreg.model.mediatypes import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    SCHEMA2_CONFIG,
    SCHEMA2_LAYER_GZIP,
    SCHEMA2_MANIFEST,
)
from dockreg.testing.samples import make_tar
from tests.processes import Daemon, PreparedDaemon

_numbers = count()


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """The digest of ``content``."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@frozen
class Reply:
    """What the daemon answered; names of headers are lowercase."""

    status: int
    content: bytes
    headers: dict[str, str]

    @property
    def document(self) -> Any:
        """The JSON in the body."""
        return json.loads(self.content)

    @property
    def codes(self) -> list[str]:
        """The codes of an error."""
        return [error["code"] for error in self.document["errors"]]


@frozen
class Sample:
    """An image: its layers as uncompressed tars, its config, its manifest."""

    layers: tuple[bytes, ...]
    blobs: tuple[bytes, ...]
    config: bytes
    manifest: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return digest_of(self.manifest)


def compact(document: Any) -> bytes:
    """JSON without blanks."""
    return json.dumps(document, separators=(",", ":")).encode()


def make_sample(seed: str, media_type: str = SCHEMA2_MANIFEST, pack: Any = gzip.compress, layers: int = 2) -> Sample:
    """An image that only depends on its arguments."""
    tars = tuple(make_tar({f"file-{number}": f"{seed} {number}".encode() * 50}) for number in range(layers))
    blobs = tuple(pack(tar) if pack is not gzip.compress else gzip.compress(tar, mtime=0) for tar in tars)
    config = compact(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2020-01-01T00:00:00Z",
            "config": {"Env": [f"SEED={seed}"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
            "history": [{"created": "2020-01-01T00:00:00Z", "created_by": f"step {n}"} for n in range(layers)],
        }
    )
    oci = media_type == OCI_MANIFEST
    layer_type = OCI_LAYER_GZIP if oci else SCHEMA2_LAYER_GZIP
    manifest = compact(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": described(OCI_CONFIG if oci else SCHEMA2_CONFIG, config),
            "layers": [described(layer_type, blob) for blob in blobs],
        }
    )
    return Sample(tars, blobs, config, manifest, media_type)


def described(media_type: str, content: bytes, **more: Any) -> dict[str, Any]:
    """A descriptor."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def make_index(*children: dict[str, Any], **more: Any) -> bytes:
    """An OCI index."""
    return compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **more})


@define
class _Shared:
    """The daemon of one module of tests at a time: its tests follow each other, and a daemon that nobody asks takes time, too."""

    _of: tuple[str, str] | None = None
    _daemon: PreparedDaemon | None = None

    def of_module(self, name: str, config: str) -> Daemon:
        """That of a module with a configuration, which is stopped when there is another one, and when the tests are over."""
        if self._daemon is None or self._of != (name, config):
            self.stop()
            self._daemon = PreparedDaemon(Path(f"daemon-{next(_numbers)}").absolute(), config=config)
            self._daemon.forks_workers = True
            self._daemon.start()
            self._of = name, config
        return self._daemon

    def stop(self) -> None:
        """Stop it; harmless when there is none."""
        if self._daemon is not None:
            self._daemon.kill()
        self._of = self._daemon = None


_shared = _Shared()
atexit.register(_shared.stop)


#: The configuration of tests that look at the files of small blobs.
IN_FILES = "blobs.small_bytes = 0\n"


class V2Case(SynchronousTestCase):
    """Tests of one daemon; :attr:`CONFIG` is its configuration file."""

    CONFIG: ClassVar[str] = ""

    def setUp(self) -> None:
        self.daemon = _shared.of_module(type(self).__module__, self.CONFIG)
        self.name = f"test/r{next(_numbers)}"

    def tearDown(self) -> None:
        self.assertNotIn("Traceback", self.daemon.log())

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request; a path that begins with no slash is one of this test's repository."""
        where = path if path.startswith("/") else f"/v2/{self.name}/{path}"
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(*self.daemon.request(method, where, body, names))

    def start(self, query: str = "", **headers: str) -> str:
        """A new session: the path of its location."""
        reply = self.ask("POST", f"blobs/uploads/{query}", b"", **headers)
        self.assertEqual(202, reply.status, reply.content)
        parts = urlsplit(reply.headers["location"])
        return parts.path

    def push_blob(self, content: bytes, name: str | None = None) -> str:
        """A blob, in one request."""
        digest = digest_of(content)
        path = f"/v2/{name or self.name}/blobs/uploads/?digest={digest}"
        reply = self.ask("POST", path, content)
        self.assertEqual(201, reply.status, reply.content)
        return digest

    def put(self, reference: str, manifest: bytes, media_type: str, name: str | None = None) -> Reply:
        """A manifest."""
        path = f"/v2/{name or self.name}/manifests/{reference}"
        return self.ask("PUT", path, manifest, Content_Type=media_type)

    def push(self, sample: Sample, reference: str = "latest", name: str | None = None) -> str:
        """A whole image; return the digest of its manifest."""
        for content in (*sample.blobs, sample.config):
            self.push_blob(content, name)
        reply = self.put(reference, sample.manifest, sample.media_type, name)
        self.assertEqual(201, reply.status, reply.content)
        return reply.headers["docker-content-digest"]

    def refused(self, status: int, code: str, reply: Reply) -> Any:
        """Check an error, in the form of the specification; return the first entry."""
        self.assertEqual((status, code), (reply.status, reply.codes[0]), reply.content)
        self.assertEqual("application/json", reply.headers["content-type"])
        return reply.document["errors"][0]
