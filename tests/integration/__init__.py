"""Tests with real sockets, real files, real databases and real clients."""

from tests.garbage import look_seldom

look_seldom()
