"""What is told of each thing that differs, and what is none: one case for each kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from regiond.ledger.check import WrongTotal
from regiond.machines.life import LAST, MachineState
from regiond.reconciler import guests, ledger, machines, operations
from regiond.reconciler.guests import GuestClaims, MarkedGuest
from regiond.reconciler.ledger import LooseAddress, LooseClaim
from regiond.reconciler.machines import GuestOf, MachineFacts
from regiond.reconciler.mends import MENDS
from regiond.reconciler.model import By, Difference, Kind
from regiond.reconciler.operations import OpenOperation, RemovingHost

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
STRAY = MarkedGuest(id=5, name="stray", mark=UUID(int=7), host_id=1, host_name="east")
KNOWN = evolve(STRAY, system_id="wdpx3n", hostname="fox", machine_host="west")
GUEST = GuestOf(name="fox", host_name="east", on_its_host=True, cores=2, memory_mib=1024, pinned_core_ids=frozenset())
MACHINE = MachineFacts(
    id=12, system_id="wdpx3n", hostname="fox", state=MachineState.READY, cores=2, memory_mib=1024, host_id=1,
    host_name="east", guest=GUEST, claimed_cores=2, claimed_memory_mib=1024,
)  # fmt: skip
RUNNING = OpenOperation(
    id=77, kind="compose", state="running", step="compose_on_host", host_id=1, host_name="east", system_id="wdpx3n",
    hostname="fox", lease_until=NOW + timedelta(seconds=10), not_before=NOW - timedelta(hours=1),
    moved_at=NOW - timedelta(minutes=9), could_run=True,
)  # fmt: skip
LAPSED = evolve(RUNNING, lease_until=NOW - timedelta(minutes=5))
STUCK = evolve(RUNNING, moved_at=NOW - timedelta(hours=1))
LEFT = evolve(STRAY, given_up=True)
LOOSE = LooseClaim(
    server_id=3, host_id=1, host_name="east", machine_id=12, guest_id=None, holder=None, system_id=None,
    amounts="cores 2",
)  # fmt: skip


def kinds(machine: MachineFacts) -> list[Kind]:
    return [one.kind for one in machines.judge(machine)]


@pytest.mark.parametrize(
    ("guest", "kind", "ours", "data_at_risk"),
    [
        (evolve(STRAY, given_up=True), Kind.LEFTOVER_GUEST, True, False),
        (STRAY, Kind.UNKNOWN_GUEST, False, True),
        (evolve(KNOWN, own_guest="fox"), Kind.SECOND_GUEST, False, True),
        (KNOWN, Kind.GUEST_ELSEWHERE, False, True),
    ],
)
def test_a_marked_guest_that_is_no_machine_is_told(
    guest: MarkedGuest, kind: Kind, ours: bool, data_at_risk: bool
) -> None:
    told = guests.judge(guest)
    assert told is not None
    assert (told.kind, told.ours, told.data_at_risk, told.name) == (kind, ours, data_at_risk, "stray")
    assert guests.judge(evolve(guest, busy=True)) is None


def test_a_guest_that_waits_for_its_host_to_come_back_is_no_difference() -> None:
    assert guests.judge(evolve(STRAY, forgotten=True)) is None


def test_a_guest_that_is_no_machine_claims_what_it_has() -> None:
    guest = GuestClaims(
        id=5, name="stray", host_id=1, host_name="east", cores=2, memory_mib=1024, claimed_cores=2,
        claimed_memory_mib=1024,
    )  # fmt: skip
    assert guests.judge_claims(guest) is None
    assert guests.judge_claims(evolve(guest, claimed_memory_mib=0, claims_huge_pages=True)) is None
    told = guests.judge_claims(evolve(guest, claimed_cores=0, claimed_memory_mib=0))
    assert told is not None
    assert (told.kind, told.key, told.mended_by) == (Kind.CLAIMS_DIFFER, "guest 5", By.ITSELF)
    assert told.message == "stray on east: claims of 0 cores and 0 MiB; expected: claims of 2 cores and 1024 MiB"


def test_a_machine_as_its_guest_is_with_claims_of_that_is_no_difference() -> None:
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
        ({"guest": evolve(GUEST, on_its_host=False)}, Kind.GUEST_ELSEWHERE),
        ({"claimed_cores": 0, "claimed_memory_mib": 0}, Kind.MACHINE_WITHOUT_CLAIMS),
        ({"claimed_cores": 3}, Kind.CLAIMS_DIFFER),
        ({"claimed_memory_mib": 0}, Kind.CLAIMS_DIFFER),
        ({"state": MachineState.COMPOSING}, Kind.STATE_UNEXPLAINED),
    ],
)
def test_what_is_wrong_with_a_machine_is_told(changes: dict[str, Any], expected: Kind) -> None:
    assert kinds(evolve(MACHINE, **changes)) == [expected]


def test_every_state_that_an_operation_ends_needs_one() -> None:
    for state in MachineState:
        assert (kinds(evolve(MACHINE, state=state, guest=None)) == [Kind.STATE_UNEXPLAINED]) == (state in LAST)


def test_a_guest_that_may_be_on_its_way_to_another_member_is_not_missing() -> None:
    assert kinds(evolve(MACHINE, guest=None, clustered=True)) == []
    assert kinds(evolve(MACHINE, guest=None, state=MachineState.NEW)) == []  # nobody has looked since it was fixed


def test_a_missing_machine_is_told_with_the_time_and_never_mended_by_itself() -> None:
    (told,) = machines.judge(evolve(MACHINE, guest=None, state=MachineState.MISSING, missing_since=NOW))
    assert (told.since, told.ours, told.data_at_risk) == (NOW, False, True)
    assert told.message == (
        "fox on east: the last look at its host did not list its guest; expected: its guest, or no machine"
    )


def test_claims_of_nobody_and_of_what_is_elsewhere_are_told() -> None:
    told = ledger.of_claim(LOOSE)
    assert (told.kind, told.name, told.found) == (
        Kind.CLAIM_WITHOUT_OWNER,
        "machine 12",
        "claims (cores 2) of a machine that is gone",
    )
    assert "does not hold for itself here" in ledger.of_claim(evolve(LOOSE, holder="fox")).found


def test_a_total_is_told_with_both_numbers() -> None:
    total = WrongTotal(server_id=3, server="simulated/a", subject="cores and memory", told="7", claimed="2")
    told = ledger.of_total(total, None, None)
    assert (told.kind, told.found, told.expected, told.ours) == (
        Kind.TOTAL_DIFFERS,
        "the total says 7",
        "claims add up to 2",
        True,
    )


def test_addresses_of_nobody_may_go_and_those_outside_their_subnet_are_a_persons_affair() -> None:
    address = LooseAddress(
        id=6, address="10.1.0.9", subnet="10.2.0.0/24", inside=False, hostname="fox", system_id="wdpx3n",
        has_card=True, host_id=1, host_name="east",
    )  # fmt: skip
    outside = ledger.of_address(address)
    assert (outside.kind, outside.ours) == (Kind.ADDRESS_OUTSIDE_SUBNET, False)
    for gone in (evolve(address, has_card=False), evolve(address, hostname=None, inside=True)):
        told = ledger.of_address(gone)
        assert (told.kind, told.ours) == (Kind.ADDRESS_WITHOUT_OWNER, True)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, None),
        ({"lease_until": NOW - timedelta(seconds=59)}, None),
        ({"lease_until": NOW - timedelta(seconds=61)}, Kind.LEASE_LAPSED),
        ({"moved_at": NOW - timedelta(minutes=11)}, Kind.OPERATION_STUCK),
        ({"state": "queued", "lease_until": None}, Kind.OPERATION_STUCK),
        ({"state": "queued", "lease_until": None, "could_run": False}, None),
        ({"state": "waiting", "lease_until": None, "not_before": NOW - timedelta(minutes=9)}, None),
    ],
)
def test_an_operation_that_nobody_moves_on_is_told(changes: dict[str, Any], kind: Kind | None) -> None:
    told = operations.judge(evolve(RUNNING, **changes), NOW)
    assert (told.kind if told else None) is kind


def of_machine(**changes: Any) -> Difference:
    (told,) = machines.judge(evolve(MACHINE, **changes))
    return told


@pytest.mark.parametrize(
    ("told", "by"),
    [
        (guests.judge(LEFT), By.ITSELF),
        (guests.judge(evolve(LEFT, host_id=None)), By.NOBODY),  # there is no host to remove it by
        (ledger.of_claim(LOOSE), By.ITSELF),
        (of_machine(claimed_cores=3), By.ITSELF),
        (of_machine(claimed_cores=0, claimed_memory_mib=0), By.ITSELF),
        (of_machine(state=MachineState.COMPOSING, guest=None), By.ITSELF),
        (of_machine(state=MachineState.COMPOSING), By.APPROVAL),  # its guest is there: who knows what it holds
        (of_machine(state=MachineState.ADOPTING), By.ITSELF),
        (of_machine(state=MachineState.RELEASING), By.ITSELF),
        (of_machine(state=MachineState.DELETING), By.ITSELF),
        (of_machine(cores=1, claimed_cores=1), By.NOBODY),  # the next look does it
        (operations.of_host(RemovingHost(id=1, name="east")), By.ITSELF),
        (operations.judge(LAPSED, NOW), By.ITSELF),
        (operations.judge(STUCK, NOW), By.APPROVAL),
        (operations.judge(evolve(STUCK, state="undoing"), NOW), By.NOBODY),  # and cannot be cancelled
    ],
)
def test_a_difference_says_by_whom_it_is_mended(told: Difference | None, by: By) -> None:
    assert told is not None
    assert told.mended_by is by
    assert by is By.NOBODY or told.kind in MENDS
    assert told.data_at_risk is False or by is not By.ITSELF
    assert told.ours or by is not By.ITSELF


def test_a_mend_finds_the_same_difference_again_and_no_other() -> None:
    lost, whole = of_machine(state=MachineState.COMPOSING, guest=None), of_machine(state=MachineState.COMPOSING)
    assert lost.again([None, evolve(lost, found="found otherwise", key="machine 13"), evolve(lost, found="now")]) == (
        evolve(lost, found="now")
    )
    assert lost.again([whole]) is None  # it is a person's affair by now
    assert lost.again([evolve(lost, kind=Kind.CLAIMS_DIFFER)]) is None


def test_the_key_of_a_difference_leads_to_what_it_is_about() -> None:
    claim = ledger.of_claim(LOOSE)
    assert (claim.number_of("server"), claim.number_of("machine")) == (3, 12)
    total = WrongTotal(server_id=3, server="a", subject="storage pool server 9", told="7", claimed="2")
    assert ledger.of_total(total, None, None).number_of("server") == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "whoever ran it renews its lease no more; no region is there"),
        ({"regions": 2}, "regions that are there: 2"),
        ({"regions": 2, "owner_lives": True}, "the region that ran it is there, but renews its lease no more"),
        ({"could_run": False}, "no rack reaches its host"),
    ],
)
def test_a_lapsed_lease_is_told_with_who_might_have_taken_it(changes: dict[str, Any], words: str) -> None:
    told = operations.judge(evolve(LAPSED, **changes), NOW)
    assert told is not None
    assert words in told.found


def test_a_host_that_is_being_removed_by_nobody_is_told() -> None:
    assert operations.of_host(RemovingHost(id=1, name="east")).kind is Kind.STATE_UNEXPLAINED


@pytest.mark.parametrize(
    ("told", "by"),
    [
        (guests.judge(STRAY), By.APPROVAL),
        (guests.judge(KNOWN), By.APPROVAL),
        (guests.judge(evolve(KNOWN, own_guest="fox")), By.APPROVAL),
        (guests.judge(evolve(STRAY, host_id=None)), By.NOBODY),
        (of_machine(guest=None), By.APPROVAL),
    ],
)
def test_what_could_lose_data_waits_for_a_person(told: Difference | None, by: By) -> None:
    assert told is not None
    assert (told.mended_by, told.data_at_risk, told.ours) == (by, True, False)
    assert by is By.NOBODY or told.kind in MENDS


def test_what_is_approved_has_to_be_what_was_shown_word_for_word() -> None:
    shown = of_machine(guest=None)
    for changed in (evolve(shown, found="x"), evolve(shown, remedy="x"), evolve(shown, mended_by=By.ITSELF)):
        assert changed.etag != shown.etag
        assert shown.again([changed]) is None
    assert evolve(shown, host_name="renamed").etag == shown.etag
