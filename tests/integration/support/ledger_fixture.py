"""A server with two hosts, two storage pools, two NUMA nodes and four foreign guests, for tests of claims."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import frozen

from common.errors import OutOfCapacity
from regiond.db.pool import Database
from regiond.ledger import store as ledger_store
from regiond.ledger.claims import set_discrete_totals
from regiond.ledger.consistency import check
from regiond.ledger.model import NO_DISCRETE_RESOURCES, Demand, DiscreteResources, GuestClaims
from regiond.ledger.totals import recompute_totals
from tests.integration.support.tables import lock_waiters

if TYPE_CHECKING:
    from regiond.db.pool import Db

CORES, MEMORY_MIB, POOL_BYTES, ELSEWHERE_BYTES = 8, 8192, 100, 10  # without huge pages
FIRST_PAGES, SECOND_PAGES, PORT = "0/2048", "1/2048", "sim0"
NO_STORAGE: Mapping[int, int] = {}
PAGES, FUNCTIONS = 6, 8  # of each node, of the port

_CLEAR = "truncate claim, guest, machine_disk, machine, vm_host, storage_pool, server, operation cascade"
_IS_USED = "select exists (select from server)"
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
# `::text::numeric` uses every digit of the ratio, as placement does.
_WITHIN = """
    select s.cores_claimed <= floor(s.cores * h.cpu_over_commit_ratio::text::numeric)
           and ($3 = 0 or s.memory_mib_claimed <= floor(
                    (s.memory_mib - s.huge_memory_mib) * h.memory_over_commit_ratio::text::numeric))
           and not exists (select from discrete_resource r, unnest($4::text[]) demanded
                            where r.server_id = s.id and r.key = demanded and r.claimed > r.total)
           and not exists (select from claim c where c.resource = 'pinned_core' and c.key = any($5::text[])
                            group by c.server_id, c.key having count(*) > 1)
           and not exists (select from storage_pool p where p.id = any($2::integer[])
                            and p.claimed_bytes + p.used_elsewhere_bytes > p.total_bytes)
      from server s join vm_host h on h.server_id = s.id where h.id = $1
"""
_CLAIMED = "select cores_claimed, memory_mib_claimed from server"
_DISCRETE = """
    select (select pinned_core_ids from server) as pinned, coalesce(jsonb_object_agg(key, claimed), '{}') as claimed
      from discrete_resource where claimed > 0
