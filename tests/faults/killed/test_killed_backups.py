"""SIGKILL of `region backup` and `region restore`, of the command alone and with all its processes, at known points."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from common.process.daemon import MISCONFIGURED
from regiond.db.pool import connect
from tests.deployment.deployment import Deployment
from tests.deployment.processes import as_processes
from tests.deployment.restored import PASSPHRASE
from tests.postgresql.database import create_database, drop_database
from tests.support.waiting import eventually, settle

MACHINES = 20
SEED = 20261125
COMMAND_S = 120.0
_BACKUP_BEGAN = "select count(*) > $1 from audit_entry where content like '%regiond.backup%'"
_DUMPS = "select count(*) > 0 from pg_stat_activity where application_name = 'pg_dump'"
_RESTORES = "select count(*) > 0 from pg_stat_activity where application_name = 'pg_restore' and datname = $1"
_TABLES = "select to_regclass('schema_migration') is not null"
_MARKED = "select count(*) > 0 from schema_migration where number = 9999"
_MOVED_ON = "select count(*) > 0 from event where kind = 'region_restored'"


@define
class Command:
    """A command of the region's computer, in a process group of its own."""

    process: subprocess.Popen[bytes]
    output: Path

    @classmethod
    def start(cls, deployment: Deployment, *words: str, **own: str) -> Command:
        output = deployment.folder / "output"
        environment = deployment.processes.environment() | {"BACKUP_PASSPHRASE": PASSPHRASE} | own
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "regiond", *words], env=environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        return cls(process, output)

    async def status(self) -> int:
        return await asyncio.to_thread(self.process.wait, COMMAND_S)

    async def kill(self, *, alone: bool) -> int:
        """Returns the status. `alone`: its child processes continue; returns when they have ended."""
        os.kill(self.process.pid, signal.SIGKILL) if alone else os.killpg(self.process.pid, signal.SIGKILL)
        status = await self.status()
        await eventually(lambda: not _has_members(self.process.pid))
        return status

    def printed(self) -> str:
        return self.output.read_text()


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@define
class Site:
    deployment: Deployment
    random: random.Random = field(factory=lambda: random.Random(SEED))  # noqa: S311  moments, no secrets

    @property
    def backups(self) -> Path:
        return self.deployment.folder / "backups"

    async def reaches(self, command: Command, point: Callable[[], Any]) -> None:
        """Returns some moment after the command has reached the point, or when it has ended."""

        async def has() -> bool:
            found = point()
            return bool(await found if inspect.isawaitable(found) else found) or command.process.poll() is not None

        await eventually(has, every_s=0.002)
        ends_at = asyncio.get_running_loop().time() + self.random.uniform(0.0, 0.05)
        await eventually(lambda: asyncio.get_running_loop().time() >= ends_at, every_s=0.005)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, module_server_folder: Path) -> Iterator[Site]:
    deployment = as_processes(folder=tmp_path_factory.mktemp("killed"), server_folder=module_server_folder)
    made = Site(deployment)
    try:
        settle(_prepare(made))
        yield made
    finally:
        deployment.processes.kill_all()


async def _prepare(site: Site) -> None:
    deployment = site.deployment
    await deployment.start()
    host = (await deployment.add_simulated(cores=128, memory_mib=262144))["id"]
    for n in range(MACHINES):
        await deployment.compose(host, cores=1, memory=1024, hostname=f"vm{n}", storage="root:1")
    site.backups.mkdir()
    assert await Command.start(deployment, "backup", str(site.backups / "good")).status() == 0


def _unfinished(site: Site) -> list[Path]:
    return list(site.backups.glob(".today.*.unfinished"))


async def _asked(deployment: Deployment, statement: str, *values: object) -> bool:
    return bool((await deployment.fetch(statement, *values))[0][0])


