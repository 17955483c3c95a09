"""Ends the ownership of a machine in the ledger, so that the next owner gets nothing of the former one."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.machines.core import boot_store, lifecycle_store
from regiond.machines.core.affinity import store as affinity_store
from regiond.machines.core.nics.restoration import ADDRESSES_NOT_RESTORED, not_restored_text, restore_links
from regiond.machines.devices import store as device_store
from regiond.machines.values.model import MachineView
from regiond.networks.ipam import seen_store
from regiond.requests.caller import Caller


async def take_back_links(db: Db, caller: Caller, machine: MachineView) -> None:
    """Gives the machine's NICs the links from before its owner changed them; records which addresses are lost."""
    lost = await restore_links(db, machine.id)
    if lost:
        await Events.record(
            db, ADDRESSES_NOT_RESTORED, not_restored_text(machine.hostname, lost), level=Level.WARNING, caller=caller,
            host_id=machine.host_id, system_id=machine.system_id,
        )  # fmt: skip


async def end_ownership(db: Db, machine_id: int, *, emptied: bool) -> None:
    """Deletes the machine's devices, and clears owner, owner data, annotations, its allocation's groups, and what was
    chosen for its next start.

    Also clears the addresses that its guest, which is off, had. `emptied`: as of `lifecycle_store.clear_owner`.
    """
    await device_store.delete_of(db, machine_id)
    await lifecycle_store.clear_owner(db, machine_id, emptied=emptied)
    await affinity_store.end_allocation(db, machine_id)
    await boot_store.set_once(db, machine_id, (), "")
    await seen_store.forget_addresses(db, machine_id)
