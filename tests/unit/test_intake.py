"""What a discovery changes, and that the same discovery again changes nothing."""

from __future__ import annotations

from random import Random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.values import Discovery, Guest, Mark, MarkElsewhere, PowerState, Problem
from regiond.hosts.intake import Changes, Finding, Known, compare
from tests.unit.intake_findings import (
    GIB,
    OTHERS,
    OURS,
    discovery,
    facts,
    guest,
    known,
    machine,
    machine_uuid,
    pool,
    row,
    written,
)

MARK = Mark(installation_id=OURS, machine_id=machine_uuid(1))


def findings(changes: Changes) -> list[tuple[Finding, int]]:
    return [(one.finding, one.machine_id) for one in changes.machines]


def told(changes: Changes) -> list[tuple[Finding, str]]:
    return [(one.finding, one.guest_name) for one in changes.leftovers]


def test_a_guest_that_could_not_be_read_is_neither_gone_nor_is_its_machine_missing() -> None:
    ours, foreign = guest("1", machine=1), guest("2")
    before = known(machine(1), guests=[row(ours, 1), row(foreign)])
    problems = tuple(Problem(subject=one.name, message="It is busy.") for one in (ours, foreign))
    assert compare(evolve(discovery(), problems=problems), before).none
    changes = compare(evolve(discovery(), problems=problems[1:]), before)
    assert (changes.guests_gone, findings(changes)) == ((("", "1"),), [(Finding.MISSING, 1)])


def test_disks_that_could_not_be_measured_are_as_large_as_before() -> None:
    found = guest("2")
    problem = Problem(subject=found.name, message="Its disk vda cannot be read.")
    busy = evolve(discovery(evolve(found, disks=())), problems=(problem,))
    assert compare(busy, known(guests=[row(found)])).none
    (new,) = compare(busy, known()).guests_written
    assert new.disks == ()


# Facts and storage pools


def test_finding_what_is_known_changes_nothing() -> None:
    one = guest("1", machine=1)
    assert compare(discovery(one), known(machine(1), guests=[row(one, 1)])).none


def test_the_first_discovery_writes_facts_pools_and_guests() -> None:
    changes = compare(discovery(guest("1")), known(facts=None, storage_pools={}))
    assert changes.facts == evolve(facts(), storage_pools=())
    assert changes.pools_written == (pool(),)
    assert [one.guest_key for one in changes.guests_written] == ["1"]


def test_more_memory_is_news_and_tags_are_not() -> None:
    assert compare(discovery(memory_mib=9000), known()).facts == evolve(facts(memory_mib=9000), storage_pools=())
    assert compare(discovery(tags=("new",)), known()).none


def test_a_pool_that_is_not_there_any_more_is_missing_and_one_that_grew_is_written() -> None:
    changes = compare(discovery(storage_pools=(pool("fast", 7),)), known(storage_pools={"default": pool()}))
    assert (changes.pools_missing, changes.pools_written) == (("default",), (pool("fast", 7),))


# Foreign guests


def test_a_foreign_guest_holds_claims_of_its_own() -> None:
    (one,) = compare(discovery(guest("1")), known()).guests_written
    assert one.machine_id is None
    assert one.disk_bytes() == {"default": GIB}


def test_disks_outside_every_pool_take_room_of_none() -> None:
    found = guest("1")
    outside = evolve(found.disks[0], pool_id=None)
    (one,) = compare(discovery(evolve(found, disks=(outside, *found.disks, *found.disks))), known()).guests_written
    assert one.disk_bytes() == {"default": 2 * GIB}


def test_a_guest_that_changed_is_written_and_one_that_went_is_gone() -> None:
    before = known(guests=[row(guest("1")), row(guest("2"))])
    changes = compare(discovery(guest("1", cores=3)), before)
    assert [(one.guest_key, one.cores) for one in changes.guests_written] == [("1", 3)]
    assert changes.guests_gone == (("", "2"),)


def test_the_same_key_in_another_project_is_another_guest() -> None:
    changes = compare(discovery(guest("1", project="b")), known(guests=[row(guest("1", project="a"))]))
    assert changes.guests_gone == (("a", "1"),)
    assert [one.key for one in changes.guests_written] == [("b", "1")]


