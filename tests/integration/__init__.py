"""Tests with real sockets, real files, real databases and real clients."""
