"""Reads the records that the deletion, release or forgetting of a machine affects."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.machines.core import store
from regiond.machines.devices import store as device_store
from regiond.machines.remains.remaining_disk_store import read_remaining
from regiond.machines.removal_plans.host_removal_plan import AffectedGuest, affected_machine
from regiond.machines.values.model import MachineView
from regiond.racks.service import read_installation_id


async def affected_guest(db: Db, machine: MachineView) -> AffectedGuest:
    """Returns the machine with its VM, volumes, addresses and devices, as the region knows them."""
    guest = await store.read_guest(db, machine.id)
    devices = (await device_store.hostnames_of(db, [machine.id])).get(machine.id, ())
    remaining = (await read_remaining(db, [machine], await read_installation_id(db)))[machine.id]
    name = guest[1] if guest is not None else ""
    return affected_machine(machine.host_name or "", machine, remaining, name, devices)
