"""Looks up the host, machine or virtual machine of a path. Each function raises NotFound."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import NotFound
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.hosts.model import GuestView, HostView
from regiond.machines.model import MachineView

_SYSTEM_ID_LENGTH = 64


async def find_host(services: Services, path: Mapping[str, str]) -> HostView:
    return await services.hosts.read(id_in(path["id"], "Pod"))


async def find_machine(services: Services, path: Mapping[str, str]) -> MachineView:
    system_id = path["system_id"]
    if len(system_id) > _SYSTEM_ID_LENGTH or not (system_id.isascii() and system_id.isprintable()):
        raise NotFound("No Machine matches the given query.")
    return await services.machines.read(system_id)


async def find_guest(services: Services, path: Mapping[str, str]) -> GuestView:
    return await services.hosts.guest(id_in(path["id"], "VirtualMachine"))
