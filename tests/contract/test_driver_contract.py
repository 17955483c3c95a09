"""What every driver promises, held against each of them on a host of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from common.discovery import Discovery
from common.errors import NameTaken, NotFound, OutOfCapacity
from common.values import Guest, GuestChange, GuestEvent, GuestSpec, Mark, PowerAction, PowerState
from tests.contract.benches import BENCHES, INSTALLATION, Bench, MakeBench, spec_for
from tests.waiting import eventually

GRACE_S = 0.5  # no guest here runs a system that would shut itself down


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    make: MakeBench = request.param
    made = make(tmp_path)
    yield made
    made.close()


def ours(bench: Bench) -> dict[str, Guest]:
    """The bench's guests by name: a shared host has others."""
    found = bench.driver.discover().guests
    return {guest.name: guest for guest in found if guest.name.startswith(bench.prefix)}


def volumes_of(spec: GuestSpec) -> tuple[tuple[str, str], ...]:
    return tuple((disk.pool_id, disk.volume) for disk in spec.disks)


def pool_bytes(found: Discovery, pool_id: str) -> int:
    return next(pool.total_bytes for pool in found.facts.storage_pools if pool.pool_id == pool_id)


def test_a_host_that_is_there_says_its_version(bench: Bench) -> None:
    assert bench.driver.reach() == bench.driver.discover().facts.hypervisor_version != ""


def test_discovery_tells_capacity_pools_and_networks(bench: Bench) -> None:
    facts = bench.driver.discover().facts
    assert facts.cores >= 1
    assert facts.memory_mib >= 128
    assert facts.architecture == bench.architecture
    assert sum(len(node.core_ids) for node in facts.numa_nodes) in {0, facts.cores}
    assert pool_bytes(bench.driver.discover(), bench.pool_id) > 0
    assert facts == bench.driver.discover().facts


def test_a_composed_guest_is_what_was_asked_for(bench: Bench) -> None:
    spec = spec_for(bench, "asked", disks=2)
    guest = bench.driver.compose(spec)
    assert (guest.name, guest.mark, guest.power) == (spec.name, spec.mark, PowerState.OFF)
    assert (guest.cores, guest.memory_mib) == (spec.cores, spec.memory_mib)
    assert [(disk.pool_id, disk.volume, disk.size_bytes) for disk in guest.disks] == [
        (disk.pool_id, disk.volume, disk.size_bytes) for disk in spec.disks
    ]
    assert [disk.serial for disk in guest.disks] == [disk.serial for disk in spec.disks]
    assert [nic.mac_address for nic in guest.nics] == [nic.mac_address for nic in spec.nics]


def test_composing_twice_leaves_one_guest(bench: Bench) -> None:
    spec = spec_for(bench, "twice")
    first = bench.driver.compose(spec)
    before = bench.volumes()
    assert bench.driver.compose(spec) == first
    assert list(ours(bench)) == [spec.name]
    assert bench.volumes() == before


def test_composing_again_leaves_a_running_guest_running(bench: Bench) -> None:
    spec = spec_for(bench, "running")
    bench.driver.compose(spec)
    bench.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    assert bench.driver.compose(spec).power is PowerState.ON


def test_composing_finishes_a_half_made_guest(bench: Bench) -> None:
    spec = spec_for(bench, "half", disks=2)
    before = bench.volumes()
    bench.make_volume(spec, spec.disks[0])
    guest = bench.driver.compose(spec)
    assert [disk.volume for disk in guest.disks] == [disk.volume for disk in spec.disks]
    assert bench.volumes() - before == set(volumes_of(spec))


def test_a_foreign_guest_keeps_its_name_and_stays_as_it_is(bench: Bench) -> None:
    spec = spec_for(bench, "taken")
    bench.make_foreign(spec.name)
    before = ours(bench), bench.volumes()
    with pytest.raises(NameTaken, match=spec.name):
        bench.driver.compose(spec)
    assert (ours(bench), bench.volumes()) == before


def test_another_machine_of_ours_keeps_its_name_too(bench: Bench) -> None:
    first = spec_for(bench, "mine")
    bench.driver.compose(first)
    before = ours(bench), bench.volumes()
    with pytest.raises(NameTaken, match=first.name):
        bench.driver.compose(spec_for(bench, "mine"))
    assert (ours(bench), bench.volumes()) == before


