"""The capacity of a host is what the guard of a claim leaves to a compose: `free` succeeds, one more is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from common.hosts.capacity import Capacity, ResourceCapacity
from common.hosts.host_settings import HostLimits
from regiond.db.pool import Database
from regiond.ledger.capacities import capacities_of_hosts, capacity_with_limits
from regiond.ledger.capacity_totals import fleet_capacity, total_capacity
from regiond.ledger.model import DiscreteResources, FleetCapacity, HostCapacity
from regiond.machines.core.candidate_store import read_candidates, with_claims_here
from regiond.placement.ranking import place
from regiond.placement.requirements import DiskRequirement, Requirements
from tests.integration.support.ledger_fixture import CORES, FIRST_PAGES, MEMORY_MIB, PORT, LedgerFixture, prepare

STORAGE = st.dictionaries(st.integers(0, 1), st.integers(1, 45), max_size=2)
RATIOS = st.sampled_from([0.0, 0.29, 0.5, 1.0, 1.5, 5.5, 6.0])
MACHINES = st.tuples(st.integers(0, 1), st.integers(1, 8), st.integers(0, MEMORY_MIB), STORAGE)
GUESTS = st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 5000), STORAGE)
_RESERVE = "update vm_host set reserved_cores = {cores}, reserved_memory_mib = {memory_mib} where name = 'a'"


async def capacities(ledger: LedgerFixture) -> tuple[HostCapacity, ...]:
    async with ledger.database.connection() as db:
        return await capacities_of_hosts(db)


async def capacity_of(ledger: LedgerFixture, host: int) -> Capacity:
    found = (await capacities(ledger))[host].capacity
    assert found is not None
    return found


async def reasons(ledger: LedgerFixture, requirements: Requirements) -> tuple[str, ...]:
    """Returns why placement rejects the first host, as a compose reports it; empty if it fits."""
    async with ledger.database.connection() as db:
        hosts = [*(await read_candidates(db, [ledger.hosts[0]], with_nodes=False)).values()]
        placement = place(requirements, hosts)
        placement = place(requirements, await with_claims_here(db, hosts, [placement]))
    return placement.rejected[0].reasons if placement.rejected else ()


def numbers(one: ResourceCapacity) -> str:
    return f"= {one.claimable} claimable, {one.claimed} claimed, {one.elsewhere} elsewhere on the server"


async def claim_exactly_free(ledger: LedgerFixture) -> None:
    capacity = await capacity_of(ledger, 0)
    cores, memory_mib = capacity.cores, capacity.memory_mib
    # One more than is free is refused, by placement with the same numbers and by the guard.
    too_much = Requirements(cores=cores.free + 1, memory_mib=memory_mib.free + 1, disks=())
    compute = [reason for reason in await reasons(ledger, too_much) if "free (" in reason]
    assert [f"{cores.free} free (" in compute[0], f"{memory_mib.free} free (" in compute[1]] == [True, True], compute
    assert [numbers(cores) in compute[0], numbers(memory_mib) in compute[1]] == [True, True], compute
    assert await ledger.claim(0, cores.free + 1, 0) is None
    if cores.free:
        assert await ledger.claim(0, 1, memory_mib.free + 1) is None
        for pool, name in enumerate(("d", "f")):
            assert await ledger.claim(0, 1, 0, {pool: capacity.storage_pools[name].free + 1}) is None
        # Exactly what is free succeeds, and then nothing is.
        storage = {pool: capacity.storage_pools[name].free for pool, name in enumerate(("d", "f"))}
        storage = {pool: amount for pool, amount in storage.items() if amount}
        assert await ledger.claim(0, cores.free, memory_mib.free, storage) is not None
        after = await capacity_of(ledger, 0)
        assert (after.cores.free, after.memory_mib.free, after.storage_bytes.free) == (0, 0, 0)
        assert after.cores.claimed == cores.claimed + cores.free


def check_sums(found: Sequence[HostCapacity]) -> None:
    """Both hosts see the same claims; each has its own as claimed and those of the other as elsewhere."""
    first, second = [host.capacity for host in found]
    assert first is not None
    assert second is not None
    total = total_capacity(found)
    for a, b, both in (
        (first.cores, second.cores, total.cores),
        (first.memory_mib, second.memory_mib, total.memory_mib),
        (first.storage_bytes, second.storage_bytes, total.storage_bytes),
    ):
        assert a.claimed + a.elsewhere == b.claimed + b.elsewhere == both.claimed + both.elsewhere
        assert both.claimed == a.claimed + b.claimed
        assert both.total == a.total == b.total
        assert both.free == max(a.free, b.free)


async def run_ledger(
    database: Database,
    ratios: tuple[float, float],
    reserved: tuple[int, int],
    machines: Sequence[tuple[int, int, int, dict[int, int]]],
    guests: Sequence[tuple[int, int, int, dict[int, int]]],
) -> None:
    ledger = await prepare(database)
    await ledger.set_ratios(0, 10.0, 10.0)
    await ledger.set_ratios(1, 10.0, 10.0)
    for host, cores, memory_mib, storage in machines:
        await ledger.claim(host, cores, memory_mib, storage)
    for guest, cores, memory_mib, storage in guests:
        await ledger.find_guest(guest, cores, memory_mib, storage)
    limits = HostLimits(
        cpu_over_commit_ratio=ratios[0],
        memory_over_commit_ratio=ratios[1],
        reserved_cores=reserved[0],
        reserved_memory_mib=reserved[1],
    )
    async with database.connection() as db:
        foreseen = await capacity_with_limits(db, ledger.hosts[0], limits)
    await ledger.set_ratios(0, *ratios)
    await ledger.execute(_RESERVE.format(cores=reserved[0], memory_mib=reserved[1]))
    assert foreseen == await capacity_of(ledger, 0)
    check_sums(await capacities(ledger))
    await claim_exactly_free(ledger)


@given(
    ratios=st.tuples(RATIOS, RATIOS),
    reserved=st.tuples(st.integers(0, CORES + 1), st.integers(0, MEMORY_MIB)),
    machines=st.lists(MACHINES, max_size=6),
    guests=st.lists(GUESTS, max_size=4),
)
@settings(
    max_examples=40,
    deadline=None,  # a busy machine slows the database down
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # `prepare` empties the shared database
)
def test_exactly_what_is_free_can_be_composed_and_no_more(
    database: Database,
    ratios: tuple[float, float],
    reserved: tuple[int, int],
    machines: list[tuple[int, int, int, dict[int, int]]],
    guests: list[tuple[int, int, int, dict[int, int]]],
) -> Any:
    ledger = run_ledger(database, ratios, reserved, machines, guests)
    return Deferred.fromFuture(asyncio.ensure_future(ledger))  # pytest-twisted waits for each


async def fleet_of(ledger: LedgerFixture) -> FleetCapacity:
    return fleet_capacity(await capacities(ledger))


async def put_second_host_in_pool(ledger: LedgerFixture) -> None:
    await ledger.execute("insert into resource_pool (name) values ('lab') on conflict do nothing")
    await ledger.execute(
        "update vm_host h set pool_id = p.id from resource_pool p where h.name = 'b' and p.name = 'lab'"
    )


async def test_a_server_with_two_hosts_counts_once_in_the_fleet(ledger: LedgerFixture) -> None:
    await ledger.set_ratios(1, 2.0, 1.0)
    assert await ledger.claim(0, 3, 1024, {0: 30}) is not None
    assert await ledger.claim(1, 2, 512) is not None
    await ledger.find_guest(0, 1, 256)
    fleet = (await fleet_of(ledger)).fleet
    assert (fleet.name, fleet.servers, fleet.states) == (None, 1, {"ready": 2})
    assert fleet.capacity.cores == ResourceCapacity(total=8, claimable=16, claimed=5, elsewhere=1, free=10)
    assert fleet.capacity.memory_mib.claimed == 1536
    storage = ResourceCapacity(total=200, claimable=200, claimed=30, elsewhere=20, free=150)
    assert fleet.capacity.storage_bytes == storage


async def test_a_server_with_hosts_in_two_pools_counts_once_in_each(ledger: LedgerFixture) -> None:
    await put_second_host_in_pool(ledger)
    assert await ledger.claim(0, 3, 1) is not None
    assert await ledger.claim(1, 2, 1) is not None
    capacity = await fleet_of(ledger)
    default, lab = capacity.pools
    assert [default.name, lab.name, len(capacity.zones)] == ["default", "lab", 1]
    assert default.capacity.cores == ResourceCapacity(total=8, claimable=8, claimed=3, elsewhere=2, free=3)
    assert lab.capacity.cores == ResourceCapacity(total=8, claimable=8, claimed=2, elsewhere=3, free=3)
    assert capacity.fleet.capacity.cores == ResourceCapacity(total=8, claimable=8, claimed=5, elsewhere=0, free=3)


async def test_unreachable_servers_are_counted_apart(ledger: LedgerFixture) -> None:
    await put_second_host_in_pool(ledger)
    await ledger.execute("update vm_host set state = 'unreachable' where name = 'b'")
    await ledger.execute(
        "insert into vm_host (name, driver, address, system_id) values ('new', 'simulated', 'new', 'new')"
    )
    capacity = await fleet_of(ledger)
    default, lab = capacity.pools
    assert (lab.servers, lab.unreachable_servers, lab.states) == (0, 1, {"unreachable": 1})
    assert (lab.capacity.cores.total, lab.unreachable.cores.total) == (0, CORES)
    assert (default.servers, default.states) == (1, {"ready": 1, "pending": 1})
    # The server is reached through its other host.
    assert (capacity.fleet.servers, capacity.fleet.unreachable_servers) == (1, 0)


async def test_a_ratio_raises_what_is_claimable_and_free(ledger: LedgerFixture) -> None:
    await ledger.set_ratios(0, 6.0, 1.0)
    assert await ledger.claim(0, CORES, 1024) is not None
    assert await ledger.claim(1, 1, 1) is None
    found = await capacity_of(ledger, 0)
    assert found.cores == ResourceCapacity(total=8, claimable=48, claimed=8, elsewhere=0, free=40)
    assert found.memory_mib == ResourceCapacity(total=8216, claimable=8192, claimed=1024, elsewhere=0, free=7168)
    sibling = await capacity_of(ledger, 1)
    assert sibling.cores == ResourceCapacity(total=8, claimable=8, claimed=0, elsewhere=8, free=0)


async def test_storage_of_images_and_foreign_guests_is_elsewhere(ledger: LedgerFixture) -> None:
    await ledger.find_guest(0, 1, 1, {0: 20})
    assert await ledger.claim(0, 1, 1, {0: 30}) is not None
    found = await capacity_of(ledger, 0)
    assert found.storage_pools["d"] == ResourceCapacity(total=100, claimable=100, claimed=30, elsewhere=30, free=40)
    assert found.storage_bytes == ResourceCapacity(total=200, claimable=200, claimed=30, elsewhere=40, free=130)


async def test_pins_huge_pages_and_functions_have_a_capacity(ledger: LedgerFixture) -> None:
    ours = DiscreteResources(pinned_core_ids=(0, 1), huge_pages={FIRST_PAGES: 4}, functions={PORT: 3})
    theirs = DiscreteResources(pinned_core_ids=(1, 2), huge_pages={FIRST_PAGES: 1}, functions={PORT: 1})
    assert await ledger.claim(0, 2, 0, discrete=ours) is not None
    await ledger.find_guest(0, 2, 0, discrete=theirs)
    found = await capacity_of(ledger, 0)
    assert found.pinned_cores == ResourceCapacity(total=8, claimable=8, claimed=2, elsewhere=1, free=5)
    assert found.huge_pages == {"2048": ResourceCapacity(total=12, claimable=12, claimed=4, elsewhere=1, free=7)}
    assert found.virtual_functions == {PORT: ResourceCapacity(total=8, claimable=8, claimed=3, elsewhere=1, free=4)}


async def test_nothing_is_free_on_a_host_that_is_being_removed(ledger: LedgerFixture) -> None:
    await ledger.execute("update vm_host set state = 'removing' where name = 'a'")
    found = await capacity_of(ledger, 0)
    assert (found.cores.claimable, found.cores.free, found.storage_bytes.free) == (8, 0, 0)
    assert total_capacity(await capacities(ledger)).cores.free == 8


async def test_a_refused_disk_names_what_is_free_in_the_pool(ledger: LedgerFixture) -> None:
    await ledger.execute("update storage_pool set total_bytes = 30000000000")
    assert await ledger.claim(0, 1, 1, {0: 9_000_000_000}) is not None
    found = await capacity_of(ledger, 0)
    disk = DiskRequirement(label="root", size_bytes=found.storage_pools["d"].free + 1, tags=("d",))
    reason, *_ = await reasons(ledger, Requirements(cores=1, memory_mib=1, disks=(disk,)))
    assert reason == "needs a disk of 20.999999991 GB, 20.999999990 of 30.000000000 GB free in d"
    assert found.storage_pools["d"].free == 20_999_999_990
