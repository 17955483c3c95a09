"""Adds NICs to devices, changes them and links them to subnets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from common.errors import InvalidRequest
from regiond.db.pool import Database
from regiond.groups.service import Groups
from regiond.machines.core.nics.model import ADDRESSED, MODES, checked_tags, link_text
from regiond.machines.devices import store
from regiond.machines.devices.change import DeviceChange, change_device, check_mac, read_device
from regiond.machines.devices.model import (
    changes_text,
    check_link,
    check_nic_count,
    checked_mac,
    checked_name,
    find_nic,
    free_name,
    released_text,
)
from regiond.machines.values.devices import DeviceNicChange, DeviceNicView
from regiond.machines.values.nics import LinkMode, LinkRequest
from regiond.networks import store as network_store
from regiond.networks.ipam import link_store, links
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.validation_messages import no_object


class DeviceNics:
    """Changes NICs of devices, for the owner of a device (the owner of its machine, if any) and administrators.

    Changes raise NotFound, NotAllowed, InvalidRequest by field, WrongState and Busy. `nic_id` is the row id of a NIC.
    """

    def __init__(self, database: Database, groups: Groups) -> None:
        self._database = database
        self._groups = groups

    async def add_nic(self, caller: Caller, system_id: str, change: DeviceNicChange) -> DeviceNicView:
        """Adds a NIC without a link; `mac_address` is required."""
        if change.mac_address is None:
            raise InvalidRequest.of({"mac_address": ["A MAC address is required."]})
        mac_address, tags = checked_mac(change.mac_address), checked_tags(change.tags or ())

        async def work(changing: DeviceChange) -> DeviceNicView:
            db, device = changing.db, changing.device
            check_nic_count(device)
            name = checked_name(device, change.name) if change.name else free_name(device)
            vlan_id = await _vlan_id(changing, change.vlan) if change.vlan else None
            await check_mac(db, mac_address, caller=caller)
            created = await store.insert_nic(
                db, device.id, name=name, mac_address=mac_address, vlan_id=vlan_id, mtu=change.mtu, tags=tags
            )
            await changing.record(f"The device {device.hostname} has a new interface {name} ({mac_address})")
            return find_nic(await read_device(db, system_id), created)

        return await change_device(self._database, caller, system_id, work)

    async def update_nic(self, caller: Caller, system_id: str, nic_id: int, change: DeviceNicChange) -> DeviceNicView:
        """Changes the NIC. The VLAN of a NIC that is linked to a subnet is always the VLAN of the subnet."""

        async def work(changing: DeviceChange, nic: DeviceNicView) -> str | None:
            mac_address = nic.mac_address if change.mac_address is None else checked_mac(change.mac_address)
            await check_mac(changing.db, mac_address, caller=caller, except_nic_id=nic.id)
            vlan_id = None if nic.vlan is None else nic.vlan.id
            if change.vlan is not None and change.vlan != str(vlan_id):
                vlan_id = await _vlan_id(changing, change.vlan) if change.vlan else None
            if nic.subnet is not None and vlan_id != nic.subnet.vlan.id:
                raise InvalidRequest.of({"vlan": [f"{nic.name} is linked to {nic.subnet.cidr}: unlink it first."]})
            await store.update_nic(
                changing.db, nic.id, name=checked_name(changing.device, change.name, nic) if change.name else nic.name,
                mac_address=mac_address, vlan_id=vlan_id, mtu=nic.mtu if change.mtu is None else change.mtu,
                tags=nic.tags if change.tags is None else checked_tags(change.tags),
            )  # fmt: skip
            changed = find_nic(await read_device(changing.db, system_id), nic.id)
            return changes_text(nic, changed)

        return await self._change(caller, system_id, nic_id, work)

    async def delete_nic(self, caller: Caller, system_id: str, nic_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes the NIC and releases its address."""

        async def work(changing: DeviceChange) -> DeviceNicView:
            nic = find_nic(changing.device, nic_id)
            await store.delete_nic(changing.db, nic.id)
            await changing.record(f"{nic.name} of the device {changing.device.hostname} was deleted")
            return nic

        nic = await change_device(self._database, caller, system_id, work, dry_run=dry_run)
        record = AffectedRecord(kind="interface", id=str(nic.id), name=nic.name)
        return DeletionPlan(name=nic.name, deleted=(record,), effects=released_text([nic]))

    async def link(self, caller: Caller, system_id: str, nic_id: int, request: LinkRequest) -> DeviceNicView:
        """Links the NIC. Replaces a link without an address, and a link with an address only with `force`."""

        async def work(changing: DeviceChange, nic: DeviceNicView) -> str | None:
            db = changing.db
            subnet = await links.subnet_of_field(db, request.subnet)
            if subnet is not None:
                await changing.check_vlan(subnet.vlan, field="subnet", what=f"The subnet {subnet.cidr}")
            check_link(changing.device, nic, request, subnet)
            if subnet is not None:
                await links.lock_subnet(db, subnet)  # before rows of NICs and addresses: 0038
            await link_store.release_device_addresses(db, [nic.id])
            address = None
            if subnet is not None and request.mode in ADDRESSED:
                address = await links.claim_address(
                    db, subnet, machine_id=changing.device.parent_id, caller=caller, device_nic_id=nic.id,
                    ip=request.ip_address or None,
                )  # fmt: skip
            await store.set_link(db, nic.id, mode=MODES[request.mode], subnet=subnet)
            return f"is linked: {link_text(request.mode, subnet, address)}"

        return await self._change(caller, system_id, nic_id, work)

    async def unlink(self, caller: Caller, system_id: str, nic_id: int, link_id: int | None) -> DeviceNicView:
        """Ends the link and the claim of its address; None: any link of the NIC. Idempotent with None."""

        async def work(changing: DeviceChange, nic: DeviceNicView) -> str | None:
            if link_id is not None and link_id != nic.link_id:
                raise InvalidRequest.of({"id": [f"{nic.name} has no link {link_id}."]})
            await link_store.release_device_addresses(changing.db, [nic.id])
            await store.set_link(changing.db, nic.id, mode=MODES[LinkMode.LINK_UP], subnet=None)
            return None if nic.subnet is None else "has no link"

        return await self._change(caller, system_id, nic_id, work)

    async def _change(
        self,
        caller: Caller,
        system_id: str,
        nic_id: int,
        work: Callable[[DeviceChange, DeviceNicView], Awaitable[str | None]],
    ) -> DeviceNicView:
        """Returns the changed NIC. `work` returns the predicate of the event, None if nothing changed."""

        async def change(changing: DeviceChange) -> DeviceNicView:
            nic = find_nic(changing.device, nic_id)
            done = await work(changing, nic)
            if done is not None:
                await changing.record(f"{nic.name} of the device {changing.device.hostname} {done}")
            return find_nic(await read_device(changing.db, system_id), nic_id)

        return await change_device(self._database, caller, system_id, change)


async def _vlan_id(changing: DeviceChange, text: str) -> int:
    """Returns the id of the VLAN. Raises InvalidRequest under `vlan`, also if the machine has no NIC on the VLAN."""
    found = await network_store.vlans(changing.db, ids=[int(text)]) if text.isdecimal() and len(text) < 10 else ()
    if not found:
        raise InvalidRequest.of({"vlan": [no_object("VLAN", text)]})
    await changing.check_vlan(found[0], field="vlan", what="This VLAN")
    return found[0].id
