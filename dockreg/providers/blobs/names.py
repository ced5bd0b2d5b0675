"""Names that come from outside."""

import re

_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)


def is_upload_id(text: str) -> bool:
    """
    Whether this may name an upload that can be resumed: it comes from a URL, and becomes the name of a file.

    It leaves room, in the 255 bytes that a name may have, for a sha512 digest and a generation beside it.
    """
    return _UPLOAD_ID.fullmatch(text) is not None
