"""Contract of every driver: discovery, compose, decompose, power, find and watch."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from common.errors import NameTaken, NotFound, OutOfCapacity
from common.guests.guest_spec import GuestSpec
from common.hosts.discovery import Discovery
from common.values import Guest, GuestChange, GuestEvent, OwnershipMarker, PowerAction, PowerState
from tests.contract.support.driver_fixtures import EVERY_HOST, INSTALLATION, DriverFixture, spec_for
from tests.contract.support.guest_samples import volumes_of
from tests.support.same_facts import without_other_use
from tests.support.waiting import eventually

pytestmark = EVERY_HOST
GRACE_S = 0.5  # no guest runs an operating system that could shut down


def own_guests(host: DriverFixture) -> dict[str, Guest]:
    """The guests of this test by name; a shared host has others."""
    found = host.driver.discover().guests
    return {guest.name: guest for guest in found if guest.name.startswith(host.prefix)}


def composed(host: DriverFixture, name: str, *, disks: int = 1) -> GuestSpec:
    """Composes a guest; returns its spec."""
    spec = spec_for(host, name, disks=disks)
    host.driver.compose(spec)
    return spec


def pool_bytes(found: Discovery, pool_id: str) -> int:
    return next(pool.total_bytes for pool in found.facts.storage_pools if pool.pool_id == pool_id)


def test_reach_returns_the_hypervisor_version(host: DriverFixture) -> None:
    assert host.driver.reach() == host.driver.discover().facts.hypervisor_version != ""


@pytest.mark.clusters
def test_discovery_returns_capacity_pools_and_networks(host: DriverFixture) -> None:
    facts = host.driver.discover().facts
    assert facts.cores >= 1
    assert facts.memory_mib >= 128
    assert facts.architecture == host.architecture
    assert sum(len(node.core_ids) for node in facts.numa_nodes) in {0, facts.cores}
    assert pool_bytes(host.driver.discover(), host.pool_id) > 0
    again = host.driver.discover().facts
    assert without_other_use(facts) == without_other_use(again)
    both = {one.name for one in facts.networks} & {one.name for one in again.networks}
    first, second = ([one.name for one in found.networks if one.name in both] for found in (facts, again))
    assert first == second, "in one order"


@pytest.mark.clusters
def test_composed_guests_match_the_spec(host: DriverFixture) -> None:
    spec = spec_for(host, "composed", disks=2)
    guest = host.driver.compose(spec)
    assert (guest.name, guest.marker, guest.power) == (spec.name, spec.marker, PowerState.OFF)
    assert (guest.cores, guest.memory_mib) == (spec.cores, spec.memory_mib)
    assert [(disk.pool_id, disk.volume, disk.size_bytes) for disk in guest.disks] == [
        (disk.pool_id, disk.volume, disk.size_bytes) for disk in spec.disks
    ]
    assert [disk.serial for disk in guest.disks] == [disk.serial for disk in spec.disks]
    assert [nic.mac_address for nic in guest.nics] == [nic.mac_address for nic in spec.nics]


@pytest.mark.clusters
def test_composing_twice_leaves_one_guest(host: DriverFixture) -> None:
    spec = spec_for(host, "twice")
    first = host.driver.compose(spec)
    before = host.volumes()
    assert host.driver.compose(spec) == first
    assert list(own_guests(host)) == [spec.name]
    assert host.volumes() == before


def test_composing_again_leaves_a_running_guest_running(host: DriverFixture) -> None:
    spec = composed(host, "running")
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    assert host.driver.compose(spec).power is PowerState.ON


def test_the_start_of_a_guest_is_known_while_it_runs_if_at_all(host: DriverFixture) -> None:
    spec = composed(host, "started")
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    started_at = own_guests(host)[spec.name].started_at
    assert started_at is None or abs(datetime.now(UTC) - started_at) < timedelta(hours=1)
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=GRACE_S)
    assert own_guests(host)[spec.name].started_at is None


@pytest.mark.clusters
def test_composing_completes_an_incomplete_guest(host: DriverFixture) -> None:
    spec = spec_for(host, "incomplete", disks=2)
    before = host.volumes()
    host.make_volume(spec, spec.disks[0])
    guest = host.driver.compose(spec)
    assert [disk.volume for disk in guest.disks] == [disk.volume for disk in spec.disks]
    assert host.volumes() - before == set(volumes_of(spec))


def test_composing_never_replaces_a_foreign_guest(host: DriverFixture) -> None:
    spec = spec_for(host, "name-taken")
    host.make_foreign(spec.name)
    before = own_guests(host), host.volumes()
    with pytest.raises(NameTaken, match=spec.name):
        host.driver.compose(spec)
    assert (own_guests(host), host.volumes()) == before


def test_composing_never_replaces_another_machine(host: DriverFixture) -> None:
    first = spec_for(host, "same-name")
    host.driver.compose(first)
    before = own_guests(host), host.volumes()
    with pytest.raises(NameTaken, match=first.name):
        host.driver.compose(spec_for(host, "same-name"))
    assert (own_guests(host), host.volumes()) == before


@pytest.mark.clusters
def test_a_too_large_disk_fails_with_numbers_and_no_residue(host: DriverFixture) -> None:
    before = host.volumes()
    fits = spec_for(host, "toolarge", disks=2)
    requested_bytes = pool_bytes(host.driver.discover(), host.pool_id) + 1024**3
    spec = evolve(fits, disks=(fits.disks[0], evolve(fits.disks[1], size_bytes=requested_bytes)))
    with pytest.raises(OutOfCapacity, match=str(requested_bytes)) as rejected:
        host.driver.compose(spec)
    assert rejected.value.details["requested_bytes"] == requested_bytes
    assert rejected.value.details["left_bytes"] < requested_bytes
    assert host.volumes() == before
    assert spec.name not in own_guests(host)


def test_an_unknown_pool_is_named_and_nothing_is_created(host: DriverFixture) -> None:
    before = host.volumes()
    fits = spec_for(host, "nopool", disks=2)
    missing = evolve(fits.disks[1], pool_id="3b2a1c00-0000-4000-8000-00000000dead")
    with pytest.raises(NotFound, match=missing.pool_id):
        host.driver.compose(evolve(fits, disks=(fits.disks[0], missing)))
    assert host.volumes() == before
    assert fits.name not in own_guests(host)


@pytest.mark.clusters
def test_decomposing_deletes_guest_and_volumes(host: DriverFixture) -> None:
    before = host.volumes()
    spec = composed(host, "deleted", disks=2)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert spec.name not in own_guests(host)
    assert host.driver.find(spec.ref) is None
    assert host.volumes() == before


def test_decomposing_forces_a_running_guest_off(host: DriverFixture) -> None:
    before = host.volumes()
    spec = composed(host, "powered-on")
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert spec.name not in own_guests(host)
    assert host.volumes() == before


def test_decomposing_is_idempotent(host: DriverFixture) -> None:
    spec = composed(host, "again")
    host.driver.decompose(spec.ref, volumes_of(spec))
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert spec.name not in own_guests(host)


@pytest.mark.clusters
def test_only_the_guest_with_the_named_id_is_decomposed(host: DriverFixture) -> None:
    spec = spec_for(host, "named", disks=2)
    found = host.driver.compose(spec)
    before = host.volumes()
    host.driver.decompose(spec.ref, volumes_of(spec), guest_id="00000000-0000-4000-8000-000000000000")
    assert (host.driver.find(spec.ref), host.volumes()) == (found, before)
    host.driver.decompose(spec.ref, volumes_of(spec), guest_id=found.guest_id)
    assert spec.name not in own_guests(host)
    assert not set(volumes_of(spec)) & host.volumes()


@pytest.mark.clusters
def test_a_guest_that_is_composed_again_has_another_id(host: DriverFixture) -> None:
    """Unless the id is the machine's, so that it tells nothing."""
    spec = spec_for(host, "again")
    first = host.driver.compose(spec)
    host.driver.decompose(spec.ref, volumes_of(spec))
    again = host.driver.compose(spec)
    assert (first.guest_id == again.guest_id) == (first.guest_id == str(spec.marker.machine_id))


