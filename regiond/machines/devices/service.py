"""Registers devices on machines, changes and deletes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.errors import InvalidRequest
from regiond.db.pool import Db, reading
from regiond.groups.model import DEFAULT_ZONE_ID
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.ownership_rules import check_owner_data
from regiond.machines.devices import store
from regiond.machines.devices.change import DeviceChange, change_device, check_mac, read_device
from regiond.machines.devices.model import (
    check_device_count,
    check_own_count,
    check_parent,
    check_zone,
    checked_mac,
    checked_macs,
    released_text,
)
from regiond.machines.devices.nics import DeviceNics
from regiond.machines.values.devices import DeviceFilter, DeviceView, NewDevice
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.identifiers import check_hostname, new_system_id
from regiond.requests.long_list import LongList

_TRIES = 5


class Devices(DeviceNics):
    """Registers and changes devices.

    Only a device's owner (the owner of its machine, if any) and administrators change it. Changes raise NotFound,
    NotAllowed, InvalidRequest by field, WrongState and Busy.
    """

    list = reading(store.devices)

    async def long_list(self, wanted: DeviceFilter, *, caller: Caller | None = None) -> LongList[DeviceView]:
        """Returns the devices that the caller may see, by id."""

        async def read(system_ids: Sequence[str]) -> tuple[DeviceView, ...]:
            return await self.list(DeviceFilter(system_ids=tuple(system_ids)), caller=caller)

        async with self._database.connection() as db:
            return LongList(keys=await store.system_ids(db, wanted, caller=caller), read=read)

    read = reading(read_device)

    async def create(self, caller: Caller, new: NewDevice) -> DeviceView:
        """Registers a device. Each of `mac_addresses` becomes an unlinked NIC. Without `parent`, the caller owns it."""
        macs = checked_macs(new.mac_addresses)
        hostname = check_hostname(new.hostname) if new.hostname else ""
        zone_id = await self._groups.requested_zone_id(new.zone or None)

        async def create(db: Db) -> DeviceView:
            machine = await _locked_parent(db, caller, new)
            system_id = await _insert(db, caller, machine, new, hostname, zone_id)
            device = await read_device(db, system_id)
            for number, mac_address in enumerate(macs):
                await check_mac(db, mac_address, caller=caller, field="mac_addresses")
                await store.insert_nic(
                    db, device.id, name=f"eth{number}", mac_address=mac_address, field="mac_addresses"
                )
            created = DeviceChange(db=db, caller=caller, machine=machine, device=await read_device(db, system_id))
            on = "" if machine is None else f" on {machine.hostname}"
            await created.record(f"The device {device.hostname} was registered{on}", kind="device_created")
            return created.device

        return await self._database.in_transaction(create)

    async def update(
        self,
        caller: Caller,
        system_id: str,
        *,
        hostname: str | None = None,
        description: str | None = None,
        zone: str | None = None,
    ) -> DeviceView:
        """Changes the fields that are not None."""
        zone_id = await self._groups.requested_zone_id(zone)

        async def work(changing: DeviceChange) -> DeviceView:
            device = changing.device
            name = device.hostname if hostname is None else check_hostname(hostname)
            text = device.description if description is None else description
            check_zone(device.parent, device.zone, zone_id)
            in_zone = device.zone.id if zone_id is None else zone_id
            if not await store.update(changing.db, device.id, hostname=name, description=text, zone_id=in_zone):
                raise _taken(name)
            if name != device.hostname:
                await changing.record(f"The device {device.hostname} is named {name}")
            elif text != device.description:
                await changing.record(f"The device {name} has another description")
            elif in_zone != device.zone.id:
                await changing.record(f"The device {name} is in another zone")
            return await read_device(changing.db, system_id)

        return await change_device(self._database, caller, system_id, work)

    async def set_owner_data(self, caller: Caller, system_id: str, data: Mapping[str, str]) -> DeviceView:
        """Sets the keys in `data`; an empty value removes its key. Limits as for owner data of machines."""
        values = {key: value for key, value in data.items() if value}

        async def work(changing: DeviceChange) -> DeviceView:
            removed = data.keys() - values.keys()
            await store.set_owner_data(changing.db, changing.device.id, values=values, removed=removed)
            changed = await read_device(changing.db, system_id)
            check_owner_data(changed.owner_data, what="owner data", whose="device")
            return changed

        return await change_device(self._database, caller, system_id, work)

    async def is_registered(self, caller: Caller, mac_address: str) -> bool:
        """Returns whether a machine or device that the caller may see has the MAC address. Raises InvalidRequest."""
        async with self._database.connection() as db:
            return await store.has_mac(db, checked_mac(mac_address), caller=caller)

    async def delete(self, caller: Caller, system_id: str, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes the device and releases its addresses."""

        async def work(changing: DeviceChange) -> DeviceView:
            await store.delete(changing.db, changing.device.id)
            await changing.record(f"The device {changing.device.hostname} was deleted", kind="device_deleted")
            return changing.device

        device = await change_device(self._database, caller, system_id, work, dry_run=dry_run)
        record = AffectedRecord(kind="device", id=device.system_id, name=device.hostname)
        return DeletionPlan(name=device.hostname, deleted=(record,), effects=released_text(device.nics))


async def _locked_parent(db: Db, caller: Caller, new: NewDevice) -> MachineView | None:
    """Returns the machine on which the device will be, locked; None if on none. Checks the limits of devices."""
    if new.parent is None:
        check_own_count(caller, await store.count_of_owner(db, caller.account_id))
        return None
    await lifecycle_store.lock(db, [new.parent])
    machine = await view_store.read(db, new.parent, caller=caller)
    check_parent(caller, machine)
    check_device_count(machine, await store.count_of(db, machine.id))
    return machine


async def _insert(
    db: Db, caller: Caller, machine: MachineView | None, new: NewDevice, hostname: str, zone_id: int | None
) -> str:
    """Returns the system id. Raises InvalidRequest for a taken hostname, or a zone that is not the machine's."""
    if machine is not None:
        check_zone(machine.system_id, machine.zone, zone_id)
    for _ in range(_TRIES):
        system_id = new_system_id()
        inserted = await store.insert(
            db,
            system_id=system_id,
            hostname=hostname or f"device-{system_id}",
            parent_id=None if machine is None else machine.id,
            owner_id=caller.account_id if machine is None else None,
            zone_id=(zone_id or DEFAULT_ZONE_ID) if machine is None else None,
            description=new.description,
        )
        if inserted is not None:
            return system_id
    raise _taken(hostname)


def _taken(hostname: str) -> InvalidRequest:
    return InvalidRequest.of({"hostname": [f'Node with hostname "{hostname}" already exists']})
