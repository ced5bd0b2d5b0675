"""Retention rules in a daemon with two workers, and ``dockreg retention`` beside it."""

import subprocess
import sys
from typing import Any

from sqlalchemy import create_engine, text

from tests.integration.v2case import V2Case, make_sample

_RULES = """
workers = 2
[[retention.rules]]
repositories = ["**"]
keep = ["v*"]
keep_last = 1
expire_unpulled_seconds = 3600
expire_untagged_seconds = 3600
"""


class RetentionTests(V2Case):
    """What is pushed through the door, and removed by the command."""

    CONFIG = _RULES

    def told(self, *arguments: str) -> Any:
        """What the command says in JSON."""
        told = self.daemon.told("retention", *arguments, "--json", self.name)
        return {each["reference"]: each for each in told["decisions"]}, told

    def make_older(self, hours: float) -> None:
        """All that was stored was stored so much earlier, and the daemon was there all the time."""
        engine = create_engine(f"sqlite:///{self.daemon.data}/metadata.sqlite3")
        with engine.begin() as connection:
            for table, columns in (
                ("tags", ("updated_at",)),
                ("manifests", ("created_at", "untagged_at", "leased_until")),
                ("tag_pulls", ("pulled_at",)),
                ("manifest_pulls", ("pulled_at",)),
                ("retention_state", ("since",)),
            ):
                for column in columns:
                    connection.execute(text(f"UPDATE {table} SET {column} = {column} - {hours * 3600}"))
        engine.dispose()

    def test_command(self) -> None:
        """A dry run explains and changes nothing; without it the tags go, and their manifests when these are old."""
        samples = {tag: make_sample(f"{self.name} {tag}") for tag in ("old", "v1", "new")}
        for tag, sample in samples.items():
            self.push(sample, tag)
        self.make_older(3)
        decided, whole = self.told("--dry-run")
        self.assertEqual(
            {"old": "would go", "v1": "kept", "new": "kept"}, {key: each["outcome"] for key, each in decided.items()}
        )
        size = len(samples["old"].config) + sum(map(len, samples["old"].blobs))
        self.assertEqual((True, 1, 0, size), (whole["dry_run"], whole["going"], whole["removed"], whole["bytes"]))
        self.assertIn("never noted to be pulled", decided["old"]["why"])
        self.assertEqual((1, "matches 'v*' of keep"), (decided["v1"]["rule"], decided["v1"]["why"]))
        self.assertEqual(200, self.ask("HEAD", "manifests/old").status)
        self.assertEqual("removed", self.told()[0]["old"]["outcome"])
        self.assertEqual(404, self.ask("GET", "manifests/old").status)
        digest = samples["old"].digest
        self.assertEqual(200, self.ask("HEAD", f"manifests/{digest}").status)
        self.make_older(3)
        # A pusher was told of it just now.
        self.assertEqual("spared", self.told()[0][digest]["outcome"])
        self.make_older(24)
        self.assertEqual("removed", self.told()[0][digest]["outcome"])
        self.assertEqual(404, self.ask("HEAD", f"manifests/{digest}").status)
        self.assertEqual(["new", "v1"], self.ask("GET", "tags/list").document["tags"])
        self.assertEqual({"new", "v1"}, set(self.told()[0]))

    def test_refusals(self) -> None:
        """A repository that is not there, and rules that are not there, are told."""
        self.assertEqual(1, self.daemon.command("retention", "no/such"))
        program = [sys.executable, "-m", "dockreg.cli", "retention", "--data-dir", str(self.daemon.data)]
        failed = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((1, ""), (failed.returncode, failed.stdout))
        self.assertIn("there are no [[retention.rules]]", failed.stderr)
