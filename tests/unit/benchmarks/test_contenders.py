"""Tests of :mod:`benchmarks.contenders`."""

import json
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.contenders.base import Ability, Contender, Place, Situation
from benchmarks.contenders.distribution import Distribution, DockerRegistry
from benchmarks.contenders.dockreg import Dockreg, toml
from benchmarks.contenders.nginx import Nginx, NginxCopying
from benchmarks.contenders.others import Olareg, Zot
from benchmarks.selection import PEERS, peers
from dockreg.config import read_config

PLAIN, TLS, ACCOUNTS = Situation(), Situation(tls=True), Situation(accounts=True)


def place(situation: Situation = PLAIN, folder: Path = Path("/place")) -> Place:
    """A place for a server."""
    return Place(folder, 5123, situation, Path("/place/c.pem"), Path("/place/k.pem"))


class DockregTests(SynchronousTestCase):
    """How we are configured."""

    def test_plain(self) -> None:
        """The rest are the defaults, durability included; the one address of all clients has no limit."""
        self.assertEqual(
            {
                "data_dir": "/place/data",
                "listen": ["tcp:5123:interface=127.0.0.1"],
                "http": {"exempt_addresses": ["127.0.0.1"]},
            },
            Dockreg().configuration(place()),
        )

    def test_is_understood(self) -> None:
        """dockreg takes the file in each situation, and finds in it what it should."""
        config = read_config(toml(Dockreg().configuration(place())))
        self.assertEqual(("tcp:5123:interface=127.0.0.1",), config.listen)
        tls = read_config(toml(Dockreg().configuration(place(TLS)))).tls
        self.assertEqual(("/place/c.pem", "/place/k.pem"), (tls.certificate, tls.key))
        accounts = read_config(toml(Dockreg().configuration(place(ACCOUNTS)))).auth
        self.assertEqual("none", accounts.anonymous)

    def test_workers(self) -> None:
        """The number of workers is passed as it was given, and is not mentioned unless it was."""
        self.assertEqual(2, tomllib.loads(toml(Dockreg(2).configuration(place())))["workers"])
        self.assertEqual("auto", tomllib.loads(toml(Dockreg("auto").configuration(place())))["workers"])

    def test_further_settings(self) -> None:
        """A file of the user's can try any setting, beside or instead of those of the benchmark."""
        further = {"grace_seconds": 5, "http": {"window_bytes": 65536}}
        config = read_config(toml(Dockreg(None, further).configuration(place())))
        self.assertEqual((5, 65536), (config.grace_seconds, config.http.window_bytes))
        self.assertEqual(("127.0.0.1",), config.http.exempt_addresses)

    def test_tables_in_tables(self) -> None:
        """Every table gets its name."""
        settings = {"metadata": {"provider": "a.b", "options": {"c": True, "d": "e\\f"}}}
        self.assertEqual(settings, tomllib.loads(toml(settings)))


class DistributionTests(SynchronousTestCase):
    """How the Go registries are configured."""

    def test_plain(self) -> None:
        """The example that comes with it, on a port of this machine alone."""
        config = Distribution().configuration(place())
        self.assertEqual("127.0.0.1:5123", config["http"]["addr"])
        self.assertEqual({"rootdirectory": "/place/data"}, config["storage"]["filesystem"])
        self.assertEqual({"blobdescriptor": "inmemory"}, config["storage"]["cache"])
        self.assertNotIn("auth", config)
        self.assertNotIn("tls", config["http"])

    def test_situations(self) -> None:
        """TLS and accounts when they are asked for."""
        tls = Distribution().configuration(place(TLS))
        self.assertEqual({"certificate": "/place/c.pem", "key": "/place/k.pem"}, tls["http"]["tls"])
        accounts = Distribution().configuration(place(ACCOUNTS))
        self.assertEqual("/place/htpasswd", accounts["auth"]["htpasswd"]["path"])

    def test_versions(self) -> None:
        """Each version gets the settings that it knows."""
        self.assertIn("tag", Distribution().configuration(place())["storage"])
        self.assertIn("delete", DockerRegistry().configuration(place())["storage"])

    def test_prepare(self) -> None:
        """What is written is what is told to the program, and no collector of traces is looked for."""
        folder = Path(self.mktemp())
        folder.mkdir()
        contender = Distribution("/bin/registry")
        command = contender.prepare(place(folder=folder))
        self.assertEqual(["/bin/registry", "serve", str(folder / "config.yml")], command.arguments)
        self.assertEqual("none", command.environment["OTEL_TRACES_EXPORTER"])
        self.assertEqual(contender.configuration(place(folder=folder)), json.loads((folder / "config.yml").read_text()))

    def test_fill(self) -> None:
        """Each tag links to a manifest that is there."""
        folder = Path(self.mktemp())
        Distribution().fill(place(folder=folder), "bench/many", ["a", "b"])
        root = folder / "data" / "docker" / "registry" / "v2"
        link = (root / "repositories" / "bench/many" / "_manifests" / "tags" / "b" / "current" / "link").read_text()
        encoded = link.removeprefix("sha256:")
        self.assertTrue((root / "blobs" / "sha256" / encoded[:2] / encoded / "data").exists())


