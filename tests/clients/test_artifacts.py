"""What is no image: files, charts, signatures, and what refers to something else."""

import json
from pathlib import Path
from typing import Any

from dockreg.testing.samples import bytes_of
from tests.clients.case import ClientCase
from tests.clients.copiers import Crane, Oras, Regctl
from tests.clients.workplace import Workplace
from tests.support import require_program

_KIND = "application/vnd.example.thing"
_NOTE = "application/vnd.example.note"


class FileTests(ClientCase):
    """oras, and what regctl sees of it."""

    def setUp(self) -> None:
        super().setUp()
        self.oras, self.regctl = Oras.start(self.place), Regctl.start(self.place, self.host)
        self.crane = Crane.start(self.place)
        self.files: dict[str, bytes] = {"a.txt": b"text\n", "empty": b"", "big.bin": bytes_of("big", 400_000)}
        self.folder = self.place.path("files")
        self.folder.mkdir()
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content)
        self.thing = self.reference("things")

    def push(self) -> None:
        self.oras("push", "--plain-http", f"--artifact-type={_KIND}", self.thing, *self.files, folder=self.folder)

    def attach(self, *files: str) -> None:
        self.oras("attach", "--plain-http", f"--artifact-type={_NOTE}", self.thing, *files, folder=self.folder)

    def referrers(self, reference: str) -> Any:
        found = json.loads(self.oras("discover", "--plain-http", "--format=json", reference))
        return found.get("referrers", found.get("manifests"))

    def test_files(self) -> None:
        """oras pull brings the files that oras push took, an empty one too."""
        self.push()
        target = self.place.path("pulled")
        self.oras("pull", "--plain-http", f"--output={target}", self.thing)
        self.assertEqual(self.files, {path.name: path.read_bytes() for path in target.iterdir()})

    def test_regctl(self) -> None:
        """regctl artifact get reads what oras pushed, and oras what regctl artifact put pushed."""
        self.push()
        self.assertEqual(self.files["a.txt"], self.regctl("artifact", "get", "--file=a.txt", self.thing))
        other, target = self.reference("others"), self.place.path("pulled")
        file = self.folder / "big.bin"
        self.regctl(
            "artifact", "put", f"--artifact-type={_KIND}", f"--file={file}", "--file-title", "--strip-dirs", other
        )
        self.oras("pull", "--plain-http", f"--output={target}", other)
        self.assertEqual([self.files["big.bin"]], [path.read_bytes() for path in target.rglob("*") if path.is_file()])

    def test_referrers(self) -> None:
        """What is attached is discovered by oras and regctl, through the referrers API: there is no fallback tag."""
        self.push()
        self.attach("a.txt")
        self.attach("empty")
        self.assertEqual([_NOTE, _NOTE], [each["artifactType"] for each in self.referrers(self.thing)])
        listed = json.loads(self.regctl("artifact", "list", "--format={{json .Descriptors}}", self.thing))
        self.assertEqual({each["digest"] for each in self.referrers(self.thing)}, {each["digest"] for each in listed})
        none = self.regctl(
            "artifact", "list", "--filter-artifact-type=application/other", "--format={{len .Descriptors}}", self.thing
        )
        self.assertEqual(b"0", none.strip())
        self.assertEqual(b"1", self.crane("ls", f"{self.host}/things").strip())

    def test_recursive_copy(self) -> None:
        """oras cp -r and regctl image copy --referrers take along what refers to the thing."""
        self.push()
        self.attach("a.txt")
        copies = self.reference("copies/oras"), self.reference("copies/regctl")
        self.oras("cp", "-r", "--from-plain-http", "--to-plain-http", self.thing, copies[0])
        self.regctl("image", "copy", "--referrers", self.thing, copies[1])
        for copy in copies:
            self.assertEqual(
                [each["digest"] for each in self.referrers(self.thing)],
                [each["digest"] for each in self.referrers(copy)],
                copy,
            )

    def test_deleted_referrer(self) -> None:
        """A referrer that is deleted is listed no more, and what it referred to stays."""
        self.push()
        self.attach("a.txt")
        [note] = self.referrers(self.thing)
        self.oras("manifest", "delete", "--force", "--plain-http", f"{self.host}/things@{note['digest']}")
        self.assertFalse(self.referrers(self.thing))
        self.test_files()


