"""What ``docs/security.rst`` says about tests is so."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from dockreg.config import TABLES, Config

_ROOT = Path(__file__).resolve().parents[2]
_TEXT = (_ROOT / "docs" / "security.rst").read_text(encoding="utf-8")
_PROMISES = _TEXT.partition("\nWhat is promised\n")[2].partition("\nWhat is not promised\n")[0]


class SecurityDocsTests(SynchronousTestCase):
    """Promises name what tests them."""

    def test_modules(self) -> None:
        """Each module that is named is there."""
        named = set(re.findall(r"``(tests\.[a-z0-9_.]+)``", _TEXT))
        missing = [name for name in named if not (_ROOT / name.replace(".", "/")).with_suffix(".py").is_file()]
        self.assertEqual(([], True), (missing, len(named) > 50))

    def test_every_promise(self) -> None:
        """No promise is without a module."""
        promises = re.findall(r"^- .*?(?=^- |^\S|\Z)", _PROMISES, re.MULTILINE | re.DOTALL)
        self.assertGreater(len(promises), 25)
        self.assertEqual([], [promise for promise in promises if "``tests." not in promise])

    def test_settings(self) -> None:
        """Each setting that is named is there."""
        for table, name in re.findall(r"``([a-z]+)\.([a-z_]+)(?: = [^`]+)?``", _TEXT):
            if table in TABLES:
                self.assertTrue(hasattr(getattr(Config(), table), name), f"{table}.{name}")
