"""Settings of Sphinx."""

import re
from pathlib import Path

project = "dockreg"
author = "dockreg developers"
copyright = "2026, dockreg developers"  # noqa: A001  # Sphinx wants this name
_source = (Path(__file__).parents[1] / "dockreg" / "version.py").read_text(encoding="utf-8")
release = re.findall(r'^VERSION = "([^"]+)"$', _source, re.MULTILINE)[0]
version = release

html_theme = "alabaster"
html_theme_options = {"description": "A container registry on Twisted", "fixed_sidebar": True}
exclude_patterns = ["_build"]
nitpicky = True
