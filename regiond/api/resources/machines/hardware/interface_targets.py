"""Finds the interface of a path: a NIC of a machine or device, or an interface of a VM host."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from common.errors import NotFound
from regiond.api.resources.hosts import host_interfaces
from regiond.api.resources.shared.lookups import machine_of, one_of_object
from regiond.api.serializers.networks import InterfaceOfHost
from regiond.api.services import Services
from regiond.groups.model import ResourcePool
from regiond.machines.values.devices import DeviceFilter, DeviceNicView, DeviceView
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.networks.model import DOMAIN_NAME
from regiond.requests.caller import Caller
from regiond.requests.identifiers import split_reference
from regiond.requests.validation_messages import no_object

_MAX_LENGTH = 300


@frozen(kw_only=True)
class NicOfMachine:
    machine: MachineView
    nic: NicView

    @property
    def pool(self) -> ResourcePool:
        return self.machine.pool

    def belongs_to(self, caller: Caller) -> bool:
        return self.machine.belongs_to(caller)

    @property
    def not_yours(self) -> str:
        return self.machine.not_yours


@frozen(kw_only=True)
class NicOfDevice:
    device: DeviceView
    nic: DeviceNicView

    @property
    def pool(self) -> ResourcePool | None:
        return self.device.pool

    def belongs_to(self, caller: Caller) -> bool:
        return self.device.belongs_to(caller)


@frozen(kw_only=True)
class FoundHostInterface:
    """An interface of a VM host. `pool` is the resource pool of the host."""

    found: InterfaceOfHost
    pool: ResourcePool


async def device_of(services: Services, text: str) -> DeviceView:
    """Returns the device with this system id or hostname, with or without domain. Raises NotFound."""
    if not text.isascii() or not text.isprintable() or len(text) > _MAX_LENGTH:
        raise NotFound(no_object("device", text))
    system_id, name = split_reference(text)
    if system_id is not None:
        try:
            return await services.devices.read(system_id, caller=services.caller)
        except NotFound:
            pass  # it may be a hostname
    hostnames = () if name is None else (name.lower().removesuffix(f".{DOMAIN_NAME}"),)
    found = await services.devices.list(DeviceFilter(hostnames=hostnames), caller=services.caller) if hostnames else ()
    if not found:
        raise NotFound(no_object("device", text))
    return found[0]


async def find_node(services: Services, path: Mapping[str, str]) -> MachineView | DeviceView:
    """Returns the machine or device of a path. Raises NotFound."""
    try:
        return await machine_of(services, path["system_id"])
    except NotFound as no_machine:
        try:
            return await device_of(services, path["system_id"])
        except NotFound:
            raise no_machine from None


async def find_nic(services: Services, path: Mapping[str, str]) -> NicOfMachine | NicOfDevice:
    """Returns the NIC of a path. Raises NotFound, also for an interface of a VM host, whose links cannot be changed."""
    node = await find_node(services, path)
    what = f"interface of {node.hostname}"
    if isinstance(node, DeviceView):
        nic_of_device = one_of_object(what, path["id"], node.nics, lambda each: (each.id, each.name))
        return NicOfDevice(device=node, nic=nic_of_device)
    nic = one_of_object(what, path["id"], node.nics, lambda each: (each.id, each.name))
    return NicOfMachine(machine=node, nic=nic)


async def find_interface(
    services: Services, path: Mapping[str, str]
) -> NicOfMachine | NicOfDevice | FoundHostInterface:
    """Returns the interface of a path. Raises NotFound."""
    try:
        await find_node(services, path)
    except NotFound:
        try:
            found = await host_interfaces.find(services, path)
        except NotFound:
            raise NotFound(no_object("machine, device or VM host", path["system_id"])) from None
        host = await services.hosts.read(found.interface.host_id, caller=services.caller)
        return FoundHostInterface(found=found, pool=host.pool)
    return await find_nic(services, path)
