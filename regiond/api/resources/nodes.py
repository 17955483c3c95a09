"""Network cards and disks of machines, where their `resource_uri` points: `nodes/{system_id}/interfaces/` and so on.

The interfaces of a VM host are found under the host's own system id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import NotFound
from regiond.api import machine_shapes, network_shapes, schemas
from regiond.api.encoding.machines import encode_block_device, encode_interface
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.paths import id_in
from regiond.api.replies import Reply, json_reply
from regiond.api.resources import host_interfaces
from regiond.api.resources.machines import find_machine
from regiond.api.services import Services
from regiond.machines.model import DiskView, MachineView


async def _find_interfaces(services: Services, path: Mapping[str, str]) -> list[dict[str, Any]]:
    """Encoded, since they are of two kinds."""
    try:
        machine = await find_machine(services, path)
    except NotFound as no_machine:
        try:
            return host_interfaces.encode_all(await services.networks.interfaces(path["system_id"]))
        except NotFound:
            raise no_machine from None
    return [encode_interface(machine, nic) for nic in machine.nics]


async def _interfaces(call: Call) -> Reply:
    return json_reply(call.target)


async def _find_interface(services: Services, path: Mapping[str, str]) -> dict[str, Any]:
    wanted = id_in(path["id"], "Interface")
    for found in await _find_interfaces(services, path):
        if found["id"] == wanted:
            return found
    raise NotFound("No Interface matches the given query.")


async def _interface(call: Call) -> Reply:
    return json_reply(call.target)


async def _disks(call: Call) -> Reply:
    machine: MachineView = call.target
    return json_reply([encode_block_device(machine, disk) for disk in machine.disks])


async def _find_disk(services: Services, path: Mapping[str, str]) -> tuple[MachineView, DiskView]:
    machine = await find_machine(services, path)
    wanted = id_in(path["id"], "BlockDevice")
    for disk in machine.disks:
        if disk.id == wanted:
            return machine, disk
    raise NotFound("No BlockDevice matches the given query.")


async def _disk(call: Call) -> Reply:
    return json_reply(encode_block_device(*call.target))


_ANY_INTERFACE: schemas.Schema = {"anyOf": [machine_shapes.INTERFACE, network_shapes.HOST_INTERFACE]}

INTERFACES = Resource(
    handler="InterfacesHandler",
    path="nodes/{system_id}/interfaces/",
    doc="The network cards of a machine, or what the guests of a VM host are attached to.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List the interfaces of a machine or VM host",
            result=Result(doc="The interfaces.", schema=schemas.array(_ANY_INTERFACE)),
            find=_find_interfaces,
            run=_interfaces,
        ),
    ),
)
INTERFACE = Resource(
    handler="InterfaceHandler",
    path="nodes/{system_id}/interfaces/{id}/",
    doc="One network card of a machine, or one interface of a VM host.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read an interface",
            result=Result(doc="The interface.", schema=_ANY_INTERFACE),
            find=_find_interface,
            run=_interface,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=host_interfaces.CHANGE,
            title="Update an interface of a VM host",
            doc="Where what was learned of it is wrong. The cards of machines are as they were composed.",
            result=Result(doc="The interface.", schema=network_shapes.HOST_INTERFACE),
            find=host_interfaces.find,
            run=host_interfaces.update,
        ),
    ),
)
BLOCK_DEVICES = Resource(
    handler="BlockDevicesHandler",
    path="nodes/{system_id}/blockdevices/",
    doc="The disks of a machine.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List the block devices of a machine",
            result=Result(doc="The block devices.", schema=schemas.array(machine_shapes.BLOCK_DEVICE)),
            find=find_machine,
            run=_disks,
        ),
    ),
)
BLOCK_DEVICE = Resource(
    handler="BlockDeviceHandler",
    path="nodes/{system_id}/blockdevices/{id}/",
    doc="One disk of a machine.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a block device",
            result=Result(doc="The block device.", schema=machine_shapes.BLOCK_DEVICE),
            find=_find_disk,
            run=_disk,
        ),
    ),
)
RESOURCES = (INTERFACES, INTERFACE, BLOCK_DEVICES, BLOCK_DEVICE)
