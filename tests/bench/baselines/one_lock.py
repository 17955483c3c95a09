"""Baseline for claims: one global lock, held while the hosts are read and the claim is written.

Writes the same rows as a compose (machine, disk, NIC, claims, totals, operation) and commits as durably.
"""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

import asyncpg
from attrs import frozen

from common.errors import OutOfCapacity
from regiond.db.pool import Database, Db
from regiond.requests.identifiers import new_hostname, new_mac_address, new_system_id, serial
from tests.bench.baselines.reading_all import Choice, Need, choose

_LOCK = "select pg_advisory_xact_lock(20261120)"
_MACHINE = """
    insert into machine (uuid, system_id, hostname, host_id, pool_id, zone_id, state, architecture, cores, memory_mib)
    values ($1, $2, $3, $4, $5, $6, 'composing', $7, $8, $9) returning id
"""
_DISK = """
    insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial)
    values ($1, 0, $2, $3, $4, $5)
"""
_NIC = """
    insert into machine_nic (machine_id, index, name, mac_address, kind, source) values ($1, 0, 'eth0', $2, $3, $4)
"""
_CLAIMS = """
    insert into claim (server_id, machine_id, resource, storage_pool_id, amount)
    values ($1, $2, 'cores', null, $4), ($1, $2, 'memory_mib', null, $5), ($1, $2, 'storage_bytes', $3, $6)
"""
_SERVER_TOTALS = """
    update server set cores_claimed = cores_claimed + $2, memory_mib_claimed = memory_mib_claimed + $3 where id = $1
"""
_POOL_TOTAL = "update storage_pool set claimed_bytes = claimed_bytes + $2 where id = $1"
_OPERATION = """
    insert into operation (kind, host_id, machine_id, account_id, host_name, system_id, hostname, request, max_failures)
    values ('compose', $1, $2, $3, $4, $5, $6, $7, 3) returning id
"""
_SUCCEEDED = """
    with ended as (
        update operation set state = 'succeeded', started_at = created_at, finished_at = now() where id = $1
        returning machine_id
    )
    update machine m set state = 'ready', power_state = 'off' from ended where m.id = ended.machine_id
"""


@frozen(kw_only=True)
class OneLock:
    database: Database
    account_id: int

    async def claim(self, need: Need, host_id: int | None = None) -> int:
        """Returns the id of the committed operation. Raises OutOfCapacity."""
        while True:
            with suppress(asyncpg.UniqueViolationError):  # with 50,000 machines, one random address in 300 is taken
                return await self._claim(need, host_id)

    async def _claim(self, need: Need, host_id: int | None) -> int:
        async with self.database.transaction() as db:
            await db.execute(_LOCK)
            choice = await choose(db, need, host_id=host_id)
            if choice is None:
                raise OutOfCapacity("No host has room.")
            return await self._write(db, need, choice)

    async def succeeded(self, operation_id: int) -> None:
        """Records that the machine is ready."""
        async with self.database.transaction() as db:
            await db.execute(_SUCCEEDED, operation_id)

    async def _write(self, db: Db, need: Need, choice: Choice) -> int:
        host, pool_id, (kind, source) = choice.host, choice.storage_pool_id, choice.nic_source
        uuid, system_id, mac = uuid4(), new_system_id(), new_mac_address()
        hostname, disk = f"{new_hostname()}-{system_id}", serial(uuid, 0)
        machine_id = await db.fetchval(
            _MACHINE, uuid, system_id, hostname, host["id"], host["pool_id"], host["zone_id"], host["architecture"],
            need.cores, need.memory_mib,
        )  # fmt: skip
        await db.execute(_DISK, machine_id, hostname, pool_id, need.disk_bytes, disk)
        await db.execute(_NIC, machine_id, mac, kind, source)
        await db.execute(
            _CLAIMS, host["server_id"], machine_id, pool_id, need.cores, need.memory_mib, need.disk_bytes
        )  # fmt: skip
        await db.execute(_SERVER_TOTALS, host["server_id"], need.cores, need.memory_mib)
        await db.execute(_POOL_TOTAL, pool_id, need.disk_bytes)
        spec = {"name": hostname, "uuid": str(uuid), "cores": need.cores, "memory_mib": need.memory_mib,
                "disk": disk, "mac_address": mac}  # fmt: skip
        operation_id: int = await db.fetchval(
            _OPERATION, host["id"], machine_id, self.account_id, host["name"], system_id, hostname, {"spec": spec}
        )
        return operation_id
