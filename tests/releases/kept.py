"""The kept releases: their files, restored databases and unpacked wheels."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from pathlib import Path

from attrs import frozen

from regiond.db.pool import connect

FOLDER = Path(__file__).parent


@frozen
class Kept:
    """One release. `number` is such as `1.0.0`."""

    number: str

    def __str__(self) -> str:
        return self.number

    @property
    def folder(self) -> Path:
        return FOLDER / self.number

    @property
    def wheel(self) -> Path:
        (found,) = self.folder.glob("*.whl")
        return found

    async def restore(self, dsn: str) -> None:
        """Fills the empty database with that of the release; its owner is the role of `dsn`."""
        text = gzip.decompress((self.folder / "database.sql.gz").read_bytes()).decode()
        connection = await connect(dsn, application_name="test")
        try:
            await connection.execute(text)
        finally:
            await connection.close()

    def copy_state(self, to: Path) -> None:
        """Makes the state folder of a region of that release, with the modes that a region requires."""
        shutil.copytree(self.folder / "state", to)
        for path in (to, *to.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)

    def unpack(self, to: Path) -> Path:
        """Returns the folder with the packages of the release."""
        with zipfile.ZipFile(self.wheel) as wheel:
            wheel.extractall(to)
        return to


KEPT = tuple(Kept(path.name) for path in sorted(FOLDER.iterdir()) if (path / "database.sql.gz").exists())
