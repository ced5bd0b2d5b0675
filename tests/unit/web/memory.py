"""Memory as that which a thread receives into."""

import mmap


def mapped(content: bytes, before: int = 0) -> mmap.mmap:
    """Some pages that hold this, behind so many other bytes."""
    pages = mmap.mmap(-1, before + len(content) + 1)
    pages[before : before + len(content)] = content
    return pages
