"""Where everything but the bytes of blobs is kept."""
