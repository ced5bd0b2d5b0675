"""Tests of dockreg.model."""