class ChartTests(ClientCase):
    """helm."""

    def test_chart(self) -> None:
        """helm pull brings the very chart that helm push took, by version and by digest."""
        require_program("helm")
        run, folder = self.place.run, self.place.path("pulled")
        run("helm", "create", "chart")
        run("helm", "package", "chart", "--version=1.2.3+build.4")
        [package] = self.place.folder.glob("chart-*.tgz")
        run("helm", "push", "--plain-http", package, f"oci://{self.host}/charts")
        folder.mkdir()
        run(
            "helm", "pull", "--plain-http", f"oci://{self.host}/charts/chart", "--version=1.2.3+build.4",
            f"--destination={folder}",
        )  # fmt: skip
        self.assertEqual([package.read_bytes()], [path.read_bytes() for path in folder.iterdir()])
        shown = run("helm", "show", "chart", "--plain-http", f"oci://{self.host}/charts/chart")
        self.assertIn(b"version: 1.2.3+build.4", shown)


class SignatureTests(ClientCase):
    """cosign with a key of its own, without any service."""

    def setUp(self) -> None:
        super().setUp()
        require_program("cosign")
        crane = Crane.start(self.place)
        crane.push(self.archive, self.reference("signed"))
        self.crane = crane
        self.subject = f"{self.host}/signed@{crane('digest', self.reference('signed')).decode().strip()}"
        self.cosign: Workplace = self.place.with_variables(COSIGN_PASSWORD="secret", COSIGN_EXPERIMENTAL="1")
        self.cosign.run("cosign", "generate-key-pair")
        # Without a root of trust of its own it asks a service on the Internet for one.
        self.root = self.place.path("root.json")
        self.cosign.run("cosign", "trusted-root", "create", "--out", self.root)

    def key(self, kind: str) -> str:
        return f"--key={self.place.folder / 'cosign'}.{kind}"

    def sign(self, command: str, *options: str | Path) -> None:
        self.cosign.run(
            "cosign",
            command,
            self.key("key"),
            "--tlog-upload=false",
            "--allow-http-registry",
            "--yes",
            *options,
            self.subject,
        )

    def verify(self, command: str, *options: str) -> Any:
        output = self.cosign.run(
            "cosign", command, self.key("pub"), "--insecure-ignore-tlog", "--private-infrastructure",
            "--allow-http-registry", f"--trusted-root={self.root}", *options, self.subject,
        )  # fmt: skip
        return json.loads(output.decode().strip().splitlines()[0])

    def check_fails(self) -> None:
        """Without a signature there is nothing to verify."""
        self.cosign.fail(
            "cosign", "verify", self.key("pub"), "--insecure-ignore-tlog", "--private-infrastructure",
            "--allow-http-registry", f"--trusted-root={self.root}", self.subject,
        )  # fmt: skip

    def tags(self) -> int:
        return len(self.crane("ls", f"{self.host}/signed").split())

    def test_tag(self) -> None:
        """A signature in a tag beside the image is verified; before it there is none."""
        self.check_fails()
        self.sign("sign")
        self.assertEqual(1, len(self.verify("verify")))
        self.assertEqual(2, self.tags())

    def test_referrer(self) -> None:
        """A signature that refers to the image is found through the referrers API, without a tag."""
        self.sign("sign", "--registry-referrers-mode=oci-1-1")
        self.assertEqual(1, len(self.verify("verify", "--experimental-oci11")))
        self.assertEqual(1, self.tags())

    def test_bundle(self) -> None:
        """A signature in the new bundle format is verified, without a tag."""
        self.sign("sign", "--new-bundle-format")
        self.assertTrue(self.verify("verify", "--new-bundle-format"))
        self.assertEqual(1, self.tags())

    def test_attestation(self) -> None:
        """A signed statement about the image is verified."""
        predicate = self.place.path("predicate.json")
        predicate.write_text('{"answer": 42}')
        self.sign("attest", "--type=custom", f"--predicate={predicate}")
        self.assertTrue(self.verify("verify-attestation", "--type=custom"))
