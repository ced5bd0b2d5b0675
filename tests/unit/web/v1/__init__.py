"""Tests of dockreg.web.v1."""
