"""The parts that all changes of NICs share: the calls to the host, and what is recorded of its answer."""

from __future__ import annotations

from typing import Any

from common.errors import Busy
from common.guests.guest_spec import NicSpec
from common.rpc.commands.hardware_commands import HOST_ATTACH_NIC, HOST_DETACH_NIC
from common.values import Guest
from regiond.db.pool import Db
from regiond.hosts.guest_ownership import record_guest
from regiond.machines.core import view_store
from regiond.machines.hardware.change import Attempt
from regiond.machines.hardware.nic_changes import store
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView


async def check_unchanged(db: Db, machine: MachineView, nic: NicView) -> None:
    """Raises Busy: the NIC was read before the operation was open, and another one may have changed it."""
    if nic not in (await view_store.read(db, machine.system_id)).nics:
        raise Busy(f"The NICs of {machine.hostname} have just changed. Try again.")


async def attach(at: Attempt[Any], nic: NicSpec) -> None:
    await at.call(HOST_ATTACH_NIC, nic=nic)


async def detach(at: Attempt[Any], nic: NicSpec) -> None:
    await at.call(HOST_DETACH_NIC, mac_address=nic.mac_address)


async def record_new_nics(db: Db, at: Attempt[Any], guest: Guest | None) -> None:
    """Records the guest as its host has it now; reports of discovery runs that began earlier no longer count."""
    if guest is not None:
        await record_guest(db, at.target.host_id, guest, at.target.machine_id, guest.power)
    await store.settle(db, at.target.machine_id)


def described(nic: NicSpec) -> str:
    return f"{nic.name} ({nic.mac_address}{f' on {nic.source}' if nic.source else ''})"
