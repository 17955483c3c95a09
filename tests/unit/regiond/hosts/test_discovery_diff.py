"""The discovery diff: what a run changes, and that the same run again changes nothing."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.disks.volume_names import volume_name
from common.hosts.discovery import Discovery, MarkerOnOtherMember, Problem
from common.values import Guest, OwnershipMarker, PowerState
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.model import ChangeKind, DiscoveryChanges
from regiond.hosts.discovery.snapshot import ServerSnapshot
from regiond.hosts.restored_guests import Tombstone
from tests.unit.support.discovery_samples import (
    GIB,
    INSTALLATION,
    OTHER_INSTALLATION,
    changes_of,
    discovery,
    facts,
    guest,
    machine,
    machine_uuid,
    orphaned,
    pool,
    record,
    snapshot,
    written,
)

MARKER = OwnershipMarker(installation_id=INSTALLATION, machine_id=machine_uuid(1))


def test_an_unread_guest_is_not_deleted_and_its_machine_not_missing() -> None:
    managed, foreign = guest("1", machine=1), guest("2")
    before = snapshot(machine(1), guests=[record(managed, 1), record(foreign)])
    problems = tuple(Problem(subject=one.name, message="It is busy.") for one in (managed, foreign))
    assert compare(evolve(discovery(), problems=problems), before).none
    changes = compare(evolve(discovery(), problems=problems[1:]), before)
    assert (changes.deleted_guests, changes_of(changes)) == ((("", "1"),), [(ChangeKind.MISSING, 1)])


def test_unread_disks_have_their_last_known_size() -> None:
    found = guest("2")
    problem = Problem(subject=found.name, message="Its disk vda cannot be read.")
    busy = evolve(discovery(evolve(found, disks=())), problems=(problem,))
    assert compare(busy, snapshot(guests=[record(found)])).none
    (new,) = compare(busy, snapshot()).guests_written
    assert new.disks == ()


MANAGED = guest("1", machine=1)
RECORDED = record(MANAGED, 1)
KNOWN = snapshot(machine(1), guests=[RECORDED])
BUSY = snapshot(machine(1, settled=False), guests=[RECORDED])
DELETED = frozenset({machine_uuid(1)})
FAILED = {machine_uuid(1): Tombstone(was_composed=False)}


@pytest.mark.parametrize(
    ("found", "before"),
    [
        pytest.param(discovery(MANAGED), KNOWN, id="the same guest"),
        pytest.param(discovery(tags=("new",)), snapshot(), id="new tags"),
        pytest.param(discovery(), snapshot(machine(1, on_this_host=False)), id="a machine of another host"),
        pytest.param(discovery(), BUSY, id="an operation acts on the absent machine"),
        pytest.param(
            discovery(evolve(MANAGED, cores=7, power=PowerState.ON)), BUSY, id="an operation acts on the machine"
        ),
        pytest.param(discovery(guest("1")), BUSY, id="a run older than the adoption of its guest"),
        pytest.param(
            discovery(MANAGED),
            snapshot(tombstones=FAILED, new_tombstones=DELETED),
            id="a guest removed during the run",
        ),
    ],
)
def test_nothing_changes(found: Discovery, before: ServerSnapshot) -> None:
    assert compare(found, before).none


# Facts and storage pools


def test_the_first_discovery_writes_facts_pools_and_guests() -> None:
    changes = compare(discovery(guest("1")), snapshot(facts=None, storage_pools={}))
    assert changes.facts == evolve(facts(), storage_pools=())
    assert changes.pools_written == (pool(),)
    assert [one.guest_key for one in changes.guests_written] == ["1"]


def test_new_memory_is_a_change() -> None:
    assert compare(discovery(memory_mib=9000), snapshot()).facts == evolve(facts(memory_mib=9000), storage_pools=())


def test_an_absent_pool_is_missing_and_a_changed_pool_is_written() -> None:
    changes = compare(discovery(storage_pools=(pool("fast", 7),)), snapshot(storage_pools={"default": pool()}))
    assert (changes.pools_missing, changes.pools_written) == (("default",), (pool("fast", 7),))


def test_a_pool_that_is_not_available_keeps_its_known_sizes() -> None:
    lost = evolve(pool("default", 0), status="inactive")
    changes = compare(discovery(storage_pools=(lost,)), snapshot())
    expected = evolve(pool(), status="inactive")
    assert (changes.pools_written, changes.pools_changed, changes.pools_missing) == ((expected,), (expected,), ())
    after = written(snapshot(), changes)
    assert compare(discovery(storage_pools=(lost,)), after).none
    again = compare(discovery(storage_pools=(pool("default", 7 * GIB),)), after)
    assert again.pools_changed == again.pools_written == (pool("default", 7 * GIB),)


# Foreign guests


def test_a_foreign_guest_has_its_own_row_and_disks() -> None:
    (one,) = compare(discovery(guest("1")), snapshot()).guests_written
    assert one.machine_id is None
    assert one.disk_bytes() == {"default": GIB}


def test_disks_outside_all_pools_use_no_pool() -> None:
    found = guest("1")
    outside = evolve(found.disks[0], pool_id=None)
    (one,) = compare(discovery(evolve(found, disks=(outside, *found.disks, *found.disks))), snapshot()).guests_written
    assert one.disk_bytes() == {"default": 2 * GIB}


def test_a_changed_guest_is_written_and_an_absent_one_deleted() -> None:
    before = snapshot(guests=[record(guest("1")), record(guest("2"))])
    changes = compare(discovery(guest("1", cores=3)), before)
    assert [(one.guest_key, one.cores) for one in changes.guests_written] == [("1", 3)]
    assert changes.deleted_guests == (("", "2"),)


def test_the_same_key_in_another_project_is_another_guest() -> None:
    changes = compare(discovery(guest("1", project="b")), snapshot(guests=[record(guest("1", project="a"))]))
    assert changes.deleted_guests == (("a", "1"),)
    assert [one.key for one in changes.guests_written] == [("b", "1")]


def test_a_marker_of_another_installation_makes_a_guest_foreign() -> None:
    changes = compare(discovery(guest("1", machine=1, installation=OTHER_INSTALLATION)), snapshot(machine(1)))
    assert owners(changes) == [("1", None)]
    assert (changes.orphaned_guests, changes_of(changes)) == ((), [(ChangeKind.MISSING, 1)])


# Machines


def owners(changes: DiscoveryChanges) -> list[tuple[str, int | None]]:
    """The hypervisor's id and the machine of each guest that was written."""
    return [(one.guest_key, one.machine_id) for one in changes.guests_written]


