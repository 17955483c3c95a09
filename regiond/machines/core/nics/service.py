"""Links NICs of machines to subnets, chooses default gateways, names and tags NICs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from common.errors import InvalidRequest, NotFound
from common.values import NicKind
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.nics import store
from regiond.machines.core.nics.model import (
    ADDRESSED,
    MODES,
    check_link,
    check_may_change_nics,
    check_name,
    check_vlan,
    checked_tags,
    find_nic,
    gateway_version,
    is_link_of,
    link_text,
)
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import LinkMode, LinkRequest
from regiond.machines.values.states import MachineState
from regiond.networks import store as network_store
from regiond.networks.ipam import link_store, links
from regiond.requests.caller import Caller

CHANGED = "machine_interface_changed"  # the kind of the events


# Changes the machine in the caller's transaction; returns the text of the event, None if nothing has changed.
_Change = Callable[["Db", MachineView], Awaitable[str | None]]


class MachineNics:
    """Changes NICs in the ledger only.

    The next deployment or release of the machine changes the guest and its host; until then the machine keeps the
    addresses that its host may reserve.

    The methods return the changed machine, and raise NotFound, NotAllowed, InvalidRequest by field and WrongState.
    `nic_id` is the row id of one of its NICs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def link(self, caller: Caller, system_id: str, nic_id: int, request: LinkRequest) -> MachineView:
        """Links the NIC. Replaces a link that has an address assigned by Innkeeper only with `force`."""

        async def change(db: Db, machine: MachineView) -> str:
            nic = find_nic(machine, nic_id)
            subnet = await links.subnet_of_field(db, request.subnet)
            check_link(machine, nic, request, subnet)
            if subnet is not None:
                vlans = await network_store.vlans(db, ids=await store.vlan_ids(db, [nic.id]))
                check_vlan(machine, nic, vlans, subnet)
                await links.lock_subnet(db, subnet)  # before rows of NICs and addresses: 0038
            await _remember(db, machine)
            await link_store.release_addresses(db, [nic.id])
            address = None
            if subnet is not None and request.mode in ADDRESSED:
                ip = request.ip_address or None
                address = await links.claim_address(
                    db, subnet, machine_id=machine.id, caller=caller, nic_id=nic.id, ip=ip,
                    is_reserved_by_host=nic.kind == NicKind.NETWORK,
                )  # fmt: skip
            await store.set_link(db, nic.id, mode=MODES[request.mode], subnet_id=None if subnet is None else subnet.id)
            if address is not None and request.default_gateway:
                await store.set_gateway(db, machine.id, nic.id, address.version)
            return f"{nic.name} of {machine.hostname} is linked: {link_text(request.mode, subnet, address)}"

        return await self._change(caller, system_id, change)

    async def unlink(self, caller: Caller, system_id: str, nic_id: int, link_id: int | None) -> MachineView:
        """Ends the link; None: any link of the NIC. Idempotent with None."""

        async def change(db: Db, machine: MachineView) -> str:
            nic = find_nic(machine, nic_id)
            if link_id is not None and not is_link_of(nic, link_id):
                raise InvalidRequest.of({"id": [f"{nic.name} has no link {link_id}."]})
            await _remember(db, machine)
            await link_store.release_addresses(db, [nic.id])
            await store.set_link(db, nic.id, mode=MODES[LinkMode.LINK_UP], subnet_id=None)
            return f"{nic.name} of {machine.hostname} has no link"

        return await self._change(caller, system_id, change)

    async def set_default_gateway(
        self, caller: Caller, system_id: str, nic_id: int, link_id: int | None = None
    ) -> MachineView:
        """Sets the machine's default route to go through this NIC and its subnet's gateway. Idempotent."""

        async def change(db: Db, machine: MachineView) -> str:
            nic = find_nic(machine, nic_id)
            version = gateway_version(machine, nic, link_id)
            await _remember(db, machine)
            await store.set_gateway(db, machine.id, nic.id, version)
            return f"{nic.name} of {machine.hostname} has the default route of IPv{version}"

        return await self._change(caller, system_id, change)

    async def clear_default_gateways(self, caller: Caller, system_id: str) -> MachineView:
        """Ends the choice of default gateways: the first address with a gateway decides again. Idempotent."""

        async def change(db: Db, machine: MachineView) -> str:
            if not machine.nics:
                raise NotFound(f"{machine.hostname} has no NICs.")
            await _remember(db, machine)
            await store.clear_gateways(db, machine.id)
            return f"{machine.hostname} has no chosen default gateway"

        return await self._change(caller, system_id, change)

    async def clear_default_gateway(self, caller: Caller, system_id: str, nic_id: int) -> MachineView:
        """Ends the choice of this NIC for default routes; those of other NICs stay. Idempotent."""

        async def change(db: Db, machine: MachineView) -> str | None:
            nic = find_nic(machine, nic_id)
            if not nic.gateway_versions:
                return None
            await _remember(db, machine)
            await store.clear_gateways_of_nic(db, nic.id)
            return f"{nic.name} of {machine.hostname} has no default route"

        return await self._change(caller, system_id, change)

    async def update(
        self,
        caller: Caller,
        system_id: str,
        nic_id: int,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> MachineView:
        """Changes the fields that are not None."""

        async def change(db: Db, machine: MachineView) -> str | None:
            nic = find_nic(machine, nic_id)
            done = []
            if name is not None and name != nic.name:
                check_name(machine, nic, name)
                await store.set_name(db, nic.id, name)
                done.append(f"is named {name}")
            if tags is not None and tuple(tags) != nic.tags:
                found = checked_tags(tags)
                await store.set_tags(db, nic.id, found)
                done.append(f"has the tags {', '.join(found)}" if found else "has no tags")
            return f"{nic.name} of {machine.hostname} {' and '.join(done)}" if done else None

        return await self._change(caller, system_id, change)

    async def set_tag(self, caller: Caller, system_id: str, nic_id: int, tag: str, *, present: bool) -> MachineView:
        """Adds or removes one tag. Idempotent."""

        async def change(db: Db, machine: MachineView) -> str | None:
            nic = find_nic(machine, nic_id)
            others = [one for one in nic.tags if one != tag]
            found = checked_tags((*others, tag), field="tag") if present else tuple(others)
            if set(found) == set(nic.tags):
                return None
            await store.set_tags(db, nic.id, found)
            return f"{nic.name} of {machine.hostname} {'has' if present else 'has no longer'} the tag {tag}"

        return await self._change(caller, system_id, change)

    async def _change(self, caller: Caller, system_id: str, change: _Change) -> MachineView:
        """Runs `change` in a transaction that holds the machine's row, and records its result as an event."""

        async def work(db: Db) -> MachineView:
            await lifecycle_store.lock(db, [system_id])
            machine = await view_store.read(db, system_id, caller=caller)
            check_may_change_nics(caller, machine)
            done = await change(db, machine)
            if done is not None:
                await Events.record(
                    db, CHANGED, done, caller=caller, host_id=machine.host_id, system_id=machine.system_id
                )
            return await view_store.read(db, system_id)

        return await self._database.in_transaction(work)


async def _remember(db: Db, machine: MachineView) -> None:
    """Stores the links of an allocated machine, to which its release returns; other machines keep their changes."""
    if machine.state is MachineState.ALLOCATED:
        await store.remember(db, machine.id)
