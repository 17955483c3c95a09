"""Reads the machine whose disks a compose copies, and opens composes of machines like another one."""

from __future__ import annotations

from ipaddress import ip_address
from uuid import UUID

from attrs import evolve, frozen

from common.boot import BootDevice
from common.errors import InvalidRequest, NotFound, WrongState
from common.guests.compose_request import ComposeRequest
from common.values import GuestRef, NicKind, OwnershipMarker
from regiond.db.pool import Database, Db
from regiond.machines.arrivals.clones import store
from regiond.machines.arrivals.clones.model import (
    check_source,
    disks_for,
    disks_like,
    nics_like,
    sources_of,
    with_size_of,
)
from regiond.machines.arrivals.compose.capacity_limits import no_capacity
from regiond.machines.arrivals.compose.model import CopyPlan
from regiond.machines.arrivals.compose.service import Composer
from regiond.machines.arrivals.compose.store import taken_hostnames
from regiond.machines.core import view_store
from regiond.machines.core.operation_intents import check_no_host
from regiond.machines.core.ownership_rules import check_owner
from regiond.machines.running.deployment import store as deployment_store
from regiond.machines.values.clones import CloneRequest, Copied
from regiond.machines.values.model import MachineView
from regiond.machines.values.search import MachineFilter
from regiond.machines.values.states import MachineState
from regiond.networks.ipam import links
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, Parent
from regiond.placement.model import DryRun
from regiond.placement.storage_parser import parse_storage
from regiond.requests.caller import Caller
from regiond.requests.identifiers import check_hostname, new_hostname, numbered, numbered_names


@frozen
class Templates:
    """Reads templates for the stages of compose."""

    database: Database
    installation_id: UUID

    async def check_addresses(self, system_id: str, count: int, caller: Caller) -> None:
        """Raises OutOfCapacity if a subnet has no free address for each of `count` copies; WrongState as `plan`."""
        async with self.database.connection() as db:
            await _new_addresses(db, await _named(db, system_id, caller), copies=count)

    async def plan(self, caller: Caller, request: ComposeRequest) -> CopyPlan:
        """Returns the request with what it leaves to its template, and what is copied. Only reads.

        Who may change the template may copy it, also while it is locked: a copy shows all its data. One that is asked
        for as stock has it too, for whoever allocates it, and no system that is known as deployed. Raises NotFound,
        NotAllowed, WrongState with what helps, OutOfCapacity for a subnet without a free address, and InvalidRequest.
        """
        async with self.database.connection() as db:
            machine = await _named(db, request.template or "", caller)
            check_owner(caller, machine)
            if request.host_id not in {None, machine.host_id}:
                raise InvalidRequest.of(
                    {"template": [f"{machine.hostname} is on the VM host {machine.host_name}: compose there."]}
                )
            check_source(machine)
            await check_no_host(db, machine)
            asked = parse_storage(request.storage, in_order=True) if request.storage else None
            disks = disks_like(machine, request.storage_pool) if asked is None else disks_for(machine, asked)
            nics = None
            if not request.interfaces:
                nics = nics_like(machine, await _new_addresses(db, machine))
            return CopyPlan(
                asked=request,
                request=with_size_of(machine, request, await store.hardware_of(db, machine.id)),
                copied=await self._copied(db, machine, len(disks), same_nics=nics is not None, stock=request.stock),
                source=machine,
                disks=disks,
                nics=nics,
            )

    async def _copied(self, db: Db, machine: MachineView, disks: int, *, same_nics: bool, stock: bool) -> Copied:
        deployment = await deployment_store.of_machine(db, machine.id)
        is_deployed = machine.state is MachineState.DEPLOYED and deployment is not None and not stock
        becomes = MachineState.DEPLOYED if is_deployed else MachineState.READY if stock else MachineState.ALLOCATED
        order = machine.boot.lasting or ()
        boots = machine.boot_disk
        return Copied(
            machine_id=machine.id,
            system_id=machine.system_id,
            hostname=machine.hostname,
            guest=GuestRef(
                name=machine.guest_name or machine.hostname,
                marker=OwnershipMarker(installation_id=self.installation_id, machine_id=machine.uuid),
            ),
            disks=sources_of(machine, disks),
            becomes=becomes,
            tags=machine.tags,
            boot_order=tuple(one for one in order if one is not BootDevice.ISO),
            same_nics=same_nics,
            boot_disk=0 if boots is None else machine.disks.index(boots),
            image=deployment.image if is_deployed and deployment is not None else None,
            osystem=machine.osystem if is_deployed else "",
            distro_series=machine.distro_series if is_deployed else "",
        )


