"""PostgreSQL recovers the database to a point in time; `region recovered` moves it on, and no guest is touched."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from development import postgres
from regiond.backup import programs
from regiond.reconciler.model import DiscrepancyKind
from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK, REGION
from tests.support.waiting import eventually

FIELDS: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "root:1"}
_NEWEST = "select max(id) from operation"
_NEXT = "select last_value from operation_id_seq"
_GIVEN_OUT = "select max(nextval('operation_id_seq')) from generate_series(1, 100)"


def archive_of(server: Path) -> Path:
    """Turns the archive of the write-ahead log on, before the server starts, and returns its folder."""
    archive = server / "archive"
    archive.mkdir()
    own(archive)
    with (server / "data/postgresql.conf").open("a") as file:
        file.write(f"archive_mode = on\narchive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'\n")
    return archive


def own(path: Path) -> None:
    """Gives the files to the user of the server."""
    if os.geteuid() == 0:
        for one in (path, *path.rglob("*")):
            shutil.chown(one, postgres.USER, postgres.USER)


def base_backup(dsn: str, release: int, folder: Path) -> None:
    sockets = parse_qs(urlsplit(dsn).query)["host"][0]
    program = programs.find("pg_basebackup", at_least=release)
    subprocess.run(
        [program.path, f"--host={sockets}", f"--username={postgres.SUPERUSER}", f"--pgdata={folder}",
         "--checkpoint=fast", "--wal-method=none"],
        check=True, timeout=120,
    )  # fmt: skip
    own(folder)


def recover(server: Path, base: Path, archive: Path, moment: str) -> None:
    """Replaces the data of the server, which is stopped, and has it replay the archive up to the moment."""
    (server / "data").rename(server / "lost")
    base.rename(server / "data")
    with (server / "data/postgresql.conf").open("a") as file:
        file.write(f"restore_command = 'cp {archive}/%f %p'\nrecovery_target_time = '{moment}'\n")
        file.write("recovery_target_action = promote\n")
    (server / "data/recovery.signal").touch()
    own(server / "data/recovery.signal")


async def recovered(deployment: Deployment) -> tuple[int, str]:
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "regiond", "recovered"], env=deployment.processes.environment(),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr


async def test_a_database_of_an_earlier_moment_is_moved_on(deployment: Deployment) -> None:
    runner = deployment.processes
    server = runner.server_folder
    archive = archive_of(server)
    await deployment.start()
    host = (await deployment.add_simulated("west", cores=32, memory_mib=65536))["id"]
    simulated = deployment.simulated("west")
    old = await deployment.compose(host, hostname="old", **FIELDS)
    release = int((server / "data/PG_VERSION").read_text())
    base_backup(runner.dsn, release, server / "base")
    await deployment.compose(host, hostname="kept", **FIELDS)
    with deployment.held("define guest", name="west"):
        open_compose = await deployment.begin_compose(host, hostname="open", **FIELDS)
        await eventually(lambda: runner.has_begun("compose"))
        moment = (await deployment.fetch("select clock_timestamp()::text"))[0][0]
    assert await deployment.ended(open_compose) == "succeeded"
    for name in ("new1", "new2"):
        await deployment.compose(host, hostname=name, **FIELDS)
    await deployment.delete(f"machines/{old['system_id']}/")
    newest = (await deployment.fetch(_GIVEN_OUT))[0][0]  # the log of PostgreSQL has 32 numbers in advance
    guests, changes = simulated.guests(), simulated.newest_change()

    status, printed = await recovered(deployment)
    assert (status, "Regions are connected to the database" in printed) == (1, True), printed
    deployment.kill(REGION)
    postgres.stop(server)  # also archives the last part of its log
    recover(server, server / "base", archive, moment)
    runner.start_postgres()
    await eventually(lambda: promoted(deployment))
    assert (await deployment.fetch(_NEXT))[0][0] < newest  # a region that started now would give these out again
    status, printed = await recovered(deployment)
    assert status == 0, printed
    assert f"restored to its state of {moment[:16]} UTC" in printed
    assert "1 open operation ended, 1 VM in transition settled. 1 VM host will be refreshed" in printed

    await runner.start_region()
    await eventually(lambda: runner.is_linked(RACK))

    async def reported() -> bool:
        kinds = [one.kind for one in await deployment.discrepancies()]
        return (kinds.count(DiscrepancyKind.UNKNOWN_GUEST), kinds.count(DiscrepancyKind.MACHINE_MISSING)) == (2, 1)

    await eventually(reported)
    assert (simulated.guests(), simulated.newest_change()) == (guests, changes)
    states = {one["hostname"]: one["status_name"] for one in await deployment.get("machines/")}
    assert (states["kept"], states["open"], sorted(states)) == ("Ready", "Ready", ["kept", "old", "open"])
    await deployment.compose(host, hostname="after", **FIELDS)
    assert (await deployment.fetch(_NEWEST))[0][0] > newest + 900_000
    assert simulated.guests().keys() == guests.keys() | {"after"}


async def promoted(deployment: Deployment) -> bool:
    return not (await deployment.fetch("select pg_is_in_recovery()"))[0][0]
