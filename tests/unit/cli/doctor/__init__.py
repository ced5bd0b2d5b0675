"""Tests of ``dockreg doctor``, on canned answers."""
