"""What is true of the changes of any discovery, whatever was snapshot before it."""

from __future__ import annotations

from random import Random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.hosts.discovery import Discovery
from common.values import Guest, HugePages, NumaNode, PowerState
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.model import ChangeKind, DiscoveryChanges
from regiond.hosts.discovery.snapshot import ServerSnapshot
from regiond.hosts.restored_guests import Tombstone
from tests.unit.support.discovery_samples import (
    INSTALLATION,
    NETWORK_DEVICE,
    OTHER_INSTALLATION,
    changes_of,
    discovery,
    function,
    guest,
    machine,
    machine_uuid,
    orphaned,
    pool,
    snapshot,
    written,
)

GUESTS = st.lists(
    st.builds(
        guest,
        st.sampled_from("abcdef"),
        machine=st.none() | st.integers(1, 5),
        installation=st.sampled_from([INSTALLATION, OTHER_INSTALLATION]),
        cores=st.integers(0, 2),
        memory_mib=st.sampled_from([0, 1024, 2048]),
        power=st.sampled_from(PowerState),
        pinned_core_ids=st.sets(st.integers(0, 5), max_size=3).map(tuple),
        huge_pages_backed=st.booleans(),
        nics=st.lists(st.sampled_from([function("sim0"), function("")]), max_size=2).map(tuple),
    ),
    unique_by=lambda one: one.guest_id,
    max_size=6,
)
POOLS = st.lists(
    st.builds(pool, st.sampled_from(["default", "fast", "slow"]), st.integers(0, 2)),
    unique_by=lambda one: one.pool_id,
    max_size=3,
)
PAGES = st.sampled_from([(), (HugePages(size_kib=2048, total=600),), (HugePages(size_kib=1024**2, total=1),)])
NODES = st.tuples(PAGES, PAGES).map(
    lambda pages: tuple(
        NumaNode(node_id=number, core_ids=(2 * number, 2 * number + 1), memory_mib=4096, huge_pages=of_node)
        for number, of_node in enumerate(pages)
    )
)
FOUND = st.builds(
    lambda guests, pools, cores, nodes: discovery(
        *guests, storage_pools=tuple(pools), cores=cores, numa_nodes=nodes, network_devices=(NETWORK_DEVICE,)
    ),
    GUESTS, POOLS, st.integers(1, 3), NODES,
)  # fmt: skip
MACHINES = st.lists(
    st.builds(
        machine,
        st.integers(1, 5),
        state=st.sampled_from(["ready", "missing", "composing", "deleting"]),
        power_state=st.sampled_from([power.value for power in PowerState]),
        on_this_host=st.booleans(),
        settled=st.booleans(),
    ),
    unique_by=lambda one: one.id,
    max_size=4,
)


@st.composite
def snapshots(draw: st.DrawFn) -> ServerSnapshot:
    """The snapshot after earlier runs of the same host, with operations and tombstones in between."""
    before = snapshot(*draw(MACHINES))
    for found in draw(st.lists(FOUND, max_size=2)):
        before = written(before, compare(found, before))
    tombstones = frozenset(machine_uuid(n) for n in draw(st.sets(st.integers(1, 5)))) - before.machines.keys()
    since = frozenset(draw(st.sets(st.sampled_from(sorted(tombstones))))) if tombstones else frozenset()
    machines = {key: evolve(one, settled=draw(st.booleans())) for key, one in before.machines.items()}
    keys = {uuid: draw(st.sampled_from([None, "1", "2", "3"])) for uuid in sorted(tombstones)}
    known = {uuid: Tombstone(was_composed=draw(st.booleans()), guest_key=key) for uuid, key in keys.items()}
    return evolve(before, machines=machines, tombstones=known, new_tombstones=since)


def without_tombstones(changes: DiscoveryChanges) -> DiscoveryChanges:
    return evolve(
        changes, orphaned_guests=tuple(one for one in changes.orphaned_guests if one.kind is not ChangeKind.TOMBSTONE)
    )


@given(found=FOUND, before=snapshots())
def test_applied_changes_leave_nothing_to_change(found: Discovery, before: ServerSnapshot) -> None:
    again = compare(found, written(before, compare(found, before)))
    assert without_tombstones(again).none


@given(found=FOUND, before=snapshots(), order=st.randoms(use_true_random=False))
def test_the_order_of_guests_does_not_matter(found: Discovery, before: ServerSnapshot, order: Random) -> None:
    guests: list[Guest] = list(found.guests)
    order.shuffle(guests)
    once = compare(found, before)
    other = compare(evolve(found, guests=tuple(guests)), before)
    assert other.allocations == once.allocations
    assert {one.key: one for one in other.guests_written} == {one.key: one for one in once.guests_written}
    assert set(changes_of(other)) == set(changes_of(once))
    assert set(orphaned(other)) == set(orphaned(once))


@given(found=FOUND, before=snapshots())
def test_a_machine_has_at_most_one_guest_with_its_marker(found: Discovery, before: ServerSnapshot) -> None:
    after = written(before, compare(found, before))
    held = [one for one in after.guests.values() if one.machine_id is not None]
    assert len({one.machine_id for one in held}) == len(held)
    for one in held:
        assert one.marker_machine is not None
        assert after.machines[one.marker_machine].id == one.machine_id


@given(found=FOUND, before=snapshots())
def test_unsettled_machines_are_not_changed(found: Discovery, before: ServerSnapshot) -> None:
    changes = compare(found, before)
    unsettled = {one.id for one in before.machines.values() if not one.settled}
    assert not unsettled & {one.machine_id for one in changes.machines}
    assert not unsettled & {one.machine_id for one in changes.guests_written}
    assert not unsettled & {one.machine_id for one, _ in changes.allocations}
    assert not unsettled & {before.guests[key].machine_id for key in changes.deleted_guests}


@given(found=FOUND, before=snapshots())
def test_every_discovered_guest_is_recorded(found: Discovery, before: ServerSnapshot) -> None:
    """As a record of its own or, while an operation acts on it, by its machine."""
    after = written(before, compare(found, before))
    for one in found.guests:
        managed = one.marker is not None and one.marker.installation_id == INSTALLATION
        if managed and one.marker is not None and one.marker.machine_id in before.new_tombstones:
            continue
        busy = managed and one.marker is not None and one.marker.machine_id in before.machines
        assert (one.project, one.guest_id) in after.guests or busy