async def _backup_points(site: Site) -> dict[str, Callable[[], Any]]:
    """By name, what is true from some moment of a backup on."""
    deployment = site.deployment
    began = len(await deployment.fetch("select from audit_entry where content like '%regiond.backup%'"))
    return {
        "its start": lambda: True,
        "its file": lambda: _unfinished(site),
        "its entry of the audit trail": partial(_asked, deployment, _BACKUP_BEGAN, began),
        "its dump": partial(_asked, deployment, _DUMPS),
        "its data": lambda: any(one.stat().st_size > 0 for one in _unfinished(site)),
        "its end": lambda: "Saved" in (deployment.folder / "output").read_text(),
    }


@pytest.mark.parametrize(
    ("point", "alone"),
    [
        ("its start", False),
        ("its file", True),
        ("its entry of the audit trail", False),
        ("its dump", False),
        ("its data", True),
        ("its end", False),
    ],
)
async def test_a_killed_backup_leaves_no_file_and_is_repeated(site: Site, point: str, *, alone: bool) -> None:
    deployment, target = site.deployment, site.backups / "today"
    reached = (await _backup_points(site))[point]
    command = Command.start(deployment, "backup", str(target))
    await site.reaches(command, reached)
    status = await command.kill(alone=alone)
    if status == 0:
        assert point == "its end"  # it had its name already
    else:
        assert status == -signal.SIGKILL
        assert not target.exists()
    await deployment.get("machines/")
    again = Command.start(deployment, "backup", str(target))
    assert await again.status() == 0, again.printed()
    assert f"{MACHINES} VMs" in again.printed()
    assert "read back and complete" in again.printed()
    assert sorted(os.listdir(site.backups)) == ["good", "today"]
    target.unlink()


@pytest.mark.parametrize(
    ("point", "alone"),
    [
        ("its start", False),
        ("its load", True),
        ("its load", False),
        ("its tables", False),
        ("its marker", False),
        ("its key", False),
        ("its end", False),
    ],
)
async def test_no_region_starts_on_a_killed_restore_and_it_is_repeated(site: Site, point: str, *, alone: bool) -> None:
    deployment = site.deployment
    name = f"restored-{point.split()[1]}-{alone}"
    state = deployment.folder / name
    dsn = await create_database(deployment.dsn, name)
    own = {"INNKEEPER_DATABASE": dsn, "INNKEEPER_STATE": str(state)}
    restore = ("restore", str(site.backups / "good"))
    db = await connect(dsn, application_name="test")
    command = Command.start(deployment, *restore, **own)
    try:

        async def is_true(statement: str) -> bool:
            return bool(await db.fetchval(_TABLES)) and bool(await db.fetchval(statement))

        await site.reaches(
            command,
            {
                "its start": lambda: True,
                "its load": lambda: db.fetchval(_RESTORES, name),
                "its tables": lambda: db.fetchval(_TABLES),
                "its marker": lambda: is_true(_MARKED),
                "its key": (state / "secrets.key").exists,
                "its end": lambda: is_true(_MOVED_ON),
            }[point],
        )
        assert await command.kill(alone=alone) == -signal.SIGKILL or point == "its end"
        loaded, complete = await db.fetchval(_TABLES), await is_true(_MOVED_ON)
    finally:
        await db.close()
    await deployment.get("machines/")  # of the other database
    if not complete and point != "its start":
        region = Command.start(deployment, "run", **own)
        assert await region.status() == MISCONFIGURED
        assert "A restore into this database has not ended" in region.printed()
    if not complete:
        if loaded:
            await drop_database(deployment.dsn, name)
            assert await create_database(deployment.dsn, name) == dsn
        again = Command.start(deployment, *restore, **own)
        assert await again.status() == 0, again.printed()
    db = await connect(dsn, application_name="test")
    try:
        assert await db.fetchval("select count(*) from machine") == MACHINES
        assert not await db.fetchval(_MARKED)
    finally:
        await db.close()
    assert [path for path in state.rglob("*") if path.name.startswith(".") or path.suffix == ".unfinished"] == []
    await drop_database(deployment.dsn, name)
