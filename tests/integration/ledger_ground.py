"""A server with two hosts, two storage pools, machines and foreign guests as rows, to claim on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import frozen

from common.errors import OutOfCapacity
from regiond.db.pool import Database
from regiond.ledger import store as ledger
from regiond.ledger.store import GuestClaim

if TYPE_CHECKING:
    from regiond.db.pool import Db

CORES, MEMORY_MIB, POOL_BYTES, ELSEWHERE_BYTES = 8, 8192, 100, 10

_CLEAR = "truncate claim, guest, machine_disk, machine, vm_host, storage_pool, server, operation cascade"
_SERVER = """
    insert into server (identity, architecture, hypervisor_version, cores, memory_mib)
    values ('one', 'amd64', '1', $1, $2) returning id
"""
_POOL = """
    insert into storage_pool (server_id, pool_key, name, type, path, total_bytes, used_elsewhere_bytes)
    values ($1, $2, $2, 'dir', '/', $3, $4) returning id
"""
_HOST = """
    insert into vm_host (name, driver, address, server_id, state, system_id)
    values ($1, 'simulated', $1, $2, 'ready', $1)
    returning id
"""
_MACHINE = """
    insert into machine (uuid, system_id, hostname, host_id, state, architecture, cores, memory_mib)
    values ($1, $2, $2, $3, 'ready', 'amd64', 1, 1) returning id
"""
_GUEST = """
    insert into guest (server_id, guest_key, name, power_state, cores, memory_mib) values ($1, $2, $2, 'on', 1, 1)
    returning id
"""
_RATIOS = "update vm_host set cpu_over_commit_ratio = $2, memory_over_commit_ratio = $3 where id = $1"
# `::text::numeric` takes every digit of the ratio, as placement does.
_WITHIN = """
    select s.cores_claimed <= floor(s.cores * h.cpu_over_commit_ratio::text::numeric)
           and s.memory_mib_claimed <= floor(s.memory_mib * h.memory_over_commit_ratio::text::numeric)
           and not exists (select from storage_pool p where p.id = any($2::integer[])
                            and p.claimed_bytes + p.used_elsewhere_bytes > p.total_bytes)
      from server s join vm_host h on h.server_id = s.id where h.id = $1
"""
_CLAIMED = "select cores_claimed, memory_mib_claimed from server"


@frozen(kw_only=True)
class Ground:
    database: Database
    server_id: int
    hosts: tuple[int, int]
    pools: tuple[int, int]
    guests: tuple[int, ...]

    async def claim(self, host: int, cores: int, memory_mib: int, storage: Mapping[int, int]) -> int | None:
        """The machine that got it, or None when there was no room. Asserts that what was granted is within bounds."""
        storage_bytes = {self.pools[pool]: amount for pool, amount in storage.items()}
        host_id = self.hosts[host]
        try:
            async with self.database.transaction() as db:
                machine_id = await self._machine(db, host_id)
                await ledger.claim(
                    db, host_id=host_id, machine_id=machine_id, cores=cores, memory_mib=memory_mib,
                    storage_bytes=storage_bytes,
                )  # fmt: skip
                assert await db.fetchval(_WITHIN, host_id, list(storage_bytes)), "a claim was granted beyond the bounds"
                return machine_id
        except OutOfCapacity:
            return None

    async def release(self, machine_id: int) -> None:
        async with self.database.transaction() as db:
            await ledger.release_machine(db, machine_id)
            await db.execute("delete from machine where id = $1", machine_id)

    async def find_guest(self, guest: int, cores: int, memory_mib: int, storage: Mapping[int, int]) -> None:
        """A discovery found this of a foreign guest: a fact, whatever room there is."""
        held = GuestClaim(
            guest_id=self.guests[guest],
            cores=cores,
            memory_mib=memory_mib,
            storage_bytes={self.pools[pool]: amount for pool, amount in storage.items()},
        )
        async with self.database.transaction() as db:
            await ledger.lock_server(db, self.server_id)
            await ledger.write_guests(db, self.server_id, [held])
            await ledger.retotal(db, self.server_id)

    async def lose_guest(self, guest: int) -> None:
        async with self.database.transaction() as db:
            await ledger.lock_server(db, self.server_id)
            await ledger.drop_guests(db, [self.guests[guest]])
            await ledger.retotal(db, self.server_id)

    async def resize(self, machine_id: int, cores: int, memory_mib: int) -> None:
        async with self.database.transaction() as db:
            await ledger.lock_server(db, self.server_id)
            await ledger.resize_machine(db, machine_id, cores=cores, memory_mib=memory_mib)
            await ledger.retotal(db, self.server_id)

    async def set_ratios(self, host: int, cpu: float, memory: float) -> None:
        async with self.database.connection() as db:
            await db.execute(_RATIOS, self.hosts[host], cpu, memory)

    async def faults(self) -> list[str]:
        async with self.database.connection() as db:
            return await ledger.check(db)

    async def claimed(self) -> tuple[int, int]:
        """Cores and MiB."""
        async with self.database.connection() as db:
            row = await db.fetchrow(_CLAIMED)
        assert row is not None
        return row["cores_claimed"], row["memory_mib_claimed"]

    async def execute(self, statement: str) -> None:
        async with self.database.connection() as db:
            await db.execute(statement)

    @staticmethod
    async def _machine(db: Db, host_id: int) -> int:
        made: int = await db.fetchval(_MACHINE, uuid4(), uuid4().hex, host_id)
        return made


async def prepare(database: Database) -> Ground:
    """The same ground, empty of claims, each time."""
    async with database.transaction() as db:
        await db.execute(_CLEAR)
        server_id: int = await db.fetchval(_SERVER, CORES, MEMORY_MIB)
        first, second = [await db.fetchval(_HOST, name, server_id) for name in ("a", "b")]
        default, fast = [await db.fetchval(_POOL, server_id, key, POOL_BYTES, ELSEWHERE_BYTES) for key in ("d", "f")]
        guests = [await db.fetchval(_GUEST, server_id, f"g{number}") for number in range(4)]
    return Ground(
        database=database, server_id=server_id, hosts=(first, second), pools=(default, fast), guests=tuple(guests)
    )
