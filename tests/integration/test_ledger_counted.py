"""Claims of pinned cores, huge pages and virtual functions, and what is kept for the host itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from common.errors import OutOfCapacity
from common.values import Guest, PowerState
from regiond.db.pool import Database
from regiond.hosts.service import record_guest
from regiond.ledger import store as ledger
from regiond.ledger.counted import set_totals
from regiond.ledger.model import NOTHING_COUNTED, Counted, Held
from regiond.ledger.offers import nodes_of_hosts
from regiond.ledger.totals import retotal
from regiond.placement.model import NodeOffer, PagesOffer
from tests.integration.ledger_ground import (
    CORES,
    FIRST_PAGES,
    FUNCTIONS,
    MEMORY_MIB,
    PAGES,
    PORT,
    SECOND_PAGES,
    Ground,
    prepare,
)

CLAIMERS = 32


def counted(*pins: int, pages: Mapping[str, int] | None = None, functions: int = 0) -> Counted:
    return Counted(pinned_core_ids=pins, huge_pages=pages or {}, functions={PORT: functions})


async def refusal(ground: Ground, wanted: Counted) -> str:
    with pytest.raises(OutOfCapacity) as refused:
        await ground.must_claim(0, 1, 1, {}, wanted)
    return str(refused.value)


@pytest.mark.parametrize(
    ("wanted", "winners"),
    [
        (counted(3), 1),
        (counted(pages={FIRST_PAGES: 1}), PAGES),
        (counted(pages={FIRST_PAGES: 1, SECOND_PAGES: 4}), 1),
        (counted(functions=3), FUNCTIONS // 3),
        (counted(5, pages={SECOND_PAGES: 2}, functions=1), 1),
    ],
)
async def test_of_many_at_once_exactly_as_many_get_it_as_there_are(
    database: Database, wanted: Counted, winners: int
) -> None:
    ground = await prepare(database)
    await ground.set_ratios(0, 10.0, 10.0)
    await ground.set_ratios(1, 10.0, 10.0)
    made = await asyncio.gather(*(ground.claim(number % 2, 1, 0, {}, wanted) for number in range(CLAIMERS)))
    assert sum(1 for one in made if one is not None) == winners
    assert (await ground.claimed())[0] == winners
    assert await ground.faults() == []


async def test_cores_in_any_order_and_at_once_are_never_pinned_twice(database: Database) -> None:
    ground = await prepare(database)
    await ground.set_ratios(0, 10.0, 1.0)
    pairs = [(number % CORES, (number * 5 + 3) % CORES) for number in range(CLAIMERS)]
    made = await asyncio.gather(*(ground.claim(0, 1, 1, {}, counted(*pair)) for pair in pairs))
    taken = [core for pair, one in zip(pairs, made, strict=True) if one is not None for core in {*pair}]
    assert len({*taken}) == len(taken)
    assert (await ground.counted()).pinned_core_ids == tuple(sorted(taken))


async def test_a_refusal_says_in_numbers_what_went(database: Database) -> None:
    ground = await prepare(database)
    await ground.claim(0, 2, 0, {}, counted(2, 3, pages={FIRST_PAGES: 5}, functions=FUNCTIONS))
    assert await refusal(ground, counted(1, 2, 3)) == "Another guest is pinned to cores 2, 3 of the host by now."
    assert await refusal(ground, counted(CORES)) == f"The host has no core {CORES}."
    assert await refusal(ground, counted(pages={FIRST_PAGES: 2})) == (
        "The host has no room any more for 2 huge pages of 2048 KiB on NUMA node 0 (1 of 6 are free)."
    )
    assert "3 huge pages of 1024 KiB on NUMA node 0 (0 of 0 are free)" in await refusal(
        ground, counted(pages={"0/1024": 3})
    )
    assert "1 virtual functions of sim0 (0 of 8 are free)" in await refusal(ground, counted(functions=1))
    assert (await ground.claimed(), await ground.faults()) == ((2, 0), [])


async def test_what_a_machine_gives_back_is_free_again(database: Database) -> None:
    ground = await prepare(database)
    wanted = counted(0, 1, pages={SECOND_PAGES: PAGES}, functions=FUNCTIONS)
    machine_id = await ground.claim(0, 2, 0, {0: 5}, wanted)
    assert machine_id is not None
    assert await ground.counted() == wanted
    await ground.release(machine_id)
    assert await ground.counted() == NOTHING_COUNTED
    assert await ground.claim(1, 2, 0, {}, wanted) is not None


async def test_a_machine_that_moves_takes_its_claims_along(database: Database) -> None:
    ground = await prepare(database)
    machine_id = await ground.must_claim(0, 2, 0, {0: 5}, counted(4, pages={FIRST_PAGES: 2}, functions=1))
    async with database.transaction() as db:
        other: int = await db.fetchval(
            "insert into server (identity, architecture, hypervisor_version, cores, memory_mib)"
            " values ('two', 'amd64', '1', 4, 4096) returning id"
        )
        await set_totals(db, other, {("huge_pages", FIRST_PAGES): 1})
        await ledger.lock_server(db, other)
        await ledger.move_machine(db, machine_id, other)
        await retotal(db, other)
        there = await db.fetch(
            "select key, total, claimed from counted_resource where server_id = $1 order by 1", other
        )
        pinned = await db.fetchval("select pinned_core_ids from server where id = $1", other)
        left = await db.fetchval("select pinned_core_ids from server where id = $1", ground.server_id)
    assert [tuple(row) for row in there] == [(FIRST_PAGES, 1, 2), (PORT, 0, 1)]  # facts, whatever there is
    assert (pinned, left) == ([4], [])
    assert await ground.faults() == []


async def test_what_foreign_guests_have_is_never_refused_and_then_nobody_else_gets_it(database: Database) -> None:
    ground = await prepare(database)
    await ground.find_guest(0, 2, 0, {}, counted(0, 1, 99, pages={FIRST_PAGES: 50}, functions=1))
    await ground.find_guest(1, 2, 0, {}, counted(1, 2))
    assert await ground.counted() == counted(0, 1, 2, 99, pages={FIRST_PAGES: 50}, functions=1)
    assert await ground.claim(0, 1, 0, {}, counted(2)) is None
    assert await ground.claim(0, 1, 0, {}, counted(pages={FIRST_PAGES: 1})) is None
    await ground.lose_guest(0)
    assert await ground.counted() == counted(1, 2)
    assert await ground.claim(0, 1, 0, {}, counted(0, pages={FIRST_PAGES: PAGES})) is not None


async def test_a_machine_that_was_adopted_or_changed_holds_what_it_really_has(database: Database) -> None:
    ground = await prepare(database)
    machine_id = await ground.must_claim(0, 2, 0, {0: 5}, counted(4, 5, pages={FIRST_PAGES: 2}))
    await ground.resize(machine_id, 3, 700, counted(6))
    assert (await ground.claimed(), await ground.counted()) == ((3, 700), counted(6))
    async with database.transaction() as db:
        await ledger.lock_server(db, ground.server_id)
        held = Held(cores=1, memory_mib=0, counted=counted(7, pages={SECOND_PAGES: 9}))
        await ledger.hold(db, server_id=ground.server_id, machine_id=machine_id, held=held)
        await retotal(db, ground.server_id)
    assert (await ground.claimed(), await ground.counted()) == ((1, 0), counted(7, pages={SECOND_PAGES: 9}))
    assert await ground.faults() == []


async def test_check_says_which_counted_total_is_wrong(database: Database) -> None:
    ground = await prepare(database)
    await ground.must_claim(0, 2, 0, {}, counted(1, 2, pages={FIRST_PAGES: 2}))
    await ground.execute("update server set pinned_core_ids = '{2,3}'")
    await ground.execute("update counted_resource set claimed = claimed + 1 where key <> '1/2048'")
    assert await ground.faults() == [
        "pinned cores of one: the total says cores 2, 3, claims add up to cores 1, 2",
        "huge_pages 0/2048 of one: the total says 3, claims add up to 2",
        "virtual_functions sim0 of one: the total says 1, claims add up to 0",
    ]


async def test_what_is_gone_keeps_its_row_while_somebody_holds_of_it(database: Database) -> None:
    ground = await prepare(database)
    machine_id = await ground.must_claim(0, 1, 0, {}, counted(pages={FIRST_PAGES: 2}))
    async with database.transaction() as db:
        await ledger.lock_server(db, ground.server_id)
        await set_totals(db, ground.server_id, {("huge_pages", FIRST_PAGES): 0, ("virtual_functions", PORT): 0})
        rows = await db.fetch("select key, total, claimed from counted_resource order by key")
    assert [tuple(row) for row in rows] == [(FIRST_PAGES, 0, 2), (SECOND_PAGES, PAGES, 0)]
    assert await ground.claim(0, 1, 0, {}, counted(pages={FIRST_PAGES: 1})) is None
    await ground.release(machine_id)
    assert await ground.faults() == []


async def test_what_is_reserved_for_the_host_is_taken_off_before_the_ratios(database: Database) -> None:
    ground = await prepare(database)
    await ground.set_ratios(0, 1.5, 2.0)
    await ground.execute("update vm_host set reserved_cores = 3, reserved_memory_mib = 192 where name = 'a'")
    assert await ground.claim(0, 8, 1, {}) is None
    assert await ground.claim(0, 1, 2 * (MEMORY_MIB - 192) + 1, {}) is None
    machine_id = await ground.must_claim(0, 7, 2 * (MEMORY_MIB - 192), {})  # floor((8 - 3) × 1.5)
    await ground.release(machine_id)
    await ground.execute("update vm_host set reserved_cores = 100, reserved_memory_mib = 100000 where name = 'a'")
    assert await ground.claim(0, 1, 0, {}) is None
    assert await ground.claim(1, CORES, MEMORY_MIB, {}) is not None  # another host of the server keeps nothing


async def test_memory_in_huge_pages_is_no_general_memory_and_needs_none(database: Database) -> None:
    ground = await prepare(database)
    assert await ground.claim(0, 1, MEMORY_MIB + 1, {}) is None
    await ground.find_guest(0, 1, 2 * MEMORY_MIB, {})
    assert await ground.claim(0, 1, 1, {}) is None
    assert await ground.claim(0, 1, 0, {}, counted(pages={FIRST_PAGES: 1})) is not None


async def test_placement_is_offered_what_nodes_have_left(database: Database) -> None:
    ground = await prepare(database)
    await ground.must_claim(0, 2, 0, {}, counted(1, 6, pages={FIRST_PAGES: 2}))
    await ground.find_guest(0, 1, 0, {}, counted(4, pages={SECOND_PAGES: 70}))
    async with database.connection() as db:
        offers = await nodes_of_hosts(db, [*ground.hosts, 999])
    first, second = (
        NodeOffer(
            node_id=0, core_ids=(0, 1, 2, 3), free_core_ids=(0, 2, 3), siblings=((0, 1), (2, 3)),
            pages=(PagesOffer(size_kib=2048, total=PAGES, free=PAGES - 2),),
        ),
        NodeOffer(
            node_id=1, core_ids=(4, 5, 6, 7), free_core_ids=(5, 7),
            pages=(PagesOffer(size_kib=2048, total=PAGES, free=0),),
        ),
    )  # fmt: skip
    assert offers == {ground.hosts[0]: (first, second), ground.hosts[1]: (first, second), 999: ()}


async def test_a_guest_that_a_look_took_for_a_foreign_one_while_it_was_made_is_counted_once(database: Database) -> None:
    ground = await prepare(database)
    machine_id = await ground.must_claim(0, 2, 512, {}, counted(1))
    await ground.find_guest(0, 2, 512, {}, counted(1, functions=1))
    made = Guest(name="g0", guest_id="g0", power=PowerState.OFF, cores=2, memory_mib=512, pinned_core_ids=(1,))
    async with database.transaction() as db:
        await record_guest(db, ground.hosts[0], made, machine_id, PowerState.OFF)
    assert await ground.faults() == []
    assert (await ground.claimed(), await ground.counted()) == ((2, 512), counted(1))
