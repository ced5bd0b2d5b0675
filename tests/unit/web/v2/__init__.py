"""Tests for dockreg.web.v2."""
