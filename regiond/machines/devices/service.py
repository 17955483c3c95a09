"""Registers devices on machines, changes and deletes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from common.errors import InvalidRequest
from regiond.caller import Caller
from regiond.deletion_plan import AffectedRecord, DeletionPlan
from regiond.identifiers import check_hostname, new_system_id
from regiond.long_list import LongList
from regiond.machines import lifecycle_store, view_store
from regiond.machines.device_model import DeviceFilter, DeviceView, NewDevice
from regiond.machines.devices import store
from regiond.machines.devices.change import DeviceChange, change_device, check_mac, read_device
from regiond.machines.devices.model import check_device_count, check_parent, checked_macs, released_text
from regiond.machines.devices.nics import DeviceNics

if TYPE_CHECKING:
    from regiond.db.pool import Db

_TRIES = 5


class Devices(DeviceNics):
    """The owner of the machine on which a device is, and administrators, change it.

    Changes raise NotFound, NotAllowed, InvalidRequest by field, WrongState and Busy.
    """

    async def list(self, wanted: DeviceFilter, *, caller: Caller | None = None) -> tuple[DeviceView, ...]:
        """Those that the caller may see, by id."""
        async with self._database.connection() as db:
            return await store.devices(db, wanted, caller=caller)

    async def long_list(self, wanted: DeviceFilter, *, caller: Caller | None = None) -> LongList[DeviceView]:
        """Those that the caller may see, by id."""

        async def read(system_ids: Sequence[str]) -> tuple[DeviceView, ...]:
            return await self.list(DeviceFilter(system_ids=tuple(system_ids)), caller=caller)

        async with self._database.connection() as db:
            return LongList(keys=await store.system_ids(db, wanted, caller=caller), read=read)

    async def read(self, system_id: str, *, caller: Caller | None = None) -> DeviceView:
        """Raises NotFound."""
        async with self._database.connection() as db:
            return await read_device(db, system_id, caller)

    async def create(self, caller: Caller, new: NewDevice) -> DeviceView:
        """Each of `mac_addresses` becomes a NIC, without a link."""
        macs = checked_macs(new.mac_addresses)
        hostname = check_hostname(new.hostname) if new.hostname else ""

        async def create(db: Db) -> DeviceView:
            await lifecycle_store.lock(db, [new.parent])
            machine = await view_store.read(db, new.parent, caller=caller)
            check_parent(caller, machine)
            check_device_count(machine, await store.count_of(db, machine.id))
            system_id = await _insert(db, machine.id, hostname, new.description)
            device = await read_device(db, system_id)
            for number, mac_address in enumerate(macs):
                await check_mac(db, mac_address, caller=caller, field="mac_addresses")
                await store.insert_nic(
                    db, device.id, name=f"eth{number}", mac_address=mac_address, field="mac_addresses"
                )
            created = DeviceChange(db=db, caller=caller, machine=machine, device=await read_device(db, system_id))
            await created.record(
                f"The device {device.hostname} was registered on {machine.hostname}", kind="device_created"
            )
            return created.device

        return await self._database.in_transaction(create)

    async def update(
        self, caller: Caller, system_id: str, *, hostname: str | None = None, description: str | None = None
    ) -> DeviceView:
        """None: unchanged."""

        async def work(changing: DeviceChange) -> DeviceView:
            device = changing.device
            name = device.hostname if hostname is None else check_hostname(hostname)
            text = device.description if description is None else description
            if not await store.update(changing.db, device.id, hostname=name, description=text):
                raise _taken(name)
            if name != device.hostname:
                await changing.record(f"The device {device.hostname} is named {name}")
            elif text != device.description:
                await changing.record(f"The device {name} has another description")
            return await read_device(changing.db, system_id)

        return await change_device(self._database, caller, system_id, work)

    async def delete(self, caller: Caller, system_id: str, *, dry_run: bool = False) -> DeletionPlan:
        """Releases its addresses."""

        async def work(changing: DeviceChange) -> DeviceView:
            await store.delete(changing.db, changing.device.id)
            await changing.record(f"The device {changing.device.hostname} was deleted", kind="device_deleted")
            return changing.device

        device = await change_device(self._database, caller, system_id, work, dry_run=dry_run)
        record = AffectedRecord(kind="device", id=device.system_id, name=device.hostname)
        return DeletionPlan(name=device.hostname, deleted=(record,), effects=released_text(device.nics))


async def _insert(db: Db, parent_id: int, hostname: str, description: str) -> str:
    """Returns the system id. Raises InvalidRequest for a hostname that is taken."""
    for _ in range(_TRIES):
        system_id = new_system_id()
        name = hostname or f"device-{system_id}"
        if await store.insert(db, system_id=system_id, hostname=name, parent_id=parent_id, description=description):
            return system_id
    raise _taken(hostname)


def _taken(hostname: str) -> InvalidRequest:
    return InvalidRequest.of({"hostname": [f'Node with hostname "{hostname}" already exists']})
