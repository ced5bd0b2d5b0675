"""Tests of dockreg.web."""
