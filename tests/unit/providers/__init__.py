"""Tests of the providers, without sockets."""