def test_the_mark_of_another_installation_makes_a_guest_foreign() -> None:
    changes = compare(discovery(guest("1", machine=1, installation=OTHERS)), known(machine(1)))
    assert [one.machine_id for one in changes.guests_written] == [None]
    assert changes.leftovers == ()
    assert findings(changes) == [(Finding.MISSING, 1)]


# Machines


def test_a_marked_guest_is_its_machine() -> None:
    (one,) = compare(discovery(guest("1", machine=1)), known(machine(1))).guests_written
    assert one.machine_id == 1


def test_a_machine_whose_guest_is_not_listed_is_missing_once() -> None:
    before = known(machine(1), guests=[row(guest("1", machine=1), 1)])
    changes = compare(discovery(), before)
    assert findings(changes) == [(Finding.MISSING, 1)]
    assert compare(discovery(), written(before, changes)).none


def test_a_machine_of_another_host_of_the_server_is_not_missed_here() -> None:
    assert compare(discovery(), known(machine(1, on_this_host=False))).none


def test_a_machine_that_is_on_another_member_is_not_missed_here_unless_that_is_no_host_of_ours() -> None:
    before = known(machine(1), guests=[row(guest("1", machine=1), 1)], fellow_members=frozenset({"m2"}))
    on = {member: evolve(discovery(), elsewhere=(MarkElsewhere(mark=MARK, member=member),)) for member in ("m2", "m3")}
    assert findings(compare(on["m2"], before)) == []
    assert findings(compare(on["m3"], before)) == [(Finding.MISSING, 1)]
    others = MarkElsewhere(mark=evolve(MARK, installation_id=OTHERS), member="m2")
    assert findings(compare(evolve(discovery(), elsewhere=(others,)), before)) == [(Finding.MISSING, 1)]


def test_a_missing_machine_returns() -> None:
    changes = compare(discovery(guest("1", machine=1, power=PowerState.ON)), known(machine(1, state="missing")))
    assert findings(changes) == [(Finding.RETURNED, 1), (Finding.POWER, 1)]


def test_a_machine_that_was_resized_on_its_host_is_told() -> None:
    changes = compare(discovery(guest("1", machine=1, cores=4)), known(machine(1)))
    assert findings(changes) == [(Finding.RESIZED, 1)]
    assert changes.machines[0].guest is not None
    assert changes.machines[0].guest.cores == 4


def test_a_size_that_could_not_be_read_resizes_nothing() -> None:
    assert findings(compare(discovery(guest("1", machine=1, memory_mib=0)), known(machine(1)))) == []


def test_power_that_changed_is_told() -> None:
    changes = compare(discovery(guest("1", machine=1, power=PowerState.ON)), known(machine(1)))
    assert findings(changes) == [(Finding.POWER, 1)]


def test_a_machine_that_an_operation_acts_on_is_left_to_it() -> None:
    busy = machine(1, settled=False)
    for found in (discovery(), discovery(guest("1", machine=1, cores=7, power=PowerState.ON))):
        assert compare(found, known(busy, guests=[row(guest("1", machine=1), 1)])).none


def test_a_guest_made_after_the_discovery_began_is_not_gone() -> None:
    just_made = known(machine(1, settled=False), guests=[row(guest("1", machine=1), 1)])
    assert compare(discovery(), just_made).guests_gone == ()


def test_a_guest_that_got_another_id_stays_its_machine() -> None:
    before = known(machine(1), guests=[row(guest("old", machine=1), 1)])
    changes = compare(discovery(guest("new", machine=1)), before)
    assert (changes.guests_gone, findings(changes)) == ((("", "old"),), [])
    assert [(one.guest_key, one.machine_id) for one in changes.guests_written] == [("new", 1)]


def test_of_two_guests_with_one_mark_the_one_known_is_the_machine_and_the_other_is_foreign() -> None:
    copy, real = guest("0", machine=1, name="vm-1"), guest("1", machine=1, name="renamed")
    before = known(machine(1), guests=[row(real, 1)])
    changes = compare(discovery(copy, real), before)
    assert [(one.guest_key, one.machine_id) for one in changes.guests_written] == [("0", None)]
    assert told(changes) == [(Finding.SECOND_MARK, "vm-1")]
    assert compare(discovery(copy, real), written(before, changes)).none


