"""What of the configuration comes from a file, and what from the command line."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.config import Config, ConfigError, load_config


class LoadConfigTests(SynchronousTestCase):
    """:func:`dockreg.config.load_config`."""

    def write(self, text: str) -> str:
        """A file that holds ``text``."""
        path = Path(self.mktemp())
        path.write_text(text, encoding="utf-8")
        return str(path)

    def test_no_file(self) -> None:
        """Without a file all is at its default, below the working directory."""
        self.assertEqual(Config(data_dir=Path.cwd() / "dockreg-data"), load_config(None))

    def test_missing_file(self) -> None:
        """A file that is not there is told by its name."""
        error = self.assertRaises(ConfigError, load_config, "/nowhere/d.toml")
        self.assertEqual("/nowhere/d.toml: can not be read: No such file or directory", str(error))

    def test_not_utf8(self) -> None:
        """A file that is not text is told by its name."""
        path = Path(self.mktemp())
        path.write_bytes(b"\xff")
        error = self.assertRaises(ConfigError, load_config, str(path))
        self.assertEqual(f"{path}: can not be read: not UTF-8", str(error))

    def test_command_line_first(self) -> None:
        """The command line goes before the file."""
        file = self.write('data_dir = "/a"\nlisten = ["tcp:1"]')
        config = load_config(file, "/b", ["tcp:2", "tcp:3"], {"STATE_DIRECTORY": "/c"})
        self.assertEqual((Path("/b"), ("tcp:2", "tcp:3")), (config.data_dir, config.listen))

    def test_state_directory(self) -> None:
        """The state folder of systemd is the default data folder, and the first one if there are several."""
        self.assertEqual(Path("/s"), load_config(None, environ={"STATE_DIRECTORY": "/s:/t"}).data_dir)
        file = self.write('data_dir = "/a"')
        self.assertEqual(Path("/a"), load_config(file, environ={"STATE_DIRECTORY": "/s"}).data_dir)

    def test_places(self) -> None:
        """Database and blobs are in the data folder unless the file says otherwise."""
        config = load_config(None, "/d")
        self.assertEqual("sqlite:////d/metadata.sqlite3", config.metadata_url)
        self.assertEqual(Path("/d/blobs"), config.blob_folder)
        config = load_config(self.write('[metadata]\nurl = "sqlite:////x"\n[blobs]\nfolder = "/y"'), "/d")
        self.assertEqual("sqlite:////x", config.metadata_url)
        self.assertEqual(Path("/y"), config.blob_folder)

    def test_empty_option(self) -> None:
        """An empty ``--data-dir`` is refused rather than taken for the working directory."""
        error = self.assertRaises(ConfigError, load_config, None, "")
        self.assertEqual("--data-dir", error.key)
