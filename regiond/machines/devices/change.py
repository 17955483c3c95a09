"""Changes of a device or of its NICs, each in one transaction with its event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import frozen

from common.errors import InvalidRequest
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.nics import store as nic_store
from regiond.machines.core.ownership_rules import check_owner
from regiond.machines.devices import store
from regiond.machines.devices.model import check_own_device, check_vlan
from regiond.machines.values.devices import DeviceFilter, DeviceView
from regiond.machines.values.model import MachineView
from regiond.networks import store as network_store
from regiond.networks.model import Vlan
from regiond.requests.caller import Caller
from regiond.requests.validation_messages import existing

T = TypeVar("T")


@frozen(kw_only=True)
class DeviceChange:
    """A change in progress. Locked is the row of `machine`, on which the device is; without one, the device's row."""

    db: Db
    caller: Caller
    machine: MachineView | None
    device: DeviceView

    async def check_vlan(self, vlan: Vlan, *, field: str, what: str) -> None:
        """Raises InvalidRequest under `field` unless a NIC of the machine is on `vlan`, which is the VLAN of `what`.

        A device that is on no machine can be on any VLAN.
        """
        if self.machine is None:
            return
        allowed = await nic_store.vlan_ids(self.db, [nic.id for nic in self.machine.nics])
        check_vlan(self.machine, vlan, await network_store.vlans(self.db, ids=allowed), field=field, what=what)

    async def record(self, message: str, *, kind: str = "device_changed") -> None:
        """Records an event of the machine, or of a device that is on no machine."""
        host_id = None if self.machine is None else self.machine.host_id
        system_id = (self.device if self.machine is None else self.machine).system_id
        await Events.record(self.db, kind, message, caller=self.caller, host_id=host_id, system_id=system_id)


async def change_device(
    database: Database,
    caller: Caller,
    system_id: str,
    work: Callable[[DeviceChange], Awaitable[T]],
    *,
    dry_run: bool = False,
) -> T:
    """Returns the result of `work`, which may run again after a deadlock. A dry run is rolled back.

    Raises NotFound, NotAllowed and Busy.
    """

    async def change(db: Db) -> T:
        found = await read_device(db, system_id, caller=caller)
        machine = None
        if found.parent is None:
            await store.lock(db, [found.id])
            check_own_device(caller, found)
        else:
            await lifecycle_store.lock(db, [found.parent])
            machine = await view_store.read(db, found.parent, caller=caller)
            check_owner(caller, machine)
        device = await read_device(db, system_id, caller=caller)
        return await work(DeviceChange(db=db, caller=caller, machine=machine, device=device))

    return await database.in_transaction(change, dry_run=dry_run)


async def read_device(db: Db, system_id: str, *, caller: Caller | None = None) -> DeviceView:
    """Returns the device. Raises NotFound, also if the caller may not see it; no caller: the region."""
    devices = await store.devices(db, DeviceFilter(system_ids=(system_id,)), caller=caller)
    return existing(next(iter(devices), None), "device", system_id)


async def check_mac(
    db: Db, mac_address: str, *, caller: Caller, except_nic_id: int | None = None, field: str = "mac_address"
) -> None:
    """Raises InvalidRequest under `field` if another NIC has the address. Names holders that the caller may see."""
    holder = await store.holder_of_mac(db, mac_address, caller=caller, except_nic_id=except_nic_id)
    if holder is not None:
        raise InvalidRequest.of({field: [f"{mac_address} is that of {holder}."]})