def test_a_disk_that_does_not_fit_leaves_nothing_behind_and_says_the_numbers(bench: Bench) -> None:
    before = bench.volumes()
    fits = spec_for(bench, "toolarge", disks=2)
    asked_bytes = pool_bytes(bench.driver.discover(), bench.pool_id) + 1024**3
    spec = evolve(fits, disks=(fits.disks[0], evolve(fits.disks[1], size_bytes=asked_bytes)))
    with pytest.raises(OutOfCapacity, match=str(asked_bytes)) as refused:
        bench.driver.compose(spec)
    assert refused.value.details["asked_bytes"] == asked_bytes
    assert refused.value.details["left_bytes"] < asked_bytes
    assert bench.volumes() == before
    assert spec.name not in ours(bench)


def test_an_unknown_storage_pool_is_named_and_nothing_is_made(bench: Bench) -> None:
    before = bench.volumes()
    fits = spec_for(bench, "nopool", disks=2)
    lost = evolve(fits.disks[1], pool_id="3b2a1c00-0000-4000-8000-00000000dead")
    with pytest.raises(NotFound, match=lost.pool_id):
        bench.driver.compose(evolve(fits, disks=(fits.disks[0], lost)))
    assert bench.volumes() == before
    assert fits.name not in ours(bench)


def test_decomposing_removes_the_guest_and_what_was_made_for_it(bench: Bench) -> None:
    before = bench.volumes()
    spec = spec_for(bench, "gone", disks=2)
    bench.driver.compose(spec)
    bench.driver.decompose(spec.ref, volumes_of(spec))
    assert spec.name not in ours(bench)
    assert bench.driver.find(spec.ref) is None
    assert bench.volumes() == before


def test_decomposing_a_running_guest_switches_it_off_first(bench: Bench) -> None:
    before = bench.volumes()
    spec = spec_for(bench, "hot")
    bench.driver.compose(spec)
    bench.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    bench.driver.decompose(spec.ref, volumes_of(spec))
    assert spec.name not in ours(bench)
    assert bench.volumes() == before


def test_decomposing_again_is_success(bench: Bench) -> None:
    spec = spec_for(bench, "again")
    bench.driver.compose(spec)
    bench.driver.decompose(spec.ref, volumes_of(spec))
    bench.driver.decompose(spec.ref, volumes_of(spec))
    assert spec.name not in ours(bench)


def test_decomposing_removes_volumes_that_never_got_a_guest(bench: Bench) -> None:
    before = bench.volumes()
    spec = spec_for(bench, "leftover", disks=2)
    bench.make_volume(spec, spec.disks[0])
    bench.driver.decompose(spec.ref, volumes_of(spec))
    assert bench.volumes() == before


def test_a_disk_attached_later_outlives_the_guest(bench: Bench) -> None:
    before = bench.volumes()
    spec = spec_for(bench, "later")
    bench.driver.compose(spec)
    attached = bench.attach_later(spec.ref)
    bench.driver.decompose(spec.ref, volumes_of(spec))
    assert spec.name not in ours(bench)
    assert bench.volumes() - before == {attached}


def test_a_guest_with_another_mark_is_never_decomposed(bench: Bench) -> None:
    spec = spec_for(bench, "other")
    composed = bench.driver.compose(spec)
    stranger = evolve(
        spec.ref, mark=Mark(installation_id=INSTALLATION, machine_id=spec_for(bench, "x").mark.machine_id)
    )
    bench.driver.decompose(stranger, volumes_of(spec))
    assert bench.driver.find(spec.ref) == composed
    assert set(volumes_of(spec)) <= bench.volumes()


def test_a_foreign_guest_is_never_decomposed_or_switched(bench: Bench) -> None:
    spec = spec_for(bench, "foreign")
    bench.make_foreign(spec.name)
    before = ours(bench), bench.volumes()
    bench.driver.decompose(spec.ref)
    with pytest.raises(NotFound):
        bench.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    assert bench.driver.find(spec.ref) is None
    assert (ours(bench), bench.volumes()) == before


