"""`nodes/{system_id}/interfaces/` of a VM host: what its guests are attached to, and a person's word about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from common.errors import NotFound
from regiond.api.encoding.networks import encode_host_interface
from regiond.api.endpoint import Call
from regiond.api.fields import CommaList, Field, Text
from regiond.api.paths import id_in
from regiond.api.replies import Reply, json_reply
from regiond.api.services import Services
from regiond.networks.model import HostInterface

CHANGE = (
    Field(
        name="vlan",
        kind=Text(longest=64),
        doc="The VLAN that it is on, by id, which no look at the host changes. Empty: as it is learned again.",
    ),
    Field(name="tags", kind=CommaList(), doc="What constraints can ask for, separated by commas."),
)


@frozen(kw_only=True)
class FoundInterface:
    """One of a host's, among all of that host."""

    interface: HostInterface
    all_of_host: tuple[HostInterface, ...]

    def encoded(self) -> dict[str, Any]:
        return encode_host_interface(self.interface, self.all_of_host)


def encode_all(interfaces: tuple[HostInterface, ...]) -> list[dict[str, Any]]:
    return [encode_host_interface(each, interfaces) for each in interfaces]


async def find(services: Services, path: Mapping[str, str]) -> FoundInterface:
    """Raises NotFound, also for a card of a machine: those are as they were composed."""
    wanted = id_in(path["id"], "Interface")
    interfaces = await services.networks.interfaces(path["system_id"])
    for each in interfaces:
        if each.id == wanted:
            return FoundInterface(interface=each, all_of_host=interfaces)
    raise NotFound(f"The VM host {path['system_id']} has no interface {wanted}.")


async def update(call: Call) -> Reply:
    found: FoundInterface = call.target
    changed = await call.services.networks.update_interface(
        call.caller, found.interface.id, vlan=call.values["vlan"], tags=call.values["tags"]
    )
    return json_reply(encode_host_interface(changed, found.all_of_host))
