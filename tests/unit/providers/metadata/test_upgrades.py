from pathlib import Path

from sqlalchemy import make_url

from tests.upgrades import SCHEMAS, UpgradeCase


class SQLiteUpgradeTests(UpgradeCase):
    """Databases of SQLite that older programs have left, with something in each table."""

    def new_url(self) -> str:
        folder = Path(self.mktemp())
        folder.mkdir()
        return f"sqlite:///{folder / 'dockreg.sqlite'}"

    def make_file(self, url: str) -> None:
        Path(str(make_url(url).database)).touch()

    async def test_upgraded(self) -> None:
        """All that was there is there after the upgrade, whatever the schema was, and the registry goes on with it."""
        rows = await self.filled()
        for version in SCHEMAS:
            await self.check(version, rows)
