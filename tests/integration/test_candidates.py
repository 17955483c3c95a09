"""The database narrows many hosts to a few: the decision is the one over all of them, and none goes unmentioned."""

from __future__ import annotations

from ipaddress import ip_network
from uuid import UUID, uuid4

import pytest

from regiond.db.pool import Database
from regiond.machines.candidates import choose
from regiond.placement.interface_text import parse_interfaces
from regiond.placement.model import Placement, Wish
from regiond.placement.place import Strategy
from regiond.placement.storage_text import parse_storage
from tests.bench.prefilled import prefill

HOSTS = 130
RACK = uuid4()

# As different as hosts can be: some without room of each kind, some of another kind, some going or not known yet.
_VARY = (
    "update server set cores = 1 + id * 37 % 64, cores_claimed = id * 7 % 30, memory_mib_claimed = id * 5077 % 1048576",
    "update server set architecture = 'arm64' where id % 11 = 0",
    "update storage_pool set used_elsewhere_bytes = total_bytes - claimed_bytes - 9000000000 where id % 3 = 0",
    "update storage_pool set claimed_bytes = total_bytes where id % 13 = 0",
    "update storage_pool set missing_since = now() where id % 17 = 0",
    "update vm_host set cpu_over_commit_ratio = 1 + (id % 5) * 0.29, memory_over_commit_ratio = 0.3 + (id % 7) * 0.1",
    "update vm_host set state = 'removing' where id % 19 = 0",
    "update vm_host set server_id = null, state = 'pending' where id % 23 = 0",
)


async def varied_hosts(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=HOSTS, machines_each=1)
    async with database.connection() as db:
        await db.execute("insert into rack values ($1, 'rack', '', now())", RACK)
        await db.execute(
            "insert into rack_reach (rack_id, host_id, reaches)"
            " select $1, id, id % 2 = 0 from vm_host where id % 9 < 2",
            RACK,
        )
        for statement in _VARY:
            await db.execute(statement)


async def chosen_of(
    database: Database, wish: Wish, *, named: int, strategy: Strategy = "spread", racks: tuple[UUID, ...] = (RACK,)
) -> Placement:
    async with database.connection() as db:
        return await choose(db, wish, racks, strategy=strategy, named=named)


def mentioned(placement: Placement) -> int:
    return len(placement.order) + len(placement.refused) + sum(placement.left_out.values())


@pytest.mark.parametrize("strategy", ["spread", "pack"])
async def test_a_few_of_many_give_the_same_choice_as_all(
    database: Database, database_url: str, strategy: Strategy
) -> None:
    await varied_hosts(database, database_url)
    for cores, memory_mib, storage in ((1, 1024, "8"), (7, 9000, "8,1"), (16, 200_000, "20"), (40, 300_000, "8(none)")):
        wish = Wish(cores=cores, memory_mib=memory_mib, disks=parse_storage(storage))
        every = await chosen_of(database, wish, named=1000, strategy=strategy)
        few = await chosen_of(database, wish, named=10, strategy=strategy)
        assert every.chosen is not None
        assert few.chosen == every.chosen
        assert every.left_out == {}
        assert mentioned(every) == mentioned(few) == HOSTS
        assert len(few.order) + len(few.refused) == 20


async def test_when_the_best_few_do_not_do_after_all_more_are_looked_at(database: Database, database_url: str) -> None:
    """Only placement knows which storage pool a tag names: to the database all these hosts look as if they had room."""
    await prefill(database_url, hosts=HOSTS, machines_each=1)
    async with database.connection() as db:
        await db.execute(
            "insert into storage_pool (server_id, pool_key, name, type, path, total_bytes)"
            " select id, 'fast', 'fast', 'dir', '/fast', case when id = 125 then 100e9 else 0 end from server"
        )
    wish = Wish(cores=1, memory_mib=1024, disks=parse_storage("8(fast)"))
    placement = await chosen_of(database, wish, named=10)
    assert placement.chosen is not None
    assert placement.chosen.host_name == "host-125"
    assert mentioned(placement) == HOSTS


async def test_hosts_left_out_are_counted_by_what_they_lack(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=HOSTS, machines_each=1)
    wish = Wish(cores=257, memory_mib=1024, disks=parse_storage("8"))
    placement = await chosen_of(database, wish, named=100)
    assert placement.chosen is None
    assert placement.left_out == {"not enough cores left": HOSTS - 20}
    assert placement.refused[0].reasons == ("cores: 257 asked, 255 of 256 × 1.0 = 256 left",)
    explained = placement.as_explanation()
    assert explained["left_out"] == [{"hosts": HOSTS - 20, "reason": "not enough cores left"}]


async def test_a_host_that_every_connected_rack_failed_to_reach_takes_nothing(
    database: Database, database_url: str
) -> None:
    await prefill(database_url, hosts=2, machines_each=0)
    other = uuid4()
    async with database.connection() as db:
        for rack in (RACK, other):
            await db.execute("insert into rack values ($1, $2, '', now())", rack, str(rack))
        await db.execute("insert into rack_reach (rack_id, host_id, reaches) values ($1, 1, false)", RACK)
    wish = Wish(cores=1, memory_mib=1024, disks=parse_storage("8"))
    by_one = await chosen_of(database, wish, named=10)
    by_both = await chosen_of(database, wish, named=10, racks=(RACK, other))
    by_none = await chosen_of(database, wish, named=10, racks=())
    assert [verdict.host_id for verdict in by_one.order] == [2]
    assert by_one.refused[0].reasons == ("no connected rack reaches it",)
    assert [verdict.host_id for verdict in by_both.order] == [1, 2]
    assert by_none.order == ()


async def test_without_any_host_nothing_is_chosen_and_nothing_left_out(database: Database) -> None:
    wish = Wish(cores=1, memory_mib=1024, disks=parse_storage("8"))
    placement = await chosen_of(database, wish, named=10)
    assert (placement.order, placement.refused, placement.left_out) == ((), (), {})


@pytest.mark.parametrize("cidr", ["10.7.0.0/24", "2001:db8:7::/64", "::ffff:10.7.0.0/120", "::/0"])
async def test_a_subnet_that_is_asked_for_is_found_however_the_database_writes_it(
    database: Database, database_url: str, cidr: str
) -> None:
    await prefill(database_url, hosts=30, machines_each=0)
    async with database.connection() as db:
        await db.execute("insert into vlan (id, fabric_id, vid) values (7, 0, 7)")
        await db.execute("insert into subnet (cidr, name, vlan_id) values ($1, 'lab', 7)", ip_network(cidr))
        await db.execute("update host_interface set vlan_id = 7 where host_id = 29")
    wish = Wish(cores=1, memory_mib=1024, disks=parse_storage("8"), nics=parse_interfaces(f"eth0:subnet={cidr}"))
    placement = await chosen_of(database, wish, named=10)
    assert placement.chosen is not None
    assert placement.chosen.host_id == 29