"""


@frozen(kw_only=True)
class LedgerFixture:
    """Index arguments (`host`, `guest`, keys of `storage`) refer to the tuples below."""

    database: Database
    server_id: int
    hosts: tuple[int, int]
    pools: tuple[int, int]
    guests: tuple[int, ...]

    async def claim(
        self,
        host: int,
        cores: int,
        memory_mib: int,
        storage: Mapping[int, int] = NO_STORAGE,
        discrete: DiscreteResources = NO_DISCRETE_RESOURCES,
    ) -> int | None:
        """Returns the id of a new machine, or None without capacity. Asserts that a granted claim is valid."""
        try:
            return await self.must_claim(host, cores, memory_mib, storage, discrete)
        except OutOfCapacity:
            return None

    async def must_claim(
        self,
        host: int,
        cores: int,
        memory_mib: int,
        storage: Mapping[int, int] = NO_STORAGE,
        discrete: DiscreteResources = NO_DISCRETE_RESOURCES,
    ) -> int:
        """As `claim`, but raises OutOfCapacity."""
        storage_bytes = {self.pools[pool]: amount for pool, amount in storage.items()}
        keys = [*discrete.huge_pages, *discrete.functions]
        pins = [str(core_id) for core_id in discrete.pinned_core_ids]
        host_id = self.hosts[host]
        async with self.database.transaction() as db:
            machine_id = await self._machine(db, host_id)
            demand = Demand(host_id=host_id, cores=cores, memory_mib=memory_mib, storage_bytes=storage_bytes)
            await ledger_store.claim(db, machine_id=machine_id, demand=demand, discrete=discrete)
            within = await db.fetchval(_WITHIN, host_id, list(storage_bytes), memory_mib, keys, pins)
            assert within, "the claim exceeds what the ratios allow"
            return machine_id

    async def release(self, machine_id: int) -> None:
        async with self.database.transaction() as db:
            await ledger_store.release_machine(db, machine_id)
            await db.execute("delete from machine where id = $1", machine_id)

    async def find_guest(
        self,
        guest: int,
        cores: int,
        memory_mib: int,
        storage: Mapping[int, int] = NO_STORAGE,
        discrete: DiscreteResources = NO_DISCRETE_RESOURCES,
    ) -> None:
        """Records what a discovery run found of a foreign guest."""
        claims = GuestClaims(
            cores=cores,
            memory_mib=memory_mib,
            storage_bytes={self.pools[pool]: amount for pool, amount in storage.items()},
            discrete=discrete,
        )
        async with self.database.transaction() as db:
            await ledger_store.lock_server(db, self.server_id)
            await ledger_store.write_guests(db, self.server_id, {self.guests[guest]: claims})
            await recompute_totals(db, self.server_id)

    async def lose_guest(self, guest: int) -> None:
        async with self.database.transaction() as db:
            await ledger_store.lock_server(db, self.server_id)
            await ledger_store.drop_guests(db, [self.guests[guest]])
            await recompute_totals(db, self.server_id)

    async def resize(
        self, machine_id: int, cores: int, memory_mib: int, discrete: DiscreteResources = NO_DISCRETE_RESOURCES
    ) -> None:
        """Does nothing for a machine that has just been released."""
        claims = GuestClaims(cores=cores, memory_mib=memory_mib, discrete=discrete)
        async with self.database.transaction() as db:
            await ledger_store.lock_server(db, self.server_id)
            if await db.fetchval("select id from machine where id = $1 for key share", machine_id) is None:
                return
            await ledger_store.resize_machine(db, server_id=self.server_id, machine_id=machine_id, claims=claims)
            await recompute_totals(db, self.server_id)

    @asynccontextmanager
    async def moving(self, machine_id: int) -> AsyncIterator[None]:
        """Moves the machine to another server, which has no storage pool; commits at the end of the block."""
        async with self.database.transaction() as db:
            there = await db.fetchval(_OTHER_SERVER)
            await ledger_store.move_machine(db, machine_id, there)
            await recompute_totals(db, there)
            yield

    async def is_lock_awaited(self) -> bool:
        return await lock_waiters(self.database) > 0

    async def set_ratios(self, host: int, cpu: float, memory: float) -> None:
        async with self.database.connection() as db:
            await db.execute(_RATIOS, self.hosts[host], cpu, memory)

    async def mismatches(self) -> list[str]:
        async with self.database.connection() as db:
            return await check(db)

    async def claimed(self) -> tuple[int, int]:
        """Returns the claimed cores and MiB."""
        async with self.database.connection() as db:
            row = await db.fetchrow(_CLAIMED)
        assert row is not None
        return row["cores_claimed"], row["memory_mib_claimed"]

    async def claimed_discrete(self) -> DiscreteResources:
        """Returns the running totals of discrete resources."""
        async with self.database.connection() as db:
            row = await db.fetchrow(_DISCRETE)
        assert row is not None
        return DiscreteResources(
            pinned_core_ids=row["pinned"],
            huge_pages={key: amount for key, amount in row["claimed"].items() if "/" in key},
            functions={key: amount for key, amount in row["claimed"].items() if "/" not in key},
        )

    async def execute(self, statement: str) -> None:
        async with self.database.connection() as db:
            await db.execute(statement)

    @staticmethod
    async def _machine(db: Db, host_id: int) -> int:
        machine_id: int = await db.fetchval(_MACHINE, uuid4(), uuid4().hex, host_id)
        return machine_id


async def prepare(database: Database) -> LedgerFixture:
    """Returns the fixture without claims, after emptying the tables."""
    async with database.transaction() as db:
        if await db.fetchval(_IS_USED):  # a fresh database needs no owner
            await db.execute(_CLEAR)
        server_id: int = await db.fetchval(_SERVER, CORES, MEMORY_MIB, 2 * PAGES * 2)
        await set_discrete_totals(
            db, server_id,
            {("huge_pages", FIRST_PAGES): PAGES, ("huge_pages", SECOND_PAGES): PAGES,
             ("virtual_functions", PORT): FUNCTIONS},
        )  # fmt: skip
        first, second = [await db.fetchval(_HOST, name, server_id) for name in ("a", "b")]
        default, fast = [await db.fetchval(_POOL, server_id, key, POOL_BYTES, ELSEWHERE_BYTES) for key in ("d", "f")]
        guests = [await db.fetchval(_GUEST, server_id, f"g{number}") for number in range(4)]
    return LedgerFixture(
        database=database, server_id=server_id, hosts=(first, second), pools=(default, fast), guests=tuple(guests)
    )
