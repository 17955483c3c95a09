"""Detection of each kind of discrepancy, and the repair policy of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from regiond.hosts.restored_guests import Tombstone
from regiond.ledger.model import TotalMismatch
from regiond.machines.values.states import TRANSIENT, MachineState
from regiond.reconciler.claims import detection as claims
from regiond.reconciler.claims.detection import GuestClaims, OrphanedClaim, SuspectAddress
from regiond.reconciler.guests import detection as guests
from regiond.reconciler.guests.detection import MarkedGuest
from regiond.reconciler.machines import detection as machines
from regiond.reconciler.machines.detection import GuestFacts, MachineFacts
from regiond.reconciler.model import Discrepancy
from regiond.reconciler.model import DiscrepancyKind as Kind
from regiond.reconciler.model import RepairPolicy as Policy
from regiond.reconciler.operations import detection as operations
from regiond.reconciler.operations.detection import HostBeingRemoved, OpenOperation
from regiond.reconciler.repairs import REPAIRS

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
STRAY = MarkedGuest(id=5, name="stray", guest_key="k1", marker=UUID(int=7), host_id=1, host_name="east")
KNOWN = evolve(STRAY, system_id="wdpx3n", hostname="fox", machine_host="west")
GUEST = GuestFacts(
    name="fox", host_name="east", on_its_host=True, cores=2, memory_mib=1024, pinned_core_ids=frozenset()
)
MACHINE = MachineFacts(
    id=12, system_id="wdpx3n", hostname="fox", state=MachineState.READY, cores=2, memory_mib=1024, host_id=1,
    host_name="east", guest=GUEST, claimed_cores=2, claimed_memory_mib=1024,
)  # fmt: skip
RUNNING = OpenOperation(
    id=77, kind="compose", state="running", step="compose_on_host", host_id=1, host_name="east", system_id="wdpx3n",
    hostname="fox", lease_until=NOW + timedelta(seconds=10), not_before=NOW - timedelta(hours=1),
    progress_at=NOW - timedelta(minutes=9), began_at=NOW - timedelta(hours=2), could_run=True,
)  # fmt: skip
EXPIRED = evolve(RUNNING, lease_until=NOW - timedelta(minutes=5))
STUCK = evolve(RUNNING, progress_at=NOW - timedelta(hours=1))
LEFTOVER = evolve(STRAY, deleted_hostname="fox", tombstone=Tombstone(was_composed=False))
RESTORED = evolve(LEFTOVER, tombstone=Tombstone(guest_key="k1"))
ORPHAN = OrphanedClaim(
    server_id=3, host_id=1, host_name="east", machine_id=12, guest_id=None, holder=None, system_id=None,
    amounts="cores 2",
)  # fmt: skip


def kinds(machine: MachineFacts) -> list[Kind]:
    return [one.kind for one in machines.detect(machine)]


@pytest.mark.parametrize(
    ("guest", "kind", "ours", "data_at_risk"),
    [
        (LEFTOVER, Kind.LEFTOVER_GUEST, True, False),
        (evolve(LEFTOVER, tombstone=Tombstone(guest_key="k2")), Kind.LEFTOVER_GUEST, True, False),
        (evolve(LEFTOVER, reappeared=True), Kind.LEFTOVER_GUEST, False, True),
        (RESTORED, Kind.LEFTOVER_GUEST, False, True),
        (STRAY, Kind.UNKNOWN_GUEST, False, True),
        (evolve(KNOWN, machine_guest="fox"), Kind.DUPLICATE_GUEST, False, True),
        (KNOWN, Kind.GUEST_ON_OTHER_HOST, False, True),
    ],
)
def test_a_guest_with_a_marker_but_no_machine_is_a_discrepancy(
    guest: MarkedGuest, kind: Kind, ours: bool, data_at_risk: bool
) -> None:
    found = guests.detect(guest)
    assert found is not None
    assert (found.kind, found.ours, found.data_at_risk, found.name) == (kind, ours, data_at_risk, "stray")
    assert guests.detect(evolve(guest, busy=True)) is None


def test_a_restored_guest_says_how_to_keep_it() -> None:
    found = guests.detect(RESTORED)
    assert found is not None
    assert found.repair_policy is Policy.APPROVAL
    assert found.found == "fox was deleted, and the guest may have been restored from a backup since"
    late = guests.detect(evolve(LEFTOVER, reappeared=True))
    assert late is not None
    assert late.found == "the compose of fox did not succeed here, and the guest appeared long after that"
    assert "adopt it (innkeeper vm-host adopt east guests=stray). This deletes" in found.remedy


def test_the_guest_of_a_detached_machine_is_consistent() -> None:
    assert guests.detect(evolve(STRAY, detached=True)) is None


def test_a_foreign_guest_must_claim_its_size() -> None:
    guest = GuestClaims(
        id=5, name="stray", host_id=1, host_name="east", cores=2, memory_mib=1024, claimed_cores=2,
        claimed_memory_mib=1024,
    )  # fmt: skip
    assert claims.detect_guest_claims(guest) is None
    assert claims.detect_guest_claims(evolve(guest, claimed_memory_mib=0, claims_huge_pages=True)) is None
    found = claims.detect_guest_claims(evolve(guest, claimed_cores=0, claimed_memory_mib=0))
    assert found is not None
    assert (found.kind, found.key, found.repair_policy) == (Kind.WRONG_CLAIMS, "guest 5", Policy.AUTOMATIC)
    assert found.message == "stray on east: claims of 0 cores and 0 MiB; expected: claims of 2 cores and 1024 MiB"


def test_a_machine_that_matches_guest_and_claims_is_consistent() -> None:
    assert kinds(MACHINE) == []
    pages = evolve(MACHINE, claimed_memory_mib=0, claims_huge_pages=True)
    assert kinds(pages) == []
    unread = evolve(MACHINE, guest=evolve(GUEST, cores=0, memory_mib=0))
    assert kinds(unread) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"guest": None}, Kind.MACHINE_MISSING),
        ({"guest": None, "state": MachineState.MISSING, "clustered": True}, Kind.MACHINE_MISSING),
        ({"cores": 1, "claimed_cores": 1}, Kind.MACHINE_CHANGED),
        ({"pinned_core_ids": frozenset({0, 1})}, Kind.MACHINE_CHANGED),
        ({"state": MachineState.MISSING}, Kind.MACHINE_CHANGED),
        ({"guest": evolve(GUEST, on_its_host=False)}, Kind.GUEST_ON_OTHER_HOST),
        ({"claimed_cores": 0, "claimed_memory_mib": 0}, Kind.MACHINE_WITHOUT_CLAIMS),
        ({"claimed_cores": 3}, Kind.WRONG_CLAIMS),
        ({"claimed_memory_mib": 0}, Kind.WRONG_CLAIMS),
        ({"state": MachineState.COMPOSING}, Kind.STATE_WITHOUT_OPERATION),
    ],
)
def test_each_fault_of_a_machine_is_one_discrepancy(changes: dict[str, Any], expected: Kind) -> None:
    assert kinds(evolve(MACHINE, **changes)) == [expected]


def test_every_transient_state_needs_an_operation() -> None:
    for state in MachineState:
        assert (kinds(evolve(MACHINE, state=state, guest=None)) == [Kind.STATE_WITHOUT_OPERATION]) == (
            state in TRANSIENT
        )


def test_a_guest_that_a_cluster_may_be_moving_is_not_missing() -> None:
    assert kinds(evolve(MACHINE, guest=None, clustered=True)) == []
    assert kinds(evolve(MACHINE, guest=None, state=MachineState.NEW)) == []  # no refresh since it was declared fixed


def test_a_missing_machine_has_a_time_and_puts_data_at_risk() -> None:
    (found,) = machines.detect(evolve(MACHINE, guest=None, state=MachineState.MISSING, missing_since=NOW))
    assert (found.since, found.ours, found.data_at_risk) == (NOW, False, True)
    assert found.message == ("fox on east: its host reported no such guest; expected: a guest")


def test_claims_without_holder_on_their_server_are_orphaned() -> None:
    found = claims.orphaned_claim(ORPHAN)
    assert (found.kind, found.name) == (Kind.ORPHANED_CLAIM, "machine 12")
    assert found.found == "claims (cores 2) of a machine that was deleted"
    assert "holds no claims on this server" in claims.orphaned_claim(evolve(ORPHAN, holder="fox")).found


def test_a_wrong_total_names_both_numbers() -> None:
    total = TotalMismatch(server_id=3, server="simulated/a", subject="cores and memory", total="7", claimed="2")
    found = claims.wrong_total(total, None, None)
    assert (found.kind, found.ours) == (Kind.WRONG_TOTAL, True)
    assert (found.found, found.expected) == ("the total is 7", "2, the sum of the claims")


def test_only_orphaned_addresses_are_released_automatically() -> None:
    address = SuspectAddress(
        id=6, address="10.1.0.9", subnet="10.2.0.0/24", inside=False, hostname="fox", system_id="wdpx3n",
        has_nic=True, host_id=1, host_name="east",
    )  # fmt: skip
    outside = claims.wrong_address(address)
    assert (outside.kind, outside.ours) == (Kind.ADDRESS_OUTSIDE_SUBNET, False)
    for orphan in (evolve(address, has_nic=False), evolve(address, hostname=None, inside=True)):
        found = claims.wrong_address(orphan)
        assert (found.kind, found.ours) == (Kind.ORPHANED_ADDRESS, True)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, None),
        ({"lease_until": NOW - timedelta(seconds=59)}, None),
        ({"lease_until": NOW - timedelta(seconds=61)}, Kind.LEASE_EXPIRED),
        ({"progress_at": NOW - timedelta(minutes=11)}, Kind.OPERATION_STUCK),
        ({"state": "queued", "lease_until": None}, Kind.OPERATION_STUCK),
        ({"state": "undoing", "failures": 10, "undo_fails": "a bug", "lease_until": None}, Kind.OPERATION_STUCK),
        ({"state": "queued", "lease_until": None, "could_run": False}, None),
        ({"state": "waiting", "lease_until": None, "not_before": NOW - timedelta(minutes=9)}, None),
    ],
)
def test_an_operation_without_progress_is_a_discrepancy(changes: dict[str, Any], kind: Kind | None) -> None:
    found = operations.detect(evolve(RUNNING, **changes), NOW)
    assert (found.kind if found else None) is kind


def test_the_reason_why_undoing_fails_is_part_of_a_sentence() -> None:
    undone = evolve(RUNNING, state="undoing", failures=10, undo_fails="The pool is not active.", lease_until=None)
    found = operations.detect(undone, NOW)
    assert found is not None
    assert found.found == "undoing the operation fails again and again: The pool is not active"


def of_machine(**changes: Any) -> Discrepancy:
    (found,) = machines.detect(evolve(MACHINE, **changes))
    return found


@pytest.mark.parametrize(
    ("found", "policy", "data_at_risk"),
    [
        (guests.detect(LEFTOVER), Policy.AUTOMATIC, False),
        (guests.detect(evolve(LEFTOVER, host_id=None)), Policy.NONE, False),  # no host through which to remove it
        (claims.orphaned_claim(ORPHAN), Policy.AUTOMATIC, False),
        (of_machine(claimed_cores=3), Policy.AUTOMATIC, False),
        (of_machine(claimed_cores=0, claimed_memory_mib=0), Policy.AUTOMATIC, False),
        (of_machine(state=MachineState.COMPOSING, guest=None), Policy.AUTOMATIC, False),
        (of_machine(state=MachineState.COMPOSING), Policy.APPROVAL, True),  # the repair would delete its guest
        (of_machine(state=MachineState.ADOPTING), Policy.AUTOMATIC, False),
        (of_machine(state=MachineState.RELEASING), Policy.AUTOMATIC, False),
        (of_machine(state=MachineState.DELETING), Policy.AUTOMATIC, False),
        (of_machine(cores=1, claimed_cores=1), Policy.NONE, False),  # the next refresh repairs it
        (operations.removal_without_operation(HostBeingRemoved(id=1, name="east")), Policy.AUTOMATIC, False),
        (operations.detect(EXPIRED, NOW), Policy.AUTOMATIC, False),
        (operations.detect(STUCK, NOW), Policy.APPROVAL, False),
        (operations.detect(evolve(STUCK, state="undoing"), NOW), Policy.NONE, False),  # it cannot be cancelled
        (guests.detect(STRAY), Policy.APPROVAL, True),
        (guests.detect(KNOWN), Policy.APPROVAL, True),
        (guests.detect(evolve(KNOWN, machine_guest="fox")), Policy.APPROVAL, True),
        (guests.detect(evolve(STRAY, host_id=None)), Policy.NONE, True),
        (of_machine(guest=None), Policy.APPROVAL, True),
    ],
)
def test_only_repairs_without_risk_to_data_are_automatic(
    found: Discrepancy | None, policy: Policy, data_at_risk: bool
) -> None:
    assert found is not None
    assert (found.repair_policy, found.data_at_risk) == (policy, data_at_risk)
    assert policy is Policy.NONE or found.kind in REPAIRS
    if policy is Policy.AUTOMATIC:
        assert (found.ours, found.data_at_risk) == (True, False)
    if data_at_risk:
        assert not found.ours


def test_revalidation_finds_the_same_discrepancy_only() -> None:
    without_guest = of_machine(state=MachineState.COMPOSING, guest=None)
    with_guest = of_machine(state=MachineState.COMPOSING)
    other, same = evolve(without_guest, key="machine 13"), evolve(without_guest, found="now")
    assert without_guest.revalidated([None, other, same]) == same
    assert without_guest.revalidated([with_guest]) is None  # now it needs approval
    assert without_guest.revalidated([evolve(without_guest, kind=Kind.WRONG_CLAIMS)]) is None


def test_the_key_contains_the_ids_of_the_subject() -> None:
    found = claims.orphaned_claim(ORPHAN)
    assert (found.id_of("server"), found.id_of("machine")) == (3, 12)
    total = TotalMismatch(server_id=3, server="a", subject="storage pool server 9", total="7", claimed="2")
    assert claims.wrong_total(total, None, None).id_of("server") == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the region that ran it does not renew its lease; no region is alive"),
        ({"regions": 2}, "2 regions are alive"),
        ({"regions": 2, "owner_lives": True}, "the region that runs it is alive but does not renew its lease"),
        ({"could_run": False}, "no rack reaches its host"),
    ],
)
def test_an_expired_lease_names_the_regions_that_could_take_over(changes: dict[str, Any], words: str) -> None:
    found = operations.detect(evolve(EXPIRED, **changes), NOW)
    assert found is not None
    assert words in found.found


def test_a_host_that_no_operation_removes_is_a_discrepancy() -> None:
    found = operations.removal_without_operation(HostBeingRemoved(id=1, name="east"))
    assert found.kind is Kind.STATE_WITHOUT_OPERATION


def test_approval_covers_only_the_text_that_was_shown() -> None:
    shown = of_machine(guest=None)
    for change in ({"found": "x"}, {"remedy": "x"}, {"repair_policy": Policy.AUTOMATIC}):
        changed = evolve(shown, **change)
        assert changed.etag != shown.etag
        assert shown.revalidated([changed]) is None
    assert evolve(shown, host_name="renamed").etag == shown.etag


def test_a_machine_claims_what_it_gets_at_its_next_start() -> None:
    growing = evolve(MACHINE, pending_cores=4, pending_memory_mib=2048)
    assert [one.expected for one in machines.detect(growing)] == ["claims of 4 cores and 2048 MiB"]
    assert list(machines.detect(evolve(growing, claimed_cores=4, claimed_memory_mib=2048))) == []
    assert list(machines.detect(evolve(MACHINE, pending_cores=1, pending_memory_mib=512))) == []
