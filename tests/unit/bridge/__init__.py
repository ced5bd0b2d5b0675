"""Tests of dockreg.bridge."""
