"""The commands about robots and access tokens beside a daemon that runs."""

import json
import subprocess
from typing import Any

from twisted.trial.unittest import TestCase

from tests.integration.daemon import RunningRegistry, start_registry
from tests.integration.test_command import HELLO, dockreg, dockreg_itself


class PeopleCommandTests(TestCase):
    """What is changed counts from the next request on."""

    timeout = 240

    async def start(self, registration: str = "open") -> None:
        settings = f'[auth]\nanonymous = "none"\nregistration = "{registration}"\n'
        self.registry: RunningRegistry = await start_registry(self, settings=settings)
        self.where = ("--data-dir", self.registry.config.data_dir)
        await self.done("user", "create", "anna", "--password-stdin", stdin="secret\n")

    async def done(self, *arguments: str, stdin: str = "") -> str:
        """What a command that succeeds prints."""
        result = await dockreg(*arguments, *self.where, stdin=stdin)
        self.assertEqual(0, result.returncode, result.stderr)
        return result.stdout

    async def told(self, *arguments: str) -> Any:
        """The same in JSON."""
        return json.loads(await self.done(*arguments, "--json"))

    async def push(self, repository: str, name: str, password: str) -> int:
        """The status of a push."""
        login = ("--quiet", "--user", name, "--password-stdin")
        pushed = await dockreg("v1", "push", *login, HELLO, f"{self.registry.url}/{repository}", stdin=f"{password}\n")
        return pushed.returncode

    async def test_tokens(self) -> None:
        """An access token pushes where it reaches, shows up without its secret, and ends when it is revoked."""
        await self.start()
        made = await self.told("token", "create", "anna", "--scope", "anna/**:pull,push", "--description", "build 7")
        text = made.pop("token")
        self.assertEqual(("anna", ["anna/**:pull,push"]), (made["account"], made["scopes"]))
        self.assertAlmostEqual(90 * 86400, made["expires_at"] - made["created_at"], delta=1)
        self.assertEqual([0, 1], [await self.push(name, "anna", text) for name in ("anna/app", "other/app")])
        (listed,) = await self.told("token", "list", "anna")
        self.assertGreater(listed.pop("used_at"), made["created_at"])
        self.assertEqual({key: value for key, value in made.items() if key != "used_at"}, listed)
        line = await self.done("token", "list")
        self.assertEqual([made["id"], "anna", "anna/**:pull,push"], line.split("\t")[:3])
        self.assertNotIn(text[20:], line)
        await self.done("token", "revoke", made["id"])
        self.assertEqual(1, await self.push("anna/app", "anna", text))
        self.assertEqual([], await self.told("token", "list"))

    async def test_printed_once(self) -> None:
        """For scripts the token alone is on standard output; a person is told what it is beside that."""
        await self.start()
        result = await dockreg_itself("token", "create", "anna", "--scope", "**:pull", "--forever", *self.where)
        self.assertRegex(result.stdout, r"\Adockreg_[0-9A-Za-z]{60}\n\Z")
        self.assertRegex(result.stderr, r"\Aanna: token \S{11} until never; it is not shown again\n\Z")

    async def test_robots(self) -> None:
        """A robot pushes with its token while its owner is active, and is deleted with him."""
        await self.start()
        robot = await self.told("robot", "create", "anna+ci")
        self.assertEqual(("anna+ci", "anna"), (robot["name"], robot["owner"]))
        text = (await self.told("token", "create", "anna+ci", "--scope", "**:pull,push,overwrite"))["token"]
        owner = (await self.told("token", "create", "anna", "--scope", "**:pull,push,overwrite"))["token"]
        self.assertEqual(["anna"], [each["name"] for each in await self.told("user", "list")])
        self.assertEqual(["anna+ci"], [each["name"] for each in await self.told("robot", "list", "anna")])
        await self.done("user", "disable", "anna")
        self.assertIn("anna+ci\tdisabled", await self.done("robot", "list"))
        self.assertEqual(1, await self.push("anna/app", "anna", owner))
        await self.done("user", "enable", "anna")
        self.assertEqual([0, 1], [await self.push("anna/app", "anna", owner), await self.push("x/y", "anna+ci", "x")])
        self.assertTrue((await self.told("user", "delete", "anna"))["deleted"])
        statuses = [await self.push("anna/app", *each) for each in (("anna", owner), ("anna+ci", text))]
        self.assertEqual([1, 1], statuses)
        self.assertEqual(([], []), (await self.told("robot", "list"), await self.told("token", "list")))

    async def test_show(self) -> None:
        """An account is shown with what it logs in with, and never with what that is checked by."""
        await self.start()
        await self.done("user", "create", "berta", "--no-password")
        await self.done("user", "admin", "berta")
        await self.done("user", "email", "berta", "b@example")
        shown = await self.done("user", "show", "berta")
        self.assertIn("logs in with\taccess tokens only\n", shown)
        self.assertIn("role\tadmin\n", shown)
        self.assertIn("logs in with\tits password\n", await self.done("user", "show", "anna"))
        members = await self.told("user", "show", "berta")
        self.assertEqual({"name", "email", "active", "admin", "created_at"}, set(members))
        self.assertFalse((await self.told("user", "admin", "berta", "--revoke"))["admin"])

    async def register(self, name: str, *options: str, stdin: str = "secret\n") -> "subprocess.CompletedProcess[str]":
        """Register with the command."""
        return await dockreg("user", "register", self.registry.url, name, "--password-stdin", *options, stdin=stdin)

    async def test_invitations(self) -> None:
        """Who has a code registers with it, once, and pushes then; who has none is told so."""
        await self.start("invitation")
        made = await self.told("user", "invite", "--name", "berta", "--days", "1")
        refused = await self.register("berta")
        self.assertEqual(1, refused.returncode)
        self.assertRegex(refused.stderr, r"\AError: berta is taken[^\n]*; or an invitation is needed[^\n]*\n\Z")
        code = made.pop("code")
        wrong = await self.register("carla", "--invited", stdin=f"secret\n{code}\n")
        self.assertIn("the invitation is for another user name (HTTP 400)", wrong.stderr)
        done = await self.register("berta", "--invited", "--json", stdin=f"secret\n{code}\n")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual({"name": "berta", "registry": self.registry.url, "registered": True}, json.loads(done.stdout))
        self.assertEqual(0, await self.push("berta/app", "berta", "secret"))
        self.assertEqual([{**made, "used_by": "berta"}], await self.told("user", "invitations"))
        self.assertIn("revoked", await self.done("user", "uninvite", made["id"]))
        self.assertEqual("", await self.done("user", "invitations"))

    async def test_register(self) -> None:
        """Where registration is open anybody registers; a URL that is none, and a registry without accounts, are told."""
        await self.start()
        self.assertEqual(0, (await self.register("berta")).returncode)
        for url in ("registry", f"{self.registry.url}/demo", "ftp://x"):
            failed = await dockreg("user", "register", url, "carla", "--password-stdin", stdin="secret\n")
            self.assertIn("names no registry", failed.stderr)
        self.assertIn("at least 5 characters", (await self.register("carla", stdin="abc\n")).stderr)

    async def test_mistakes(self) -> None:
        """What can not be done is told in one sentence, with status 1."""
        await self.start()
        for arguments in (
            ("token", "create", "nobody", "--scope", "x:pull"),
            ("token", "create", "anna", "--scope", "x:read"),
            ("token", "revoke", "nothing"),
            ("robot", "create", "nobody+ci"),
            ("robot", "delete", "anna"),
            ("user", "delete", "nobody"),
            ("user", "uninvite", "nothing"),
            ("user", "invite", "--name", "A"),
        ):
            with self.subTest(arguments=arguments):
                failed = await dockreg(*arguments, *self.where)
                self.assertEqual((1, ""), (failed.returncode, failed.stdout))
                self.assertRegex(failed.stderr, r"\AError: [^\n]+\n\Z")
