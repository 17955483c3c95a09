"""Gives the NICs of a released machine the links that they had before its owner changed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import InvalidRequest, OutOfCapacity, WrongState
from regiond.machines.nics import store
from regiond.machines.nics.store import RememberedLink
from regiond.networks import service as network_service

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def restore_links(db: Db, machine_id: int) -> tuple[str, ...]:
    """Returns a message for each address that could not be restored; its NIC uses DHCP. Idempotent."""
    links = await store.remembered(db, machine_id)
    await network_service.release_addresses(db, [one.id for one in links])
    lost: list[str] = []
    for one in links:
        mode, subnet_id = one.mode, one.subnet_id
        reason = await _claim(db, machine_id, one)
        if reason is not None:
            lost.append(f"{one.name} uses DHCP now: {reason}")
            mode, subnet_id = "dhcp", None
        versions = () if reason is not None else one.gateway_versions
        await store.restore(db, one.id, mode=mode, subnet_id=subnet_id, gateway_versions=versions)
    return tuple(lost)


async def _claim(db: Db, machine_id: int, link: RememberedLink) -> str | None:
    """Claims the address of the link again, if it had one. Returns the reason if that is not possible."""
    if link.address is None:
        return None
    found = [] if link.subnet_id is None else await network_service.subnets(db, ids=[link.subnet_id])
    if not found:
        return f"the subnet of {link.address} was deleted."
    try:
        await network_service.claim_address(db, found[0], machine_id=machine_id, nic_id=link.id, ip=link.address)
    except (InvalidRequest, OutOfCapacity, WrongState) as error:
        return error.message
    return None
