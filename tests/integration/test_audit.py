"""The audit log: what requests and commands leave in it, and what they do not."""

import hashlib
import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.test_refusals import basic
from tests.processes import PreparedDaemon

SECRETS = ("secret of anna", "wrong password", "another one")
RIGHT, WRONG = basic("anna", SECRETS[0]), basic("anna", SECRETS[1])
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class AuditTests(SynchronousTestCase):
    """One line for each thing that somebody did, or was not let do."""

    def start(self, reads: bool = False) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.path = self.folder / "audit.log"
        self.daemon = PreparedDaemon(
            self.folder,
            config=(
                f'log.audit = "{self.path}"\nlog.audit_reads = {str(reads).lower()}\nauth.anonymous = "none"\n'
                "auth.attempts.per_client = 2\nauth.attempts.first_seconds = 600\nauth.attempts.most_seconds = 600\n"
            ),
        )
        self.daemon.start()
        self.addCleanup(self.daemon.kill)

    def lines(self) -> list[dict[str, Any]]:
        """What there is once the daemon has stopped, without what differs each time."""
        self.daemon.stop()
        text = self.path.read_text()
        for secret in (*SECRETS, RIGHT["Authorization"], WRONG["Authorization"], "dockreg_0"):
            self.assertNotIn(secret, text)
        # The daemon writes once a second, and commands write at once.
        lines = sorted((json.loads(line) for line in text.splitlines()), key=lambda line: line["time"])
        for line in lines:
            self.assertRegex(line.pop("time"), r"\A20\d\d-\d\d-\d\dT[0-9:.]+\+00:00\Z")
            self.assertIn(line.pop("address"), ("127.0.0.1", "-"))
        self.requests = [line.pop("request", "") for line in lines]
        return lines

    def register(self, name: str = "anna") -> int:
        account = {"username": name, "password": SECRETS[0], "email": ""}
        return self.daemon.request("POST", "/v1/users/", json.dumps(account).encode())[0]

    def push(self, *tags: str) -> str:
        """Push an image of one blob, which is its config too; return the digest of the manifest."""
        blob = b"{}"
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        location = self.daemon.request("POST", "/v2/anna/app/blobs/uploads/", b"", RIGHT)[2]["location"]
        self.assertEqual(202, self.daemon.request("PATCH", location, blob, RIGHT)[0])
        self.assertEqual(201, self.daemon.request("PUT", f"{location}?digest={digest}", b"", RIGHT)[0])
        descriptor = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2}
        document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": descriptor, "layers": [descriptor]}
        manifest = json.dumps(document).encode()
        for tag in tags:
            headers = {**RIGHT, "Content-Type": MANIFEST_TYPE}
            self.assertEqual(201, self.daemon.request("PUT", f"/v2/anna/app/manifests/{tag}", manifest, headers)[0])
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    def test_writes(self) -> None:
        """What is pushed and deleted is written down with who did it and by what right; the steps to it are not."""
        self.start()
        self.assertEqual(201, self.register())
        digest = self.push("1.0")
        self.assertEqual(200, self.daemon.request("GET", "/v2/anna/app/tags/list", headers=RIGHT)[0])
        self.assertEqual(202, self.daemon.request("DELETE", f"/v2/anna/app/manifests/{digest}", headers=RIGHT)[0])
        self.assertEqual(404, self.daemon.request("DELETE", f"/v2/anna/app/manifests/{digest}", headers=RIGHT)[0])
        anna = {"who": "anna", "how": "password"}
        register, upload, tag, delete, again = self.lines()
        self.assertEqual(
            {"who": None, "how": "anonymous", "action": "register", "target": {"account": "anna"}, "result": "allowed",
             "route": "v1-register"},
            register,
        )  # fmt: skip
        app = {"repository": "anna/app"}
        done = {**anna, "action": "push", "result": "allowed"}
        self.assertEqual({**done, "target": app, "route": "end-6"}, upload)
        self.assertEqual({**done, "target": {**app, "reference": "1.0"}, "route": "end-7"}, tag)
        deleted = {**anna, "action": "delete", "target": {**app, "reference": digest}, "route": "end-9"}
        self.assertEqual({**deleted, "result": "allowed"}, delete)
        self.assertEqual({**deleted, "result": "failed", "reason": "ManifestUnknown"}, again)
        self.assertEqual(5, len(set(self.requests)))

    def test_logins(self) -> None:
        """A login that fails, is throttled, or is of a disabled account is one line, not two."""
        self.start()
        self.register()
        self.register()
        self.register("berta")
        self.daemon.command("user", "disable", "berta")
        self.daemon.request("GET", "/v2/", headers=basic("berta", SECRETS[0]))
        answers = [self.daemon.request("GET", "/v2/", headers=WRONG) for _ in range(3)]
        self.assertEqual([401, 401, 429], [each[0] for each in answers])
        self.daemon.request("GET", "/v2/", headers=basic("dockreg_0123", "x"))
        lines = self.lines()
        self.assertEqual([answers[0][2]["x-request-id"]], self.requests[5:6])
        self.assertEqual(
            [
                (None, "register", "allowed", None),
                (None, "register", "failed", "AccountExists"),
                (None, "register", "allowed", None),
                ("command line", "user.disable", "allowed", None),
                ("berta", "login", "denied", "AccountInactive"),
                ("anna", "login", "failed", "Unauthorized"),
                ("anna", "login", "failed", "Unauthorized"),
                ("anna", "login", "denied", "TooManyAttempts"),
                ("dockreg_(not shown)", "login", "failed", "Unauthorized"),
            ],
            [(each["who"], each["action"], each["result"], each.get("reason")) for each in lines],
        )

    def test_refusals(self) -> None:
        """What somebody was not let do is written down, whatever he was told; the question for a challenge is not."""
        self.start()
        for name in ("anna", "berta"):
            self.register(name)
        self.push("1.0")
        berta = basic("berta", SECRETS[0])
        private = b'{"access": "private"}'
        self.assertEqual(200, self.daemon.request("PUT", "/v1/repositories/anna/app/properties", private, RIGHT)[0])
        self.assertEqual(401, self.daemon.request("GET", "/v2/")[0])
        self.assertEqual(401, self.daemon.request("GET", "/v2/anna/app/manifests/1.0")[0])
        self.assertEqual(404, self.daemon.request("GET", "/v2/anna/app/manifests/1.0", headers=berta)[0])
        self.assertEqual(404, self.daemon.request("GET", "/v2/anna/app/manifests/2.0", headers=RIGHT)[0])
        digest = f"sha256:{'a' * 64}"
        self.assertEqual(200, self.daemon.request("GET", f"/v2/anna/app/referrers/{digest}", headers=berta)[0])
        self.assertEqual(403, self.daemon.request("PUT", "/v1/users/anna/", b"{}", berta)[0])
        self.assertEqual(401, self.daemon.request("GET", "/metrics", headers={"Authorization": "Token x"})[0])
        denied = [each for each in self.lines() if each["result"] == "denied"]
        self.assertEqual(
            [
                (None, "anonymous", "pull", {"repository": "anna/app", "reference": "1.0"}, "Unauthorized"),
                ("berta", "password", "pull", {"repository": "anna/app", "reference": "1.0"}, "NameUnknown"),
                ("berta", "password", "pull", {"repository": "anna/app", "digest": digest}, None),
                ("berta", "password", "admin", {"account": "anna"}, "Denied"),
                (None, "v1 token", "admin", {}, "Unauthorized"),
            ],
            [(each["who"], each["how"], each["action"], each["target"], each.get("reason")) for each in denied],
        )

    def test_reads(self) -> None:
        """Reads that were allowed are written down when that is wanted."""
        self.start(reads=True)
        self.register()
        self.push("1.0")
        self.assertEqual(200, self.daemon.request("GET", "/v2/anna/app/manifests/1.0", headers=RIGHT)[0])
        self.assertEqual(200, self.daemon.request("GET", "/v1/users/", headers=RIGHT)[0])
        lines = self.lines()
        self.assertEqual(["end-3", "v1-login"], [each["route"] for each in lines[-2:]])
        self.assertEqual([("anna", "pull", "allowed")] * 2, [
            (each["who"], each["action"], each["result"]) for each in lines[-2:]
        ])  # fmt: skip

    def test_commands(self) -> None:
        """What is changed at the command line is written down, done or not, by the user of the system who did it."""
        self.start()
        self.register()
        password = f"{SECRETS[2]}\n"
        self.assertEqual(0, self.daemon.command("user", "password", "anna", "--password-stdin", text=password))
        self.assertEqual(0, self.daemon.command("token", "create", "anna", "--scope", "anna/**:pull"))
        self.assertEqual(0, self.daemon.command("grant", "create", "anna", "x/*:pull,push"))
        self.assertEqual(0, self.daemon.command("namespace", "create", "team", "--owner", "anna"))
        self.assertEqual(0, self.daemon.command("namespace", "change", "team", "--private"))
        self.assertEqual(0, self.daemon.command("namespace", "change", "team", "--default"))
        self.assertEqual(1, self.daemon.command("group", "delete", "dev"))
        self.assertEqual(0, self.daemon.command("token", "list"))
        lines = [each for each in self.lines() if each["who"] == "command line"]
        self.assertEqual(
            [
                ("user.password", {"account": "anna"}, "allowed", None),
                ("token.create", {"account": "anna", "scopes": "anna/**:pull"}, "allowed", None),
                ("grant.create", {"subject": "anna", "scope": "x/*:pull,push"}, "allowed", None),
                ("namespace.create", {"namespace": "team", "owners": "anna", "new": "default"}, "allowed", None),
                ("namespace.change", {"namespace": "team", "new": "private"}, "allowed", None),
                ("namespace.change", {"namespace": "team", "new": "default"}, "allowed", None),
                ("group.delete", {"group": "dev"}, "failed", "GroupUnknown"),
            ],
            [(each["action"], each["target"], each["result"], each.get("reason")) for each in lines],
        )
        for line in lines:
            self.assertRegex(line["how"], r"\Auid \d+\Z")

    def test_unwritable(self) -> None:
        """A command whose deed can not be written down does it, and fails with a sentence."""
        self.start()
        self.daemon.stop()
        self.path.mkdir()
        self.assertEqual(1, self.daemon.command("user", "create", "anna", "--no-password"))
        self.path.rmdir()
        self.assertEqual(0, self.daemon.command("user", "show", "anna"))

    def test_token_service(self) -> None:
        """A login at the token service that fails or is throttled is one line, in either form; a token is none."""
        self.start()
        self.register()

        def post(password: str) -> int:
            form = f"grant_type=password&username=anna&password={password.replace(' ', '+')}&service=&client_id=x"
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self.daemon.request("POST", "/v2/token", form.encode(), headers)[0]

        self.assertEqual(200, post(SECRETS[0]))
        self.assertEqual(200, self.daemon.request("GET", "/v2/token", headers=RIGHT)[0])
        self.assertEqual(401, self.daemon.request("GET", "/v2/token", headers=WRONG)[0])
        self.assertIn(post(SECRETS[1]), (400, 401))
        self.assertEqual([429, 429], [post(SECRETS[0]), self.daemon.request("GET", "/v2/token", headers=RIGHT)[0]])
        lines = [each for each in self.lines() if each["action"] != "register"]
        self.assertEqual(
            [("anna", "login", "failed", "Unauthorized")] * 2 + [("anna", "login", "denied", "TooManyAttempts")] * 2,
            [(each["who"], each["action"], each["result"], each["reason"]) for each in lines],
        )
