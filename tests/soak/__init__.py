"""Many clients at once, for minutes or for hours: ``python -m tests.soak --help``."""
