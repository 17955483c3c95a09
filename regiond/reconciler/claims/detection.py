"""Finds wrong or orphaned claims, wrong totals, and wrong addresses."""

from __future__ import annotations

from attrs import frozen

from common.words.phrases import number_of
from regiond.ledger.model import TotalMismatch
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, RepairPolicy, Subject


@frozen(kw_only=True)
class GuestClaims(Subject):
    """A guest that is no machine, and the sums of its claims."""

    WORD = "guest"

    name: str
    cores: int
    memory_mib: int
    claimed_cores: int
    claimed_memory_mib: int
    claims_huge_pages: bool = False  # instead of general memory


@frozen(kw_only=True)
class OrphanedClaim:
    """Claims on one server whose holder was deleted, is on another server, or is a guest that became a machine."""

    server_id: int
    host_id: int | None
    host_name: str | None
    machine_id: int | None
    guest_id: int | None
    holder: str | None  # the holder's name; None: it was deleted
    system_id: str | None
    amounts: str  # such as `cores 2, memory_mib 1024`


@frozen(kw_only=True)
class SuspectAddress(Subject):
    """An address whose machine or NIC was deleted, or that is outside its subnet."""

    WORD = "address"

    address: str
    subnet: str
    inside: bool
    hostname: str | None  # of the machine, or of a device on none; None: the machine was deleted
    system_id: str | None  # of the machine
    has_nic: bool

    @property
    def name(self) -> str:
        return self.address


def detect_guest_claims(guest: GuestClaims) -> Discrepancy | None:
    memory_mib = guest.memory_mib if guest.claims_huge_pages else guest.claimed_memory_mib
    if (guest.claimed_cores, memory_mib) == (guest.cores, guest.memory_mib):
        return None
    return Discrepancy.of(
        guest,
        DiscrepancyKind.WRONG_CLAIMS,
        RepairPolicy.AUTOMATIC,
        found=f"claims of {number_of(guest.claimed_cores, 'core')} and {memory_mib} MiB",
        expected=f"claims of {number_of(guest.cores, 'core')} and {guest.memory_mib} MiB",
        remedy="This recomputes the claims from the last refresh, and the server's totals from all claims.",
    )


def orphaned_claim(claim: OrphanedClaim) -> Discrepancy:
    holder = "machine" if claim.machine_id is not None else "guest"
    number = claim.machine_id if claim.machine_id is not None else claim.guest_id
    fault = "was deleted" if claim.holder is None else "holds no claims on this server"
    return Discrepancy(
        kind=DiscrepancyKind.ORPHANED_CLAIM,
        key=f"server {claim.server_id} {holder} {number}",
        name=claim.holder or f"{holder} {number}",
        host_id=claim.host_id,
        host_name=claim.host_name,
        system_id=claim.system_id,
        found=f"claims ({claim.amounts}) of a {holder} that {fault}",
        expected="no claims",
        remedy="This removes the claims, and recomputes the server's totals from the others.",
        repair_policy=RepairPolicy.AUTOMATIC,
        ours=True,
        data_at_risk=False,
    )


def wrong_total(total: TotalMismatch, host_id: int | None, host_name: str | None) -> Discrepancy:
    return Discrepancy(
        kind=DiscrepancyKind.WRONG_TOTAL,
        key=f"server {total.server_id} {total.subject}",
        name=total.subject,
        host_id=host_id,
        host_name=host_name,
        found=f"the total is {total.total}",
        expected=f"{total.claimed}, the sum of the claims",
        remedy="This recomputes the server's totals from its claims.",
        repair_policy=RepairPolicy.AUTOMATIC,
        ours=True,
        data_at_risk=False,
    )


def wrong_address(address: SuspectAddress) -> Discrepancy:
    return _outside_subnet(address) if address.hostname is not None and address.has_nic else _orphaned(address)


def _outside_subnet(address: SuspectAddress) -> Discrepancy:
    correction = "compose the machine again" if address.system_id is not None else "link the device to it again"
    return Discrepancy.of(
        address,
        DiscrepancyKind.ADDRESS_OUTSIDE_SUBNET,
        RepairPolicy.NONE,
        found=f"{address.hostname} has an address outside {address.subnet}",
        expected=f"an address in {address.subnet}",
        remedy=f"Correct the subnet, or {correction}.",
    )


def _orphaned(address: SuspectAddress) -> Discrepancy:
    return Discrepancy.of(
        address,
        DiscrepancyKind.ORPHANED_ADDRESS,
        RepairPolicy.AUTOMATIC,
        found="the address is assigned to a machine or NIC that was deleted",
        expected="an unassigned address",
        remedy="This releases the address.",
    )
