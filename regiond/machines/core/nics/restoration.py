"""Gives the NICs of a released machine the links that they had before its owner changed them."""

from __future__ import annotations

from collections.abc import Iterable

from regiond.db.pool import Db
from regiond.machines.core import lifecycle_store
from regiond.machines.core.nics import store
from regiond.networks.ipam import link_store
from regiond.networks.ipam import store as ipam_store

ADDRESSES_NOT_RESTORED = "addresses_not_restored"  # the kind of an event


async def restore_links(db: Db, machine_id: int) -> tuple[str, ...]:
    """Restores the links; returns a message for each address that is lost, whose NIC uses DHCP. Idempotent.

    The machine keeps the present addresses of its NICs until `end_reservation`, because its host may reserve them.
    """
    await lifecycle_store.lock_one(db, machine_id)
    links = await store.remembered(db, machine_id)
    if not links:
        return ()
    await ipam_store.lock_subnets(db, [one.subnet_id for one in links if one.subnet_id is not None])
    await link_store.release_addresses(db, [one.id for one in links])
    lost: list[str] = []
    for one in links:
        mode, subnet_id, versions = one.mode, one.subnet_id, one.gateway_versions
        if one.address is not None and not await link_store.take_back_address(db, machine_id, one.id, one.address):
            lost.append(f"{one.name} uses DHCP now: {one.address} has been given to another.")
            mode, subnet_id, versions = "dhcp", None, ()
        await store.restore(db, one.id, mode=mode, subnet_id=subnet_id, gateway_versions=versions)
    return tuple(lost)


def not_restored_text(hostname: str, lost: Iterable[str]) -> str:
    """Returns the message of the event."""
    return f"{hostname} did not get all of its addresses back: {'; '.join(lost)}"
