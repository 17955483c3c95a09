"""Serves the RPC commands with which clients change disks, NICs and boot orders of machines."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from common.errors import InvalidRequest, NotFound
from common.rpc.commands.client_commands import (
    CLIENT_ADD_DISK,
    CLIENT_ADD_INTERFACE,
    CLIENT_CHANGE_INTERFACE,
    CLIENT_GROW_DISK,
    CLIENT_REMOVE_DISK,
    CLIENT_REMOVE_INTERFACE,
    CLIENT_SET_BOOT,
    AddDiskCall,
    AddInterfaceCall,
    ChangeInterfaceCall,
    GrowDiskCall,
    RemoveDiskCall,
    RemoveInterfaceCall,
    SetBootCall,
)
from common.rpc.commands.command import Command
from common.serialization import to_dict
from regiond.api.services import Services
from regiond.machines.values.boot import BootToSet
from regiond.machines.values.disk_references import named_disk
from regiond.machines.values.disks import DiskChange, DiskToAdd, DiskToGrow, DiskToRemove
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicChange, NicToAdd, NicToChange, NicToRemove
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.requests.caller import Caller, Permission, check_object
from regiond.requests.validation_messages import no_object

MAX_KEY_CHARS = 255

# Each command needs the permission of the API endpoint that does the same.
PERMISSIONS: Mapping[str, Permission] = {
    one.name: Permission.OWNER
    for one in (
        CLIENT_ADD_DISK, CLIENT_GROW_DISK, CLIENT_REMOVE_DISK, CLIENT_ADD_INTERFACE, CLIENT_CHANGE_INTERFACE,
        CLIENT_REMOVE_INTERFACE, CLIENT_SET_BOOT,
    )
}  # fmt: skip
# No value of an idempotency key is recorded: it is any text that a client chooses.
RECORDED = frozenset({
    "size_bytes", "pool", "tags", "disk", "keep", "interfaces", "interface", "name", "mac_address", "order", "once",
})  # fmt: skip


class ChangeCommands:
    """The handlers of these commands. Each returns the operation that it began."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def commands(self) -> Mapping[Command[Any, Any], Callable[[Caller, Any], Awaitable[Operation]]]:
        return {
            CLIENT_ADD_DISK: self._add_disk,
            CLIENT_GROW_DISK: self._grow_disk,
            CLIENT_REMOVE_DISK: self._remove_disk,
            CLIENT_ADD_INTERFACE: self._add_interface,
            CLIENT_CHANGE_INTERFACE: self._change_interface,
            CLIENT_REMOVE_INTERFACE: self._remove_interface,
            CLIENT_SET_BOOT: self._set_boot,
        }

    async def _add_disk(self, caller: Caller, call: AddDiskCall) -> Operation:
        key = idempotency_key(self._services, caller, call.idempotency_key, CLIENT_ADD_DISK, call)
        disk = DiskToAdd(size_bytes=call.size_bytes, pool=call.pool, tags=call.tags)
        return await self._change_disk(caller, call.system_id, disk, key)

    async def _grow_disk(self, caller: Caller, call: GrowDiskCall) -> Operation:
        disk_id = _disk_id(await self._machine(caller, call.system_id), call.disk)
        return await self._change_disk(caller, call.system_id, DiskToGrow(disk_id=disk_id, size_bytes=call.size_bytes))

    async def _remove_disk(self, caller: Caller, call: RemoveDiskCall) -> Operation:
        disk_id = _disk_id(await self._machine(caller, call.system_id), call.disk)
        return await self._change_disk(caller, call.system_id, DiskToRemove(disk_id=disk_id, keep=call.keep))

    async def _change_disk(
        self, caller: Caller, system_id: str, change: DiskChange, key: IdempotencyKey | None = None
    ) -> Operation:
        return await self._services.hardware.start(caller, system_id, change, idempotency_key=key)

    async def _add_interface(self, caller: Caller, call: AddInterfaceCall) -> Operation:
        key = idempotency_key(self._services, caller, call.idempotency_key, CLIENT_ADD_INTERFACE, call)
        nic = NicToAdd(constraint=call.interfaces, name=call.name, mac_address=call.mac_address, tags=call.tags)
        return await self._change_nic(caller, call.system_id, nic, key)

    async def _change_interface(self, caller: Caller, call: ChangeInterfaceCall) -> Operation:
        nic_id = _nic_id(await self._machine(caller, call.system_id), call.interface)
        change = NicToChange(nic_id=nic_id, constraint=call.interfaces, mac_address=call.mac_address)
        return await self._change_nic(caller, call.system_id, change)

    async def _remove_interface(self, caller: Caller, call: RemoveInterfaceCall) -> Operation:
        nic_id = _nic_id(await self._machine(caller, call.system_id), call.interface)
        return await self._change_nic(caller, call.system_id, NicToRemove(nic_id=nic_id))

    async def _change_nic(
        self, caller: Caller, system_id: str, change: NicChange, key: IdempotencyKey | None = None
    ) -> Operation:
        return await self._services.hardware.start(caller, system_id, change, idempotency_key=key)

    async def _set_boot(self, caller: Caller, call: SetBootCall) -> Operation:
        return await self._services.hardware.start(caller, call.system_id, BootToSet(order=call.order, once=call.once))

    async def _machine(self, caller: Caller, system_id: str) -> MachineView:
        found = await self._services.machines.read(system_id, caller=caller)
        check_object(Permission.OWNER, caller, found)
        return found


def idempotency_key(
    services: Services, caller: Caller, text: str | None, command: Command[Any, Any], request: object
) -> IdempotencyKey | None:
    """Returns the key of the request. Raises InvalidRequest for an invalid one: the client relies on it."""
    if text is None:
        return None
    if not (1 <= len(text) <= MAX_KEY_CHARS and text.isprintable()):
        raise InvalidRequest.of({"idempotency_key": [f"Use 1 to {MAX_KEY_CHARS} printable characters."]})
    return services.idempotency_keys.key_of(
        caller, text, json.dumps([command.name, to_dict(request)], sort_keys=True).encode()
    )


def _disk_id(machine: MachineView, text: str) -> int:
    return named_disk(machine.hostname, machine.disks, text).id


def _nic_id(machine: MachineView, text: str) -> int:
    return _id_of(f"interface of {machine.hostname}", text, [(nic.id, nic.name) for nic in machine.nics])


def _id_of(what: str, text: str, found: Iterable[tuple[int, str]]) -> int:
    """Returns the id of the one with this name, or else with this id. Raises NotFound."""
    known = list(found)
    ids = [one for one, name in known if name == text] or [one for one, _ in known if str(one) == text]
    if not ids:
        raise NotFound(no_object(what, text, [name for _, name in known]))
    return ids[0]
