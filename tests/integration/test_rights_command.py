"""The commands about groups, namespaces and grants beside a daemon that runs."""

import json
from typing import Any

from twisted.trial.unittest import TestCase

from tests.integration.daemon import start_registry
from tests.integration.test_command import dockreg


class RightsCommandTests(TestCase):
    """What is stored is shown, in lines with tabs and in JSON, and what can not be done is told."""

    timeout = 240

    async def start(self, *accounts: str) -> None:
        registry = await start_registry(self)
        self.where = ("--data-dir", registry.config.data_dir)
        for account in accounts:
            await self.done("user", "create", account, "--no-password")

    async def done(self, *arguments: str) -> str:
        """What a command that succeeds prints."""
        result = await dockreg(*arguments, *self.where)
        self.assertEqual(0, result.returncode, result.stderr)
        self.noted = result.stderr
        return result.stdout

    async def told(self, *arguments: str) -> Any:
        """The same in JSON, without times."""
        told = json.loads(await self.done(*arguments, "--json"))
        for each in told if isinstance(told, list) else [told]:
            each.pop("created_at", None)
        return told

    async def refused(self, *arguments: str) -> str:
        """What a command that fails says, in one sentence."""
        failed = await dockreg(*arguments, *self.where)
        self.assertEqual((1, ""), (failed.returncode, failed.stdout))
        self.assertRegex(failed.stderr, r"\AError: [^\n]+\n\Z")
        return failed.stderr

    async def test_groups(self) -> None:
        """A group has the accounts that were put into it; one that is not there is noted, for it may be mistyped."""
        await self.start("anna", "berta")
        self.assertEqual({"name": "dev", "members": ["anna"]}, await self.told("group", "create", "dev", "anna"))
        self.assertEqual("dev: has anna, berta, karl\n", await self.done("group", "add", "dev", "berta", "karl"))
        self.assertEqual("note: there is no account karl now\n", self.noted)
        self.assertEqual("dev: has anna, berta\n", await self.done("group", "remove", "dev", "karl"))
        self.assertEqual("anna\nberta\n", await self.done("group", "show", "dev"))
        self.assertEqual([{"name": "dev", "members": ["anna", "berta"]}], await self.told("group", "list"))
        self.assertIn("karl is no member", await self.refused("group", "remove", "dev", "karl"))
        self.assertIn("group dev exists", await self.refused("group", "create", "dev"))
        self.assertEqual({"name": "dev", "deleted": True}, await self.told("group", "delete", "dev"))
        self.assertIn("no group dev", await self.refused("group", "show", "dev"))

    async def test_namespaces(self) -> None:
        """A namespace has owners and members in roles, and says what new repositories in it are."""
        await self.start("anna", "berta")
        made = await self.told("namespace", "create", "team", "--owner", "anna", "--private")
        owner = {"subject": "anna", "role": "owner"}
        self.assertEqual({"name": "team", "private": True, "members": [owner]}, made)
        for option, private in (("--default", None), ("--public", False)):
            changed = await self.told("namespace", "change", "team", option)
            self.assertEqual({"name": "team", "private": private, "members": [owner]}, changed)
        await self.done("namespace", "member", "team", "berta", "writer")
        self.assertEqual("anna\towner\nberta\twriter\n", await self.done("namespace", "show", "team"))
        await self.done("namespace", "remove", "team", "berta")
        self.assertEqual([{"name": "team", "private": False, "members": [owner]}], await self.told("namespace", "list"))
        self.assertIn("no group dev", await self.refused("namespace", "member", "team", "group:dev", "reader"))
        self.assertIn("namespace team exists", await self.refused("namespace", "create", "team", "--owner", "berta"))
        await self.done("namespace", "delete", "team")
        self.assertEqual("", await self.done("namespace", "list"))
        await self.done("namespace", "create", "other", "--owner", "anna")
        self.assertEqual("other\tdefault\tanna=owner\n", await self.done("namespace", "list"))

    async def test_grants(self) -> None:
        """Grants add up, and are taken back in part or as a whole."""
        await self.start("anna")
        granted = await self.told("grant", "create", "anna", "team/**:push")
        self.assertEqual({"subject": "anna", "repositories": "team/**", "actions": ["push"]}, granted)
        self.assertEqual("anna: team/**:pull,push\n", await self.done("grant", "create", "anna", "team/**:pull"))
        await self.done("grant", "create", "authenticated", "public/*:pull")
        self.assertEqual("", self.noted)
        self.assertEqual(["anna", "authenticated"], [each["subject"] for each in await self.told("grant", "list")])
        self.assertEqual("anna: team/**:pull\n", await self.done("grant", "revoke", "anna", "team/**:push"))
        left = await self.told("grant", "revoke", "anna", "team/**")
        self.assertEqual({"subject": "anna", "repositories": "team/**", "left": []}, left)
        self.assertEqual("", await self.done("grant", "list", "anna"))
        self.assertIn("nothing of this is granted", await self.refused("grant", "revoke", "anna", "team/**"))
        self.assertIn("write REPOSITORIES:ACTIONS", await self.refused("grant", "create", "anna", "team"))
        self.assertIn("no group dev", await self.refused("grant", "create", "group:dev", "x:pull"))
