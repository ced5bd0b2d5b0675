"""Tests of dockreg.testing."""
