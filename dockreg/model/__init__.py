"""Frozen values and their parsers: no I/O, no Twisted."""
