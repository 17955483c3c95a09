"""Claims of pinned cores, huge pages and virtual functions, and the capacity reserved for the host."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from common.errors import OutOfCapacity
from common.values import Guest, PowerState
from regiond.db.pool import Database
from regiond.hosts.guest_ownership import record_guest
from regiond.ledger import store as ledger_store
from regiond.ledger.claims import set_discrete_totals
from regiond.ledger.model import NO_DISCRETE_RESOURCES, DiscreteResources, GuestClaims
from regiond.ledger.numa_availability import numa_nodes_of_hosts
from regiond.ledger.totals import recompute_totals
from regiond.placement.candidate import CandidateHugePages, CandidateNode
from tests.integration.support.ledger_fixture import (
    CORES,
    FIRST_PAGES,
    FUNCTIONS,
    MEMORY_MIB,
    PAGES,
    PORT,
    SECOND_PAGES,
    LedgerFixture,
)

pytestmark = pytest.mark.database

CLAIMERS = 32


def discrete(*pins: int, pages: Mapping[str, int] | None = None, functions: int = 0) -> DiscreteResources:
    return DiscreteResources(pinned_core_ids=pins, huge_pages=pages or {}, functions={PORT: functions})


async def rejection(ledger: LedgerFixture, wanted: DiscreteResources) -> str:
    with pytest.raises(OutOfCapacity) as rejected:
        await ledger.must_claim(0, 1, 1, {}, wanted)
    return str(rejected.value)


@pytest.mark.parametrize(
    ("wanted", "winners"),
    [
        (discrete(3), 1),
        (discrete(pages={FIRST_PAGES: 1}), PAGES),
        (discrete(pages={FIRST_PAGES: 1, SECOND_PAGES: 4}), 1),
        (discrete(functions=3), FUNCTIONS // 3),
        (discrete(5, pages={SECOND_PAGES: 2}, functions=1), 1),
    ],
)
async def test_concurrent_claims_succeed_until_the_resource_is_used_up(
    ledger: LedgerFixture, wanted: DiscreteResources, winners: int
) -> None:
    await ledger.set_ratios(0, 10.0, 10.0)
    await ledger.set_ratios(1, 10.0, 10.0)
    claimed = await asyncio.gather(*(ledger.claim(number % 2, 1, 0, {}, wanted) for number in range(CLAIMERS)))
    assert sum(1 for one in claimed if one is not None) == winners
    assert (await ledger.claimed())[0] == winners
    assert await ledger.mismatches() == []


async def test_concurrent_claims_never_pin_a_core_twice(ledger: LedgerFixture) -> None:
    await ledger.set_ratios(0, 10.0, 1.0)
    pairs = [(number % CORES, (number * 5 + 3) % CORES) for number in range(CLAIMERS)]
    claimed = await asyncio.gather(*(ledger.claim(0, 1, 1, {}, discrete(*pair)) for pair in pairs))
    taken = [core for pair, one in zip(pairs, claimed, strict=True) if one is not None for core in {*pair}]
    assert len({*taken}) == len(taken)
    assert (await ledger.claimed_discrete()).pinned_core_ids == tuple(sorted(taken))


async def test_a_rejected_claim_names_amounts_and_what_is_free(ledger: LedgerFixture) -> None:
    await ledger.claim(0, 2, 0, {}, discrete(2, 3, pages={FIRST_PAGES: 5}, functions=FUNCTIONS))
    assert await rejection(ledger, discrete(1, 2, 3)) == "Another guest is already pinned to cores 2, 3 of the host."
    assert await rejection(ledger, discrete(CORES)) == f"The host has no core {CORES}."
    assert await rejection(ledger, discrete(pages={FIRST_PAGES: 2})) == (
        "The host lacks 2 huge pages of 2048 KiB on NUMA node 0 (1 of 6 are free)."
    )
    assert "3 huge pages of 1024 KiB on NUMA node 0 (0 of 0 are free)" in await rejection(
        ledger, discrete(pages={"0/1024": 3})
    )
    assert "1 virtual functions of sim0 (0 of 8 are free)" in await rejection(ledger, discrete(functions=1))
    assert (await ledger.claimed(), await ledger.mismatches()) == ((2, 0), [])


async def test_released_discrete_resources_can_be_claimed_again(ledger: LedgerFixture) -> None:
    wanted = discrete(0, 1, pages={SECOND_PAGES: PAGES}, functions=FUNCTIONS)
    machine_id = await ledger.claim(0, 2, 0, {0: 5}, wanted)
    assert machine_id is not None
    assert await ledger.claimed_discrete() == wanted
    await ledger.release(machine_id)
    assert await ledger.claimed_discrete() == NO_DISCRETE_RESOURCES
    assert await ledger.claim(1, 2, 0, {}, wanted) is not None


async def test_claims_move_with_the_machine(database: Database, ledger: LedgerFixture) -> None:
    machine_id = await ledger.must_claim(0, 2, 0, {0: 5}, discrete(4, pages={FIRST_PAGES: 2}, functions=1))
    async with database.transaction() as db:
        other: int = await db.fetchval(
            "insert into server (identity, architecture, hypervisor_version, cores, memory_mib)"
            " values ('two', 'amd64', '1', 4, 4096) returning id"
        )
        await set_discrete_totals(db, other, {("huge_pages", FIRST_PAGES): 1})
        await ledger_store.lock_server(db, other)
        await ledger_store.move_machine(db, machine_id, other)
        await recompute_totals(db, other)
        moved = await db.fetch(
            "select key, total, claimed from discrete_resource where server_id = $1 order by 1", other
        )
        pinned = await db.fetchval("select pinned_core_ids from server where id = $1", other)
        left = await db.fetchval("select pinned_core_ids from server where id = $1", ledger.server_id)
    assert [tuple(row) for row in moved] == [(FIRST_PAGES, 1, 2), (PORT, 0, 1)]  # recorded even beyond the total
    assert (pinned, left) == ([4], [])
    assert await ledger.mismatches() == []


async def test_foreign_guests_claim_without_limit_and_block_machines(ledger: LedgerFixture) -> None:
    await ledger.find_guest(0, 2, 0, {}, discrete(0, 1, 99, pages={FIRST_PAGES: 50}, functions=1))
    await ledger.find_guest(1, 2, 0, {}, discrete(1, 2))
    assert await ledger.claimed_discrete() == discrete(0, 1, 2, 99, pages={FIRST_PAGES: 50}, functions=1)
    assert await ledger.claim(0, 1, 0, {}, discrete(2)) is None
    assert await ledger.claim(0, 1, 0, {}, discrete(pages={FIRST_PAGES: 1})) is None
    await ledger.lose_guest(0)
    assert await ledger.claimed_discrete() == discrete(1, 2)
    assert await ledger.claim(0, 1, 0, {}, discrete(0, pages={FIRST_PAGES: PAGES})) is not None


async def test_adopted_and_changed_machines_claim_their_actual_use(database: Database, ledger: LedgerFixture) -> None:
    machine_id = await ledger.must_claim(0, 2, 0, {0: 5}, discrete(4, 5, pages={FIRST_PAGES: 2}))
    await ledger.resize(machine_id, 3, 700, discrete(6))
    assert (await ledger.claimed(), await ledger.claimed_discrete()) == ((3, 700), discrete(6))
    async with database.transaction() as db:
        await ledger_store.lock_server(db, ledger.server_id)
        actual = GuestClaims(cores=1, memory_mib=0, discrete=discrete(7, pages={SECOND_PAGES: 9}))
        await ledger_store.record_actual(db, server_id=ledger.server_id, machine_id=machine_id, claims=actual)
        await recompute_totals(db, ledger.server_id)
    assert (await ledger.claimed(), await ledger.claimed_discrete()) == (
        (1, 0),
        discrete(7, pages={SECOND_PAGES: 9}),
    )
    assert await ledger.mismatches() == []


async def test_check_names_each_wrong_discrete_total(ledger: LedgerFixture) -> None:
    await ledger.must_claim(0, 2, 0, {}, discrete(1, 2, pages={FIRST_PAGES: 2}))
    await ledger.execute("update server set pinned_core_ids = '{2,3}'")
    await ledger.execute("update discrete_resource set claimed = claimed + 1 where key <> '1/2048'")
    assert await ledger.mismatches() == [
        "pinned cores of one: the total is cores 2, 3, the claims add up to cores 1, 2",
        "huge_pages 0/2048 of one: the total is 3, the claims add up to 2",
        "virtual_functions sim0 of one: the total is 1, the claims add up to 0",
    ]


async def test_a_removed_resource_has_a_row_while_it_is_claimed(database: Database, ledger: LedgerFixture) -> None:
    machine_id = await ledger.must_claim(0, 1, 0, {}, discrete(pages={FIRST_PAGES: 2}))
    async with database.transaction() as db:
        await ledger_store.lock_server(db, ledger.server_id)
        await set_discrete_totals(
            db, ledger.server_id, {("huge_pages", FIRST_PAGES): 0, ("virtual_functions", PORT): 0}
        )
        rows = await db.fetch("select key, total, claimed from discrete_resource order by key")
    assert [tuple(row) for row in rows] == [(FIRST_PAGES, 0, 2), (SECOND_PAGES, PAGES, 0)]
    assert await ledger.claim(0, 1, 0, {}, discrete(pages={FIRST_PAGES: 1})) is None
    await ledger.release(machine_id)
    assert await ledger.mismatches() == []


async def test_reserved_capacity_is_subtracted_before_the_ratios(ledger: LedgerFixture) -> None:
    await ledger.set_ratios(0, 1.5, 2.0)
    await ledger.execute("update vm_host set reserved_cores = 3, reserved_memory_mib = 192 where name = 'a'")
    assert await ledger.claim(0, 8, 1) is None
    assert await ledger.claim(0, 1, 2 * (MEMORY_MIB - 192) + 1) is None
    machine_id = await ledger.must_claim(0, 7, 2 * (MEMORY_MIB - 192))  # floor((8 - 3) × 1.5)
    await ledger.release(machine_id)
    await ledger.execute("update vm_host set reserved_cores = 100, reserved_memory_mib = 100000 where name = 'a'")
    assert await ledger.claim(0, 1, 0) is None
    assert await ledger.claim(1, CORES, MEMORY_MIB) is not None  # the other host reserves nothing


async def test_huge_pages_are_separate_from_general_memory(ledger: LedgerFixture) -> None:
    assert await ledger.claim(0, 1, MEMORY_MIB + 1) is None
    await ledger.find_guest(0, 1, 2 * MEMORY_MIB)
    assert await ledger.claim(0, 1, 1) is None
    assert await ledger.claim(0, 1, 0, {}, discrete(pages={FIRST_PAGES: 1})) is not None


async def test_placement_receives_the_free_cores_and_pages_of_nodes(database: Database, ledger: LedgerFixture) -> None:
    await ledger.must_claim(0, 2, 0, {}, discrete(1, 6, pages={FIRST_PAGES: 2}))
    await ledger.find_guest(0, 1, 0, {}, discrete(4, pages={SECOND_PAGES: 70}))
    async with database.connection() as db:
        nodes = await numa_nodes_of_hosts(db, [*ledger.hosts, 999])
    first, second = (
        CandidateNode(
            node_id=0, core_ids=(0, 1, 2, 3), free_core_ids=(0, 2, 3), siblings=((0, 1), (2, 3)),
            pages=(CandidateHugePages(size_kib=2048, total=PAGES, free=PAGES - 2),),
        ),
        CandidateNode(
            node_id=1, core_ids=(4, 5, 6, 7), free_core_ids=(5, 7),
            pages=(CandidateHugePages(size_kib=2048, total=PAGES, free=0),),
        ),
    )  # fmt: skip
    assert nodes == {ledger.hosts[0]: (first, second), ledger.hosts[1]: (first, second), 999: ()}


async def test_a_guest_discovered_during_its_creation_is_claimed_once(
    database: Database, ledger: LedgerFixture
) -> None:
    machine_id = await ledger.must_claim(0, 2, 512, {}, discrete(1))
    await ledger.find_guest(0, 2, 512, {}, discrete(1, functions=1))
    guest = Guest(name="g0", guest_id="g0", power=PowerState.OFF, cores=2, memory_mib=512, pinned_core_ids=(1,))
    async with ledger.database.transaction() as db:
        await record_guest(db, ledger.hosts[0], guest, machine_id, PowerState.OFF)
    assert await ledger.mismatches() == []
    assert (await ledger.claimed(), await ledger.claimed_discrete()) == ((2, 512), discrete(1))