@pytest.mark.parametrize(
    ("action", "state"),
    [
        (PowerAction.ON, PowerState.ON),
        (PowerAction.OFF, PowerState.OFF),
        (PowerAction.FORCE_OFF, PowerState.OFF),
        (PowerAction.CYCLE, PowerState.ON),
    ],
)
@pytest.mark.parametrize("first", [PowerAction.ON, PowerAction.FORCE_OFF])
def test_power_ends_in_the_state_asked_for_from_any_other(
    bench: Bench, first: PowerAction, action: PowerAction, state: PowerState
) -> None:
    spec = spec_for(bench, "power")
    bench.driver.compose(spec)
    bench.driver.power(spec.ref, first, grace_s=GRACE_S)
    assert bench.driver.power(spec.ref, action, grace_s=GRACE_S) is state
    assert bench.driver.power(spec.ref, action, grace_s=GRACE_S) is state
    found = bench.driver.find(spec.ref)
    assert found is not None
    assert found.power is state


def test_power_of_a_guest_that_is_gone_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.driver.power(spec_for(bench, "nobody").ref, PowerAction.ON, grace_s=GRACE_S)


def test_a_guest_is_found_by_its_mark_under_another_name(bench: Bench) -> None:
    spec = spec_for(bench, "before")
    guest = bench.driver.compose(spec)
    new_name = f"{bench.prefix}after"
    bench.rename(spec.ref, new_name)
    found = bench.driver.find(spec.ref)
    assert found is not None
    assert (found.name, found.mark, found.guest_id) == (new_name, spec.mark, guest.guest_id)
    assert bench.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S) is PowerState.ON
    bench.driver.decompose(spec.ref, volumes_of(spec))
    assert new_name not in ours(bench)


def test_discovery_lists_foreign_guests_and_ours_with_their_disks(bench: Bench) -> None:
    spec = spec_for(bench, "listed")
    composed = bench.driver.compose(spec)
    bench.make_foreign(f"{bench.prefix}stranger")
    found = ours(bench)
    assert found[spec.name].mark == spec.mark
    assert [evolve(disk, serial=None) for disk in found[spec.name].disks] == [
        evolve(disk, serial=None) for disk in composed.disks
    ]
    stranger = found[f"{bench.prefix}stranger"]
    assert stranger.mark is None
    assert (stranger.cores, stranger.memory_mib) == (1, 128)
    assert [disk.pool_id for disk in stranger.disks] == [bench.pool_id]


def test_discovery_makes_as_many_calls_for_twenty_guests_as_for_one(bench: Bench) -> None:
    """Once they are known, and but for the fixed number of guests that a look may ask one by one."""

    def calls() -> int:
        bench.driver.discover()
        found = bench.driver.discover()
        return found.calls - min(bench.read_again, len(found.guests))

    bench.driver.compose(spec_for(bench, "one"))
    for_one = calls()
    for number in range(19):
        bench.driver.compose(spec_for(bench, f"more{number}"))
    assert len(ours(bench)) == 20
    assert calls() == for_one > 0


async def test_a_watcher_is_told_of_power_changes_until_it_stops(bench: Bench) -> None:
    spec = spec_for(bench, "watched")
    await asyncio.to_thread(bench.driver.compose, spec)
    seen: list[GuestChange] = []
    stop = await asyncio.to_thread(bench.driver.watch, seen.append)

    def told(power: PowerState) -> bool:
        return any((one.event, one.guest_name, one.power) == (GuestEvent.POWER, spec.name, power) for one in seen)

    await asyncio.to_thread(bench.driver.power, spec.ref, PowerAction.ON, grace_s=GRACE_S)
    await eventually(lambda: told(PowerState.ON))
    await asyncio.to_thread(bench.driver.power, spec.ref, PowerAction.FORCE_OFF, grace_s=GRACE_S)
    await eventually(lambda: told(PowerState.OFF))
    await asyncio.to_thread(stop)
    heard = len(seen)
    other: list[GuestChange] = []
    stop_other = await asyncio.to_thread(bench.driver.watch, other.append)
    await asyncio.to_thread(bench.driver.power, spec.ref, PowerAction.ON, grace_s=GRACE_S)
    await eventually(lambda: other)
    await asyncio.to_thread(stop_other)
    assert len(seen) == heard


def test_closing_twice_is_harmless(bench: Bench) -> None:
    bench.driver.close()
    bench.driver.close()
