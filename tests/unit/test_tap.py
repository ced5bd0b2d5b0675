"""Tests of :mod:`dockreg.tap`."""

from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from dockreg.tap import Options


class OptionsTests(SynchronousTestCase):
    """:class:`dockreg.tap.Options`."""

    def test_defaults(self) -> None:
        """Without options dockreg listens on loopback, with a data folder below the working directory."""
        options = Options()
        options.parseOptions([])
        self.assertEqual(("tcp:5000:interface=127.0.0.1",), options.config.listen)
        self.assertEqual(Path.cwd() / "dockreg-data", options.config.data_dir)

    def test_all(self) -> None:
        """``--config``, ``--data-dir`` and ``--listen``, which may be repeated, reach the configuration."""
        file = Path(self.mktemp())
        file.write_text("grace_seconds = 7")
        options = Options()
        options.parseOptions(["--config", str(file), "--data-dir", "/d", "--listen", "tcp:1", "--listen", "tcp:2"])
        config = options.config
        self.assertEqual((7.0, Path("/d"), ("tcp:1", "tcp:2")), (config.grace_seconds, config.data_dir, config.listen))

    def test_two_parsers(self) -> None:
        """What one parser was told does not reach the next."""
        Options().parseOptions(["--listen", "tcp:1"])
        options = Options()
        options.parseOptions([])
        self.assertEqual(("tcp:5000:interface=127.0.0.1",), options.config.listen)

    def test_mistake(self) -> None:
        """A mistake in the file is a usage error that names file and key."""
        file = Path(self.mktemp())
        file.write_text("gracious_seconds = 7")
        error = self.assertRaises(UsageError, Options().parseOptions, ["--config", str(file)])
        self.assertEqual(f"{file}: gracious_seconds: there is no such key", str(error))

    def test_help(self) -> None:
        """The help names the three options."""
        text = Options().getUsage()
        for option in ("--config=", "--data-dir=", "--listen="):
            self.assertIn(option, text)


class PluginTests(SynchronousTestCase):
    """What twistd finds."""

    def test_service_maker(self) -> None:
        """The plugin is a service maker of the name ``dockreg``."""
        maker = namedAny("twisted.plugins.dockreg_plugin.dockreg")
        verifyObject(IServiceMaker, maker)
        verifyObject(IPlugin, maker)
        self.assertEqual(("dockreg", Options), (maker.tapname, maker.options))
