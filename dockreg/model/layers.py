"""What the registry learns of a v1 layer while its bytes pass, without unpacking or keeping them."""

import hashlib
from typing import Final, Literal

from dockreg.model.compression import CompressionInvalid, Decompressor
from dockreg.model.digest import Hasher
from dockreg.model.expansion import Expansion
from dockreg.model.tarheader import NotATar
from dockreg.model.tarstream import TarReader
from dockreg.model.tarsum import MAX_ENTRIES, TarSum
from dockreg.model.v1 import LayerFacts

#: No layer may unpack to more bytes, unless the configuration says otherwise.
MAX_UNCOMPRESSED: Final = 100 * 1024**3


class PayloadHasher:
    """
    The payload checksum of an image: sha256 over its json, one newline, and its layer as sent (engines from 0.10).

    :param json: the raw image json.
    """

    def __init__(self, json: bytes) -> None:
        self._hash = hashlib.sha256(json + b"\n")
        self.update = self._hash.update

    @property
    def checksum(self) -> str:
        """``sha256:<hex>`` over what was seen so far."""
        return f"sha256:{self._hash.hexdigest()}"


class LayerInspector:
    """
    Looks at a layer: its compression, the digest and size of its uncompressed tar, its entries, its tarsums.

    All of it is computation, to be called in a worker thread; hashing and decompression let other threads run. A layer
    that cannot be uncompressed, or is no tar, is no error: nothing is known of it then.

    :param max_uncompressed: in bytes.
    :param max_entries: a tar with more entries has no tarsums; the other facts are found out all the same.
    :param digested: of what the uncompressed tar is digested. When a layer that is not compressed is not, its facts have no
        diff id until :meth:`.LayerFacts.of_blob`.
    """

    def __init__(
        self,
        *,
        max_uncompressed: int = MAX_UNCOMPRESSED,
        max_entries: int = MAX_ENTRIES,
        digested: Literal["all", "compressed", "nothing"] = "all",
    ) -> None:
        self._digested = digested
        self._expansion = Expansion(max_uncompressed)
        self._decompressor = Decompressor()
        self._tarsum = TarSum(max_entries=max_entries)
        self._reader = TarReader(self._tarsum)
        self._hasher = Hasher()
        self._readable = True

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """
        Take the next bytes of the layer, as they were sent.

        :raises LayerTooLarge: it unpacks to more than is allowed.
        """
        if not self._readable:
            return
        self._expansion.receive(len(data))
        try:
            for piece in self._decompressor.feed(data):
                self._take(piece)
        except (CompressionInvalid, NotATar):
            self._readable = False

    def finish(self) -> LayerFacts:
        """
        The layer is complete: what is known of it.

        :raises LayerTooLarge: it unpacks to more than is allowed.
        """
        if self._readable:
            try:
                for piece in self._decompressor.finish():
                    self._take(piece)
                self._reader.finish()
            except (CompressionInvalid, NotATar):
                self._readable = False
        if not self._readable:
            return LayerFacts(self._decompressor.compression)
        diff_id = self._hasher.digest if self._is_digested else None
        return LayerFacts(self._decompressor.compression, diff_id, self._expansion.unpacked, self._tarsum.entries)

    @property
    def _is_digested(self) -> bool:
        if self._digested == "compressed":
            return self._decompressor.compression != "none"
        return self._digested == "all"

    def stop(self) -> None:
        """Look no further; called from another thread than the one that looks."""
        self._expansion.stop()

    def tarsums(self, json: bytes) -> frozenset[str]:
        """
        The values of tarsum v0 that an engine may announce for this layer under the raw image json ``json``.

        To be asked after :meth:`finish`, for any number of jsons. Empty when the layer is no tar, or has too many
        entries.
        """
        sums = self._tarsum.values_v0(json) if self._readable else None
        return sums.values if sums else frozenset()

    def _take(self, piece: bytes | memoryview) -> None:
        self._expansion.unpack(len(piece))
        if self._is_digested:
            self._hasher.update(piece)
        self._reader.feed(piece)