@pytest.mark.clusters
def test_decomposing_deletes_volumes_without_a_guest(host: DriverFixture) -> None:
    before = host.volumes()
    spec = spec_for(host, "leftover", disks=2)
    host.make_volume(spec, spec.disks[0])
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert host.volumes() == before


@pytest.mark.clusters
def test_decomposing_leaves_disks_attached_later(host: DriverFixture) -> None:
    before = host.volumes()
    spec = composed(host, "later")
    attached = host.attach_new_volume(spec.ref)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert spec.name not in own_guests(host)
    assert host.volumes() - before == {attached}


def test_guests_of_another_marker_are_never_decomposed(host: DriverFixture) -> None:
    spec = spec_for(host, "other")
    composed = host.driver.compose(spec)
    other = evolve(
        spec.ref,
        marker=OwnershipMarker(installation_id=INSTALLATION, machine_id=spec_for(host, "another").marker.machine_id),
    )
    host.driver.decompose(other, volumes_of(spec))
    assert host.driver.find(spec.ref) == composed
    assert set(volumes_of(spec)) <= host.volumes()


def test_foreign_guests_are_never_changed(host: DriverFixture) -> None:
    spec = spec_for(host, "foreign")
    host.make_foreign(spec.name)
    before = own_guests(host), host.volumes()
    host.driver.decompose(spec.ref)
    with pytest.raises(NotFound):
        host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    assert host.driver.find(spec.ref) is None
    assert (own_guests(host), host.volumes()) == before


def power_change(first: PowerAction, action: PowerAction, state: PowerState, *, real: bool = False) -> object:
    marks = () if real else (pytest.mark.doubles_suffice,)
    return pytest.param(first, action, state, marks=marks, id=f"{first}-{action}")