@frozen
class Clones:
    """Opens clones: composes of machines that are like another one in everything."""

    database: Database
    composer: Composer
    templates: Templates

    async def start(
        self,
        caller: Caller,
        system_id: str,
        request: CloneRequest,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the operation. Raises the errors of `Templates.plan` and of `Composer.start_compose`."""
        return await self.composer.start_compose(
            caller, compose_request(system_id, request), idempotency_key=idempotency_key, need_rack=need_rack,
            parent=parent,
        )  # fmt: skip

    async def dry_run(self, caller: Caller, system_id: str, request: CloneRequest, *, count: int = 1) -> DryRun:
        """Returns where up to `count` clones would be, each placed beside those before it, and changes nothing.

        Raises the errors of `start`, and InvalidRequest for a host name of one of them.
        """
        if count == 1:
            return await self.composer.dry_run(caller, compose_request(system_id, request))
        unnamed = compose_request(system_id, evolve(request, hostname=None))
        found = await self.composer.dry_run(caller, unnamed, count=count)
        await self.templates.check_addresses(system_id, count, caller)
        if problems := await self.composer.hostname_problems(numbered_names(request.hostname, count)):
            raise InvalidRequest.of(problems)
        return found

    async def names_of_several(
        self, caller: Caller, system_id: str, request: CloneRequest, count: int
    ) -> tuple[str, ...]:
        """Returns the host names of `count` clones, all of them free now. Raises what refuses each of the clones."""
        found = await self.dry_run(caller, system_id, request, count=count)
        if found.placement.chosen is None:
            raise no_capacity(found.placement, named=True)
        names = tuple(map(check_hostname, numbered_names(request.hostname, count)))  # as the clones are named
        return names or await self._new_names(count)

    async def _new_names(self, count: int) -> tuple[str, ...]:
        names: dict[str, None] = {}
        while len(names) < count:
            names.setdefault(new_hostname())
        async with self.database.connection() as db:
            taken = await taken_hostnames(db, list(names))
        return tuple(numbered(name) if name in taken else name for name in names)


def compose_request(system_id: str, request: CloneRequest) -> ComposeRequest:
    return ComposeRequest(
        template=system_id, cores=request.cores or 0, memory_mib=request.memory_mib or 0, hostname=request.hostname,
        pool=request.pool, storage_pool=request.storage_pool, power_on=request.power_on,
    )  # fmt: skip


async def _named(db: Db, name: str, caller: Caller) -> MachineView:
    """Returns the machine with this system id or host name."""
    for wanted in (MachineFilter(system_ids=(name,)), MachineFilter(hostnames=(name,))):
        found = await view_store.list_machines(db, wanted, caller=caller)
        if found:
            return found[0]
    raise NotFound(f"There is no machine {name!r} to copy.", template=name)


async def _new_addresses(db: Db, machine: MachineView, *, copies: int = 1) -> dict[int, str]:
    """Returns another free address of its subnet for each NIC with a static one, by the row id of the NIC.

    Of several `copies`, those of the last; each has addresses besides those of the others.
    """
    chosen: dict[int, str] = {}
    used: list[str] = []
    for nic in (nic for _ in range(copies) for nic in machine.nics):
        if nic.ip_address is None:
            continue
        if nic.subnet is None:
            raise WrongState(f"The subnet of {nic.name} of {machine.hostname}, with {nic.ip_address}, was deleted.")
        address = await links.free_address(
            db, nic.subnet, besides=map(ip_address, used), is_reserved_by_host=nic.kind == NicKind.NETWORK
        )
        chosen[nic.id] = str(address)
        used.append(chosen[nic.id])
    return chosen
