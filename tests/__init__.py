"""Tests of dockreg."""

from hypothesis import settings

# No test depends on a time.
settings.register_profile("dockreg", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("dockreg")
