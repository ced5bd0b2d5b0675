"""Tests for dockreg.bridge.platforms."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dockreg.bridge.platforms import choose_platform
from dockreg.model.digest import Digest
from dockreg.model.manifest import Child, Descriptor, Platform

IMAGE = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
AMD64 = Platform("linux", "amd64")
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": "sha256:x"}
PLATFORMS = st.builds(
    Platform,
    st.sampled_from(["linux", "windows", "Linux", "unknown", ""]),
    st.sampled_from(["amd64", "x86_64", "arm", "arm64", "unknown", ""]),
    st.sampled_from(["", "v6", "7", "v8"]),
)


def child(platform: Platform | None, media_type: str = IMAGE, annotations: dict[str, str] | None = None) -> Child:
    return Child(Descriptor(media_type, Digest.sha256(b""), 0), platform, None, annotations or {})


class ChoosePlatformTests(SynchronousTestCase):
    """Tests for choose_platform."""

    def chosen(self, wanted: Platform, *platforms: Platform | None) -> Platform | None:
        found = choose_platform([child(platform) for platform in platforms], wanted)
        return None if found is None else found.platform

    def test_exact(self) -> None:
        """The platform itself is chosen, wherever it stands and however it is spelled."""
        arm64, other = Platform("linux", "arm64", "v8"), Platform("windows", "amd64")
        self.assertEqual(AMD64, self.chosen(AMD64, other, arm64, AMD64, Platform("linux", "amd64", "v3")))
        self.assertEqual(arm64, self.chosen(Platform("linux", "aarch64"), AMD64, arm64))
        self.assertEqual(Platform("Linux", "x86_64"), self.chosen(AMD64, other, Platform("Linux", "x86_64")))

    def test_variants(self) -> None:
        """Without the variant itself the closest older one is chosen, then any."""
        v5, v6, v7, v8 = (Platform("linux", "arm", f"v{number}") for number in (5, 6, 7, 8))
        self.assertEqual(v7, self.chosen(Platform("linux", "arm"), v5, v6, v7, v8))
        self.assertEqual(v6, self.chosen(v7, v5, v8, v6))
        self.assertEqual(v6, self.chosen(v7, v6, v5, v8))
        self.assertEqual(v7, self.chosen(v6, v7, v8))
        self.assertEqual(Platform("linux", "amd64", "v2"), self.chosen(AMD64, Platform("linux", "amd64", "v2")))

    def test_first(self) -> None:
        """Of several for one platform the first is chosen, as for versions of Windows."""
        first, second = (Platform("windows", "amd64", "", version) for version in ("10.0.1", "10.0.2"))
        self.assertEqual(first, self.chosen(Platform("windows", "amd64"), first, second))

    def test_none(self) -> None:
        """Nothing is chosen of what is for other platforms, or for none."""
        self.assertIsNone(self.chosen(AMD64))
        self.assertIsNone(self.chosen(AMD64, Platform("linux", "arm64"), Platform("windows", "amd64"), None))
        self.assertIsNone(choose_platform([child(None), child(None)], AMD64))

    def test_only_image(self) -> None:
        """The only image of an index is chosen though nothing says what it is for."""
        alone = child(None)
        attestation = child(Platform("unknown", "unknown"), annotations=ATTESTATION)
        self.assertIs(alone, choose_platform([attestation, alone, child(None, LAYER)], AMD64))

    def test_attestations(self) -> None:
        """Attestations and blobs are no images."""
        for other in (
            child(Platform("unknown", "unknown")),
            child(AMD64, annotations=ATTESTATION),
            child(None, annotations=ATTESTATION),
            child(AMD64, LAYER),
            child(None, "application/vnd.buildkit.cacheconfig.v0"),
        ):
            self.assertIsNone(choose_platform([other], AMD64))
            image = child(AMD64)
            self.assertIs(image, choose_platform([other, image], AMD64))
        self.assertIsNone(self.chosen(Platform("unknown", "unknown"), Platform("unknown", "unknown")))

    @given(st.lists(st.none() | PLATFORMS, max_size=5), PLATFORMS)
    def test_any(self, platforms: list[Platform | None], wanted: Platform) -> None:
        """What is chosen is of the same system and machine, and exactly the wanted one if that is there."""
        found = choose_platform([child(platform) for platform in platforms], wanted)
        if found is None or found.platform is None:
            return
        self.assertEqual(wanted.normalized[:2], found.platform.normalized[:2])
        if any(platform is not None and platform.matches(wanted) for platform in platforms):
            self.assertTrue(found.platform.matches(wanted))
