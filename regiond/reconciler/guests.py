"""What is wrong with a guest that is no machine: it carries our mark, or claims not what it has. Pure."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from attrs import frozen

from regiond.reconciler.model import By, Difference, Kind


@frozen(kw_only=True)
class MarkedGuest:
    """A guest with our mark, as the last look at its host found it, that is no machine's."""

    id: int
    name: str
    mark: UUID
    host_id: int | None
    host_name: str | None
    system_id: str | None = None  # of the machine with this mark, if there is one
    hostname: str | None = None
    machine_host: str | None = None
    own_guest: str | None = None  # the guest that is the machine
    busy: bool = False  # an operation acts on the machine, or removes this guest
    given_up: bool = False
    forgotten: bool = False  # its host was removed while it stayed


@frozen(kw_only=True)
class GuestClaims:
    """What a guest that is no machine has and claims; amounts of claims are sums over its rows."""

    id: int
    name: str
    host_id: int | None
    host_name: str | None
    cores: int
    memory_mib: int
    claimed_cores: int
    claimed_memory_mib: int
    claims_huge_pages: bool = False  # in place of memory


def judge_claims(guest: GuestClaims) -> Difference | None:
    memory_mib = guest.memory_mib if guest.claims_huge_pages else guest.claimed_memory_mib
    if (guest.claimed_cores, memory_mib) == (guest.cores, guest.memory_mib):
        return None
    return Difference(
        kind=Kind.CLAIMS_DIFFER,
        key=f"guest {guest.id}",
        name=guest.name,
        host_id=guest.host_id,
        host_name=guest.host_name,
        found=f"claims of {guest.claimed_cores} cores and {memory_mib} MiB",
        expected=f"claims of {guest.cores} cores and {guest.memory_mib} MiB",
        remedy="the claims written anew from what the last look found, and the totals from the claims",
        mended_by=By.ITSELF,
        ours=True,
        data_at_risk=False,
    )


def judge(guest: MarkedGuest) -> Difference | None:
    """None while an operation sees to it, and for machines that come back with their host."""
    if guest.busy:
        return None
    if guest.system_id is not None:
        return _copy(guest) if guest.own_guest is not None else _moved(guest)
    if guest.given_up:
        return _difference(
            guest,
            Kind.LEFTOVER_GUEST,
            found="the guest is there, and its machine was given up",
            expected="no guest",
            remedy="an operation that removes the guest",
            mended_by=By.ITSELF if guest.host_id is not None else By.NOBODY,
            ours=True,
            data_at_risk=False,
        )
    if guest.forgotten:
        return None
    return _difference(
        guest,
        Kind.UNKNOWN_GUEST,
        found=f"the guest carries our mark for machine {guest.mark}, which the ledger does not know (any more)",
        expected="a machine for it, or no mark",
        remedy="the guest adopted as a machine, with the mark that it has; or remove it at the hypervisor",
        mended_by=_approval(guest),
        ours=False,
        data_at_risk=True,
    )


def _copy(guest: MarkedGuest) -> Difference:
    return _difference(
        guest,
        Kind.SECOND_GUEST,
        found=f"the guest carries the mark of {guest.hostname}, and so does {guest.own_guest}, which is that machine",
        expected="one guest with this mark",
        remedy=f"the mark taken off {guest.name}, which is a foreign guest from then on; or remove one of the two",
        mended_by=_approval(guest),
        ours=False,
        data_at_risk=True,
    )


def _moved(guest: MarkedGuest) -> Difference:
    return _difference(
        guest,
        Kind.GUEST_ELSEWHERE,
        found=f"the guest of {guest.hostname} is here",
        expected=f"it is on {guest.machine_host}",
        remedy=f"the machine moved in the ledger to where its guest is; or move the guest back to {guest.machine_host} "
        "and refresh both hosts",
        mended_by=_approval(guest),
        ours=False,
        data_at_risk=True,
    )


def _approval(guest: MarkedGuest) -> By:
    return By.APPROVAL if guest.host_id is not None else By.NOBODY


def _difference(guest: MarkedGuest, kind: Kind, **told: Any) -> Difference:
    return Difference(
        kind=kind,
        key=f"guest {guest.id}",
        name=guest.name,
        host_id=guest.host_id,
        host_name=guest.host_name,
        system_id=guest.system_id,
        **told,
    )
