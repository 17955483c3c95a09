"""Machine pages: ordered by hostname, filtered in the database, each machine exactly once."""

from __future__ import annotations

import pytest
from attrs import evolve

from regiond.db.pool import Database
from regiond.machines.core.view_store import list_machines, machine_ids, of_host, read_all
from regiond.machines.searches.page_store import ordered_ids
from regiond.machines.values.search import MachineColumn, MachineFilter, MachineSearch
from regiond.machines.values.states import MachineState
from regiond.requests.search_query import SearchQuery
from tests.bench.prefilled import prefill

pytestmark = pytest.mark.database


async def test_pages_are_ordered_by_hostname_and_complete(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=3, machines_each=4)
    async with database.connection() as db:
        await db.execute("update machine set tags = '{ssd}' where hostname like 'vm-2-%'")
        await db.execute("update machine set state = 'broken' where hostname = 'vm-1-2'")
        names, after = [], None
        while page := await list_machines(db, MachineFilter(hosts=("host-1", "host-2"), limit=3, after=after)):
            assert len(page) <= 3
            names += [machine.hostname for machine in page]
            after = names[-1]
        assert names == [f"vm-{host}-{number}" for host in (1, 2) for number in (1, 2, 3, 4)]
        tagged = await list_machines(db, MachineFilter(tags=("ssd",), limit=10))
        assert [machine.hostname for machine in tagged] == [f"vm-2-{number}" for number in (1, 2, 3, 4)]
        ready = await list_machines(db, MachineFilter(states=(MachineState.READY,), hosts=("host-1",), limit=10))
        assert [machine.hostname for machine in ready] == ["vm-1-1", "vm-1-3", "vm-1-4"]


@pytest.mark.parametrize("hosts", [("host-2", "host-3", "host-3"), ()], ids=["named hosts", "all hosts"])
async def test_a_page_applies_every_filter(database: Database, database_url: str, hosts: tuple[str, ...]) -> None:
    await prefill(database_url, hosts=3, machines_each=4)
    unfiltered = MachineFilter(hosts=hosts, limit=10)
    async with database.connection() as db:
        await db.execute("""
            with far as (insert into zone (name) values ('far') returning id),
                 big as (insert into resource_pool (name) values ('big') returning id),
                 ann as (insert into account (username) values ('ann') returning id)
            update machine set zone_id = far.id, pool_id = big.id, owner_id = ann.id, agent_name = 'juju'
              from far, big, ann where hostname in ('vm-2-2', 'vm-3-1')
        """)
        mac = await db.fetchval("""
            select mac_address from machine_nic n join machine m on m.id = n.machine_id where hostname = 'vm-3-1'
        """)
        for machine_filter in (
            evolve(unfiltered, zones=("far",)),
            evolve(unfiltered, pools=("big",)),
            evolve(unfiltered, owners=("ann",)),
            evolve(unfiltered, agent_names=("juju",)),
            evolve(unfiltered, hostnames=("vm-2-2", "vm-3-1")),
        ):
            names = [machine.hostname for machine in await list_machines(db, machine_filter)]
            assert names == ["vm-2-2", "vm-3-1"], machine_filter
        (found,) = await list_machines(db, evolve(unfiltered, mac_addresses=(mac,), owners=("ann", "bob")))
        assert (found.hostname, found.zone.name, found.pool.name, found.owner) == ("vm-3-1", "far", "big", "ann")
        assert await list_machines(db, evolve(unfiltered, zones=("far",), pools=("default",))) == ()


async def test_internal_reads_leave_owner_data_out(database: Database, database_url: str) -> None:
    """It can have 64 KiB for each machine."""
    await prefill(database_url, hosts=1, machines_each=2)
    async with database.connection() as db:
        await db.execute("""update machine set owner_data = '{"a": "b"}'""")
        ids = await machine_ids(db, MachineFilter())
        assert [machine.owner_data for machine in await of_host(db, 1)] == [None, None]
        assert [machine.owner_data for machine in await read_all(db, ids, owner_data=False)] == [None, None]
        assert [machine.owner_data for machine in await read_all(db, ids)] == [{"a": "b"}] * 2
        assert [machine.id for machine in await read_all(db, ids[::-1])] == ids[::-1]


async def test_searched_machines_are_sorted_by_a_column(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=2, machines_each=3)
    async with database.connection() as db:
        await db.execute("update machine set cores = 9 where hostname = 'vm-2-2'")
        search = MachineSearch(query=SearchQuery(words=("VM-2-",)), sort=MachineColumn.CORES, descending=True, limit=1)
        found = await read_all(db, await ordered_ids(db, search))
        assert [machine.hostname for machine in found] == ["vm-2-2", "vm-2-1", "vm-2-3"]
        assert len(await ordered_ids(db, MachineSearch())) == 6
