"""Tests of the whole daemon that take minutes: killing it, and loading it with gigabytes."""