def test_of_two_unknown_guests_with_one_mark_the_one_with_the_name_is_the_machine() -> None:
    changes = compare(
        discovery(guest("0", machine=1, name="copy"), guest("9", machine=1, name="vm-1")), known(machine(1))
    )
    assert {one.guest_key: one.machine_id for one in changes.guests_written} == {"0": None, "9": 1}


def test_when_the_machine_goes_its_copy_takes_its_place() -> None:
    real, copy = guest("1", machine=1), guest("2", machine=1)
    changes = compare(discovery(copy), known(machine(1), guests=[row(real, 1), row(copy)]))
    assert [(one.guest_key, one.machine_id) for one in changes.guests_written] == [("2", 1)]
    assert findings(changes) == []


# Adopted guests


def test_where_listings_tell_no_marks_an_adopted_guest_is_known_by_its_id() -> None:
    adopted = machine(1, adopted=True)
    listed = guest(str(machine_uuid(1)))
    before = known(adopted, guests=[row(evolve(listed, mark=MARK), 1)], marks_told=False)
    assert compare(discovery(listed), before).none
    assert findings(compare(discovery(), before)) == [(Finding.MISSING, 1)]
    lost = written(before, compare(discovery(), before))
    back = compare(discovery(listed), lost)
    assert findings(back) == [(Finding.RETURNED, 1)]
    assert [(one.machine_id, one.marked_machine) for one in back.guests_written] == [(1, machine_uuid(1))]


def test_a_composed_guest_is_known_by_its_mark_alone() -> None:
    before = known(machine(1), marks_told=False)
    (one,) = compare(discovery(guest(str(machine_uuid(1)))), before).guests_written
    assert one.machine_id is None


def test_where_listings_tell_marks_an_adopted_guest_without_one_is_foreign() -> None:
    listed = guest(str(machine_uuid(1)))
    before = known(machine(1, adopted=True), guests=[row(evolve(listed, mark=MARK), 1)])
    (one,) = compare(discovery(listed), before).guests_written
    assert one.machine_id is None


def test_a_guest_that_was_just_adopted_is_left_to_that_by_an_older_look() -> None:
    before = known(machine(1, settled=False), guests=[row(guest("1", machine=1), 1)])
    assert compare(discovery(guest("1")), before).none


def test_a_marked_guest_that_changes_is_not_told_again_as_unknown() -> None:
    before = known(guests=[row(guest("1", machine=1))])
    changes = compare(discovery(guest("1", machine=1, cores=5)), before)
    assert ([one.cores for one in changes.guests_written], told(changes)) == ([5], [])


# Machines that were given up


def test_a_guest_of_a_machine_that_was_given_up_is_told_at_every_look() -> None:
    before = known(given_up=frozenset({machine_uuid(1)}))
    changes = compare(discovery(guest("1", machine=1)), before)
    assert told(changes) == [(Finding.LEFTOVER, "vm-1")]
    again = compare(discovery(guest("1", machine=1)), written(before, changes))
    assert (told(again), again.guests_written) == ([(Finding.LEFTOVER, "vm-1")], ())


def test_a_marked_guest_that_was_never_heard_of_is_told_once() -> None:
    changes = compare(discovery(guest("1", machine=1)), known())
    assert told(changes) == [(Finding.UNKNOWN_MARK, "vm-1")]
    assert compare(discovery(guest("1", machine=1)), written(known(), changes)).none


def test_a_guest_whose_machine_went_while_we_were_looking_is_not_taken_in() -> None:
    gone = frozenset({machine_uuid(1)})
    assert compare(discovery(guest("1", machine=1)), known(given_up=gone, given_up_since=gone)).none


# Properties

GUESTS = st.lists(
    st.builds(
        guest,
        st.sampled_from("abcdef"),
        machine=st.none() | st.integers(1, 5),
        installation=st.sampled_from([OURS, OTHERS]),
        cores=st.integers(0, 2),
        memory_mib=st.sampled_from([0, 1024, 2048]),
        power=st.sampled_from(PowerState),
    ),
    unique_by=lambda one: one.guest_id,
    max_size=6,
)
POOLS = st.lists(
    st.builds(pool, st.sampled_from(["default", "fast", "slow"]), st.integers(0, 2)),
    unique_by=lambda one: one.pool_id,
    max_size=3,
)
FOUND = st.builds(
    lambda guests, pools, cores: discovery(*guests, storage_pools=tuple(pools), cores=cores),
    GUESTS, POOLS, st.integers(1, 3),
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
