"""What several test modules need."""

import os
import shutil
from importlib import import_module
from types import ModuleType
from unittest import SkipTest


def require_program(*names: str) -> str:
    """
    The path of the first of ``names`` that is installed.

    A machine with Python and make alone skips the test; continuous integration must have the program.
    """
    for name in names:
        found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/lib/postgresql/15/bin")
        if found:
            return found
    sentence = f"needs {' or '.join(names)}, which is not installed here"
    if os.environ.get("CI"):
        raise AssertionError(sentence)
    raise SkipTest(sentence)


def require_module(name: str) -> ModuleType:
    """
    The module, which an optional part of dockreg needs.

    It is skipped, or not, as for :func:`require_program`.
    """
    try:
        return import_module(name)
    except ImportError:
        sentence = f"needs {name}, which is not installed here"
    if os.environ.get("CI"):
        raise AssertionError(sentence)
    raise SkipTest(sentence)