class NginxTests(SynchronousTestCase):
    """nginx serves files."""

    def test_configuration(self) -> None:
        """One port of this machine, encrypted when asked for, copying or not."""
        plain, tls = Nginx().configuration(place()), Nginx().configuration(place(TLS))
        self.assertIn("listen 127.0.0.1:5123;", plain)
        self.assertIn("listen 127.0.0.1:5123 ssl;", tls)
        self.assertIn("ssl_certificate /place/c.pem;", tls)
        self.assertIn("sendfile on;", plain)
        self.assertIn("sendfile off;", NginxCopying().configuration(place()))

    def test_content(self) -> None:
        """What is placed is found under the paths of the registry."""
        here = place(folder=Path(self.mktemp()))
        Nginx().place_blob(here, "bench/x", "sha256:ab", b"blob")
        Nginx().place_manifest(here, "bench/x", ["latest", "sha256:cd"], b"manifest")
        self.assertEqual(b"blob", (here.data / "v2/bench/x/blobs/sha256:ab").read_bytes())
        self.assertEqual(b"manifest", (here.data / "v2/bench/x/manifests/latest").read_bytes())
        self.assertEqual(b"manifest", (here.data / "v2/bench/x/manifests/sha256:cd").read_bytes())


class OthersTests(SynchronousTestCase):
    """zot and olareg."""

    def test_zot(self) -> None:
        """A port of this machine, and a folder."""
        config = Zot().configuration(place(TLS))
        self.assertEqual(("127.0.0.1", "5123"), (config["http"]["address"], config["http"]["port"]))
        self.assertEqual("/place/data", config["storage"]["rootDirectory"])
        self.assertEqual({"cert": "/place/c.pem", "key": "/place/k.pem"}, config["http"]["tls"])
        self.assertIn("auth", Zot().configuration(place(ACCOUNTS))["http"])

    def test_olareg(self) -> None:
        """All is told by options."""
        folder = Path(self.mktemp())
        folder.mkdir()
        command = Olareg("/bin/olareg").prepare(place(folder=folder))
        self.assertEqual(["/bin/olareg", "serve", "--addr", "127.0.0.1", "--port", "5123"], list(command.arguments)[:6])
        self.assertIn(str(folder / "data"), command.arguments)


class ContendersTests(SynchronousTestCase):
    """What is true of all of them."""

    def test_absent(self) -> None:
        """Who is not installed says so, and says what was looked for."""

        class Absent(Nginx):
            programs = ("no-such-program",)

        self.assertEqual("no program no-such-program", Absent().absence())

    def test_by_name(self) -> None:
        """Contenders are chosen by their names, and a wrong name is told with the right ones."""
        (chosen,) = peers(["nginx"], {"nginx": "/opt/nginx"})
        self.assertEqual(("nginx", "/opt/nginx"), (chosen.name, chosen.program))
        self.assertIn("distribution", str(self.assertRaises(ValueError, peers, ["apache"], {})))
        self.assertEqual([], list(peers([""], {})))

    def test_names(self) -> None:
        """No two have one name."""
        made: list[Contender] = [Dockreg(), *(make(None) for make in PEERS)]
        self.assertEqual(len(made), len({contender.name for contender in made}))

    def test_needs(self) -> None:
        """A situation tells what it asks of a contender."""
        self.assertEqual(frozenset({Ability.TLS}), TLS.needs)
        self.assertEqual(frozenset({Ability.ACCOUNTS}), ACCOUNTS.needs)
        self.assertEqual(frozenset(), PLAIN.needs)
