"""Measures dockreg beside other registries, on one machine and in one run; what counts is the ratio."""
