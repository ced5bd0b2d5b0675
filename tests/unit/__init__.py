"""Tests without sockets, sleep or a global reactor."""

from tests.garbage import look_seldom

look_seldom()