def test_a_guest_with_a_marker_is_its_machine() -> None:
    assert owners(compare(discovery(MANAGED), snapshot(machine(1)))) == [("1", 1)]


def test_a_machine_whose_guest_is_not_listed_is_missing_once() -> None:
    changes = compare(discovery(), KNOWN)
    assert changes_of(changes) == [(ChangeKind.MISSING, 1)]
    assert compare(discovery(), written(KNOWN, changes)).none


def test_a_machine_on_a_known_member_of_the_cluster_is_not_missing() -> None:
    before = evolve(KNOWN, other_members=frozenset({"m2"}))
    other_installation = evolve(MARKER, installation_id=OTHER_INSTALLATION)
    for marker, member, expected in (
        (MARKER, "m2", []),
        (MARKER, "m3", [(ChangeKind.MISSING, 1)]),
        (other_installation, "m2", [(ChangeKind.MISSING, 1)]),
    ):
        found = evolve(discovery(), on_other_members=(MarkerOnOtherMember(marker=marker, member=member),))
        changes = compare(found, before)
        assert changes_of(changes) == expected
        assert changes.members_moved_to == (() if expected else (member,)), "its own run has not found the machine yet"
        assert compare(found, written(before, changes)).members_moved_to == (), "an earlier run has named it"
        there = evolve(
            before, machines={uuid: evolve(one, on_this_host=False) for uuid, one in before.machines.items()}
        )
        assert compare(found, there).members_moved_to == (), "it has"


