"""Records the addresses that guests have without Innkeeper's assignment, and reads them.

They are evidence, not claims: a host reports them, and a guest can have any address. No machine is given one of them
while another has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from common.values import Guest
from regiond.db.pool import Db
from regiond.networks import store
from regiond.networks.ipam import seen_store
from regiond.networks.ipam.seen import address_changes
from regiond.networks.model import SeenAddress


async def record_addresses(
    db: Db, host_id: int, guests: Sequence[Guest], *, installation_id: UUID, began_at: datetime
) -> None:
    """Records what a discovery run of the host has found, which began at that time of the database.

    Machines that an operation acts on, or that changed since then, are skipped. Unchanged addresses cost no row.
    """
    nics = await seen_store.nics_of_host(db, host_id, began_at)
    await seen_store.write(db, address_changes(nics, guests, installation_id=installation_id))


async def record_addresses_of(db: Db, machine_id: int, guest: Guest, *, installation_id: UUID) -> None:
    """Records the addresses of one machine, for the operation that acts on it."""
    nics = await seen_store.nics_of_machine(db, machine_id)
    await seen_store.write(db, address_changes(nics, [guest], installation_id=installation_id))


async def seen_addresses(db: Db, machine_ids: Sequence[int]) -> Mapping[int, tuple[SeenAddress, ...]]:
    """Returns the addresses by the id of the NIC, IPv4 first. Only machines that run have any."""
    rows = await seen_store.of_machines(db, machine_ids)
    subnet_ids = {row.subnet_id for row in rows if row.subnet_id is not None}
    subnets = {one.id: one for one in await store.subnets(db, ids=subnet_ids)} if subnet_ids else {}
    found: dict[int, list[SeenAddress]] = {}
    for row in rows:
        subnet = None if row.subnet_id is None else subnets.get(row.subnet_id)
        address = SeenAddress(id=row.id, address=row.address, subnet=subnet, seen_at=row.seen_at)
        found.setdefault(row.nic_id, []).append(address)
    return {nic_id: tuple(addresses) for nic_id, addresses in found.items()}
