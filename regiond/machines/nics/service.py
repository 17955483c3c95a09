"""Links NICs of machines to subnets, chooses default gateways, names and tags NICs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from attrs import field, frozen

from common.errors import InvalidRequest, NotFound
from common.values import NicKind
from regiond.caller import Caller
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.machines import lifecycle_store, view_store
from regiond.machines.model import LinkMode, LinkRequest, MachineState, MachineView, NicView
from regiond.machines.nics import store
from regiond.machines.nics.model import (
    ADDRESSED,
    MODES,
    check_link,
    check_may_change,
    check_name,
    check_vlan,
    checked_tags,
    find_nic,
    gateway_version,
    is_link_of,
    link_text,
)
from regiond.networks import service as network_service

if TYPE_CHECKING:
    from regiond.db.pool import Db

CHANGED = "machine_interface_changed"  # the kind of the events


@frozen(kw_only=True)
class _Change:
    """A change in progress: the machine's row is locked. `done` has what the event will say, in words."""

    db: Db
    machine: MachineView
    nic: NicView
    done: list[str] = field(factory=list)


class MachineNics:
    """Changes the ledger only: the guest and its host follow with the next deployment or release of the machine.

    The methods return the changed machine, and raise NotFound, NotAllowed, InvalidRequest by field and WrongState.
    `nic_id` is the row id of one of its NICs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def link(self, caller: Caller, system_id: str, nic_id: int, request: LinkRequest) -> MachineView:
        """Replaces a link without an address that Innkeeper assigned; one with an address only with `force`."""
        async with self._changing(caller, system_id, nic_id) as change:
            db, machine, nic = change.db, change.machine, change.nic
            subnet = await network_service.subnet_of_field(db, request.subnet)
            check_link(machine, nic, request, subnet)
            if subnet is not None:
                vlans = await network_service.vlans(db, ids=await store.vlan_ids(db, nic.id))
                check_vlan(machine, nic, vlans, subnet)
            await _remember(change)
            await network_service.release_addresses(db, [nic.id])
            address = None
            if subnet is not None and request.mode in ADDRESSED:  # locks the subnet, which must precede the link to it
                ip = request.ip_address or None
                address = await network_service.claim_address(
                    db, subnet, machine_id=machine.id, nic_id=nic.id, ip=ip,
                    is_reserved_by_host=nic.kind == NicKind.NETWORK,
                )  # fmt: skip
            await store.set_link(db, nic.id, mode=MODES[request.mode], subnet_id=None if subnet is None else subnet.id)
            if address is not None and request.default_gateway:
                await store.set_gateway(db, machine.id, nic.id, address.version)
            change.done.append(f"is linked: {link_text(request.mode, subnet, address)}")
        return await self._read(system_id)

    async def unlink(self, caller: Caller, system_id: str, nic_id: int, link_id: int | None) -> MachineView:
        """Ends the link, and the claim of its address; None: whichever link there is. Idempotent with None."""
        async with self._changing(caller, system_id, nic_id) as change:
            if link_id is not None and not is_link_of(change.nic, link_id):
                raise InvalidRequest.of({"id": [f"{change.nic.name} has no link {link_id}."]})
            await _remember(change)
            await network_service.release_addresses(change.db, [change.nic.id])
            await store.set_link(change.db, change.nic.id, mode=MODES[LinkMode.LINK_UP], subnet_id=None)
            change.done.append("has no link")
        return await self._read(system_id)

    async def set_default_gateway(
        self, caller: Caller, system_id: str, nic_id: int, link_id: int | None = None
    ) -> MachineView:
        """The machine's default route goes through this NIC, and its subnet's gateway. Idempotent."""
        async with self._changing(caller, system_id, nic_id) as change:
            version = gateway_version(change.machine, change.nic, link_id)
            await _remember(change)
            await store.set_gateway(change.db, change.machine.id, change.nic.id, version)
            change.done.append(f"has the default route of IPv{version}")
        return await self._read(system_id)

    async def clear_default_gateways(self, caller: Caller, system_id: str) -> MachineView:
        """The first address with a gateway decides again. Idempotent."""
        async with self._changing(caller, system_id) as change:
            await _remember(change)
            await store.clear_gateways(change.db, change.machine.id)
            change.done.append("has no chosen default gateway")
        return await self._read(system_id)

    async def update(
        self,
        caller: Caller,
        system_id: str,
        nic_id: int,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> MachineView:
        """None: unchanged."""
        async with self._changing(caller, system_id, nic_id) as change:
            if name is not None and name != change.nic.name:
                check_name(change.machine, change.nic, name)
                await store.set_name(change.db, change.nic.id, name)
                change.done.append(f"is named {name}")
            if tags is not None and tuple(tags) != change.nic.tags:
                found = checked_tags(tags)
                await store.set_tags(change.db, change.nic.id, found)
                change.done.append(f"has the tags {', '.join(found)}" if found else "has no tags")
        return await self._read(system_id)

    async def set_tag(self, caller: Caller, system_id: str, nic_id: int, tag: str, *, present: bool) -> MachineView:
        """Adds or removes one tag. Idempotent."""
        async with self._changing(caller, system_id, nic_id) as change:
            others = [one for one in change.nic.tags if one != tag]
            found = checked_tags((*others, tag), field="tag") if present else tuple(others)
            if set(found) != set(change.nic.tags):
                await store.set_tags(change.db, change.nic.id, found)
                change.done.append(f"{'has' if present else 'has no longer'} the tag {tag}")
        return await self._read(system_id)

    @asynccontextmanager
    async def _changing(self, caller: Caller, system_id: str, nic_id: int | None = None) -> AsyncIterator[_Change]:
        """A transaction that holds the machine's row; records the event. Without `nic_id`, for the whole machine."""
        async with self._database.transaction() as db:
            await lifecycle_store.lock(db, [system_id])
            machine = await view_store.read(db, system_id, caller=caller)
            check_may_change(caller, machine)
            if nic_id is None and not machine.nics:
                raise NotFound(f"{machine.hostname} has no NICs.")
            nic = machine.nics[0] if nic_id is None else find_nic(machine, nic_id)
            change = _Change(db=db, machine=machine, nic=nic)
            yield change
            if change.done:
                of = machine.hostname if nic_id is None else f"{nic.name} of {machine.hostname}"
                await Events.record(
                    db, CHANGED, f"{of} {' and '.join(change.done)}", caller=caller, host_id=machine.host_id,
                    system_id=system_id,
                )  # fmt: skip

    async def _read(self, system_id: str) -> MachineView:
        async with self._database.connection() as db:
            return await view_store.read(db, system_id)


async def _remember(change: _Change) -> None:
    """What a machine without owner gets stays; release takes back what an owner changed."""
    if change.machine.state is MachineState.ALLOCATED:
        await store.remember(change.db, change.machine.id)
