"""What is true of the changes of any discovery, whatever was known before it."""

from __future__ import annotations

from random import Random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.discovery import Discovery
from common.values import Guest, HugePages, NumaNode, PowerState
from regiond.hosts.intake import Changes, Finding, compare
from regiond.hosts.known import Known
from tests.unit.intake_findings import (
    CARD,
    OTHERS,
    OURS,
    discovery,
    findings,
    function,
    guest,
    known,
    machine,
    machine_uuid,
    pool,
    told,
    written,
)

GUESTS = st.lists(
    st.builds(
        guest,
        st.sampled_from("abcdef"),
        machine=st.none() | st.integers(1, 5),
        installation=st.sampled_from([OURS, OTHERS]),
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
        *guests, storage_pools=tuple(pools), cores=cores, numa_nodes=nodes, network_cards=(CARD,)
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
def knowledge(draw: st.DrawFn) -> Known:
    """What earlier discoveries of the same host left behind; operations and tombstones came in between."""
    before = known(*draw(MACHINES))
    for found in draw(st.lists(FOUND, max_size=2)):
        before = written(before, compare(found, before))
    tombstones = frozenset(machine_uuid(n) for n in draw(st.sets(st.integers(1, 5)))) - before.machines.keys()
    since = frozenset(draw(st.sets(st.sampled_from(sorted(tombstones))))) if tombstones else frozenset()
    machines = {key: evolve(one, settled=draw(st.booleans())) for key, one in before.machines.items()}
    return evolve(before, machines=machines, given_up=tombstones, given_up_since=since)


def without_given_up(changes: Changes) -> Changes:
    return evolve(changes, leftovers=tuple(one for one in changes.leftovers if one.finding is not Finding.LEFTOVER))


@given(found=FOUND, before=knowledge())
def test_writing_the_changes_leaves_nothing_to_change(found: Discovery, before: Known) -> None:
    again = compare(found, written(before, compare(found, before)))
    assert without_given_up(again).none


@given(found=FOUND, before=knowledge(), order=st.randoms(use_true_random=False))
def test_the_order_of_the_guests_never_matters(found: Discovery, before: Known, order: Random) -> None:
    guests: list[Guest] = list(found.guests)
    order.shuffle(guests)
    once = compare(found, before)
    other = compare(evolve(found, guests=tuple(guests)), before)
    assert other.held == once.held
    assert {one.key: one for one in other.guests_written} == {one.key: one for one in once.guests_written}
    assert set(findings(other)) == set(findings(once))
    assert set(told(other)) == set(told(once))


@given(found=FOUND, before=knowledge())
def test_a_machine_is_one_guest_at_most_and_carries_its_mark(found: Discovery, before: Known) -> None:
    after = written(before, compare(found, before))
    held = [one for one in after.guests.values() if one.machine_id is not None]
    assert len({one.machine_id for one in held}) == len(held)
    for one in held:
        assert one.marked_machine is not None
        assert after.machines[one.marked_machine].id == one.machine_id


@given(found=FOUND, before=knowledge())
def test_machines_that_are_not_settled_are_left_alone(found: Discovery, before: Known) -> None:
    changes = compare(found, before)
    unsettled = {one.id for one in before.machines.values() if not one.settled}
    assert not unsettled & {one.machine_id for one in changes.machines}
    assert not unsettled & {one.machine_id for one in changes.guests_written}
    assert not unsettled & {one.machine_id for one, _ in changes.held}
    assert not unsettled & {before.guests[key].machine_id for key in changes.guests_gone}


@given(found=FOUND, before=knowledge())
def test_every_guest_that_was_found_is_counted(found: Discovery, before: Known) -> None:
    """As a row of its own or, while an operation acts on it, by its machine."""
    after = written(before, compare(found, before))
    for one in found.guests:
        ours = one.mark is not None and one.mark.installation_id == OURS
        if ours and one.mark is not None and one.mark.machine_id in before.given_up_since:
            continue
        busy = ours and one.mark is not None and one.mark.machine_id in before.machines
        assert (one.project, one.guest_id) in after.guests or busy
