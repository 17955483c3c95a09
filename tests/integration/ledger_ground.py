"""A server with two hosts, two storage pools and two NUMA nodes, machines and foreign guests as rows, to claim on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import frozen

from common.errors import OutOfCapacity
from regiond.db.pool import Database
from regiond.ledger import store as ledger
from regiond.ledger.check import check
from regiond.ledger.counted import set_totals
from regiond.ledger.model import NOTHING_COUNTED, Counted, Held
from regiond.ledger.taking import Ask
from regiond.ledger.totals import retotal

if TYPE_CHECKING:
    from regiond.db.pool import Db

CORES, MEMORY_MIB, POOL_BYTES, ELSEWHERE_BYTES = 8, 8192, 100, 10  # memory that is in no huge page
FIRST_PAGES, SECOND_PAGES, PORT = "0/2048", "1/2048", "sim0"
PAGES, FUNCTIONS = 6, 8  # of each node, of the port

_CLEAR = "truncate claim, guest, machine_disk, machine, vm_host, storage_pool, server, operation cascade"
_SERVER = """
    insert into server (identity, architecture, hypervisor_version, cores, memory_mib, huge_memory_mib, numa_nodes)
    values ('one', 'amd64', '1', $1, $2::bigint + $3, $3,
            '[{"node_id": 0, "core_ids": [0, 1, 2, 3], "memory_mib": 4096,
               "huge_pages": [{"size_kib": 2048, "total": 6}], "siblings": [[0, 1], [2, 3]]},
              {"node_id": 1, "core_ids": [7, 6, 5, 4], "memory_mib": 4096,
               "huge_pages": [{"size_kib": 2048, "total": 6}]}]')
    returning id
"""
_OTHER_SERVER = """
    insert into server (identity, architecture, hypervisor_version, cores, memory_mib)
    values ('two', 'amd64', '1', 8, 8192) on conflict (identity) do update set cores = 8 returning id
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
           and ($3 = 0 or s.memory_mib_claimed <= floor(
                    (s.memory_mib - s.huge_memory_mib) * h.memory_over_commit_ratio::text::numeric))
           and not exists (select from counted_resource r, unnest($4::text[]) asked
                            where r.server_id = s.id and r.key = asked and r.claimed > r.total)
           and not exists (select from claim c where c.resource = 'pinned_core' and c.key = any($5::text[])
                            group by c.server_id, c.key having count(*) > 1)
           and not exists (select from storage_pool p where p.id = any($2::integer[])
                            and p.claimed_bytes + p.used_elsewhere_bytes > p.total_bytes)
      from server s join vm_host h on h.server_id = s.id where h.id = $1
"""
_CLAIMED = "select cores_claimed, memory_mib_claimed from server"
_COUNTED = """
    select (select pinned_core_ids from server) as pinned, coalesce(jsonb_object_agg(key, claimed), '{}') as claimed
      from counted_resource where claimed > 0
