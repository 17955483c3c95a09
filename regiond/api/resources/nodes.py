"""`nodes/{system_id}/`: NICs and disks of machines, interfaces of hosts.

The interfaces of a VM host are below the host's own system id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidRequest, NotFound
from regiond.api import crud
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.replies import Reply, text_reply
from regiond.api.resources import host_interfaces, interface_links
from regiond.api.resources.interface_targets import find_node
from regiond.api.resources.lookups import machine_of, one_of_object
from regiond.api.serializer import array
from regiond.api.serializers.devices import encode_device_interface
from regiond.api.serializers.machines import BLOCK_DEVICE_JSON, DiskOfMachine, encode_interface
from regiond.api.services import Services
from regiond.machines.model import DeviceView, MachineView
from regiond.validation_messages import no_object


async def _find_interfaces(services: Services, path: Mapping[str, str]) -> list[dict[str, Any]]:
    """The encoded interfaces of a machine, of a device or of a VM host."""
    try:
        node = await find_node(services, path)
    except NotFound as no_machine:
        try:
            return host_interfaces.encode_all(await host_interfaces.of_host(services, path["system_id"]))
        except NotFound:
            raise NotFound(no_object("machine, device or VM host", path["system_id"])) from no_machine
    if isinstance(node, DeviceView):
        return [encode_device_interface(node.system_id, nic) for nic in node.nics]
    return [encode_interface(node, nic) for nic in node.nics]


async def _find_machine(services: Services, path: Mapping[str, str]) -> MachineView:
    return await machine_of(services, path["system_id"])


async def _find_interface(services: Services, path: Mapping[str, str]) -> dict[str, Any]:
    interfaces = await _find_interfaces(services, path)
    what = f"interface of {path['system_id']}"
    return one_of_object(what, path["id"], interfaces, lambda found: (found["id"], found["name"]))


async def _disks(call: Call) -> list[DiskOfMachine]:
    machine: MachineView = call.target
    return [DiskOfMachine(machine=machine, disk=disk) for disk in machine.disks]


async def find_disk(services: Services, path: Mapping[str, str]) -> DiskOfMachine:
    machine = await machine_of(services, path["system_id"])
    disks = [DiskOfMachine(machine=machine, disk=disk) for disk in machine.disks]
    what = f"block device of {machine.hostname}"
    return one_of_object(what, path["id"], disks, lambda found: (found.disk.id, found.name))


async def _set_boot_disk(call: Call) -> Reply:
    disk: DiskOfMachine = call.target
    if not disk.is_boot_disk:
        raise InvalidRequest("not part of Innkeeper: a machine boots from its first disk.")
    return text_reply("OK")


_ANY_INTERFACE = interface_links.ANY_INTERFACE

INTERFACES = Resource(
    handler="InterfacesHandler",
    path="nodes/{system_id}/interfaces/",
    doc="The NICs of a machine or device, or the interfaces of a VM host to which guests attach.",
    endpoints=(
        crud.read_target(
            Result(doc="The interfaces.", type=array(_ANY_INTERFACE)),
            _find_interfaces,
            title="List the interfaces of a machine, device or VM host",
        ),
        interface_links.CREATE_PHYSICAL,
    ),
)
INTERFACE = Resource(
    handler="InterfaceHandler",
    path="nodes/{system_id}/interfaces/{id}/",
    doc="One NIC of a machine or device, or one interface of a VM host, by its id or name.",
    endpoints=(
        crud.read_target(Result(doc="The interface.", type=_ANY_INTERFACE), _find_interface, title="Read an interface"),
        *interface_links.ENDPOINTS,
    ),
)
BLOCK_DEVICES = Resource(
    handler="BlockDevicesHandler",
    path="nodes/{system_id}/blockdevices/",
    doc="The disks of a machine.",
    endpoints=(
        crud.list_of(
            BLOCK_DEVICE_JSON,
            _disks,
            title="List the block devices of a machine",
            result="The block devices.",
            find=_find_machine,
        ),
    ),
)
BLOCK_DEVICE = Resource(
    handler="BlockDeviceHandler",
    path="nodes/{system_id}/blockdevices/{id}/",
    doc="One disk of a machine, by its id or name.",
    endpoints=(
        crud.read_target(
            Result(doc="The block device.", type=BLOCK_DEVICE_JSON), find_disk, title="Read a block device"
        ),
        Endpoint(
            method="POST",
            op="set_boot_disk",
            permission=Permission.OPERATOR,
            title="Set the boot disk of a machine",
            doc="For clients that name it again: it is the first disk, and another one is rejected.",
            result=Result(doc="OK."),
            only_reads=True,
            find=find_disk,
            run=_set_boot_disk,
        ),
    ),
)
RESOURCES = (INTERFACES, INTERFACE, BLOCK_DEVICES, BLOCK_DEVICE)
