"""How often a process that runs tests looks for garbage."""

import gc

#: Of young objects, before the collector looks at them. Python's own number is 700.
_YOUNG_OBJECTS = 20_000


def look_seldom() -> None:
    """
    Look for garbage less often from now on.

    All that the tests have imported is looked through each time that everything is. With the numbers of Python that, and
    looking at what a test is about to use, takes a tenth of the time of all tests. A test of garbage collects it itself.
    """
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
