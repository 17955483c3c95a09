"""`nodes/{system_id}/interfaces/` of a VM host: the interfaces to which guests attach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import NotFound
from regiond.api.resources.shared.lookups import host_of, one_of_object
from regiond.api.serializers.networks import HOST_INTERFACE_JSON, InterfaceOfHost
from regiond.api.services import Services
from regiond.networks.model import HostInterface
from regiond.requests.identifiers import as_id


def encode_all(interfaces: tuple[HostInterface, ...]) -> list[Any]:
    return [HOST_INTERFACE_JSON.encode(InterfaceOfHost(interface=each, all_of_host=interfaces)) for each in interfaces]


async def of_host(services: Services, text: str) -> tuple[HostInterface, ...]:
    """Returns the interfaces of the VM host with this system id or name. Raises NotFound."""
    try:
        return await services.networks.interfaces(text, caller=services.caller)
    except NotFound:
        if as_id(text) is not None:  # the path has system ids, not ids of hosts
            raise
        host = await host_of(services, text)
        return await services.networks.interfaces(host.system_id, caller=services.caller)


async def find(services: Services, path: Mapping[str, str]) -> InterfaceOfHost:
    """Returns the interface of a path. Raises NotFound, also for a NIC of a machine."""
    interfaces = await of_host(services, path["system_id"])
    what = f"interface of the VM host {path['system_id']}"
    found = one_of_object(what, path["id"], interfaces, lambda each: (each.id, each.name))
    return InterfaceOfHost(interface=found, all_of_host=interfaces)
