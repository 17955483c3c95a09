"""The ledger on a real PostgreSQL: whatever happens at once, totals are sums and no claim goes beyond the bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from regiond.db.pool import Database
from regiond.ledger.model import NOTHING_COUNTED, Counted
from regiond.placement.model import claimable
from tests.integration.ledger_ground import CORES, FIRST_PAGES, MEMORY_MIB, PORT, SECOND_PAGES, Ground, prepare
from tests.waiting import eventually

STORAGE = st.dictionaries(st.integers(0, 1), st.integers(1, 45), max_size=2)
COUNTED = st.just(NOTHING_COUNTED) | st.builds(
    Counted,
    pinned_core_ids=st.sets(st.integers(0, CORES), max_size=3),  # the last is not there
    huge_pages=st.dictionaries(st.sampled_from([FIRST_PAGES, SECOND_PAGES, "2/2048"]), st.integers(1, 4), max_size=2),
    functions=st.dictionaries(st.sampled_from([PORT, "sim1"]), st.integers(1, 5), max_size=1),
)
RATIOS = st.sampled_from([0.0, 0.29, 0.5, 1.0, 1.5, 5.5, 0.9999999999999999, 1.1])


@frozen(kw_only=True)
class Claim:
    host: int
    cores: int
    memory_mib: int
    storage: dict[int, int]
    counted: Counted


@frozen(kw_only=True)
class Release:
    which: int


@frozen(kw_only=True)
class Resize:
    which: int
    cores: int
    counted: Counted


@frozen(kw_only=True)
class Found:
    guest: int
    cores: int
    storage: dict[int, int]
    counted: Counted


@frozen(kw_only=True)
class Lost:
    guest: int


Act = Claim | Release | Resize | Found | Lost
ACTS = st.one_of(
    st.builds(
        Claim,
        host=st.integers(0, 1),
        cores=st.integers(1, 6),
        memory_mib=st.just(0) | st.integers(1, MEMORY_MIB),
        storage=STORAGE,
        counted=COUNTED,
    ),
    st.builds(Release, which=st.integers(0, 20)),
    st.builds(Resize, which=st.integers(0, 20), cores=st.integers(1, 20), counted=COUNTED),
    st.builds(Found, guest=st.integers(0, 3), cores=st.integers(0, 9), storage=STORAGE, counted=COUNTED),
    st.builds(Lost, guest=st.integers(0, 3)),
)
# Ratios for both hosts, then up to sixteen things at once.
ROUNDS = st.lists(st.tuples(RATIOS, RATIOS, st.lists(ACTS, min_size=1, max_size=16)), min_size=1, max_size=4)


async def act(ground: Ground, machines: list[int], one: Act) -> None:
    match one:
        case Claim():
            made = await ground.claim(one.host, one.cores, one.memory_mib, one.storage, one.counted)
            machines += [made] if made is not None else []
        case Release() if machines:
            await ground.release(machines.pop(one.which % len(machines)))
        case Resize() if machines:
            await ground.resize(machines[one.which % len(machines)], one.cores, 512, one.counted)
        case Found():
            await ground.find_guest(one.guest, one.cores, 100 * one.cores, one.storage, one.counted)
        case Lost():
            await ground.lose_guest(one.guest)


async def play(database: Database, rounds: Sequence[tuple[float, float, list[Act]]]) -> None:
    ground = await prepare(database)
    machines: list[int] = []
    for cpu, memory, acts in rounds:
        for host in (0, 1):
            await ground.set_ratios(host, cpu, memory)
        await asyncio.gather(*(act(ground, machines, one) for one in acts))
        assert await ground.faults() == []
    for machine_id in machines:
        await ground.release(machine_id)
    for guest in range(4):
        await ground.lose_guest(guest)
    assert (await ground.faults(), await ground.claimed()) == ([], (0, 0))
    assert await ground.counted() == NOTHING_COUNTED


@given(rounds=ROUNDS)
@settings(
    max_examples=40,
    deadline=None,  # the database's time, on a machine that does other things too
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # `prepare` empties the one database each time
)
def test_totals_are_sums_and_no_claim_goes_beyond_the_bounds_in_any_history(
    database: Database, rounds: list[tuple[float, float, list[Act]]]
) -> Any:
    return Deferred.fromFuture(asyncio.ensure_future(play(database, rounds)))  # pytest-twisted waits for each


async def test_sixteen_at_once_never_wait_in_a_circle(database: Database) -> None:
    """Claims on two pools in both orders, discoveries, ratios and releases; a deadlock would raise out of here."""
    ground = await prepare(database)

    async def worker(number: int) -> None:
        for turn in range(12):
            storage = {0: 1, 1: 2} if (number + turn) % 2 else {1: 1, 0: 2}
            match number % 4:
                case 0 | 1:
                    made = await ground.claim(number % 2, 1, 64, storage)
                    if made is not None:
                        await ground.release(made)
                case 2:
                    await ground.find_guest(turn % 4, 1, 64, storage)
                case _:
                    await ground.set_ratios(turn % 2, 10.0, 10.0)

    await ground.set_ratios(0, 10.0, 10.0)
    await ground.set_ratios(1, 10.0, 10.0)
    async with asyncio.timeout(60):
        await asyncio.gather(*(worker(number) for number in range(16)))
    assert await ground.faults() == []


async def test_of_many_who_want_the_last_core_one_gets_it(database: Database) -> None:
    ground = await prepare(database)
    assert await ground.claim(0, CORES - 1, 1, {}) is not None
    made = await asyncio.gather(*(ground.claim(number % 2, 1, 1, {}) for number in range(16)))
    assert sum(1 for one in made if one is not None) == 1


async def test_of_many_who_want_the_last_bytes_one_gets_them_and_nobody_else_holds_cores(database: Database) -> None:
    ground = await prepare(database)
    made = await asyncio.gather(*(ground.claim(0, 1, 1, {0: 20, 1: 46}) for _ in range(7)))
    assert sum(1 for one in made if one is not None) == 1
    assert await ground.claimed() == (1, 1)


async def test_storage_is_never_overcommitted_and_what_else_is_in_the_pool_counts(database: Database) -> None:
    ground = await prepare(database)
    await ground.set_ratios(0, 10.0, 10.0)
    assert await ground.claim(0, 1, 1, {0: 91}) is None
    assert await ground.claim(0, 1, 1, {0: 90}) is not None
    assert await ground.claim(0, 1, 1, {0: 1}) is None


async def test_a_missing_pool_takes_nothing_new(database: Database) -> None:
    ground = await prepare(database)
    await ground.execute("update storage_pool set missing_since = now()")
    assert await ground.claim(0, 1, 1, {0: 1}) is None
    assert await ground.claim(0, 1, 1, {}) is not None


async def test_a_host_that_is_being_removed_takes_nothing_new(database: Database) -> None:
    ground = await prepare(database)
    await ground.execute("update vm_host set state = 'removing' where name = 'a'")
    assert await ground.claim(0, 1, 1, {}) is None
    assert await ground.claim(1, 1, 1, {}) is not None


async def test_a_lower_ratio_takes_nothing_back_and_stops_new_claims(database: Database) -> None:
    ground = await prepare(database)
    await ground.set_ratios(0, 2.0, 1.0)
    assert await ground.claim(0, 12, 1, {}) is not None
    await ground.set_ratios(0, 1.0, 1.0)
    assert await ground.claimed() == (12, 1)
    assert await ground.claim(0, 1, 1, {}) is None


async def test_each_host_claims_by_its_own_ratio_on_what_they_share(database: Database) -> None:
    ground = await prepare(database)
    await ground.set_ratios(1, 2.0, 2.0)
    assert await ground.claim(0, CORES, 1, {}) is not None
    assert await ground.claim(0, 1, 1, {}) is None
    assert await ground.claim(1, CORES, 1, {}) is not None
    assert await ground.claim(1, 1, 1, {}) is None


async def test_foreign_guests_may_hold_more_than_there_is_and_then_nothing_is_left(database: Database) -> None:
    ground = await prepare(database)
    await ground.find_guest(0, 100, 1, {0: 1000})
    assert (await ground.faults(), await ground.claimed()) == ([], (100, 1))
    assert await ground.claim(0, 1, 1, {}) is None
    await ground.lose_guest(0)
    assert await ground.claim(0, 1, 1, {0: 90}) is not None


@pytest.mark.parametrize("ratio", [0.29, 0.57, 1.1, 2.3, 0.9999999999999999, 1.0000000000000002, 1 / 3, 2 / 3, 10.0])
async def test_the_database_rounds_ratios_exactly_as_placement_does(database: Database, ratio: float) -> None:
    ground = await prepare(database)
    await ground.execute("update server set cores = 3000, memory_mib = 900000000000")
    await ground.set_ratios(0, ratio, 10.0)
    most = claimable(3000, ratio)
    assert most <= Decimal(ratio) * 3000 + 1
    assert await ground.claim(0, most + 1, 1, {}) is None
    assert await ground.claim(0, most, 1, {}) is not None


async def test_check_says_which_total_is_wrong_and_by_how_much(database: Database) -> None:
    ground = await prepare(database)
    await ground.claim(0, 2, 512, {0: 5})
    await ground.execute("update server set cores_claimed = 7")
    await ground.execute("update storage_pool set claimed_bytes = 6 where pool_key = 'd'")
    server, storage = await ground.faults()
    assert server == "cores and memory of one: the total says 7 cores and 512 MiB, claims add up to 2 and 512"
    assert storage == "storage pool d of one: the total says 6 bytes, claims add up to 5"


async def test_releasing_twice_at_once_gives_back_once(database: Database) -> None:
    ground = await prepare(database)
    machine_id = await ground.claim(0, 2, 512, {0: 5})
    assert machine_id is not None
    await ground.claim(0, 1, 1, {})
    await asyncio.gather(*(ground.release(machine_id) for _ in range(8)))
    assert (await ground.faults(), await ground.claimed()) == ([], (1, 1))


async def test_what_is_still_held_of_a_pool_of_another_server_is_given_back_there(database: Database) -> None:
    """A cluster moved the machine to a member that has no pool of that name (yet)."""
    ground = await prepare(database)
    machine_id = await ground.must_claim(0, 2, 512, {0: 5})
    async with ground.moving(machine_id):
        pass
    assert await ground.faults() == []
    await ground.release(machine_id)
    assert await ground.faults() == []
    assert await ground.claim(0, 1, 1, {0: 90}) is not None


async def test_a_machine_that_is_moved_while_it_is_released_leaves_nothing_on_either_server(
    database: Database,
) -> None:
    ground = await prepare(database)
    machine_id = await ground.must_claim(0, 2, 512, {})
    async with ground.moving(machine_id):
        released = asyncio.create_task(ground.release(machine_id))
        await eventually(ground.somebody_waits)
    await released
    assert await ground.faults() == []
