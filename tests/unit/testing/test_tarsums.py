"""The checksums of engines, against the vectors of the protocol reference (4.5)."""

import io
import tarfile

from twisted.trial.unittest import SynchronousTestCase

from dockreg.testing.samples import make_tar, odd_layers
from dockreg.testing.tarsums import payload_checksum, tar_entries, tarsum, without_trailer

_JSON = b'{"id":"' + b"a" * 64 + b'"}'


def _archive(*members: tuple[str, bytes, int, int, bytes, str], owner: str = "", **pax: str) -> bytes:
    target = io.BytesIO()
    tar_format = tarfile.PAX_FORMAT if pax else tarfile.USTAR_FORMAT
    with tarfile.open(fileobj=target, mode="w", format=tar_format) as archive:
        for name, kind, mode, mtime, content, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime, member.size = kind, mode, mtime, len(content)
            member.linkname, member.uname, member.gname = link, owner, owner
            member.pax_headers = {f"SCHILY.xattr.user.{key}": value for key, value in pax.items()}
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


_A = _archive(
    ("etc/", tarfile.DIRTYPE, 0o755, 1400000000, b"", ""),
    ("etc/motd", tarfile.REGTYPE, 0o644, 1400000001, b"hello\n", ""),
    ("etc/motd.lnk", tarfile.SYMTYPE, 0o777, 1400000002, b"", "motd"),
    owner="root",
)
_B = _archive(("bin/a", tarfile.REGTYPE, 0o755, 1400000003, b"abc", ""), demo="1")
_FIRST = ("f", tarfile.REGTYPE, 0o644, 1400000000, b"A", "")
_SECOND = ("f", tarfile.REGTYPE, 0o644, 1400000000, b"B", "")
_C, _D = _archive(_FIRST, _SECOND), _archive(_SECOND, _FIRST)


class PayloadChecksumTests(SynchronousTestCase):
    """The checksum that engines from 0.10 send."""

    def test_vector(self) -> None:
        """It is the sum of json, newline and layer."""
        expected = "sha256:592499ce539524a3abe271ca057b2d181b38adab178ae673a8583d2c12080802"
        self.assertEqual(expected, payload_checksum(_JSON, b"hello"))


class TarsumTests(SynchronousTestCase):
    """Tarsum v0 in its three variants."""

    def _assert_sums(self, expected: dict[str, str], tar: bytes) -> None:
        for rule, value in expected.items():
            self.assertEqual(f"tarsum+sha256:{value}", tarsum(_JSON, tar, rule), rule)

    def test_no_entries(self) -> None:
        """An archive without entries has the sum of the json, with and without a trailer."""
        value = "d561730190e99254d474d840d9013e14ceef3005414abfdb62dcbfb9f5e44823"
        for tar in (b"", bytes(1024)):
            self._assert_sums(dict.fromkeys(("all", "last", "order"), value), tar)

    def test_plain_archive(self) -> None:
        """Folders, files and links of a ustar archive count with their headers, whatever the variant."""
        value = "7889bd58227f61989ed06bac97a40d6380f05e497f7a3e03e2fb1fa19a8a89d2"
        for tar in (_A, without_trailer(_A)):
            self._assert_sums(dict.fromkeys(("all", "last", "order"), value), tar)

    def test_extended_attributes(self) -> None:
        """Extended attributes of pax do not count."""
        self._assert_sums({"all": "8a4067b42f4fa8c66c2c487c184eb1e01698560dffde30df181236066051e339"}, _B)

    def test_same_path_twice(self) -> None:
        """The variants differ where a path comes twice."""
        plain = "58088a9a6f255cbc09035a210b52403d74a98cd9b3708a7471106f18c4bf6658"
        last_c = "45dd63815cd0a5e31992623ec860ed10bac1993b5646bf87a8fe5c1e4c76017b"
        last_d = "bba1f2a0aef10a331c9e8b2d7f31fdd091412d439806ceb75bde0e39dc9b384f"
        order_c = "39907d04cef9771cde9c446343594386f46ea25b54c52076ed5b6f09134c6b32"
        self._assert_sums({"all": plain, "last": last_c, "order": order_c}, _C)
        self._assert_sums({"all": plain, "last": last_d, "order": plain}, _D)


class TarEntriesTests(SynchronousTestCase):
    """Reading an archive entry by entry."""

    def test_names(self) -> None:
        """Long names of GNU and pax replace those of the header, and slashes at the end stay."""
        names: dict[str, bytes | None] = {"d/": None, "e/" + "x" * 200: b"1", "ä": b"2"}
        for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            tar = make_tar(names, tar_format)
            self.assertEqual(list(names), [entry.name for entry in tar_entries(tar)])

    def test_content(self) -> None:
        """The content of an entry is its own, zeros included."""
        tar = odd_layers()["zeros inside"]
        self.assertEqual([bytes(70_000), b"1"], [entry.content for entry in tar_entries(tar)])

    def test_without_trailer(self) -> None:
        """Only zero blocks after the last entry are taken away."""
        tar = odd_layers()["zeros inside"]
        shorter = without_trailer(tar)
        self.assertEqual(tar[: len(shorter)], shorter)
        self.assertEqual(list(tar_entries(tar)), list(tar_entries(shorter)))
        self.assertEqual(0, len(shorter) % 512)
        self.assertLess(len(shorter), len(tar))