@pytest.mark.parametrize(
    ("found", "state", "expected"),
    [
        (guest("1", machine=1, power=PowerState.ON), "ready", [ChangeKind.POWER]),
        (guest("1", machine=1, power=PowerState.ON), "missing", [ChangeKind.RETURNED, ChangeKind.POWER]),
        (guest("1", machine=1, memory_mib=0), "ready", []),
    ],
    ids=["power", "returned", "unread size"],
)
def test_a_changed_guest_changes_its_machine(found: Guest, state: str, expected: list[ChangeKind]) -> None:
    assert [one.kind for one in compare(discovery(found), snapshot(machine(1, state=state))).machines] == expected


def test_a_resized_guest_resizes_its_machine() -> None:
    changes = compare(discovery(guest("1", machine=1, cores=4)), snapshot(machine(1)))
    assert changes_of(changes) == [(ChangeKind.RESIZED, 1)]
    assert changes.machines[0].guest is not None
    assert changes.machines[0].guest.cores == 4


def test_a_guest_with_a_new_hypervisor_id_stays_its_machine() -> None:
    before = snapshot(machine(1), guests=[record(guest("old", machine=1), 1)])
    changes = compare(discovery(guest("new", machine=1)), before)
    assert (changes.deleted_guests, changes_of(changes)) == ((("", "old"),), [])
    assert owners(changes) == [("new", 1)]


def test_of_two_guests_with_one_marker_the_recorded_one_is_the_machine() -> None:
    copy, real = guest("0", machine=1, name="vm-1"), guest("1", machine=1, name="renamed")
    before = snapshot(machine(1), guests=[record(real, 1)])
    changes = compare(discovery(copy, real), before)
    assert owners(changes) == [("0", None)]
    assert orphaned(changes) == [(ChangeKind.DUPLICATE_MARKER, "vm-1")]
    assert compare(discovery(copy, real), written(before, changes)).none


def test_of_two_new_guests_with_one_marker_the_name_decides() -> None:
    copy, real = guest("0", machine=1, name="copy"), guest("9", machine=1, name="vm-1")
    changes = compare(discovery(copy, real), snapshot(machine(1)))
    assert owners(changes) == [("0", None), ("9", 1)]


def test_a_copy_replaces_the_absent_guest() -> None:
    real, copy = guest("1", machine=1), guest("2", machine=1)
    changes = compare(discovery(copy), snapshot(machine(1), guests=[record(real, 1), record(copy)]))
    assert owners(changes) == [("2", 1)]
    assert changes_of(changes) == []


# Adopted guests


def test_an_adopted_guest_is_recognized_by_its_id_without_markers() -> None:
    adopted = machine(1, adopted=True)
    listed = guest(str(machine_uuid(1)))
    before = snapshot(adopted, guests=[record(evolve(listed, marker=MARKER), 1)], markers_listed=False)
    assert compare(discovery(listed), before).none
    assert changes_of(compare(discovery(), before)) == [(ChangeKind.MISSING, 1)]
    lost = written(before, compare(discovery(), before))
    returned = compare(discovery(listed), lost)
    assert changes_of(returned) == [(ChangeKind.RETURNED, 1)]
    assert [(one.machine_id, one.marker_machine) for one in returned.guests_written] == [(1, machine_uuid(1))]


@pytest.mark.parametrize(
    ("volume", "owner"),
    [("pg-data.qcow2", 1), (volume_name(MARKER, 0), None)],
    ids=["its disks are not named by us", "its disk shows the marker elsewhere"],
)
def test_a_released_machine_from_another_controller_is_recognized_by_its_id(volume: str, owner: int | None) -> None:
    before = snapshot(machine(1, disks=(("default", volume),)), markers_listed=False)
    listed = guest(str(machine_uuid(1)))
    assert owners(compare(discovery(listed), before)) == [(listed.guest_id, owner)]


