"""Tests of what the command line can not mean."""

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.command import main


class UsageTests(SynchronousTestCase):
    """Nothing is asked before the command line is understood."""

    def test_usage(self) -> None:
        """What can not be meant ends with a status that is not 0, and a sentence."""
        cases: dict[tuple[str, ...], str] = {
            ("http://r", "--push"): "--repository",
            ("http://r", "--password-stdin"): "--user",
            ("http://r", "--user", "a:b", "--password-stdin"): "':'",
            ("http://r", "--user", "joe", "--password-stdin"): "no password",
            ("http://r/team/app",): "--repository",
            ("http://joe:secret@r",): "--user",
            ("http://r", "--repository", "A"): "not a repository name",
            ("http://r", "--cafile", "/nowhere"): "does not exist",
        }
        for arguments, sentence in cases.items():
            with self.subTest(arguments=arguments):
                done = CliRunner().invoke(main, ["doctor", *arguments])
                self.assertNotEqual(0, done.exit_code)
                self.assertIn(sentence, done.output)
                self.assertNotIn("secret", done.output)
