"""What is wrong with claims, totals and addresses. Pure."""

from __future__ import annotations

from attrs import frozen

from regiond.ledger.check import WrongTotal
from regiond.reconciler.model import By, Difference, Kind


@frozen(kw_only=True)
class LooseClaim:
    """Claims on one server of a holder that is not there: gone, on another server, or a guest that is a machine."""

    server_id: int
    host_id: int | None
    host_name: str | None
    machine_id: int | None
    guest_id: int | None
    holder: str | None  # None: gone
    system_id: str | None
    amounts: str  # such as `cores 2, memory_mib 1024`


@frozen(kw_only=True)
class LooseAddress:
    """A claimed address whose machine or card is gone, or that its subnet does not hold."""

    id: int
    address: str
    subnet: str
    inside: bool
    hostname: str | None  # None: gone
    system_id: str | None
    has_card: bool
    host_id: int | None
    host_name: str | None


def of_claim(claim: LooseClaim) -> Difference:
    holder = "machine" if claim.machine_id is not None else "guest"
    number = claim.machine_id if claim.machine_id is not None else claim.guest_id
    held = "is gone" if claim.holder is None else "does not hold for itself here"
    return Difference(
        kind=Kind.CLAIM_WITHOUT_OWNER,
        key=f"server {claim.server_id} {holder} {number}",
        name=claim.holder or f"{holder} {number}",
        host_id=claim.host_id,
        host_name=claim.host_name,
        system_id=claim.system_id,
        found=f"claims ({claim.amounts}) of a {holder} that {held}",
        expected="no claim",
        remedy="the claims removed, and the totals made from the others",
        mended_by=By.ITSELF,
        ours=True,
        data_at_risk=False,
    )


def of_total(total: WrongTotal, host_id: int | None, host_name: str | None) -> Difference:
    return Difference(
        kind=Kind.TOTAL_DIFFERS,
        key=f"server {total.server_id} {total.subject}",
        name=total.subject,
        host_id=host_id,
        host_name=host_name,
        found=f"the total says {total.told}",
        expected=f"claims add up to {total.claimed}",
        remedy="the total made anew from its claims",
        mended_by=By.ITSELF,
        ours=True,
        data_at_risk=False,
    )


def of_address(address: LooseAddress) -> Difference:
    owned = address.hostname is not None and address.has_card
    return Difference(
        kind=Kind.ADDRESS_OUTSIDE_SUBNET if owned else Kind.ADDRESS_WITHOUT_OWNER,
        key=f"address {address.id}",
        name=address.address,
        host_id=address.host_id,
        host_name=address.host_name,
        system_id=address.system_id,
        found=f"{address.hostname} has it, and {address.subnet} does not hold it"
        if owned
        else "it is claimed for a machine or card that is gone",
        expected=f"an address in {address.subnet}" if owned else "no claim on it",
        remedy="set the subnet right, or compose the machine anew" if owned else "the claim removed",
        mended_by=By.NOBODY if owned else By.ITSELF,
        ours=not owned,
        data_at_risk=False,
    )
