"""`nodes/{system_id}/`: NICs and disks of machines, interfaces of hosts.

The interfaces of a VM host are below the host's own system id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import NotFound
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Resource, Result
from regiond.api.declaration.serializer import array
from regiond.api.resources.hosts import host_interfaces
from regiond.api.resources.machines.hardware import disks, interface_links, nic_changes
from regiond.api.resources.machines.hardware.interface_targets import find_node
from regiond.api.resources.shared.lookups import one_of_object
from regiond.api.serializers.devices import encode_device_interface
from regiond.api.serializers.machines import encode_interface
from regiond.api.services import Services
from regiond.machines.values.devices import DeviceView
from regiond.requests.validation_messages import no_object


async def _find_interfaces(services: Services, path: Mapping[str, str]) -> list[dict[str, Any]]:
    """Returns the encoded interfaces of a machine, of a device or of a VM host."""
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


async def _find_interface(services: Services, path: Mapping[str, str]) -> dict[str, Any]:
    interfaces = await _find_interfaces(services, path)
    what = f"interface of {path['system_id']}"
    return one_of_object(what, path["id"], interfaces, lambda found: (found["id"], found["name"]))


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
        nic_changes.CREATE_PHYSICAL,
    ),
)
INTERFACE = Resource(
    handler="InterfaceHandler",
    path="nodes/{system_id}/interfaces/{id}/",
    doc="One NIC of a machine or device, or one interface of a VM host, by its id or name.",
    endpoints=(
        crud.read_target(Result(doc="The interface.", type=_ANY_INTERFACE), _find_interface, title="Read an interface"),
        nic_changes.DELETE_INTERFACE,
        *interface_links.ENDPOINTS,
    ),
)
INTERFACE_ON_PAGES = Resource(
    handler="InterfaceHandler",
    path=INTERFACE.path,
    doc="What only the pages do to a NIC: MAAS has no such request, so the API serves none.",
    endpoints=(interface_links.CLEAR_DEFAULT_GATEWAY,),
)
RESOURCES = (INTERFACES, INTERFACE, *disks.RESOURCES)
