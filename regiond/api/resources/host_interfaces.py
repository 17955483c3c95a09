"""`nodes/{system_id}/interfaces/` of a VM host: the interfaces to which guests attach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from common.errors import NotFound
from regiond.api.endpoint import Call
from regiond.api.field_types import CommaList, Text
from regiond.api.fields import Field
from regiond.api.serializers.networks import HOST_INTERFACE_JSON, InterfaceOfHost
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.networks.model import HostInterface

CHANGE = (
    Field(
        name="vlan",
        type=Text(max_length=64),
        doc="Id of its VLAN; discovery does not change it then. Empty: use the discovered VLAN again.",
    ),
    Field(name="tags", type=CommaList(), doc="Tags that constraints can select by, separated by commas."),
)


def encode_all(interfaces: tuple[HostInterface, ...]) -> list[Any]:
    return [HOST_INTERFACE_JSON.encode(InterfaceOfHost(interface=each, all_of_host=interfaces)) for each in interfaces]


async def find(services: Services, path: Mapping[str, str]) -> InterfaceOfHost:
    """Raises NotFound, also for a NIC of a machine: those cannot be changed."""
    wanted = id_in(path["id"], "Interface")
    interfaces = await services.networks.interfaces(path["system_id"])
    for each in interfaces:
        if each.id == wanted:
            return InterfaceOfHost(interface=each, all_of_host=interfaces)
    raise NotFound(f"The VM host {path['system_id']} has no interface {wanted}.")


async def update(call: Call) -> InterfaceOfHost:
    found: InterfaceOfHost = call.target
    changed = await call.services.networks.update_interface(
        call.caller, found.interface.id, vlan=call.values["vlan"], tags=call.values["tags"]
    )
    return evolve(found, interface=changed)