UNMARKED = guest(str(machine_uuid(1)))


@pytest.mark.parametrize(
    "before",
    [
        snapshot(machine(1), markers_listed=False),
        snapshot(machine(1, adopted=True), guests=[record(evolve(UNMARKED, marker=MARKER), 1)]),
    ],
    ids=["composed, markers not listed", "adopted, markers listed"],
)
def test_a_guest_without_its_marker_is_foreign(before: ServerSnapshot) -> None:
    assert owners(compare(discovery(UNMARKED), before)) == [(UNMARKED.guest_id, None)]


def test_an_unknown_marker_is_not_reported_again_when_the_guest_changes() -> None:
    before = snapshot(guests=[record(guest("1", machine=1))])
    changes = compare(discovery(guest("1", machine=1, cores=5)), before)
    assert ([one.cores for one in changes.guests_written], orphaned(changes)) == ([5], [])


# Orphaned guests


def test_a_guest_with_a_tombstone_is_reported_by_every_run() -> None:
    before = snapshot(tombstones=FAILED)
    changes = compare(discovery(guest("1", machine=1)), before)
    assert orphaned(changes) == [(ChangeKind.TOMBSTONE, "vm-1")]
    again = compare(discovery(guest("1", machine=1)), written(before, changes))
    assert (orphaned(again), again.guests_written) == ([(ChangeKind.TOMBSTONE, "vm-1")], ())


def test_a_guest_that_reappears_after_its_tombstone_is_no_leftover() -> None:
    old = frozenset({machine_uuid(1)})
    before, found = snapshot(tombstones=FAILED, old_tombstones=old), discovery(guest("1", machine=1))
    changes = compare(found, before)
    assert orphaned(changes) == [(ChangeKind.RESTORED, "vm-1")]
    known = written(before, changes)
    assert compare(found, evolve(known, reappeared=frozenset({("", "1")}))).none
    assert orphaned(compare(found, known)) == [(ChangeKind.TOMBSTONE, "vm-1")], "it was there all the time"
    unmarked = snapshot(guests=[record(guest("1"))], tombstones=FAILED, old_tombstones=old)
    assert orphaned(compare(found, unmarked)) == [(ChangeKind.RESTORED, "vm-1")], "it got its marker back"


@pytest.mark.parametrize(
    ("deleted", "kind"),
    [
        (Tombstone(guest_key="1"), ChangeKind.RESTORED),
        (Tombstone(guest_key=None), ChangeKind.RESTORED),
        (Tombstone(guest_key="default/vm-1"), ChangeKind.RESTORED),
        (Tombstone(guest_key="2"), ChangeKind.TOMBSTONE),
        (Tombstone(was_composed=False, guest_key="1"), ChangeKind.TOMBSTONE),
    ],
    ids=["its own guest", "id unknown", "id of a name", "another guest", "never composed"],
)
def test_only_what_a_call_provably_left_is_a_leftover(deleted: Tombstone, kind: ChangeKind) -> None:
    before, found = snapshot(tombstones={machine_uuid(1): deleted}), discovery(guest("1", machine=1))
    changes = compare(found, before)
    assert orphaned(changes) == [(kind, "vm-1")]
    again = compare(found, written(before, changes))
    assert orphaned(again) == ([(kind, "vm-1")] if kind is ChangeKind.TOMBSTONE else []), "reported once"


def test_an_unknown_marker_is_reported_once() -> None:
    changes = compare(discovery(guest("1", machine=1)), snapshot())
    assert orphaned(changes) == [(ChangeKind.UNKNOWN_MARKER, "vm-1")]
    assert compare(discovery(guest("1", machine=1)), written(snapshot(), changes)).none
