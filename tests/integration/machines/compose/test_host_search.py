"""The shortlist query: the choice equals that over all hosts, and every host is named or counted."""

from __future__ import annotations

from ipaddress import ip_network
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from regiond.db.pool import Database
from regiond.machines.arrivals.compose.host_search import SHORTLIST_SIZE, search_hosts
from regiond.placement.affinity import parse_rules
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.model import Placement, explain
from regiond.placement.requirements import Requirements, Strategy
from regiond.placement.storage_parser import parse_storage
from tests.bench.prefilled import prefill

HOSTS = 130
RACK = uuid4()
SMALL = Requirements(cores=1, memory_mib=1024, disks=parse_storage("8"))

# Hosts that differ in every respect: full, of another architecture, being removed, or without a discovery run.
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


def requiring(*, cores: int = 1, memory_mib: int = 1024, storage: str = "8", interfaces: str = "") -> Requirements:
    disks, nics = parse_storage(storage), parse_interfaces(interfaces)
    return Requirements(cores=cores, memory_mib=memory_mib, disks=disks, nics=nics)


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


async def placed(
    database: Database,
    requirements: Requirements,
    *,
    named: int,
    strategy: Strategy = "spread",
    racks: tuple[UUID, ...] = (RACK,),
) -> Placement:
    async with database.connection() as db:
        found = await search_hosts(db, requirements, racks, strategy=strategy, named=named)
    return found.placements[0]


def mentioned(placement: Placement) -> int:
    return len(placement.ranked) + len(placement.rejected) + sum(placement.summarized.values())


async def test_a_preview_of_several_finds_all_that_fit(database: Database, database_url: str) -> None:
    """Both disks fit only on a host that is tried first, with one core, and on those that are tried last."""
    await prefill(database_url, hosts=HOSTS, machines_each=0)
    wanted = requiring(storage="8,8")
    async with database.connection() as db:
        await db.execute("insert into rack values ($1, 'rack', '', now())", RACK)
        await db.execute("insert into rack_reach (rack_id, host_id, reaches) select $1, id, true from vm_host", RACK)
        for statement in (
            "update server set cores = case when id = 1 then 1 when id < 100 then 20 else 60 end",
            "update storage_pool set used_elsewhere_bytes = total_bytes - 9000000000 where server_id between 2 and 99",
        ):
            await db.execute(statement)
        found = await search_hosts(db, wanted, (RACK,), strategy="pack", named=10, times=5, every=True)
    chosen = [one.chosen.host_id for one in found.placements if one.chosen is not None]
    assert chosen == [1, 100, 100, 100, 100]


async def test_a_count_that_cannot_be_met_evaluates_few_hosts(database: Database, database_url: str) -> None:
    """As for one machine: those that the query excludes are counted by reason, however many machines are wanted."""
    await prefill(database_url, hosts=HOSTS, machines_each=0)
    async with database.connection() as db:
        await db.execute("insert into rack values ($1, 'rack', '', now())", RACK)
        await db.execute("insert into rack_reach (rack_id, host_id, reaches) select $1, id, true from vm_host", RACK)
        await db.execute("update server set cores = case when id % 50 = 0 then 3 else 1 end")
        found = await search_hosts(
            db, requiring(cores=2), (RACK,), strategy="spread", named=10, times=SHORTLIST_SIZE, every=True
        )
    assert [one.chosen.host_id for one in found.placements if one.chosen is not None] == [50, 100]
    assert len(found.candidates) == SHORTLIST_SIZE
    assert mentioned(found.placements[0]) == HOSTS


@pytest.mark.parametrize("strategy", ["spread", "pack"])
async def test_a_shortlist_gives_the_same_choice_as_all_hosts(
    database: Database, database_url: str, strategy: Strategy
) -> None:
    await varied_hosts(database, database_url)
    for cores, memory_mib, storage in ((1, 1024, "8"), (7, 9000, "8,1"), (16, 200_000, "20"), (40, 300_000, "8(none)")):
        requirements = requiring(cores=cores, memory_mib=memory_mib, storage=storage)
        every = await placed(database, requirements, named=1000, strategy=strategy)
        few = await placed(database, requirements, named=10, strategy=strategy)
        assert every.chosen is not None
        assert few.chosen == every.chosen
        assert every.summarized == {}
        assert mentioned(every) == mentioned(few) == HOSTS
        assert len(few.ranked) + len(few.rejected) == 20


