"""Takes MAC addresses from devices when guests of hosts have them: the report of a host takes precedence."""

from __future__ import annotations

from collections.abc import Iterable

from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.machines.core import lifecycle_store
from regiond.machines.devices import store


async def take_mac_addresses(db: Db, mac_addresses: Iterable[str], *, hostname: str) -> None:
    """Deletes the NICs of devices with these addresses before the machine `hostname` gets them; warns about each.

    Another transaction can give one of the addresses to a device afterwards: the caller's insert then waits for that
    transaction and raises UniqueViolationError.
    """
    wanted = list(mac_addresses)
    found = await store.with_macs(db, wanted)
    if not found:
        return
    await lifecycle_store.lock(db, [parent for parent in found.values() if parent is not None])  # as every change does
    await store.lock(db, [device_id for device_id, parent in found.items() if parent is None])
    for nic in await store.delete_nics_with_macs(db, wanted):
        released = "" if nic.address is None else f"; its address {nic.address} is released"
        message = (
            f"{nic.name} of the device {nic.device} was deleted: a guest on a VM host, the machine {hostname}, has its "
            f"MAC address {nic.mac_address}{released}"
        )
        await Events.record(
            db, "device_changed", message, level=Level.WARNING, host_id=nic.host_id, system_id=nic.system_id
        )
