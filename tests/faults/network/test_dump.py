"""The network to the database dies while `pg_dump` waits for an answer: the backup fails within half a minute."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regiond.backup import programs
from regiond.backup.model import BackupFailed
from regiond.db.pool import connect
from tests.faults.network.site import Link, wired_site
from tests.faults.network.wire import Fault
from tests.waiting import eventually

_WAITS = "select count(*) = 1 from pg_stat_activity where application_name = 'pg_dump' and wait_event_type = 'Lock'"


async def test_a_dump_on_a_dead_network_ends(tmp_path: Path, server_folder: Path) -> None:
    with wired_site(tmp_path, server_folder) as site, ThreadPoolExecutor(1) as threads:  # its thread is in the network
        processes = site.deployment.processes
        processes.start_postgres()
        over_the_wire = processes.region_environment()["INNKEEPER_DATABASE"]
        program = programs.find("pg_dump", at_least=int((server_folder / "data/PG_VERSION").read_text()))
        holder, watcher = [await connect(processes.dsn, application_name="test") for _ in range(2)]
        await holder.execute("create table held ()")
        async with holder.transaction(isolation="repeatable_read"):
            snapshot = await holder.fetchval("select pg_export_snapshot()")
            await holder.execute("lock table held in access exclusive mode")
            dumped = asyncio.get_running_loop().run_in_executor(
                threads,
                lambda: programs.dump(
                    over_the_wire, program, snapshot=snapshot, without_rows_of="x", on_data=lambda _: None
                ),
            )
            await eventually(lambda: watcher.fetchval(_WAITS))
            with (
                site.wires[Link.DATABASE].faulty(Fault.BLACK_HOLE),
                pytest.raises(BackupFailed, match="pg_dump failed"),
            ):
                await asyncio.wait_for(dumped, 60.0)
        await watcher.close()
        await holder.close()