async def test_the_shortlist_grows_while_nothing_on_it_fits(database: Database, database_url: str) -> None:
    """Only placement resolves the tag of a storage pool: the query counts all these hosts as fitting."""
    await prefill(database_url, hosts=HOSTS, machines_each=1)
    async with database.connection() as db:
        await db.execute(
            "insert into storage_pool (server_id, pool_key, name, type, path, total_bytes)"
            " select id, 'fast', 'fast', 'dir', '/fast', case when id = 125 then 100e9 else 0 end from server"
        )
    placement = await placed(database, evolve(SMALL, disks=parse_storage("8(fast)")), named=10)
    assert placement.chosen is not None
    assert placement.chosen.host_name == "host-125"
    assert mentioned(placement) == HOSTS


async def test_summarized_hosts_are_counted_by_reason(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=HOSTS, machines_each=1)
    placement = await placed(database, evolve(SMALL, cores=257), named=100)
    assert placement.chosen is None
    assert placement.summarized == {"not enough free cores": HOSTS - 20}
    assert placement.rejected[0].reasons == (
        "needs 257 cores, 255 free (256 cores × ratio 1.0 = 256 claimable, 1 claimed, 0 elsewhere on the server)",
    )
    assert explain(placement)["summarized"] == [
        {"hosts": HOSTS - 20, "reason": "not enough free cores", "check": "cores"}
    ]


async def test_a_host_that_no_connected_rack_reaches_is_rejected(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=2, machines_each=0)
    other = uuid4()
    async with database.connection() as db:
        for rack in (RACK, other):
            await db.execute("insert into rack values ($1, $2, '', now())", rack, str(rack))
        await db.execute("insert into rack_reach (rack_id, host_id, reaches) values ($1, 1, false)", RACK)
    by_one = await placed(database, SMALL, named=10)
    by_both = await placed(database, SMALL, named=10, racks=(RACK, other))
    by_none = await placed(database, SMALL, named=10, racks=())
    assert [evaluation.host_id for evaluation in by_one.ranked] == [2]
    assert by_one.rejected[0].reasons == ("no connected rack reaches it",)
    assert [evaluation.host_id for evaluation in by_both.ranked] == [1, 2]
    assert by_none.ranked == ()


async def test_without_hosts_the_placement_is_empty(database: Database) -> None:
    placement = await placed(database, SMALL, named=10)
    assert (placement.ranked, placement.rejected, placement.summarized) == ((), (), {})


@pytest.mark.parametrize("cidr", ["10.7.0.0/24", "2001:db8:7::/64", "::ffff:10.7.0.0/120", "::/0"])
async def test_a_subnet_is_found_in_any_notation(database: Database, database_url: str, cidr: str) -> None:
    await prefill(database_url, hosts=30, machines_each=0)
    async with database.connection() as db:
        await db.execute("insert into vlan (id, fabric_id, vid) values (7, 0, 7)")
        await db.execute("insert into subnet (cidr, name, vlan_id) values ($1, 'lab', 7)", ip_network(cidr))
        await db.execute("update host_interface set vlan_id = 7 where host_id = 29")
    placement = await placed(database, evolve(SMALL, nics=parse_interfaces(f"eth0:subnet={cidr}")), named=10)
    assert placement.chosen is not None
    assert placement.chosen.host_id == 29


@pytest.mark.parametrize("rules", [((), ("web",)), ((), ("web:soft",)), (("web",), ()), (("web:soft",), ())])
async def test_a_shortlist_contains_the_best_host_for_a_group(
    database: Database, database_url: str, rules: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    await varied_hosts(database, database_url)
    groups = parse_rules(*rules)
    async with database.connection() as db:
        ranked = (await placed(database, SMALL, named=HOSTS)).ranked
        group_hosts = [one.host_id for one in (ranked[:40] if rules[1] else ranked[-1:])]
        await db.execute(
            "insert into affinity_membership (machine_id, group_name, policy, hard)"
            " select id, 'web', $1, false from machine where host_id = any($2::integer[])",
            groups[0].policy.value,
            group_hosts,
        )
    wanted = evolve(SMALL, groups=groups)
    complete, shortlisted = [await placed(database, wanted, named=named) for named in (HOSTS, 10)]
    assert complete.chosen is not None
    assert complete.chosen == shortlisted.chosen
    assert (complete.chosen.host_id in group_hosts) == bool(rules[0])
    if groups[0].hard:
        assert shortlisted.summarized["excluded by your affinity or anti-affinity groups"] > 0
    assert mentioned(shortlisted) == HOSTS
