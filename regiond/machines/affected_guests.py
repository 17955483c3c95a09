"""Reads what the deletion, release or forgetting of a machine affects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiond.machines.adoption import store as adoption_store
from regiond.machines.host_removal_plan import AffectedGuest, affected_machine
from regiond.machines.model import MachineView

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def affected_guest(db: Db, machine: MachineView) -> AffectedGuest:
    """Returns the machine with its VM, volumes and addresses, as the region knows them."""
    guest = await adoption_store.read_guest(db, machine.id)
    return affected_machine(machine.host_name or "", machine, guest[1] if guest is not None else "")
