"""Tests without sockets, sleep or a global reactor."""
