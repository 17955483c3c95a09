"""What follows a placement: the whole definition of the guest, and the claims on everything that it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from common.values import GuestSpec, NicAddress
from regiond.db.pool import Database
from regiond.ledger import store as ledger
from regiond.ledger.model import Counted, pages_key
from regiond.ledger.taking import Ask
from regiond.machines import store
from regiond.machines.spec import guest_spec
from regiond.names import new_mac_address
from regiond.networks import addresses
from regiond.placement.interfaces import needed_functions
from regiond.placement.model import HostOffer, Verdict, Wish

if TYPE_CHECKING:
    from regiond.db.pool import Db


def new_spec(
    wish: Wish,
    verdict: Verdict,
    host: HostOffer,
    hostname: str,
    installation_id: UUID,
    told: Mapping[str, NicAddress],
) -> GuestSpec:
    """With a mark of its own, which no guest has had yet."""
    return guest_spec(
        wish, verdict, host, hostname=hostname, installation_id=installation_id, machine_uuid=uuid4(),
        new_mac_address=new_mac_address, addresses=told,
    )  # fmt: skip


async def told_addresses(database: Database, verdict: Verdict) -> dict[str, NicAddress]:
    """By address, what a guest that gets it is told of its subnet."""
    asked = [(nic.subnet_id, nic.ip) for nic in verdict.nics]
    if all(ip is None for _, ip in asked):
        return {}
    async with database.connection() as db:
        return {
            ip: await addresses.nic_address(db, subnet_id, ip)
            for subnet_id, ip in asked
            if ip is not None and subnet_id is not None
        }


def ask_of(host_id: int, wish: Wish, verdict: Verdict) -> Ask:
    """What is taken of the server's cores, general memory and storage."""
    storage_bytes: dict[int, int] = {}
    for disk in verdict.disks:
        storage_bytes[disk.storage_pool_id] = storage_bytes.get(disk.storage_pool_id, 0) + disk.size_bytes
    memory_mib = 0 if wish.huge_pages else wish.memory_mib
    return Ask(host_id=host_id, cores=wish.cores, memory_mib=memory_mib, storage_bytes=storage_bytes)


def counted_of(verdict: Verdict) -> Counted:
    return Counted(
        pinned_core_ids=verdict.pinned_core_ids,
        huge_pages={pages_key(pages.node_id, pages.size_kib): pages.pages for pages in verdict.pages},
        functions=needed_functions(verdict.nics),
    )


async def claim_all(db: Db, host_id: int, machine_id: int, wish: Wish, verdict: Verdict) -> None:
    """Claim everything that the machine gets there, inside the caller's transaction; its rows are written already.

    Raises OutOfCapacity when some of it went, and WrongState when an address did; the transaction must then roll back.
    """
    await ledger.claim(db, machine_id=machine_id, ask=ask_of(host_id, wish, verdict), counted=counted_of(verdict))
    await claim_addresses(db, machine_id, verdict)


async def claim_addresses(db: Db, machine_id: int, verdict: Verdict) -> None:
    """Those that its cards are to have. Raises WrongState when somebody else has got one."""
    if any(nic.ip is not None for nic in verdict.nics):
        cards = zip(await store.nic_ids(db, machine_id), verdict.nics, strict=True)
        # Everybody claims in the same order, so that no two wait for each other.
        for nic_id, nic in sorted(cards, key=lambda card: card[1].ip or ""):
            if nic.ip is not None and nic.subnet_id is not None:
                await addresses.claim(db, subnet_id=nic.subnet_id, address=nic.ip, machine_id=machine_id, nic_id=nic_id)
