"""The replaceable parts: blobs, metadata, auth."""
