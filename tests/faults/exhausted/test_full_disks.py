"""Full disks of database, region and rack, as small file systems in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from common.errors import InnkeeperError
from common.process.daemon import FAILED
from development import postgres
from innkeeper.http import Api
from rackd.enrolment import join
from regiond.backup.model import BackupFailed
from regiond.backup.writing import Source, write_backup
from regiond.commands.backup_commands import restore
from regiond.credentials.seal import MasterKey
from regiond.db.pool import Database, connect
from regiond.process.settings import RegionSettings
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.postgresql.database import as_superuser
from tests.support.waiting import eventually

FILLER = "filler"
PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105
_IMAGE = """
    insert into image (name, architecture, sha256, size_bytes, virtual_size_bytes, format, state, store_id)
    values ('custom/x', 'amd64', $1, $2, 10, 'raw', 'ready', gen_random_uuid())
"""
SMALL_WAL = {"max_connections": "50", "min_wal_size": "32MB", "max_wal_size": "48MB", "shared_buffers": "16MB"}


def _mounted(folder: Path, size: str) -> bool:
    return (
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=False).returncode == 0
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from _disk(tmp_path / "small", "256k")


@pytest.fixture
def database_disk() -> Iterator[Path]:
    """Not below `tmp_path`, which PostgreSQL's user cannot enter."""
    folder = Path(f"/tmp/innkeeper-full-{os.getpid()}")  # noqa: S108  # a mount of our own, with a mode of its own
    yield from _disk(folder, "160m")


def _disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir(mode=0o755)
    if not _mounted(folder, size):
        folder.rmdir()
        pytest.skip("requires permission to mount a file system (CAP_SYS_ADMIN)")
    yield folder
    postgres.stop(folder / "server")
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def fill(disk: Path, *, free_bytes: int = 0) -> None:
    """Fills the disk; leaves `free_bytes`."""
    with (disk / FILLER).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError:
            file.truncate(max(0, file.tell() - free_bytes))


def free_space(disk: Path) -> None:
    (disk / FILLER).unlink()


async def make_zone(innkeeper: Deployment, name: str) -> str | None:
    """Returns the error, if any. The description cannot be compressed, so it takes disk space."""
    try:
        await innkeeper.post("zones/", name=name, description=os.urandom(2040).hex())
    except InnkeeperError as error:
        return f"{error.details['status']}: {error.message}"
    return None


async def test_a_full_database_disk_is_reported_and_recovers_with_space(
    tmp_path: Path, database_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = database_disk / "server"
    dsn = postgres.start(server, settings=SMALL_WAL)
    async with deployed(tmp_path, dsn) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        fill(database_disk)
        made = 0
        while (why := await make_zone(innkeeper, f"zone-{made}")) is None:
            made += 1
        assert why.startswith("503: The disk of the database is full")
        assert len(await innkeeper.get("zones/")) == made + 1  # reads work, and nothing was written partly

        # When the write-ahead log cannot grow either, PostgreSQL stops; it can start when there is space.
        await _fill_wal(dsn)
        await eventually(lambda: _not_ready(innkeeper))
        free_space(database_disk)
        postgres.start(server, settings=SMALL_WAL)
        await eventually(lambda: _ready(innkeeper))
        assert await make_zone(innkeeper, "after") is None
        assert len(await innkeeper.get("zones/")) == made + 2
        await eventually(lambda: innkeeper.is_linked("rack"))
        await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="m1")
        assert innkeeper.simulated_guests() == ["m1"]
    assert "Traceback" not in "".join(capfd.readouterr())


async def _fill_wal(dsn: str) -> None:
    db = await connect(as_superuser(dsn), application_name="test")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await _write_wal(db)
    db.terminate()


async def _write_wal(db: asyncpg.Connection[Any]) -> None:
    while True:
        await db.execute("select pg_logical_emit_message(true, 'full', 'x'); select pg_switch_wal()")


async def _ready(innkeeper: Deployment) -> bool:
    try:
        await Api(innkeeper.region.api_url.removesuffix("MAAS/"), None).get("healthz/ready")
    except InnkeeperError:
        return False
    return True


async def _not_ready(innkeeper: Deployment) -> bool:
    return not await _ready(innkeeper)


async def test_a_region_names_a_full_state_folder_and_starts_with_space(
    deployment: Deployment, small_disk: Path, database_url: str
) -> None:
    deployment.processes.dsn, state = database_url, small_disk / "state"
    environment = deployment.processes.environment() | {"INNKEEPER_STATE": str(state)}
    fill(small_disk)
    done = await _run_region(environment)
    assert done.returncode == FAILED  # so systemd restarts it
    said = (await done.communicate())[1].decode()
    assert f"Cannot write {state}: the disk is full." in said
    assert "Traceback" not in said
    free_space(small_disk)
    region = await _run_region(environment, until="region_started")
    region.terminate()
    assert await region.wait() == 0


async def _run_region(environment: dict[str, str], *, until: str | None = None) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "regiond", "run", env=environment, stderr=asyncio.subprocess.PIPE
    )
    if until is None:
        await process.wait()
        return process
    assert process.stderr is not None
    output = b""
    async for line in process.stderr:
        output += line
        if until.encode() in line:
            return process
    raise AssertionError(output.decode())


async def test_a_rack_on_a_full_disk_does_not_use_up_its_token(
    tmp_path: Path, small_disk: Path, database_url: str
) -> None:
    async with deployed(tmp_path, database_url) as innkeeper:
        token: Any = await innkeeper.region.components.services.racks.create_token(innkeeper.admin, lifetime_s=60)
        fill(small_disk, free_bytes=8192)
        with pytest.raises(OSError, match=r"No space left on device.*rack"):
            await join(token, small_disk / "rack", "rack")
        assert await innkeeper.get("racks/") == []
        free_space(small_disk)
        assert (await join(token, small_disk / "rack", "rack")).name == "rack"


async def test_a_restore_into_a_full_folder_leaves_the_database_empty(
    database: Database, database_url: str, empty_database_url: str, tmp_path: Path, small_disk: Path
) -> None:
    content = os.urandom(512 * 1024)
    sha256 = hashlib.sha256(content).hexdigest()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / sha256).write_bytes(content)
    async with database.connection() as db:
        await db.execute(_IMAGE, sha256, len(content))
    source = Source(
        dsn=database_url, master_key=MasterKey(bytes(32)), authority_pem=b"x", settings=None, images=tmp_path / "images"
    )
    settings = RegionSettings(database=empty_database_url, state=small_disk / "state")
    with (tmp_path / "backup").open("w+b") as file:
        await write_backup(source, file, PASSPHRASE, work_factor=2)
        file.seek(0)
        with pytest.raises(BackupFailed, match="No space left on device"):
            await restore(settings, file, PASSPHRASE, {})
    connection = await connect(empty_database_url, application_name="test")
    try:
        assert await connection.fetchval("select to_regclass('machine')") is None
    finally:
        await connection.close()
    assert not any(path.is_file() for path in (small_disk / "state/images").rglob(".*"))
