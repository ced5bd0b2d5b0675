"""Tests of where the registry is, and where it sends its clients."""

from twisted.trial.unittest import SynchronousTestCase

from dockreg.cli.doctor.findings import Verdict
from dockreg.cli.doctor.place import Place, is_inside, judge_destination, parse_repository, shown_url
from dockreg.cli.failures import CommandFailed
from tests.unit.cli.doctor.canned import HTTP, HTTPS, LOCAL, texts


class PlaceTests(SynchronousTestCase):
    """The URL of the command line."""

    def test_parts(self) -> None:
        """A registry is a scheme, a host and a port; without a scheme it is https, as for clients."""
        cases = {
            "r.example": ("https", "r.example", "r.example", 443),
            "R.example:5000": ("https", "r.example:5000", "r.example", 5000),
            "http://127.0.0.1:5000/": ("http", "127.0.0.1:5000", "127.0.0.1", 5000),
            "https://[::1]:5000/v2/": ("https", "[::1]:5000", "::1", 5000),
            "http://r.example/v1": ("http", "r.example", "r.example", 80),
        }
        for url, expected in cases.items():
            with self.subTest(url=url):
                place = Place.parse(url)
                self.assertEqual(expected, (place.scheme, place.authority, place.host, place.port))

    def test_wrong(self) -> None:
        """Anything else is refused with a sentence that says what to write."""
        cases = {
            "https://r.example/team/app": "--repository",
            "https://joe:secret@r.example": "--user",
            "ftp://r.example": "HOST",
            "https://": "HOST",
            "https://r.example/v2/?x=1": "HOST",
            "http://[::1": "HOST",
        }
        for url, sentence in cases.items():
            with self.subTest(url=url):
                error = self.assertRaises(CommandFailed, Place.parse, url)
                self.assertIn(sentence, error.message)
                self.assertNotIn("secret", error.message)

    def test_local(self) -> None:
        """Clients take plain http from loopback and localhost without being told."""
        cases = {"127.0.0.1:5000": True, "127.9.9.9": True, "localhost": True, "[::1]": True, "10.0.0.1": False}
        for authority, expected in {**cases, "r.example": False}.items():
            self.assertEqual(expected, Place("http", authority).is_local, authority)

    def test_repository(self) -> None:
        """A repository may have a tag behind it; nonsense is refused."""
        name, tag = parse_repository("team/app:1.0")
        self.assertEqual(("team/app", "1.0"), (str(name), str(tag)))
        self.assertIsNone(parse_repository("app")[1])
        for text in ("Team/App", "app:-", ""):
            self.assertRaises(CommandFailed, parse_repository, text)

    def test_shown_url(self) -> None:
        """What is shown of a URL holds no query and no user, either of which may be a credential."""
        self.assertEqual(
            "https://s3.example/b?(18 characters)", shown_url("https://u:p@s3.example/b?signature=abcdef12")
        )
        self.assertEqual("/v2/x?(3 characters)", shown_url("/v2/x?a=b"))


class DestinationTests(SynchronousTestCase):
    """URLs that a registry sends its clients to."""

    def test_good(self) -> None:
        """The registry's own URL needs no remark, wherever it is."""
        for place in (HTTPS, HTTP, LOCAL):
            self.assertEqual([], list(judge_destination(f"{place.origin}/token", place, "realm")))
        self.assertEqual([], list(judge_destination("https://r.example:443/token", HTTPS, "realm")))

    def test_plain_for_tls(self) -> None:
        """http for a registry that is https fails, and the headers of proxies are named."""
        told = texts(judge_destination("http://r.example/token", HTTPS, "realm"), Verdict.FAIL)
        self.assertIn("X-Forwarded-Proto", told)
        self.assertIn("v2.base_url", told)

    def test_other_host(self) -> None:
        """Another host is worth a note; a private one fails, whether it is spelled as an address or as localhost."""
        remarks = judge_destination("https://auth.example/token", HTTPS, "realm")
        self.assertIn("auth.example", texts(remarks, Verdict.OK))
        self.assertEqual("", texts(remarks, Verdict.FAIL))
        for host in ("10.1.2.3", "192.168.0.9:5000", "172.20.0.1", "127.0.0.1", "169.254.169.254", "localhost", "[::1]",
                     "0.0.0.0", "[fd00::1]"):  # fmt: skip
            self.assertIn(
                "guard", texts(judge_destination(f"https://{host}/token", HTTPS, "realm"), Verdict.FAIL), host
            )

    def test_private_registry(self) -> None:
        """A private registry may send to itself, and to no other port of its host."""
        place = Place("https", "10.1.2.3:5000")
        self.assertEqual([], list(judge_destination("https://10.1.2.3:5000/token", place, "realm")))
        self.assertIn("guard", texts(judge_destination("https://10.1.2.3:5001/token", place, "realm"), Verdict.FAIL))

    def test_lost_port(self) -> None:
        """The same host without the port is what a proxy makes that rewrites Host."""
        place = Place("https", "r.example:8443")
        self.assertIn("Host", texts(judge_destination("https://r.example/token", place, "realm"), Verdict.WARN))

    def test_no_url(self) -> None:
        """What is no URL fails."""
        for url in ("https://", "ftp://r.example/x", "https://r.example:x/", "//"):
            self.assertTrue(texts(judge_destination(url, HTTPS, "realm"), Verdict.FAIL), url)

    def test_inside(self) -> None:
        """Documentation addresses and names are not private."""
        for host in ("203.0.113.5", "r.example", "8.8.8.8"):
            self.assertFalse(is_inside(host), host)
