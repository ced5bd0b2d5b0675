"""Tests of dockreg.providers.metadata."""
