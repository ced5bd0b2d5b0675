"""``dockreg fsck`` beside a daemon that serves."""

import json
import os
from typing import Any

from tests.integration.test_lost_blobs import LostCase
from tests.integration.v2case import IN_FILES, digest_of, make_sample


class FsckTests(LostCase):
    """What it finds, says, and repairs."""

    CONFIG = f"scrub.enabled = false\n{IN_FILES}"

    def fsck(self, *options: str) -> tuple[int, Any]:
        """Exit status, and what it says in JSON."""
        done = self.daemon.run("fsck", "--json", *options)
        return done.returncode, json.loads(done.stdout)

    def test_round(self) -> None:
        """A damaged blob is found, put out of the way and named; a push repairs it, and then all is well."""
        sample = make_sample("fsck")
        for content in (*sample.blobs, sample.config):
            self.push_blob(content)
        self.ask("PUT", "manifests/latest", sample.manifest, Content_Type=sample.media_type)
        self.assertEqual(0, self.fsck()[0])
        layer = sample.blobs[1]
        before = self.path(layer)
        self.damage(layer)
        self.assertEqual(0, self.fsck("--quick")[0])
        status, told = self.fsck()
        self.assertEqual((1, False), (status, told["sound"]))
        (finding,) = told["findings"]
        self.assertEqual(("blob", digest_of(layer), "found"), (finding["kind"], finding["subject"], finding["outcome"]))
        self.assertIn(f"a push of it to {self.name} repairs it", finding["sentence"])
        self.assertEqual(200, self.get(layer).status)
        status, told = self.fsck("--repair")
        self.assertEqual((1, "lost"), (status, told["findings"][0]["outcome"]))
        self.assertTrue((self.daemon.data / "blobs" / "quarantine" / before.name).exists())
        self.check_lost(layer)
        self.push_blob(layer)
        self.assertEqual(layer, self.get(layer).content)
        status, told = self.fsck("--repair")
        self.assertEqual((0, True, []), (status, told["sound"], told["findings"]))

    def test_beside_uploads(self) -> None:
        """An upload that is under way is not touched."""
        content = os.urandom(100_000)
        session = self.start()
        self.ask("PATCH", session, content[:50_000])
        self.fsck("--repair")
        self.ask("PATCH", session, content[50_000:])
        self.assertEqual(201, self.ask("PUT", f"{session}?digest={digest_of(content)}", b"").status)

    def test_sentences(self) -> None:
        """For people it speaks in sentences."""
        self.push_blob(b"some blob")
        done = self.daemon.run("fsck")
        self.assertIn(b"blobs", done.stdout)
        self.assertIn(b"were looked at", done.stdout)
