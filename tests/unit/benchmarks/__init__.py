"""Tests of :mod:`benchmarks`."""
