"""What a discovery changes, and that the same discovery again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from common.discovery import MarkElsewhere, Problem
from common.values import HugePages, Mark, NumaNode, PowerState
from regiond.hosts.intake import Finding, compare
from regiond.ledger.model import Counted, Held
from tests.unit.intake_findings import (
    CARD,
    GIB,
    OTHERS,
    OURS,
    discovery,
    facts,
    findings,
    function,
    guest,
    known,
    machine,
    machine_uuid,
    pool,
    row,
    told,
    written,
)

MARK = Mark(installation_id=OURS, machine_id=machine_uuid(1))


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


# Cores, huge pages and virtual functions

TWO_NODES = tuple(
    NumaNode(node_id=number, core_ids=cores, memory_mib=4096, huge_pages=(HugePages(size_kib=1024**2, total=2),))
    for number, cores in enumerate([(0, 1), (2, 3)])
)
SERVER: dict[str, Any] = {"numa_nodes": TWO_NODES, "network_cards": (CARD,)}


def counted(*pins: int, pages: Mapping[str, int] | None = None, functions: Mapping[str, int] | None = None) -> Counted:
    return Counted(pinned_core_ids=pins, huge_pages=pages or {}, functions=functions or {})


def test_the_first_look_takes_in_what_is_counted_and_what_foreign_guests_hold_of_it() -> None:
    found = discovery(guest("a", pinned_core_ids=(2,), huge_pages_backed=True, nics=(function("sim0"),)), **SERVER)
    changes = compare(found, known())
    assert changes.totals_written == {
        ("huge_pages", "0/1048576"): 2, ("huge_pages", "1/1048576"): 2, ("virtual_functions", "sim0"): 8,
    }  # fmt: skip
    assert [held for _, held in changes.held] == [
        Held(cores=1, memory_mib=0, counted=counted(2, pages={"1/1048576": 1}, functions={"sim0": 1}))
    ]
    assert compare(found, written(known(), changes)).none


def test_a_machine_that_was_pinned_on_its_host_is_told_and_holds_what_it_has() -> None:
    plain, pinned = guest("a", machine=1), guest("a", machine=1, pinned_core_ids=(3,))
    before = written(known(machine(1)), compare(discovery(plain, **SERVER), known(machine(1))))
    changes = compare(discovery(pinned, **SERVER), before)
    assert (Finding.RECOUNTED, 1) in findings(changes)
    assert [held.counted for _, held in changes.held] == [counted(3)]


def test_pages_stay_where_the_ledger_has_them_while_they_are_enough() -> None:
    backed = guest("a", machine=1, huge_pages_backed=True)
    before = written(known(machine(1)), compare(discovery(backed, **SERVER), known(machine(1))))
    elsewhere = evolve(before, counted={1: counted(pages={"1/1048576": 1})})
    assert compare(discovery(backed, **SERVER), elsewhere).none
    grown = compare(discovery(evolve(backed, memory_mib=3000), **SERVER), elsewhere)
    assert [held.counted for _, held in grown.held] == [counted(pages={"0/1048576": 2, "1/1048576": 1})]


def test_what_machines_hold_on_other_members_of_a_cluster_takes_nothing_here() -> None:
    """Else a guest would be said to have the last pages of the other node, which then looks full and is not."""
    elsewhere = machine(2, on_this_host=False, on_this_server=False)
    there = {2: counted(pages={"0/1048576": 2}, functions={"sim0": 8})}
    found = discovery(guest("a", huge_pages_backed=True), **SERVER)
    changes = compare(found, known(elsewhere, counted=there))
    assert [held.counted for _, held in changes.held] == [counted(pages={"0/1048576": 1})]
    moved = discovery(guest("b", machine=2, huge_pages_backed=True, memory_mib=2048, nics=(function(""),)), **SERVER)
    arrived = compare(moved, known(elsewhere, counted={2: counted(pages={"0/1048576": 2}, functions={"sim0": 1})}))
    assert arrived.held[0][1].counted == counted(pages={"0/1048576": 2}, functions={"sim0": 1})


def test_a_guest_that_is_being_adopted_keeps_its_pages_from_others() -> None:
    before = guest("a", huge_pages_backed=True, memory_mib=2048)
    adopting = machine(1, settled=False, state="adopting", adopted=True)
    then = known(adopting, guests=[row(before)], counted={row(before).key: counted(pages={"0/1048576": 2})})
    marked = guest("a", machine=1, huge_pages_backed=True, memory_mib=2048)
    changes = compare(discovery(marked, guest("b", huge_pages_backed=True), **SERVER), then)
    assert [(one.name, held.counted) for one, held in changes.held] == [("vm-b", counted(pages={"1/1048576": 1}))]


def test_a_function_whose_port_nobody_tells_is_of_the_port_that_the_ledger_knows() -> None:
    untold = guest("a", machine=1, nics=(function(""),))
    before = written(known(machine(1)), compare(discovery(untold, **SERVER), known(machine(1))))
    assert before.counted == {}
    claimed = evolve(before, counted={1: counted(functions={"sim0": 1})})
    assert compare(discovery(untold, **SERVER), claimed).none


def test_what_was_there_before_anything_was_counted_is_counted_at_the_next_look() -> None:
    found = discovery(guest("a", machine=1, huge_pages_backed=True), guest("b", pinned_core_ids=(0,)), **SERVER)
    now = written(known(machine(1)), compare(found, known(machine(1))))
    migrated = evolve(now, counted={}, counted_totals={}, huge_memory_mib=0)
    changes = compare(found, migrated)
    assert changes.facts is not None
    assert [(one.name, held.memory_mib, held.counted) for one, held in changes.held] == [
        ("vm-a", 0, counted(pages={"0/1048576": 1})), ("vm-b", 1024, counted(0)),
    ]  # fmt: skip
    assert compare(found, written(migrated, changes)).none


def test_what_the_server_has_no_more_has_a_total_of_nothing() -> None:
    before = written(known(), compare(discovery(**SERVER), known()))
    changes = compare(discovery(), before)
    assert set(changes.totals_written.values()) == {0}
    assert compare(discovery(), written(before, changes)).none
