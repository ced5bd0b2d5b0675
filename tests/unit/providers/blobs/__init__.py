"""Tests of dockreg.providers.blobs."""