"""


@frozen(kw_only=True)
class Ground:
    database: Database
    server_id: int
    hosts: tuple[int, int]
    pools: tuple[int, int]
    guests: tuple[int, ...]

    async def claim(
        self, host: int, cores: int, memory_mib: int, storage: Mapping[int, int], counted: Counted = NOTHING_COUNTED
    ) -> int | None:
        """The machine that got it, or None when there was no room. Asserts that what was granted is within bounds."""
        try:
            return await self.must_claim(host, cores, memory_mib, storage, counted)
        except OutOfCapacity:
            return None

    async def must_claim(
        self, host: int, cores: int, memory_mib: int, storage: Mapping[int, int], counted: Counted = NOTHING_COUNTED
    ) -> int:
        """As `claim`, and raises OutOfCapacity."""
        storage_bytes = {self.pools[pool]: amount for pool, amount in storage.items()}
        keys = [*counted.huge_pages, *counted.functions]
        pins = [str(core_id) for core_id in counted.pinned_core_ids]
        host_id = self.hosts[host]
        async with self.database.transaction() as db:
            machine_id = await self._machine(db, host_id)
            ask = Ask(host_id=host_id, cores=cores, memory_mib=memory_mib, storage_bytes=storage_bytes)
            await ledger.claim(db, machine_id=machine_id, ask=ask, counted=counted)
            within = await db.fetchval(_WITHIN, host_id, list(storage_bytes), memory_mib, keys, pins)
            assert within, "a claim was granted beyond the bounds"
            return machine_id

    async def release(self, machine_id: int) -> None:
        async with self.database.transaction() as db:
            await ledger.release_machine(db, machine_id)
            await db.execute("delete from machine where id = $1", machine_id)

    async def find_guest(
        self, guest: int, cores: int, memory_mib: int, storage: Mapping[int, int], counted: Counted = NOTHING_COUNTED
    ) -> None:
        """A discovery found this of a foreign guest: a fact, whatever room there is."""
        held = Held(
            cores=cores,
            memory_mib=memory_mib,
            storage_bytes={self.pools[pool]: amount for pool, amount in storage.items()},
            counted=counted,
        )
        async with self.database.transaction() as db:
            await ledger.lock_server(db, self.server_id)
            await ledger.write_guests(db, self.server_id, {self.guests[guest]: held})
            await retotal(db, self.server_id)

    async def lose_guest(self, guest: int) -> None:
        async with self.database.transaction() as db:
            await ledger.lock_server(db, self.server_id)
            await ledger.drop_guests(db, [self.guests[guest]])
            await retotal(db, self.server_id)

    async def resize(self, machine_id: int, cores: int, memory_mib: int, counted: Counted = NOTHING_COUNTED) -> None:
        """Nothing for a machine that has just been released: a look does not see it any more."""
        held = Held(cores=cores, memory_mib=memory_mib, counted=counted)
        async with self.database.transaction() as db:
            await ledger.lock_server(db, self.server_id)
            if await db.fetchval("select id from machine where id = $1 for key share", machine_id) is None:
                return
            await ledger.resize_machine(db, server_id=self.server_id, machine_id=machine_id, held=held)
            await retotal(db, self.server_id)

    @asynccontextmanager
    async def moving(self, machine_id: int) -> AsyncIterator[None]:
        """A cluster moves the machine to another server, which has no storage pool; committed at the end."""
        async with self.database.transaction() as db:
            there = await db.fetchval(_OTHER_SERVER)
            await ledger.move_machine(db, machine_id, there)
            await retotal(db, there)
            yield

    async def somebody_waits(self) -> bool:
        async with self.database.connection() as db:
            return await db.fetchval("select exists (select from pg_locks where not granted)") is True

    async def set_ratios(self, host: int, cpu: float, memory: float) -> None:
        async with self.database.connection() as db:
            await db.execute(_RATIOS, self.hosts[host], cpu, memory)

    async def faults(self) -> list[str]:
        async with self.database.connection() as db:
            return await check(db)

    async def claimed(self) -> tuple[int, int]:
        """Cores and MiB."""
        async with self.database.connection() as db:
            row = await db.fetchrow(_CLAIMED)
        assert row is not None
        return row["cores_claimed"], row["memory_mib_claimed"]

    async def counted(self) -> Counted:
        """The running totals."""
        async with self.database.connection() as db:
            row = await db.fetchrow(_COUNTED)
        assert row is not None
        return Counted(
            pinned_core_ids=row["pinned"],
            huge_pages={key: amount for key, amount in row["claimed"].items() if "/" in key},
            functions={key: amount for key, amount in row["claimed"].items() if "/" not in key},
        )

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
        server_id: int = await db.fetchval(_SERVER, CORES, MEMORY_MIB, 2 * PAGES * 2)
        await set_totals(
            db, server_id,
            {("huge_pages", FIRST_PAGES): PAGES, ("huge_pages", SECOND_PAGES): PAGES,
             ("virtual_functions", PORT): FUNCTIONS},
        )  # fmt: skip
        first, second = [await db.fetchval(_HOST, name, server_id) for name in ("a", "b")]
        default, fast = [await db.fetchval(_POOL, server_id, key, POOL_BYTES, ELSEWHERE_BYTES) for key in ("d", "f")]
        guests = [await db.fetchval(_GUEST, server_id, f"g{number}") for number in range(4)]
    return Ground(
        database=database, server_id=server_id, hosts=(first, second), pools=(default, fast), guests=tuple(guests)
    )
