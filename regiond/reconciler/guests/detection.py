"""Finds guests that have our ownership marker and belong to no machine on their host."""

from __future__ import annotations

from typing import Unpack
from uuid import UUID

from attrs import evolve, frozen

from regiond.hosts.restored_guests import Tombstone, is_leftover
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, RepairPolicy, Subject, Texts


@frozen(kw_only=True)
class MarkedGuest(Subject):
    """A guest with our marker that is no machine's guest, as the last refresh of its host found it."""

    WORD = "guest"

    name: str
    guest_key: str  # the hypervisor's id
    marker: UUID  # `system_id` is the id of the machine that it names; None if there is none
    hostname: str | None = None
    machine_host: str | None = None
    machine_guest: str | None = None  # the guest of that machine
    busy: bool = False  # an operation acts on the machine or on this guest
    tombstone: Tombstone | None = None
    deleted_hostname: str | None = None  # from the tombstone
    reappeared: bool = False  # some time after the tombstone, a refresh did not list it or its host was not known
    detached: bool = False  # the machine's host was removed while this guest remained


def detect(guest: MarkedGuest) -> Discrepancy | None:
    """Returns the discrepancy; None while an operation acts on the guest, and for guests of detached machines."""
    if guest.busy:
        return None
    if guest.system_id is not None:
        return _duplicate(guest) if guest.machine_guest is not None else _moved(guest)
    if guest.tombstone is not None:
        is_ours = is_leftover(guest.tombstone, guest.guest_key, reappeared=guest.reappeared)
        return _leftover(guest) if is_ours else _restored(guest, guest.tombstone)
    return None if guest.detached else _unknown(guest)


def _leftover(guest: MarkedGuest) -> Discrepancy:
    return _discrepancy(
        guest,
        DiscrepancyKind.LEFTOVER_GUEST,
        policy=RepairPolicy.AUTOMATIC,
        found="the guest exists, but its machine was deleted or rescheduled",
        expected="no guest",
        remedy=f"This deletes the guest {guest.name}.",
    )


def _restored(guest: MarkedGuest, tombstone: Tombstone) -> Discrepancy:
    was_deleted = f"{guest.deleted_hostname} was deleted, and the guest may have been restored from a backup since"
    was_failed = f"the compose of {guest.deleted_hostname} did not succeed here, and the guest appeared long after that"
    return _discrepancy(
        guest,
        DiscrepancyKind.LEFTOVER_GUEST,
        policy=RepairPolicy.APPROVAL,
        found=was_deleted if tombstone.was_composed else was_failed,
        expected="no guest, or a machine for it",
        remedy=f"To keep the guest, do not approve, but adopt it (innkeeper vm-host adopt {guest.host_name} "
        f"guests={guest.name}). This deletes the guest {guest.name} and its disks.",
    )


def _unknown(guest: MarkedGuest) -> Discrepancy:
    return _discrepancy(
        guest,
        DiscrepancyKind.UNKNOWN_GUEST,
        policy=RepairPolicy.APPROVAL,
        found=f"the guest carries our ownership marker for machine {guest.marker}, which is not in the ledger",
        expected="a machine for this guest, or no marker",
        remedy=f"This adopts {guest.name} as a machine and does not change the guest.",
    )


def _duplicate(guest: MarkedGuest) -> Discrepancy:
    return _discrepancy(
        guest,
        DiscrepancyKind.DUPLICATE_GUEST,
        policy=RepairPolicy.APPROVAL,
        found=f"the guest carries the ownership marker of {guest.hostname}, whose guest is {guest.machine_guest}",
        expected="one guest with this marker",
        remedy=f"This removes the ownership marker from {guest.name}, which becomes a foreign guest.",
    )


def _moved(guest: MarkedGuest) -> Discrepancy:
    return _discrepancy(
        guest,
        DiscrepancyKind.GUEST_ON_OTHER_HOST,
        policy=RepairPolicy.APPROVAL,
        found=f"the guest of {guest.hostname} is on this host",
        expected=f"the guest is on {guest.machine_host}",
        remedy=f"This moves {guest.hostname} in the ledger to {guest.host_name}, where its guest is.",
    )


def _discrepancy(
    guest: MarkedGuest, kind: DiscrepancyKind, *, policy: RepairPolicy, **texts: Unpack[Texts]
) -> Discrepancy:
    """Returns a discrepancy of the guest. Without a VM host it has no repair, since nothing can reach the guest."""
    at_risk = policy is not RepairPolicy.AUTOMATIC
    discrepancy = Discrepancy.of(guest, kind, policy, data_at_risk=at_risk, **texts)
    if guest.host_id is not None:
        return discrepancy
    return evolve(discrepancy, repair_policy=RepairPolicy.NONE, remedy="Add a VM host for this guest's server.")
