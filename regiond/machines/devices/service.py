"""Registers devices on machines, and links their NICs to subnets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from common.errors import InvalidRequest, NotFound
from regiond.caller import Caller
from regiond.db.pool import Database
from regiond.deletion_plan import AffectedRecord, DeletionPlan
from regiond.events.service import Events
from regiond.identifiers import check_hostname, new_system_id
from regiond.machines import lifecycle_store, view_store
from regiond.machines.device_model import DeviceFilter, DeviceNicChange, DeviceNicView, DeviceView, NewDevice
from regiond.machines.devices import store
from regiond.machines.devices.model import (
    MAX_NICS,
    check_link,
    check_parent,
    checked_mac,
    checked_name,
    find_nic,
    free_name,
)
from regiond.machines.model import LinkMode, LinkRequest
from regiond.machines.nics.model import ADDRESSED, MODES, checked_tags
from regiond.machines.ownership_rules import check_owner
from regiond.networks import service as network_service
from regiond.networks.model import Subnet
from regiond.validation_messages import no_object

if TYPE_CHECKING:
    from regiond.db.pool import Db

_TRIES = 5
MAX_DEVICES = 256  # of one machine


class Devices:
    """The owner of the machine on which a device is, and administrators, change it.

    Changes raise NotFound, NotAllowed, InvalidRequest by field and WrongState. `nic_id` is the row id of a NIC.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, wanted: DeviceFilter, *, caller: Caller | None = None) -> tuple[DeviceView, ...]:
        """Those that the caller may see, by id."""
        async with self._database.connection() as db:
            return await store.devices(db, wanted, caller=caller)

    async def read(self, system_id: str, *, caller: Caller | None = None) -> DeviceView:
        """Raises NotFound."""
        async with self._database.connection() as db:
            return await _read(db, system_id, caller)

    async def create(self, caller: Caller, new: NewDevice) -> DeviceView:
        """Each of `mac_addresses` becomes a NIC, without a link."""
        macs = list(dict.fromkeys(checked_mac(one, field="mac_addresses") for one in new.mac_addresses))
        if not macs or len(macs) > MAX_NICS:
            raise InvalidRequest.of({"mac_addresses": [f"Give 1 to {MAX_NICS} MAC addresses."]})
        hostname = check_hostname(new.hostname) if new.hostname else ""
        async with self._database.transaction() as db:
            await lifecycle_store.lock(db, [new.parent])
            machine = await view_store.read(db, new.parent, caller=caller)
            check_parent(caller, machine)
            if len(await store.devices(db, DeviceFilter(parents=(new.parent,)))) >= MAX_DEVICES:
                raise InvalidRequest.of({"parent": [f"{machine.hostname} has {MAX_DEVICES} devices, the most."]})
            system_id = await _insert(db, machine.id, hostname, new.description)
            device = await _read(db, system_id)
            for number, mac_address in enumerate(macs):
                await _check_mac(db, mac_address, field="mac_addresses")
                await store.insert_nic(
                    db, device.id, name=f"eth{number}", mac_address=mac_address, vlan_id=None, mtu=None, tags=()
                )
            message = f"The device {device.hostname} was registered on {machine.hostname}"
            await Events.record(
                db, "device_created", message, caller=caller, host_id=machine.host_id, system_id=machine.system_id
            )
            return await _read(db, system_id)

    async def update(
        self, caller: Caller, system_id: str, *, hostname: str | None = None, description: str | None = None
    ) -> DeviceView:
        """None: unchanged."""
        async with self._changing(caller, system_id) as (db, device):
            name = device.hostname if hostname is None else check_hostname(hostname)
            text = device.description if description is None else description
            if not await store.update(db, device.id, hostname=name, description=text):
                raise _taken(name)
            return await _read(db, system_id)

    async def delete(self, caller: Caller, system_id: str, *, dry_run: bool = False) -> DeletionPlan:
        """Releases its addresses."""
        async with self._changing(caller, system_id, dry_run=dry_run) as (db, device):
            await store.delete(db, device.id)
            await Events.record(
                db, "device_deleted", f"The device {device.hostname} was deleted", caller=caller,
                system_id=device.parent,
            )  # fmt: skip
        record = AffectedRecord(kind="device", id=device.system_id, name=device.hostname)
        return DeletionPlan(name=device.hostname, deleted=(record,), effects=_released(device.nics))

    async def add_nic(self, caller: Caller, system_id: str, change: DeviceNicChange) -> DeviceNicView:
        """A NIC without a link; `mac_address` is required."""
        if change.mac_address is None:
            raise InvalidRequest.of({"mac_address": ["A MAC address is required."]})
        mac_address = checked_mac(change.mac_address)
        async with self._changing(caller, system_id) as (db, device):
            if len(device.nics) >= MAX_NICS:
                raise InvalidRequest(f"{device.hostname} has {MAX_NICS} interfaces, the most.")
            name = checked_name(device, change.name) if change.name else free_name(device)
            await _check_mac(db, mac_address)
            created = await store.insert_nic(
                db, device.id, name=name, mac_address=mac_address, vlan_id=await _vlan_id(db, change.vlan),
                mtu=change.mtu, tags=checked_tags(change.tags or ()),
            )  # fmt: skip
            return find_nic(await _read(db, system_id), created)

    async def update_nic(self, caller: Caller, system_id: str, nic_id: int, change: DeviceNicChange) -> DeviceNicView:
        """The VLAN of a NIC that is linked to a subnet is that of the subnet."""
        async with self._changing(caller, system_id) as (db, device):
            nic = find_nic(device, nic_id)
            mac_address = nic.mac_address if change.mac_address is None else checked_mac(change.mac_address)
            await _check_mac(db, mac_address, except_nic_id=nic.id)
            vlan_id = None if nic.vlan is None else nic.vlan.id
            if change.vlan is not None:
                vlan_id = await _vlan_id(db, change.vlan)
            if nic.subnet is not None and vlan_id != nic.subnet.vlan.id:
                raise InvalidRequest.of({"vlan": [f"{nic.name} is linked to {nic.subnet.cidr}: unlink it first."]})
            await store.update_nic(
                db, nic.id, name=checked_name(device, change.name, nic) if change.name else nic.name,
                mac_address=mac_address, vlan_id=vlan_id, mtu=nic.mtu if change.mtu is None else change.mtu,
                tags=nic.tags if change.tags is None else checked_tags(change.tags),
            )  # fmt: skip
            return find_nic(await _read(db, system_id), nic_id)

    async def delete_nic(self, caller: Caller, system_id: str, nic_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Releases its address."""
        async with self._changing(caller, system_id, dry_run=dry_run) as (db, device):
            nic = find_nic(device, nic_id)
            await store.delete_nic(db, nic.id)
        record = AffectedRecord(kind="interface", id=str(nic.id), name=nic.name)
        return DeletionPlan(name=nic.name, deleted=(record,), effects=_released((nic,)))

    async def link(self, caller: Caller, system_id: str, nic_id: int, request: LinkRequest) -> DeviceNicView:
        """Replaces a link without an address; one with an address only with `force`."""
        async with self._changing(caller, system_id) as (db, device):
            nic = find_nic(device, nic_id)
            subnet = await network_service.subnet_of_field(db, request.subnet)
            check_link(device, nic, request, subnet)
            await self._set_link(db, device, nic, request, subnet)
            return find_nic(await _read(db, system_id), nic_id)

    async def unlink(self, caller: Caller, system_id: str, nic_id: int, link_id: int | None) -> DeviceNicView:
        """Ends the link, and the claim of its address; None: whichever link there is. Idempotent with None."""
        async with self._changing(caller, system_id) as (db, device):
            nic = find_nic(device, nic_id)
            if link_id is not None and link_id != nic.id:
                raise InvalidRequest.of({"id": [f"{nic.name} has no link {link_id}."]})
            await self._set_link(db, device, nic, LinkRequest(mode=LinkMode.LINK_UP), None)
            return find_nic(await _read(db, system_id), nic_id)

    async def _set_link(
        self, db: Db, device: DeviceView, nic: DeviceNicView, request: LinkRequest, subnet: Subnet | None
    ) -> None:
        await network_service.release_device_addresses(db, [nic.id])
        if subnet is not None and request.mode in ADDRESSED:  # locks the subnet, which must precede the link to it
            await network_service.claim_address(
                db, subnet, machine_id=device.parent_id, device_nic_id=nic.id, ip=request.ip_address or None
            )
        subnet_id, vlan_id = (None, None) if subnet is None else (subnet.id, subnet.vlan.id)
        await store.set_link(db, nic.id, mode=MODES[request.mode], subnet_id=subnet_id, vlan_id=vlan_id)

    @asynccontextmanager
    async def _changing(
        self, caller: Caller, system_id: str, *, dry_run: bool = False
    ) -> AsyncIterator[tuple[Db, DeviceView]]:
        """A transaction that holds the row of the machine on which the device is; a dry run is rolled back."""
        async with self._database.transaction(dry_run=dry_run) as db:
            device = await _read(db, system_id, caller)
            await lifecycle_store.lock(db, [device.parent])
            check_owner(caller, await view_store.read(db, device.parent, caller=caller))
            yield db, await _read(db, system_id, caller)


async def _read(db: Db, system_id: str, caller: Caller | None = None) -> DeviceView:
    found = await store.devices(db, DeviceFilter(system_ids=(system_id,)), caller=caller)
    if not found:
        raise NotFound(no_object("device", system_id))
    return found[0]


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


async def _check_mac(db: Db, mac_address: str, *, except_nic_id: int | None = None, field: str = "mac_address") -> None:
    holder = await store.holder_of_mac(db, mac_address, except_nic_id=except_nic_id)
    if holder is not None:
        raise InvalidRequest.of({field: [f"{mac_address} is that of the {holder}."]})


async def _vlan_id(db: Db, text: str | None) -> int | None:
    """Raises InvalidRequest under `vlan`."""
    if not text:
        return None
    found = await network_service.vlans(db, ids=[int(text)]) if text.isdecimal() and len(text) < 10 else ()
    if not found:
        raise InvalidRequest.of({"vlan": [no_object("VLAN", text)]})
    return found[0].id


def _released(nics: tuple[DeviceNicView, ...]) -> tuple[str, ...]:
    addresses = [str(nic.ip_address) for nic in nics if nic.ip_address is not None]
    return (f"Its addresses are released: {', '.join(addresses)}.",) if addresses else ()
