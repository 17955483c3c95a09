"""Disks that are full, for real: the database's, the region's and the rack's. Small file systems in memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from common.daemon import FAILED
from common.errors import InnkeeperError
from development import postgres
from innkeeper.http import Api
from rackd.joining import join
from regiond.db.pool import connect
from tests.faults.daemons import Daemons
from tests.installation import Installation, installed
from tests.waiting import eventually

FILLER = "filler"
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
    """Not below `tmp_path`, where PostgreSQL's user may not go."""
    folder = Path(f"/tmp/innkeeper-full-{os.getpid()}")  # noqa: S108  # a mount of our own, with a mode of its own
    yield from _disk(folder, "160m")


def _disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir(mode=0o755)
    if not _mounted(folder, size):
        folder.rmdir()
        pytest.skip("this container may not mount a file system: run as root on a machine, or with CAP_SYS_ADMIN")
    yield folder
    postgres.stop(folder / "server")
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def fill(disk: Path, *, but_bytes: int = 0) -> None:
    """No byte is left, or so many."""
    with (disk / FILLER).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError:
            file.truncate(max(0, file.tell() - but_bytes))


def make_room(disk: Path) -> None:
    (disk / FILLER).unlink()


async def make_zone(innkeeper: Installation, name: str) -> str | None:
    """None, or why it could not be made. Its description needs room of its own, and cannot be packed."""
    try:
        await innkeeper.post("zones/", name=name, description=os.urandom(2040).hex())
    except InnkeeperError as error:
        return f"{error.details['status']}: {error.message}"
    return None


@pytest.mark.same_sql
async def test_a_full_disk_of_the_database_is_told_and_all_goes_on_when_there_is_room(
    tmp_path: Path, database_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = database_disk / "server"
    dsn = postgres.start(server, settings=SMALL_WAL)
    async with installed(tmp_path, dsn) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        fill(database_disk)
        made = 0
        while (why := await make_zone(innkeeper, f"zone-{made}")) is None:
            made += 1
        assert why.startswith("503: The database's disk is full")
        assert len(await innkeeper.get("zones/")) == made + 1  # reading goes on, and nothing is half there

        # Then the journal has no room either: PostgreSQL stops at once, as it must, and comes up when it can.
        await _use_up_journal(dsn)
        await eventually(lambda: _not_ready(innkeeper))
        make_room(database_disk)
        postgres.start(server, settings=SMALL_WAL)
        await eventually(lambda: _ready(innkeeper))
        assert await make_zone(innkeeper, "after") is None
        assert len(await innkeeper.get("zones/")) == made + 2
        await eventually(lambda: innkeeper.is_linked("rack"))
        await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="inn")
        assert innkeeper.simulated_guests() == ["inn"]
    assert "Traceback" not in "".join(capfd.readouterr())


async def _use_up_journal(dsn: str) -> None:
    db = await connect(dsn, application_name="test")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await _switch_again_and_again(db)
    db.terminate()


async def _switch_again_and_again(db: asyncpg.Connection[Any]) -> None:
    while True:
        await db.execute("select pg_logical_emit_message(true, 'full', 'x'); select pg_switch_wal()")


async def _ready(innkeeper: Installation) -> bool:
    try:
        await Api(innkeeper.region.api_url.removesuffix("MAAS/"), None).get("healthz/ready")
    except InnkeeperError:
        return False
    return True


async def _not_ready(innkeeper: Installation) -> bool:
    return not await _ready(innkeeper)


@pytest.mark.same_sql
async def test_a_region_whose_folder_has_no_room_says_so_in_a_sentence_and_starts_when_there_is(
    daemons: Daemons, small_disk: Path, database_url: str
) -> None:
    daemons.dsn, state = database_url, small_disk / "state"
    environment = daemons.environment() | {"INNKEEPER_STATE": str(state)}
    fill(small_disk)
    done = await _run_region(environment)
    assert done.returncode == FAILED  # so systemd tries again
    said = (await done.communicate())[1].decode()
    assert f"The disk is full: {state} cannot be written." in said
    assert "Traceback" not in said
    make_room(small_disk)
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
    async for line in process.stderr:
        if until.encode() in line:
            break
    return process


@pytest.mark.same_sql
async def test_a_rack_without_room_for_its_identity_does_not_use_up_its_token(
    tmp_path: Path, small_disk: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        token: Any = await innkeeper.region.parts.services.racks.make_token(innkeeper.admin, lifetime_s=60)
        fill(small_disk, but_bytes=8192)
        with pytest.raises(OSError, match=r"No space left on device.*rack"):
            await join(token, small_disk / "rack", "rack")
        assert await innkeeper.get("racks/") == []
        make_room(small_disk)
        assert (await join(token, small_disk / "rack", "rack")).name == "rack"
