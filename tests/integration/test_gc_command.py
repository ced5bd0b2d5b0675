"""``dockreg gc`` beside a daemon that runs."""

import json
from hashlib import sha256
from typing import Any
from urllib.request import Request, urlopen

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.integration.daemon import RunningRegistry, start_registry
from tests.integration.test_command import dockreg, dockreg_itself

_UNTAGGED = '[[collection.untagged]]\nrepositories = ["ci/**"]\nexpire_seconds = 0\n'
_SETTINGS = "[collection]\nenabled = false\nlease_seconds = 1\ngrace_seconds = 3600\n[blobs]\nsmall_bytes = 0\n"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class CollectCommandTests(TestCase):
    """What the command shows and removes."""

    timeout = 240

    async def start(self, settings: str = _SETTINGS) -> None:
        self.registry: RunningRegistry = await start_registry(self, settings=settings)
        self.folder = self.registry.config.data_dir

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream") -> int:
        """The status of a request."""

        def send() -> int:
            request = Request(f"{self.registry.url}{path}", body or None, {"Content-Type": kind}, method=method)
            with urlopen(request, timeout=30) as answer:
                status: int = answer.status
                return status

        return await deferToThread(send)

    async def push(self, name: str, content: bytes) -> str:
        """An image of one layer and a config; returns its digest."""
        described = []
        for blob in (b"{}", content):
            digest = f"sha256:{sha256(blob).hexdigest()}"
            await self.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", blob)
            described.append({"mediaType": "application/octet-stream", "digest": digest, "size": len(blob)})
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": described[0], "layers": described[1:]}
        document = json.dumps(manifest).encode()
        self.assertEqual(201, await self.ask("PUT", f"/v2/{name}/manifests/latest", document, _MANIFEST))
        return f"sha256:{sha256(document).hexdigest()}"

    async def collect(self, *options: str) -> Any:
        """What the command tells."""
        result = await dockreg("gc", "--json", "--data-dir", self.folder, "--config", self.folder / "c.toml", *options)
        self.assertEqual(0, result.returncode, result.stderr)
        return json.loads(result.stdout)

    def objects(self) -> int:
        """How many objects there are."""
        return len([*(self.folder / "blobs").glob("sha256/*/*")])

    async def test_collect(self) -> None:
        """What would go is shown with its bytes, and why the rest stays; then it goes, grace and leases permitting."""
        await self.start()
        (self.folder / "c.toml").write_text(_SETTINGS)
        kept, gone = await self.push("a/app", b"k" * 100), await self.push("a/app", b"g" * 1000)
        self.assertNotEqual(kept, gone)
        self.assertEqual(202, await self.ask("DELETE", f"/v2/a/app/manifests/{gone}"))
        shown = await self.collect("--dry-run")
        self.assertEqual((0, 0), (shown["bytes"], sum(shown["removed"].values())))
        await deferToThread(self.wait_for_leases)
        shown = await self.collect("--dry-run", "--no-grace")
        self.assertEqual((1000, 1, 1), (shown["bytes"], shown["removed"]["link"], shown["removed"]["blob"]))
        self.assertEqual(3, self.objects())
        removed = await self.collect("--no-grace", "--verbose")
        self.assertEqual((1000, 1, 0), (removed["bytes"], removed["objects"], removed["failures"]))
        self.assertIn("blob", [each["kind"] for each in removed["items"]])
        self.assertEqual(2, self.objects())

    async def test_full(self) -> None:
        """Objects that nothing names are found and removed, and nothing else is."""
        await self.start()
        (self.folder / "c.toml").write_text(_SETTINGS)
        await self.push("a/app", b"kept")
        path = next(path for path in (self.folder / "blobs").glob("sha256/*/*"))
        encoded = path.name.partition(".")[0]
        stray = path.parents[1] / encoded[:2] / f"{encoded}.other"
        stray.parent.mkdir()
        stray.write_bytes(b"left")
        removed = await self.collect("--full")
        self.assertEqual((1, 2), (removed["orphans"], self.objects()))

    async def test_untagged(self) -> None:
        """Manifests without a tag go where a rule says so."""
        settings = f"{_SETTINGS}{_UNTAGGED}"
        await self.start(settings)
        (self.folder / "c.toml").write_text(settings)
        for name in ("ci/app", "a/app"):
            await self.push(name, b"old")
            self.assertEqual(202, await self.ask("DELETE", f"/v2/{name}/manifests/latest"))
        await deferToThread(self.wait_for_leases)
        removed = await self.collect("--no-grace")
        self.assertEqual((1, 2), (removed["removed"]["manifest"], removed["removed"]["link"]))

    def wait_for_leases(self) -> None:
        """They last a second here."""
        import time

        time.sleep(1.1)

    async def test_no_registry(self) -> None:
        """Where there is no registry, none is made."""
        folder = self.mktemp()
        result = await dockreg_itself("gc", "--data-dir", folder)
        self.assertEqual(1, result.returncode)
        self.assertIn("there is no registry here", result.stderr)

    async def test_options(self) -> None:
        """Options that do not go together are refused."""
        for options in (("--watch", "--dry-run"), ("--dry-run", "--full")):
            self.assertEqual(1, (await dockreg("gc", *options, "--data-dir", self.mktemp())).returncode)