@pytest.mark.parametrize(
    ("first", "action", "state"),
    [
        power_change(PowerAction.ON, PowerAction.ON, PowerState.ON),
        power_change(PowerAction.ON, PowerAction.OFF, PowerState.OFF, real=True),
        power_change(PowerAction.ON, PowerAction.FORCE_OFF, PowerState.OFF),
        power_change(PowerAction.ON, PowerAction.CYCLE, PowerState.ON, real=True),
        power_change(PowerAction.FORCE_OFF, PowerAction.ON, PowerState.ON, real=True),
        power_change(PowerAction.FORCE_OFF, PowerAction.OFF, PowerState.OFF),
        power_change(PowerAction.FORCE_OFF, PowerAction.FORCE_OFF, PowerState.OFF),
        power_change(PowerAction.FORCE_OFF, PowerAction.CYCLE, PowerState.ON),
    ],
)
def test_power_reaches_every_state_from_any_other(
    host: DriverFixture, first: PowerAction, action: PowerAction, state: PowerState
) -> None:
    spec = composed(host, "power")
    host.driver.power(spec.ref, first, grace_s=GRACE_S)
    assert host.driver.power(spec.ref, action, grace_s=GRACE_S) is state
    assert host.driver.power(spec.ref, action, grace_s=GRACE_S) is state
    found = host.driver.find(spec.ref)
    assert found is not None
    assert found.power is state


def test_power_of_a_deleted_guest_is_not_found(host: DriverFixture) -> None:
    with pytest.raises(NotFound):
        host.driver.power(spec_for(host, "missing").ref, PowerAction.ON, grace_s=GRACE_S)


@pytest.mark.clusters
def test_renamed_guests_are_found_by_their_marker(host: DriverFixture) -> None:
    spec = spec_for(host, "before")
    guest = host.driver.compose(spec)
    new_name = f"{host.prefix}after"
    host.rename(spec.ref, new_name)
    found = host.driver.find(spec.ref)
    assert found is not None
    assert (found.name, found.marker, found.guest_id) == (new_name, spec.marker, guest.guest_id)
    assert host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S) is PowerState.ON
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert new_name not in own_guests(host)


@pytest.mark.clusters
def test_discovery_lists_foreign_and_managed_guests(host: DriverFixture) -> None:
    spec = spec_for(host, "listed")
    composed = host.driver.compose(spec)
    host.make_foreign(f"{host.prefix}foreign")
    found = own_guests(host)
    assert found[spec.name].marker == spec.marker
    assert [evolve(disk, serial=None) for disk in found[spec.name].disks] == [
        evolve(disk, serial=None) for disk in composed.disks
    ]
    foreign = found[f"{host.prefix}foreign"]
    assert foreign.marker is None
    assert (foreign.cores, foreign.memory_mib) == (1, 128)
    assert [disk.pool_id for disk in foreign.disks] == [host.pool_id]


@pytest.mark.clusters
def test_discovery_calls_do_not_grow_with_the_guests(host: DriverFixture) -> None:
    """After the first run, and apart from the fixed number of guests that a run rereads one by one."""

    def calls() -> int:
        host.driver.discover()
        found = host.driver.discover()
        return found.calls - min(host.reread_domains, len(found.guests))

    host.driver.compose(spec_for(host, "one"))
    for_one = calls()
    for number in range(19):
        host.driver.compose(spec_for(host, f"more{number}"))
    assert len(own_guests(host)) == 20
    assert calls() == for_one > 0


@pytest.mark.clusters
async def test_a_watch_reports_power_changes_until_stopped(host: DriverFixture) -> None:
    spec = spec_for(host, "watched")
    await asyncio.to_thread(host.driver.compose, spec)
    seen: list[GuestChange] = []
    stop = await asyncio.to_thread(host.driver.watch, seen.append)

    def reported(power: PowerState) -> bool:
        return any((one.event, one.guest_name, one.power) == (GuestEvent.POWER, spec.name, power) for one in seen)

    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.ON, grace_s=GRACE_S)
    await eventually(lambda: reported(PowerState.ON))
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.FORCE_OFF, grace_s=GRACE_S)
    await eventually(lambda: reported(PowerState.OFF))
    await asyncio.to_thread(stop)
    count = len(seen)
    other: list[GuestChange] = []
    stop_other = await asyncio.to_thread(host.driver.watch, other.append)
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.ON, grace_s=GRACE_S)
    await eventually(lambda: other)
    await asyncio.to_thread(stop_other)
    assert len(seen) == count


def test_close_is_idempotent(host: DriverFixture) -> None:
    host.driver.close()
    host.driver.close()


def test_a_guest_that_runs_nothing_has_no_address(host: DriverFixture) -> None:
    spec = spec_for(host, "silent")
    host.driver.compose(spec)
    assert known_addresses(host, spec) == set()
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    assert known_addresses(host, spec) == set()


def known_addresses(host: DriverFixture, spec: GuestSpec) -> set[str]:
    """Of all NICs, as the guest and the listing show them."""
    found = host.driver.find(spec.ref)
    listed = [one for one in host.driver.discover().guests if one.name == spec.name]
    assert found is not None
    return {address for guest in (found, *listed) for nic in guest.nics for address in nic.addresses or ()}
