"""Finds the interface of a path: a NIC of a machine, or an interface of a VM host."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from common.errors import NotFound
from regiond.api.resources import host_interfaces
from regiond.api.resources.lookups import machine_of, one_of_object
from regiond.api.serializers.networks import InterfaceOfHost
from regiond.api.services import Services
from regiond.caller import Caller
from regiond.groups.model import ResourcePool
from regiond.machines.model import MachineView, NicView
from regiond.validation_messages import no_object


@frozen(kw_only=True)
class NicOfMachine:
    machine: MachineView
    nic: NicView

    @property
    def pool(self) -> ResourcePool:
        return self.machine.pool

    def belongs_to(self, caller: Caller) -> bool:
        return self.machine.belongs_to(caller)


@frozen(kw_only=True)
class FoundHostInterface:
    """`pool` is that of the host."""

    found: InterfaceOfHost
    pool: ResourcePool


async def find_nic(services: Services, path: Mapping[str, str]) -> NicOfMachine:
    """Raises NotFound, also for an interface of a VM host: only the NICs of machines have links that can be changed."""
    machine = await machine_of(services, path["system_id"])
    what = f"interface of {machine.hostname}"
    nic = one_of_object(what, path["id"], machine.nics, lambda each: (each.id, each.name))
    return NicOfMachine(machine=machine, nic=nic)


async def find_interface(services: Services, path: Mapping[str, str]) -> NicOfMachine | FoundHostInterface:
    """Raises NotFound."""
    try:
        machine = await machine_of(services, path["system_id"])
    except NotFound as no_machine:
        try:
            found = await host_interfaces.find(services, path)
        except NotFound:
            raise NotFound(no_object("machine or VM host", path["system_id"])) from no_machine
        host = await services.hosts.read(found.interface.host_id, caller=services.caller)
        return FoundHostInterface(found=found, pool=host.pool)
    what = f"interface of {machine.hostname}"
    nic = one_of_object(what, path["id"], machine.nics, lambda each: (each.id, each.name))
    return NicOfMachine(machine=machine, nic=nic)
