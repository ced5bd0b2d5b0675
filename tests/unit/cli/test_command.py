"""Tests of the command line."""

from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.archives import Archive, open_archive
from dockreg.cli.command import main
from dockreg.cli.failures import CommandFailed
from dockreg.cli.v1 import choose
from dockreg.model.names import Tag
from dockreg.testing.samples import layered_image
from dockreg.version import VERSION
from tests.unit.cli.saved import v1_members, write_tar


def dockreg(*arguments: str, stdin: str = "") -> Result:
    """Run the command as far as it goes without a reactor."""
    return CliRunner().invoke(main, arguments, input=stdin)


class CommandTests(SynchronousTestCase):
    """What the command line takes, and how it says what is wrong."""

    def test_help(self) -> None:
        """Every command explains itself."""
        commands = (
            (),
            ("check-config",),
            ("doctor",),
            ("user",),
            *(("user", verb) for verb in ("create", "password", "email", "list", "show", "disable", "enable")),
            *(("user", verb) for verb in ("admin", "delete", "invite", "invitations", "uninvite", "register")),
            *(("robot", verb) for verb in ("create", "delete", "list")),
            *(("group", verb) for verb in ("create", "add", "remove", "delete", "show", "list")),
            *(("namespace", verb) for verb in ("create", "change", "member", "remove", "delete", "show", "list")),
            *(("grant", verb) for verb in ("create", "revoke", "list")),
            *(("token", verb) for verb in ("create", "revoke", "list")),
            *(("key", verb) for verb in ("list", "rotate")),
            ("v1",),
            ("v1", "push"),
            ("v1", "pull"),
        )
        for command in commands:
            with self.subTest(command=command):
                result = dockreg(*command, "--help")
                self.assertEqual(0, result.exit_code)
                self.assertIn("Usage:", result.output)

    def test_version(self) -> None:
        """The version is told."""
        self.assertIn(VERSION, dockreg("--version").output)

    def test_unknown_command(self) -> None:
        """A command that is not there is a mistake of usage."""
        self.assertEqual(2, dockreg("nonsense").exit_code)

    def test_keys(self) -> None:
        """A purpose of keys, or an algorithm for it, that there is not is a mistake of usage."""
        for arguments in (("other",), ("v1", "--algorithm=ES256"), ("bearer", "--algorithm=none"), ()):
            self.assertEqual(2, dockreg("key", "rotate", *arguments).exit_code, arguments)

    def test_no_password_argument(self) -> None:
        """There is no way to give a password on the command line, where other users can read it."""
        for command in (
            ("user", "create", "joey"),
            ("user", "password", "joey"),
            ("v1", "pull", "http://h/n", "x"),
            ("doctor", "h"),
        ):
            for option in ("--password=secret", "--pass=secret"):
                with self.subTest(command=command, option=option):
                    self.assertEqual(2, dockreg(*command, option).exit_code)

    def test_broken_configuration(self) -> None:
        """A mistake in the configuration is told with file and key."""
        path = Path(self.mktemp())
        path.write_text('[auth]\nanonymus = "none"\n')
        result = dockreg("user", "list", "--config", str(path))
        self.assertEqual(1, result.exit_code)
        self.assertIn(f"Error: {path}: auth.anonymus", result.output)

    def test_no_password(self) -> None:
        """An empty standard input is no password."""
        result = dockreg("user", "create", "joey", "--password-stdin", "--data-dir", self.mktemp())
        self.assertEqual(2, result.exit_code)
        self.assertIn("no password on standard input", result.output)

    def test_prompt(self) -> None:
        """Without ``--password-stdin`` the password is asked for twice, and not shown."""
        result = dockreg("user", "create", "joey", "--data-dir", self.mktemp(), stdin="secret\nother\n")
        self.assertEqual(1, result.exit_code)
        self.assertIn("do not match", result.output)
        self.assertNotIn("secret", result.output)

    def test_wrong_urls(self) -> None:
        """A URL that can not be used is refused before anything is asked."""
        path = write_tar(Path(self.mktemp()), {"x": b""})
        for url in ("demo/app", "http://joe:secret@host/demo/app"):
            for arguments in (("push", str(path), url), ("pull", url, "out.tar")):
                with self.subTest(arguments=arguments):
                    result = dockreg("v1", *arguments, "--user", "joe")
                    self.assertEqual(1, result.exit_code)
                    self.assertNotIn("Password", result.output)

    def test_options_together(self) -> None:
        """Options that make no sense together are refused."""
        path = str(write_tar(Path(self.mktemp()), {"x": b""}))
        url = "http://host/demo/app"
        for options in (("--image", "a:b", "--all-tags"), ("--password-stdin",), ("--user", "a:b")):
            with self.subTest(options=options):
                self.assertEqual(2, dockreg("v1", "push", path, url, *options).exit_code)

    def test_missing_archive(self) -> None:
        """An archive that is not there is a mistake of usage."""
        self.assertEqual(2, dockreg("v1", "push", self.mktemp(), "http://host/demo/app").exit_code)


class ChooseTests(SynchronousTestCase):
    """Which images of an archive are pushed under which tags."""

    def archive(self, repositories: dict[str, dict[str, int]]) -> Archive:
        """An archive with names for images of the sample chain, by their place in it."""
        images = layered_image()
        names = {name: {tag: images[place].id for tag, place in tags.items()} for name, tags in repositories.items()}
        archive = open_archive(write_tar(Path(self.mktemp()), v1_members(images, names)))
        self.addCleanup(archive.close)
        return archive

    def chosen(self, archive: Archive, tag: str | None, image: str | None, *, all_tags: bool = False) -> dict[str, int]:
        """Tags with the number of images below and at them."""
        tagged = choose(archive, Tag(tag) if tag else None, image, all_tags=all_tags)
        return {str(each): len(chain.images) for each, chain in tagged.items()}

    def test_only_image(self) -> None:
        """The only image gets the tag of the URL, or is called latest."""
        archive = self.archive({"a": {"1": 2, "2": 2}})
        self.assertEqual({"x": 3}, self.chosen(archive, "x", None))
        self.assertEqual({"latest": 3}, self.chosen(archive, None, None))

    def test_named_image(self) -> None:
        """Of several images the named one is pushed; without a name the sentence lists them."""
        archive = self.archive({"a": {"1": 2, "2": 1}})
        self.assertEqual({"x": 2}, self.chosen(archive, "x", "a:2"))
        error = self.assertRaises(CommandFailed, self.chosen, archive, "x", None)
        self.assertIn("a:1, a:2", error.message)
        error = self.assertRaises(CommandFailed, self.chosen, archive, "x", "a:3")
        self.assertIn("a:1, a:2", error.message)

    def test_all_tags(self) -> None:
        """Every tag of the archive is pushed; where two images have one tag, that is refused."""
        self.assertEqual(
            {"1": 3, "2": 2}, self.chosen(self.archive({"a": {"1": 2, "2": 1}}), None, None, all_tags=True)
        )
        self.assertEqual({"1": 3}, self.chosen(self.archive({"a": {"1": 2}, "b": {"1": 2}}), None, None, all_tags=True))
        conflict = self.archive({"a": {"1": 2}, "b": {"1": 1}})
        self.assertRaises(CommandFailed, self.chosen, conflict, None, None, all_tags=True)
        self.assertRaises(CommandFailed, self.chosen, conflict, "x", None, all_tags=True)
        unnamed = open_archive(write_tar(Path(self.mktemp()), v1_members(layered_image())))
        self.addCleanup(unnamed.close)
        self.assertRaises(CommandFailed, self.chosen, unnamed, None, None, all_tags=True)
