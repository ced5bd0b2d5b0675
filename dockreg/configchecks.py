"""``[scrub]``: how blobs are looked at again."""

from attrs import field, frozen

from dockreg import configvalues as valid


@frozen
class ScrubSettings:
    """``[scrub]``: whether, how fast and how often the bytes of blobs are compared with their digests."""

    enabled: bool = field(default=True, validator=valid.flag)
    bytes_per_second: int = field(default=4 * 2**20, validator=valid.number(4096))
    every_seconds: float = field(default=30 * 86400.0, validator=valid.seconds(60))
