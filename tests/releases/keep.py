"""Keeps a release: python -m tests.releases.keep NUMBER

Builds the wheel of the last commit as that release, runs a region and a rack of it, fills them, and writes database,
state folder and wheel to `tests/releases/NUMBER/`. Run it on the commit of the release, without changed files.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from innkeeper.reactor import run  # it installs the reactor, so it comes first

ROOT = Path(__file__).resolve().parents[2]
_STATE = ("secrets.key", "authority", "admin.apikey", "images/store-id")
# Of pg_dump, and not known to every PostgreSQL from 15 on.
_UNKNOWN = re.compile(
    r"^(\\(un)?restrict .*|SET transaction_timeout = .*|(CREATE|COMMENT ON) SCHEMA .*)\n", re.MULTILINE
)


def build_wheel(number: str, folder: Path) -> Path:
    """Returns the wheel of the last commit, which a clone calls `vNUMBER`."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
    subprocess.run(["git", "tag", f"v{number}"], cwd=clone, check=True)
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    subprocess.run([*pip, "--wheel-dir", str(folder), "."], cwd=clone, check=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.startswith(f"innkeeper-{number}-"), wheel.name
    return wheel


def dump(dsn: str, major: int) -> bytes:
    """Returns the database as statements that any connection can execute."""
    from regiond.backup import programs  # after the reactor
    from tests.postgresql.database import as_superuser

    program = programs.find("pg_dump", at_least=major)
    text = subprocess.run(
        [program.path, "--inserts", "--rows-per-insert=500", "--no-owner", "--no-privileges", as_superuser(dsn)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return gzip.compress(_UNKNOWN.sub("", text).encode(), mtime=0)


async def keep(number: str, to: Path) -> None:
    from regiond.db.pool import connect  # after the reactor
    from tests.deployment.processes import temporary_deployment
    from tests.deployment.runner import RACK, REGION
    from tests.releases.contents import fill

    with tempfile.TemporaryDirectory(prefix="ikkeep-") as made:
        folder = Path(made)
        wheel = await asyncio.to_thread(build_wheel, number, folder)
        build = folder / "build"
        shutil.unpack_archive(wheel, build, "zip")
        with temporary_deployment("ikkeep-", region_build=build, rack_build=build) as region:
            await region.start()
            await fill(region)
            runner = region.processes
            connection = await connect(runner.dsn, application_name="keep")
            major = connection.get_server_version().major
            await connection.close()
            for name in (RACK, REGION):
                process = runner.running.pop(name)
                process.terminate()
                await asyncio.to_thread(process.wait, 60)
            database = await asyncio.to_thread(dump, runner.dsn, major)
            _write(to, database, state=runner.folder / "state", wheel=wheel)


def _write(to: Path, database: bytes, *, state: Path, wheel: Path) -> None:
    """Replaces the folder of the release."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    (to / "database.sql.gz").write_bytes(database)
    for one in _STATE:
        _copy(state / one, to / "state" / one)
    shutil.copyfile(wheel, to / wheel.name)


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to)
    elif source.exists():
        shutil.copyfile(source, to)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    run(lambda: keep(sys.argv[1], Path(__file__).parent / sys.argv[1]))
