"""The ledger under concurrency: totals equal the sums of claims, and no new claim exceeds the ratios."""

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
from regiond.ledger.model import NO_DISCRETE_RESOURCES, DiscreteResources
from regiond.placement.candidate import claimable
from tests.integration.support.ledger_fixture import (
    CORES,
    FIRST_PAGES,
    MEMORY_MIB,
    PORT,
    SECOND_PAGES,
    LedgerFixture,
    prepare,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

STORAGE = st.dictionaries(st.integers(0, 1), st.integers(1, 45), max_size=2)
DISCRETE = st.just(NO_DISCRETE_RESOURCES) | st.builds(
    DiscreteResources,
    pinned_core_ids=st.sets(st.integers(0, CORES), max_size=3),  # the server lacks core CORES
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
    discrete: DiscreteResources


@frozen(kw_only=True)
class Release:
    which: int


@frozen(kw_only=True)
class Resize:
    which: int
    cores: int
    discrete: DiscreteResources


@frozen(kw_only=True)
class GuestFound:
    guest: int
    cores: int
    storage: dict[int, int]
    discrete: DiscreteResources


@frozen(kw_only=True)
class GuestLost:
    guest: int


Action = Claim | Release | Resize | GuestFound | GuestLost
ACTIONS = st.one_of(
    st.builds(
        Claim,
        host=st.integers(0, 1),
        cores=st.integers(1, 6),
        memory_mib=st.just(0) | st.integers(1, MEMORY_MIB),
        storage=STORAGE,
        discrete=DISCRETE,
    ),
    st.builds(Release, which=st.integers(0, 20)),
    st.builds(Resize, which=st.integers(0, 20), cores=st.integers(1, 20), discrete=DISCRETE),
    st.builds(GuestFound, guest=st.integers(0, 3), cores=st.integers(0, 9), storage=STORAGE, discrete=DISCRETE),
    st.builds(GuestLost, guest=st.integers(0, 3)),
)
# The ratios of both hosts, then up to 16 concurrent actions.
ROUNDS = st.lists(st.tuples(RATIOS, RATIOS, st.lists(ACTIONS, min_size=1, max_size=16)), min_size=1, max_size=4)


async def perform(ledger: LedgerFixture, machines: list[int], action: Action) -> None:
    match action:
        case Claim():
            machine_id = await ledger.claim(
                action.host, action.cores, action.memory_mib, action.storage, action.discrete
            )
            machines += [machine_id] if machine_id is not None else []
        case Release() if machines:
            await ledger.release(machines.pop(action.which % len(machines)))
        case Resize() if machines:
            await ledger.resize(machines[action.which % len(machines)], action.cores, 512, action.discrete)
        case GuestFound():
            await ledger.find_guest(action.guest, action.cores, 100 * action.cores, action.storage, action.discrete)
        case GuestLost():
            await ledger.lose_guest(action.guest)


async def run_rounds(database: Database, rounds: Sequence[tuple[float, float, list[Action]]]) -> None:
    ledger = await prepare(database)
    machines: list[int] = []
    for cpu, memory, actions in rounds:
        for host in (0, 1):
            await ledger.set_ratios(host, cpu, memory)
        await asyncio.gather(*(perform(ledger, machines, action) for action in actions))
        assert await ledger.mismatches() == []
    for machine_id in machines:
        await ledger.release(machine_id)
    for guest in range(4):
        await ledger.lose_guest(guest)
    assert (await ledger.mismatches(), await ledger.claimed()) == ([], (0, 0))
    assert await ledger.claimed_discrete() == NO_DISCRETE_RESOURCES


@given(rounds=ROUNDS)
@settings(
    max_examples=40,
    deadline=None,  # a busy machine slows the database down
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # `prepare` empties the shared database
)
@pytest.mark.needs_owner
def test_any_history_keeps_totals_correct_and_claims_within_ratios(
    database: Database, rounds: list[tuple[float, float, list[Action]]]
) -> Any:
    return Deferred.fromFuture(asyncio.ensure_future(run_rounds(database, rounds)))  # pytest-twisted waits for each


async def test_16_concurrent_actions_never_deadlock(ledger: LedgerFixture) -> None:
    """Claims on two pools in both orders, discovery runs, ratio changes and releases; a deadlock would raise."""

    async def worker(number: int) -> None:
        for repeat in range(12):
            storage = {0: 1, 1: 2} if (number + repeat) % 2 else {1: 1, 0: 2}
            match number % 4:
                case 0 | 1:
                    machine_id = await ledger.claim(number % 2, 1, 64, storage)
                    if machine_id is not None:
                        await ledger.release(machine_id)
                case 2:
                    await ledger.find_guest(repeat % 4, 1, 64, storage)
                case _:
                    await ledger.set_ratios(repeat % 2, 10.0, 10.0)

    await ledger.set_ratios(0, 10.0, 10.0)
    await ledger.set_ratios(1, 10.0, 10.0)
    async with asyncio.timeout(60):
        await asyncio.gather(*(worker(number) for number in range(16)))
    assert await ledger.mismatches() == []


async def test_one_of_many_concurrent_claims_gets_the_last_core(ledger: LedgerFixture) -> None:
    assert await ledger.claim(0, CORES - 1, 1) is not None
    claimed = await asyncio.gather(*(ledger.claim(number % 2, 1, 1) for number in range(16)))
    assert sum(machine_id is not None for machine_id in claimed) == 1


async def test_claims_that_lose_the_last_storage_hold_no_cores(ledger: LedgerFixture) -> None:
    claimed = await asyncio.gather(*(ledger.claim(0, 1, 1, {0: 20, 1: 46}) for _ in range(7)))
    assert sum(machine_id is not None for machine_id in claimed) == 1
    assert await ledger.claimed() == (1, 1)


async def test_storage_is_never_overcommitted_and_other_usage_counts(ledger: LedgerFixture) -> None:
    await ledger.set_ratios(0, 10.0, 10.0)
    assert await ledger.claim(0, 1, 1, {0: 91}) is None
    assert await ledger.claim(0, 1, 1, {0: 90}) is not None
    assert await ledger.claim(0, 1, 1, {0: 1}) is None


async def test_a_missing_storage_pool_accepts_no_claim(ledger: LedgerFixture) -> None:
    await ledger.execute("update storage_pool set missing_since = now()")
    assert await ledger.claim(0, 1, 1, {0: 1}) is None
    assert await ledger.claim(0, 1, 1) is not None


async def test_a_host_being_removed_accepts_no_claim(ledger: LedgerFixture) -> None:
    await ledger.execute("update vm_host set state = 'removing' where name = 'a'")
    assert await ledger.claim(0, 1, 1) is None
    assert await ledger.claim(1, 1, 1) is not None


async def test_a_lower_ratio_keeps_claims_and_stops_new_ones(ledger: LedgerFixture) -> None:
    await ledger.set_ratios(0, 2.0, 1.0)
    assert await ledger.claim(0, 12, 1) is not None
    await ledger.set_ratios(0, 1.0, 1.0)
    assert await ledger.claimed() == (12, 1)
    assert await ledger.claim(0, 1, 1) is None


async def test_hosts_of_one_server_claim_by_their_own_ratios(ledger: LedgerFixture) -> None:
    await ledger.set_ratios(1, 2.0, 2.0)
    assert await ledger.claim(0, CORES, 1) is not None
    assert await ledger.claim(0, 1, 1) is None
    assert await ledger.claim(1, CORES, 1) is not None
    assert await ledger.claim(1, 1, 1) is None


async def test_foreign_guests_can_exceed_capacity_and_leave_nothing(ledger: LedgerFixture) -> None:
    await ledger.find_guest(0, 100, 1, {0: 1000})
    assert (await ledger.mismatches(), await ledger.claimed()) == ([], (100, 1))
    assert await ledger.claim(0, 1, 1) is None
    await ledger.lose_guest(0)
    assert await ledger.claim(0, 1, 1, {0: 90}) is not None


@pytest.mark.parametrize("ratio", [0.29, 0.57, 1.1, 2.3, 0.9999999999999999, 1.0000000000000002, 1 / 3, 2 / 3, 10.0])
async def test_the_database_rounds_ratios_as_placement_does(ledger: LedgerFixture, ratio: float) -> None:
    await ledger.execute("update server set cores = 3000, memory_mib = 900000000000")
    await ledger.set_ratios(0, ratio, 10.0)
    limit = claimable(3000, ratio)
    assert limit <= Decimal(ratio) * 3000 + 1
    assert await ledger.claim(0, limit + 1, 1) is None
    assert await ledger.claim(0, limit, 1) is not None


async def test_check_names_each_wrong_total_and_both_values(ledger: LedgerFixture) -> None:
    await ledger.claim(0, 2, 512, {0: 5})
    await ledger.execute("update server set cores_claimed = 7")
    await ledger.execute("update storage_pool set claimed_bytes = 6 where pool_key = 'd'")
    server, storage = await ledger.mismatches()
    assert server == "cores and memory of one: the total is 7 cores and 512 MiB, the claims add up to 2 and 512"
    assert storage == "storage pool d of one: the total is 6 bytes, the claims add up to 5"


async def test_concurrent_releases_of_a_machine_count_once(ledger: LedgerFixture) -> None:
    machine_id = await ledger.claim(0, 2, 512, {0: 5})
    assert machine_id is not None
    await ledger.claim(0, 1, 1)
    await asyncio.gather(*(ledger.release(machine_id) for _ in range(8)))
    assert (await ledger.mismatches(), await ledger.claimed()) == ([], (1, 1))


async def test_release_includes_a_pool_claim_left_on_another_server(ledger: LedgerFixture) -> None:
    """A cluster moved the machine to a member that lacks the storage pool."""
    machine_id = await ledger.must_claim(0, 2, 512, {0: 5})
    async with ledger.moving(machine_id):
        pass
    assert await ledger.mismatches() == []
    await ledger.release(machine_id)
    assert await ledger.mismatches() == []
    assert await ledger.claim(0, 1, 1, {0: 90}) is not None


async def test_a_move_during_a_release_leaves_no_claim_on_either_server(ledger: LedgerFixture) -> None:
    machine_id = await ledger.must_claim(0, 2, 512)
    async with ledger.moving(machine_id):
        released = asyncio.create_task(ledger.release(machine_id))
        await eventually(ledger.is_lock_awaited)
    await released
    assert await ledger.mismatches() == []
